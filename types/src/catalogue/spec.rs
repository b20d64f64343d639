//! The documents that people `PUT`: journaled as they are, kept as they are.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::address::EmailAddress;
use crate::locale::{Country, Language};
use crate::money::Money;
use crate::order::Stream;
use crate::text::{HttpsUrl, Line, Slug};
use crate::time::Timestamp;

/// A shop of the network, as `PUT /v1/shops/{id}` takes it. It publishes offers, advertises, or both.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct ShopSpec {
    /// What buyers know it as.
    #[n(0)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 128))]
    pub name: Line<128>,
    /// Its home page; bad and expired links lead there.
    #[n(1)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^https://", max_length = 2000))]
    pub url: HttpsUrl,
    /// Who offers come from. Use a subdomain of their own.
    #[n(2)]
    pub promotional: Sender,
    /// Who confirmations come from. Missing: plain messages on that stream are refused.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactional: Option<Sender>,
    /// The language when the buyer's locale is none of ours.
    #[n(4)]
    pub language: Language,
    /// Where the shop is, ISO 3166-1 alpha-2.
    #[n(5)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^[A-Z]{2}$"))]
    pub country: Country,
    /// What it sells, in the network's words; campaigns of the same categories are competitors. At most 16.
    #[n(6)]
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, max_items = 16))]
    pub categories: Vec<Line<64>>,
    /// Shops whose offers it never shows. At most 1,000.
    #[n(7)]
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, max_items = 1000))]
    pub exclude_shops: Vec<Slug>,
    /// Categories it never shows. At most 64.
    #[n(8)]
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, max_items = 64))]
    pub exclude_categories: Vec<Line<64>>,
    /// How many offers a mail holds, 1 to 6.
    #[n(9)]
    #[serde(default = "default_offers_max")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 6))]
    pub offers_max: u8,
    /// After how many minutes an order is late.
    #[n(10)]
    #[serde(default = "default_late_after_minutes")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 10_080))]
    pub late_after_minutes: u32,
    /// Whether late orders are mailed all the same.
    #[n(11)]
    #[serde(default)]
    pub mail_late: bool,
    /// The offer template that replaces the built-in one.
    #[n(12)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub offer_template: Option<Slug>,
    /// The postal address that commercial mail must show.
    #[n(13)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 256))]
    pub postal_address: Line<256>,
    /// Its privacy notice.
    #[n(14)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub privacy_url: Option<HttpsUrl>,
    /// Its logo, shown at up to 200 by 60 pixels.
    #[n(15)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub logo_url: Option<HttpsUrl>,
    /// Its colour, `#rrggbb`, for buttons.
    #[n(16)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, pattern = "^#[0-9a-fA-F]{6}$"))]
    pub color: Option<Line<7>>,
    /// The host of its tracking links, a CNAME to the tracker. Missing: the service's own.
    #[n(17)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, max_length = 253))]
    pub tracking_host: Option<Line<253>>,
}

const fn default_offers_max() -> u8 {
    3
}

const fn default_late_after_minutes() -> u32 {
    15
}

impl ShopSpec {
    /// Returns the sender of a stream, if the shop has one.
    pub const fn sender(&self, stream: Stream) -> Option<&Sender> {
        match stream {
            Stream::Promotional => Some(&self.promotional),
            Stream::Transactional => self.transactional.as_ref(),
        }
    }

    /// Returns whether a host is the shop's own: that of its home page, without `www.`, or one under it.
    ///
    /// Links of its campaigns lead there and nowhere else, and what reports a landing from there is believed.
    pub fn owns_host(&self, host: &str) -> bool {
        let own = self.url.host().as_bytes();
        let own = match own.split_at_checked(4) {
            Some((www, rest)) if www.eq_ignore_ascii_case(b"www.") && !rest.is_empty() => rest,
            _ => own,
        };
        let start = host.len().checked_sub(own.len());
        start
            .and_then(|at| host.as_bytes().split_at_checked(at))
            .is_some_and(|(under, end)| end.eq_ignore_ascii_case(own) && (under.is_empty() || under.ends_with(b".")))
    }
}

impl ShopSpec {
    /// Returns the URL if it is a page of the shop's own site: `https`, on a host that it [owns](Self::owns_host), at the
    /// usual port or that of its home page.
    ///
    /// Links of its messages that the tracker follows lead there and nowhere else.
    pub fn own_page(&self, url: &str) -> Option<HttpsUrl> {
        let url = HttpsUrl::try_from(url).ok()?;
        let is_own = self.owns_host(url.host()) && (url.port() == 443 || url.port() == self.url.port());
        is_own.then_some(url)
    }
}

