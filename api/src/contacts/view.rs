//! A contact as it is shown.

use std::collections::BTreeMap;

use policy::contact::{ChannelSaid, ContactState};
use serde::Serialize;
use types::catalogue::Catalogue;
use types::contact::{Channel, ContactSource, FieldValue};
use types::id::ShopNumber;
use types::money::Money;
use types::text::Slug;
use types::time::Timestamp;

use super::is_seen;

/// A contact as it is now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ContactView {
    /// The address, as the shop wrote it last.
    pub(crate) email: String,
    /// How the person is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    name: Option<String>,
    /// A BCP 47 tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    locale: Option<String>,
    /// ISO 3166-1 alpha-2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    country: Option<String>,
    /// An IANA zone, or an offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    time_zone: Option<String>,
    /// E.164.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    phone: Option<String>,
    /// Values by the ids of fields.
    #[schema(value_type = BTreeMap<String, FieldValue>)]
    fields: BTreeMap<Slug, FieldValue>,
    /// The groups that it is in, by id.
    #[schema(value_type = Vec<String>)]
    groups: Vec<Slug>,
    /// What was said last about each channel, by the channel's name; a channel is missing if nothing was.
    consent: BTreeMap<&'static str, ChannelView>,
    /// When it last came to agree to mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    subscribed_at: Option<String>,
    /// When the contact was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    created_at: Option<String>,
    /// What it ordered, was sent, and did with it.
    activity: ActivityView,
}

/// What was said last about a channel.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ChannelConsentView)]
pub(crate) struct ChannelView {
    /// Yes or no.
    granted: bool,
    /// When the person said so.
    #[schema(format = DateTime)]
    at: String,
    /// Which wording the person saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    text: Option<String>,
    /// Where it was collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    source: Option<String>,
    /// Who told us: `api`, `import` or `workflow`.
    #[schema(value_type = String)]
    told_by: ContactSource,
    /// Whether the shop only asserts it, without evidence.
    asserted: bool,
}

/// What a contact ordered, was sent, and did with it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ContactActivity)]
pub(crate) struct ActivityView {
    /// Confirmed orders.
    orders: u32,
    /// What they came to, one sum for each currency.
    totals: Vec<Money>,
    /// When the first was placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    first_order_at: Option<String>,
    /// When the last was placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    last_order_at: Option<String>,
    /// When a person last opened a mail of the shop.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    last_open_at: Option<String>,
    /// When a person last followed a link in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    last_click_at: Option<String>,
    /// When a mail was last decided for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    last_sent_at: Option<String>,
}

impl ContactView {
    /// Shows a contact; values of fields and groups that were deleted are left out.
    pub(crate) fn of(contact: &ContactState, shop: ShopNumber, catalogue: &Catalogue) -> Self {
        let fields = contact.fields().iter();
        let groups = contact.groups().iter();
        let said = |channel| {
            contact
                .consent(channel)
                .map(|said| (channel.as_str(), ChannelView::of(said)))
        };
        let (activity, profile) = (contact.activity(), contact.profile());
        Self {
            email: contact.email().map(ToString::to_string).unwrap_or_default(),
            name: profile.name.map(ToString::to_string),
            locale: profile.locale.map(ToString::to_string),
            country: profile.country.map(String::from),
            time_zone: profile.zone.map(String::from),
            phone: profile.phone.map(ToString::to_string),
            fields: fields
                .filter(|(id, value)| is_seen(catalogue, shop, id, value))
                .map(|(id, value)| (id.clone(), value.clone()))
                .collect(),
            groups: groups
                .filter(|id| catalogue.group(shop, id).is_some())
                .cloned()
                .collect(),
            consent: Channel::ALL.into_iter().filter_map(said).collect(),
            subscribed_at: text(contact.subscribed_at()),
            created_at: text(contact.created_at()),
            activity: ActivityView {
                orders: activity.orders(),
                totals: activity.totals().to_vec(),
                first_order_at: text(activity.first_order_at()),
                last_order_at: text(activity.last_order_at()),
                last_open_at: text(activity.last_opened_at()),
                last_click_at: text(activity.last_clicked_at()),
                last_sent_at: text(activity.last_sent_at()),
            },
        }
    }
}

impl ChannelView {
    fn of(said: &ChannelSaid) -> Self {
        let statement = &said.statement;
        Self {
            granted: statement.granted,
            at: statement.at.to_string(),
            text: statement.text.as_ref().map(ToString::to_string),
            source: statement.source.as_ref().map(ToString::to_string),
            told_by: said.source,
            asserted: said.asserted,
        }
    }
}

fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}
