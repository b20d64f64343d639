//! Events as the outside may see them: one JSON format, for the streams in Redis, for subscribers, for the terminal.
//!
//! A notice tells what happened and never to whom: no address, no name, no network, no key of a person, and no words of
//! others (replies, order numbers) in which one could stand. Who is allowed to know more follows the ids to the API.
//! `docs/formats/events.md` has an example of each name.

use std::fmt::Display;

use serde::{Serialize, Serializer};

use super::{Event, Public};
use crate::catalogue::Catalogue;
use crate::id::{CampaignNumber, EventId, PublicId, ShopNumber};
use crate::text::Slug;
use crate::time::Timestamp;

/// What happened, as the outside may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The event's id: the same whenever it is told again.
    #[serde(serialize_with = "text")]
    pub id: PublicId,
    /// The event's public name.
    #[serde(rename = "type")]
    pub name: &'static str,
    /// What happened.
    #[serde(flatten)]
    pub what: Public,
    /// When it was appended.
    pub at: Timestamp,
    /// Whose mail or order it concerns; `None` for what concerns the network, or more than one shop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shop: Option<Slug>,
    /// The mail.
    #[serde(serialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub message: Option<PublicId>,
}

/// Who asks, and what is needed to answer.
#[derive(Clone, Copy, Debug)]
pub struct Telling<'a> {
    /// The event's own id, with its partition.
    pub id: PublicId,
    /// When it was appended.
    pub at: Timestamp,
    /// Whose it is, by what it says itself or by its mail's history; `None` if that is unknown, or several shops'.
    pub shop: Option<ShopNumber>,
    /// The catalogue: shops and campaigns that it does not have (yet) are left out.
    pub catalogue: &'a Catalogue,
    /// Who asks.
    pub viewer: Viewer,
}

/// Who sees an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// The operator, and what the operator set up: everything that is told at all.
    Operator,
    /// A shop: all about its own mails and orders; of leads and landings on its own site what it pays for, without the
    /// publisher's mail; of sums its own.
    Shop(ShopNumber),
}

impl Notice {
    /// Tells an event; `None` if it is none of the viewer's business.
    pub fn of(event: &Event, telling: &Telling<'_>) -> Option<Self> {
        let is_own = match telling.viewer {
            Viewer::Operator => true,
            Viewer::Shop(shop) if telling.shop == Some(shop) => true,
            Viewer::Shop(shop) => {
                if !event.concerns(shop, telling) {
                    return None;
                }
                false
            }
        };
        let of_viewer = match telling.viewer {
            Viewer::Operator => None,
            Viewer::Shop(shop) => Some(shop),
        };
        let message = event.about().mail.filter(|_| is_own);
        Some(Self {
            id: telling.id,
            name: event.name(),
            what: event.public(telling)?,
            at: telling.at,
            shop: telling.shop.or(of_viewer).and_then(|shop| telling.slug(shop)),
            message: message.map(|message| telling.public(message.event())),
        })
    }
}

impl Telling<'_> {
    /// Returns a shop's id.
    pub fn slug(&self, number: ShopNumber) -> Option<Slug> {
        self.catalogue.shop_by_number(number).map(|shop| shop.id.clone())
    }

    /// Returns a campaign's id.
    pub fn campaign(&self, number: CampaignNumber) -> Option<Slug> {
        let campaign = self.catalogue.campaign_by_number(number);
        campaign.map(|campaign| campaign.id.clone())
    }

    /// Returns the public id of another event of the same partition.
    pub const fn public(&self, event: EventId) -> PublicId {
        PublicId {
            partition: self.id.partition,
            event,
        }
    }

    /// Returns whether what a person did elsewhere may be told: to the advertiser on whose site it was, and to the operator.
    pub(super) fn may_know_visits_of(&self, advertiser: ShopNumber) -> bool {
        match self.viewer {
            Viewer::Operator => true,
            Viewer::Shop(shop) => shop == advertiser,
        }
    }
}

/// Serialises by the textual form.
pub(super) fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Serialises by the textual form, if there is something.
#[expect(clippy::ref_option, reason = "serde hands out a reference to the field")]
pub(super) fn optional_text<S: Serializer>(value: &Option<impl Display>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}