/// Who a stream's mail comes from. The address's domain is the DKIM `d=` and, with `bounce.` before it, the return path.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Sender {
    /// The display name. Default: the shop's name.
    #[n(0)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, max_length = 128))]
    pub name: Option<Line<128>>,
    /// The `From:` address.
    #[n(1)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Email))]
    pub address: EmailAddress,
    /// Where answers go.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = Email))]
    pub reply_to: Option<EmailAddress>,
    /// Which signatures its mail gets.
    #[n(3)]
    #[serde(default)]
    pub dkim: DkimSignatures,
}

/// Which DKIM signatures a sender's mail gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum DkimSignatures {
    /// RSA-2048: what every receiver verifies.
    #[default]
    #[n(0)]
    Rsa,
    /// RSA-2048 with Ed25519 (RFC 8463) beside it.
    #[n(1)]
    RsaAndEd25519,
    /// Ed25519 alone: thirty times cheaper, but few receivers verify it yet.
    #[n(2)]
    Ed25519,
}

/// A campaign: what an advertiser offers to other shops' buyers, as `PUT /v1/campaigns/{id}` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct CampaignSpec {
    /// The shop that advertises and pays.
    #[n(0)]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub advertiser: Slug,
    /// Whether it runs.
    #[n(1)]
    #[serde(default)]
    pub state: CampaignState,
    /// When it starts.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub starts_at: Option<Timestamp>,
    /// When its offer ends; mails still queued then are dropped.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub ends_at: Option<Timestamp>,
    /// In which countries it may be shown; empty means everywhere. At most 250.
    #[n(4)]
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, max_items = 250))]
    pub countries: Vec<Country>,
    /// What it is about, in the network's words. At most 16.
    #[n(5)]
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, max_items = 16))]
    pub categories: Vec<Line<64>>,
    /// What the advertiser pays for a lead.
    #[n(6)]
    pub price: Money,
    /// What it pays in all, in the price's currency. Missing: no limit.
    #[n(7)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    pub budget: Option<i64>,
    /// How many of 10,000 mails that show it are expected to bring a lead; ranks it until there are observations.
    #[n(8)]
    #[serde(default = "default_lead_rate")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 10_000))]
    pub lead_rate_per_10000: u32,
    /// Where a click leads. `{click_id}`, `{campaign}`, `{publisher}` and `{coupon}` are replaced, percent-encoded.
    #[n(9)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^https://", max_length = 2000))]
    pub landing_url: HttpsUrl,
    /// What the offer says, by language; it is shown only in these. At least one.
    #[n(10)]
    #[cfg_attr(feature = "openapi", schema(value_type = HashMap<String, Creative>))]
    pub creatives: BTreeMap<Language, Creative>,
}

const fn default_lead_rate() -> u32 {
    100
}

/// Whether a campaign runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum CampaignState {
    /// It may be shown.
    #[default]
    #[n(0)]
    Active,
    /// It may not; links in mails already sent go on working.
    #[n(1)]
    Paused,
}

/// What an offer says in one language.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct Creative {
    /// The headline.
    #[n(0)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 120))]
    pub title: Line<120>,
    /// One or two sentences.
    #[n(1)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, max_length = 500))]
    pub text: Line<500>,
    /// The button's words.
    #[n(2)]
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 40))]
    pub button: Line<40>,
    /// A picture, shown 560 pixels wide.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub image_url: Option<HttpsUrl>,
    /// What the picture shows, for those who do not see it.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, max_length = 200))]
    pub image_alt: Option<Line<200>>,
    /// A code to redeem.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, max_length = 40))]
    pub coupon: Option<Line<40>>,
}

/// A shop's own template, as `PUT /v1/templates/{id}` takes it: minijinja sources by language.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct TemplateSpec {
    /// What it may be used for.
    #[n(0)]
    pub kind: TemplateKind,
    /// Its sources by language; the shop's own language is used where the buyer's is missing. At least one.
    #[n(1)]
    #[cfg_attr(feature = "openapi", schema(value_type = HashMap<String, TemplateSource>))]
    pub sources: BTreeMap<Language, TemplateSource>,
}

/// What a template may be used for; each kind sees its own variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum TemplateKind {
    /// Offer mails caused by orders.
    #[n(0)]
    Offer,
    /// Plain messages, and those of workflows.
    #[n(1)]
    Message,
    /// Reminders of carts.
    #[n(2)]
    Cart,
}

