//! What a shop's owner publishes: DNS records, so that its mail is signed, and the snippet on its pages.

use std::error::Error;
use std::sync::Arc;

use types::catalogue::ShopSpec;

use crate::app::internal;
use crate::problem::Problem;

/// A DNS record that a shop's owner must publish before its mail can be sent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct DnsRecord {
    /// The record's full name. It is a TXT record.
    #[schema(example = "s1._domainkey.offers.scarpe.example")]
    pub name: String,
    /// Its value, unquoted.
    pub value: String,
}

/// Makes sure that a shop can sign its mail, and says what its owner must publish.
///
/// Called, on a thread that may block, before a shop is put and whenever it is shown; it must give the same records
/// every time.
pub type ShopHook = Arc<dyn Fn(&ShopSpec) -> Result<Vec<DnsRecord>, Box<dyn Error + Send + Sync>> + Send + Sync>;

/// Tells what owners publish.
pub(crate) struct Publication {
    hook: ShopHook,
    /// The host of tracking links of shops without one of their own.
    tracking_host: String,
}

impl Publication {
    /// Takes what makes the records, and the host of shops that have none of their own.
    pub(crate) const fn new(hook: ShopHook, tracking_host: String) -> Self {
        Self { hook, tracking_host }
    }

    /// Makes the shop's keys where they are missing, and returns the records to publish. Reads and writes files.
    pub(crate) fn dns(&self, shop: &ShopSpec) -> Result<Vec<DnsRecord>, Problem> {
        (self.hook)(shop).map_err(|error| internal("making a shop's signing keys", &error))
    }

    /// Returns what an advertiser puts on each page of its site.
    pub(crate) fn landing_snippet(&self, shop: &ShopSpec) -> String {
        let host = shop.tracking_host.as_deref().unwrap_or(&self.tracking_host);
        format!("<script async src=\"https://{host}/landing.js\"></script>")
    }
}