/// The three parts of a template; each at most 128 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
#[cbor(map)]
pub struct TemplateSource {
    /// The subject's template, one line.
    #[n(0)]
    pub subject: String,
    /// The HTML part's template; what it inserts is escaped.
    #[n(1)]
    pub html: String,
    /// The plain-text part's template.
    #[n(2)]
    pub text: String,
}

/// An API key as the catalogue keeps it: its SHA-256, never itself.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ApiKey {
    /// Names the key in lists, logs and revocations.
    #[n(0)]
    pub id: Slug,
    /// Whose data it opens.
    #[n(1)]
    pub shop: Slug,
    /// What it may do.
    #[n(2)]
    pub scopes: Vec<Scope>,
    /// SHA-256 of the key.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub hash: [u8; 32],
}

/// What an API key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Scope {
    /// Post orders and messages.
    #[n(0)]
    Send,
    /// Read orders, messages, the shop, its campaigns, templates and suppressions.
    #[n(1)]
    Read,
    /// Change the shop's campaigns, templates and suppressions.
    #[n(2)]
    Manage,
}

impl Scope {
    /// Returns the scope's name, as in API answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Read => "read",
            Self::Manage => "manage",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, host: &str, expected: bool) {
        let spec = serde_json::json!({
            "name": "Vini", "url": url, "promotional": { "address": "a@b.example" }, "language": "it", "country": "IT",
            "postal_address": "Via Roma 1, Roma",
        });
        let spec: ShopSpec = serde_json::from_value(spec).expect("a shop");
        assert_eq!(spec.owns_host(host), expected, "{host} under {url}");
    }

    fn check_page(home: &str, url: &str, expected: bool) {
        let spec = serde_json::json!({
            "name": "Vini", "url": home, "promotional": { "address": "a@b.example" }, "language": "it", "country": "IT",
            "postal_address": "Via Roma 1, Roma",
        });
        let spec: ShopSpec = serde_json::from_value(spec).expect("a shop");
        let page = spec.own_page(url);
        assert_eq!(
            page.as_ref().map(HttpsUrl::as_str),
            expected.then_some(url),
            "{url} of {home}"
        );
    }

    #[test]
    fn a_page_is_the_shop_s_own_or_it_is_none() {
        let home = "https://www.vini.example/it";
        for url in [
            "https://vini.example",
            "https://shop.Vini.example/cart?id=1&x=%0D%0A#top",
            "https://vini.example:443/",
        ] {
            check_page(home, url, true);
        }
        for url in [
            "",
            "/cart",
            "//evil.example/",
            "///vini.example/",
            "http://vini.example/",
            "HTTPS://vini.example/",
            "javascript:alert(1)//vini.example",
            "https://evil.example/",
            "https://evil.example/.vini.example",
            "https://evil.example?.vini.example",
            "https://evil.example#.vini.example",
            "https://evil.example%2f.vini.example/",
            "https://evil.example%00.vini.example/",
            "https://evilvini.example/",
            "https://vini.example.evil.example/",
            "https://vini.example@evil.example/",
            "https://vini.example:443@evil.example/",
            "https://user:word@vini.example/",
            "https://vini.example:8443/",
            "https://vini.example:/",
            "https://vini.example:+443/",
            "https://vini.example./",
            "https://evil.example\\.vini.example/",
            "https:\\\\vini.example/",
            "https:vini.example/",
            "https:///vini.example/",
            "https://vini.example/\r\nSet-Cookie: a=b",
            "https://vini.example/ x",
            "https://vin\u{131}.example/",
            "https://v\u{456}ni.example/",
            "https://vini.example\u{3002}evil.example/",
        ] {
            check_page(home, url, false);
        }
        check_page("https://vini.example:8443/", "https://vini.example:8443/cart", true);
        check_page("https://vini.example:8443/", "https://vini.example/cart", true);
        check_page("https://vini.example:8443/", "https://vini.example:8444/cart", false);
    }

    #[test]
    fn a_shop_owns_its_host_and_what_is_under_it() {
        for url in [
            "https://vini.example/",
            "https://www.vini.example/it?x",
            "https://WWW.Vini.Example:8443/",
        ] {
            for host in ["vini.example", "www.vini.example", "shop.vini.example", "VINI.example"] {
                check(url, host, true);
            }
            for host in [
                "",
                "example",
                "evilvini.example",
                "vini.example.evil.example",
                "ini.example",
                ".example",
            ] {
                check(url, host, false);
            }
        }
        check("https://shop.vini.example/", "vini.example", false);
        check("https://www./", "evil.example", false);
    }
}
