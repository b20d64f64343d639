//! Events as the outside may see them: one JSON format, for the stream in Redis, for subscribers, for the terminal.
//!
//! A notice tells what happened and never to whom: no address, no name, no network, no key of a person, and no words of
//! others (replies, order numbers) in which one could stand. Who is allowed to know more follows the ids to the API.
//! `docs/formats/events.md` has an example of each type.
//!
//! Deliberately absent: changes of the catalogue, claims of attempts and answers of webhooks, which say nothing that what follows them
//! does not, and what operators alone look after.

mod automation;
mod tell;

use std::fmt::Display;

use serde::{Serialize, Serializer};
use types::catalogue::Catalogue;
use types::contact::ContactSource;
use types::event::{
    AgentClass, Event, EvidenceGrade, HitClass, HitKind, HitReason, LandingVia, LeadRefusal, Preference, Recovery,
    Round, SuppressionCause, Tracking, Visit, VoidReason,
};
use types::id::{LeadId, PublicId};
use types::money::Money;
use types::order::{OrderStatus, Stream};
use types::text::Slug;
use types::time::Timestamp;

use crate::journal::Record;
use crate::state::{State, StateError};
pub use automation::{CartTold, ConsentTold, DidTold, MoveTold, ReminderOf, WaitsTold};
use tell::Teller;

/// What happened, as the outside may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The event's id: the same whenever it is told again.
    #[serde(serialize_with = "text")]
    pub id: PublicId,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
    /// When it was appended.
    pub at: Timestamp,
    /// Whose mail or order it concerns; `None` for what concerns the network, or more than one shop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shop: Option<Slug>,
    /// The mail.
    #[serde(serialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub message: Option<PublicId>,
}

/// What happened, by type.
#[expect(
    missing_docs,
    reason = "docs/formats/events.md tells each field, and the events of `types` what they mean"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum What {
    #[serde(rename = "order.accepted")]
    OrderAccepted { status: OrderStatus, total: Money },
    #[serde(rename = "message.accepted")]
    MessageAccepted { stream: Stream },
    #[serde(rename = "message.decided")]
    Decided {
        #[serde(serialize_with = "text")]
        cause: PublicId,
        stream: Stream,
        #[serde(skip_serializing_if = "Option::is_none")]
        template: Option<Slug>,
        tracking: Tracking,
        test: bool,
        offers: Vec<OfferShown>,
    },
    #[serde(rename = "message.refused")]
    Refused {
        #[serde(serialize_with = "text")]
        cause: PublicId,
        reasons: Vec<&'static str>,
    },
    #[serde(rename = "message.delivered")]
    Delivered { attempt: u16, provider: &'static str },
    #[serde(rename = "message.deferred")]
    Deferred {
        attempt: u16,
        provider: &'static str,
        class: &'static str,
        until: Timestamp,
    },
    #[serde(rename = "message.failed")]
    Failed {
        attempt: u16,
        provider: &'static str,
        class: &'static str,
    },
    #[serde(rename = "message.in_doubt")]
    InDoubt {
        attempt: u16,
        provider: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry: Option<Timestamp>,
    },
    #[serde(rename = "message.expired")]
    Expired,
    #[serde(rename = "message.withdrawn")]
    Withdrawn,
    #[serde(rename = "suppression.added")]
    SuppressionAdded {
        #[serde(skip_serializing_if = "Option::is_none")]
        stream: Option<Stream>,
        cause: SuppressionCause,
    },
    #[serde(rename = "suppression.removed")]
    SuppressionRemoved {
        #[serde(skip_serializing_if = "Option::is_none")]
        stream: Option<Stream>,
    },
    #[serde(rename = "unsubscribed")]
    Unsubscribed { scope: &'static str, by: &'static str },
    #[serde(rename = "opened")]
    Opened {
        agent: AgentClass,
        visit: Visit,
        suspect: bool,
    },
    #[serde(rename = "clicked")]
    Clicked {
        #[serde(skip_serializing_if = "Option::is_none")]
        campaign: Option<Slug>,
        place: u8,
        #[serde(serialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
        click: Option<PublicId>,
        agent: AgentClass,
        visit: Visit,
        suspect: bool,
        untrusted: bool,
    },
    #[serde(rename = "judged")]
    Judged { rules: u32, hits: Vec<HitJudged> },
    #[serde(rename = "landed")]
    Landed {
        #[serde(skip_serializing_if = "Option::is_none")]
        campaign: Option<Slug>,
        #[serde(skip_serializing_if = "Option::is_none")]
        advertiser: Option<Slug>,
        #[serde(serialize_with = "text")]
        click: PublicId,
        via: LandingVia,
        #[serde(skip_serializing_if = "Option::is_none")]
        new_visitor: Option<bool>,
        proven: bool,
    },
    #[serde(rename = "lead.claimed")]
    LeadClaimed {
        #[serde(flatten)]
        of: LeadOf,
        #[serde(serialize_with = "text")]
        click: PublicId,
        #[serde(serialize_with = "text")]
        landing: PublicId,
        #[serde(serialize_with = "text")]
        lead: LeadId,
        price: Money,
        evidence: EvidenceGrade,
    },
    #[serde(rename = "lead.refused")]
    LeadRefused {
        #[serde(flatten)]
        of: LeadOf,
        #[serde(serialize_with = "text")]
        click: PublicId,
        #[serde(serialize_with = "text")]
        landing: PublicId,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<LeadRefusal>,
    },
    #[serde(rename = "lead.confirmed")]
    LeadConfirmed {
        #[serde(flatten)]
        of: LeadOf,
        #[serde(serialize_with = "text")]
        lead: LeadId,
        #[serde(serialize_with = "text")]
        claimed: PublicId,
    },
    #[serde(rename = "lead.voided")]
    LeadVoided {
        #[serde(flatten)]
        of: LeadOf,
        #[serde(serialize_with = "text")]
        lead: LeadId,
        #[serde(serialize_with = "text")]
        claimed: PublicId,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<VoidReason>,
    },
    #[serde(rename = "aggregate.counted")]
    AggregateCounted { hits: Vec<HitsAdded> },
    #[serde(rename = "preference.changed")]
    PreferenceChanged { preference: Preference },
    #[serde(rename = "person.erased")]
    PersonErased,
    #[serde(rename = "contact.changed")]
    ContactChanged {
        source: ContactSource,
        fields: Vec<Slug>,
        join: Vec<Slug>,
        leave: Vec<Slug>,
        consents: Vec<ConsentTold>,
    },
    #[serde(rename = "event.reported")]
    EventReported { name: Slug, happened_at: Timestamp },
    #[serde(rename = "cart.changed")]
    CartChanged {
        #[serde(serialize_with = "text")]
        cart: PublicId,
        deleted: bool,
        #[serde(flatten)]
        now: Option<CartTold>,
        #[serde(skip_serializing_if = "Option::is_none")]
        due: Option<Timestamp>,
    },
    #[serde(rename = "cart.reminded")]
    CartReminded {
        #[serde(flatten)]
        of: ReminderOf,
        test: bool,
    },
    #[serde(rename = "cart.suppressed")]
    CartSuppressed {
        #[serde(flatten)]
        of: ReminderOf,
        reasons: Vec<&'static str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        refusals: Vec<&'static str>,
    },
    #[serde(rename = "cart.would_remind")]
    CartWouldRemind {
        #[serde(flatten)]
        of: ReminderOf,
    },
    #[serde(rename = "cart.ordered")]
    CartOrdered {
        #[serde(serialize_with = "text")]
        cart: PublicId,
        #[serde(serialize_with = "text")]
        order: PublicId,
        total: Money,
        recovery: Recovery,
    },
    #[serde(rename = "workflow.entered")]
    WorkflowEntered {
        #[serde(flatten)]
        moved: MoveTold,
    },
    #[serde(rename = "workflow.moved")]
    WorkflowMoved {
        #[serde(flatten)]
        moved: MoveTold,
    },
    #[serde(rename = "workflow.left")]
    WorkflowLeft {
        #[serde(flatten)]
        moved: MoveTold,
        reason: &'static str,
    },
}

/// An offer of a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfferShown {
    /// The campaign's id.
    pub campaign: Slug,
    /// What a lead costs.
    pub price: Money,
}

/// What one open or click was taken for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HitJudged {
    /// The event of the open or click.
    #[serde(serialize_with = "text")]
    pub hit: PublicId,
    /// Whether it may still change.
    pub round: Round,
    /// Who or what it was.
    pub class: HitClass,
    /// Why.
    pub reasons: Vec<HitReason>,
}

/// What a lead is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeadOf {
    /// The offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Slug>,
    /// Whose site was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertiser: Option<Slug>,
}

/// Hits that name nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HitsAdded {
    /// Whose mails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shop: Option<Slug>,
    /// Which offer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Slug>,
    /// What kind.
    pub kind: HitKind,
    /// What the agents said.
    pub class: HitClass,
    /// How many.
    pub count: u32,
}

/// Tells an event to the outside, or `None` if it is none of its business.
///
/// What became of an attempt names its mail alone: [`State::notice`] knows whose it is. Shops and campaigns that the
/// catalogue does not have (yet) are left out.
pub fn notice_of(record: &Record, catalogue: &Catalogue) -> Option<Notice> {
    let teller = Teller {
        partition: record.partition,
        catalogue,
    };
    let (shop, message, what) = teller.tell(record.id, &record.event)?;
    Some(Notice {
        id: teller.public(record.id),
        what,
        at: record.wall,
        shop: shop.and_then(|shop| teller.shop(shop)),
        message: message.map(|message| teller.public(message.event())),
    })
}

impl State {
    /// Tells an event to the outside, as [`notice_of`] does, and looks up whose mail was attempted. That is known once the
    /// mail's decision is in state, which is before its first attempt ends or a moment later; a caller who must not miss
    /// it waits for [`State::applied`] to reach the record.
    pub fn notice(&self, record: &Record, catalogue: &Catalogue) -> Result<Option<Notice>, StateError> {
        let mut notice = notice_of(record, catalogue);
        if let (Some(notice), Event::AttemptEnded(ended)) = (&mut notice, &record.event)
            && let Some(shop) = self.histories().shop_of_mail(record.partition, ended.message)?
        {
            notice.shop = catalogue.shop_by_number(shop).map(|shop| shop.id.clone());
        }
        Ok(notice)
    }
}

impl Notice {
    /// Returns what of it a shop may see: all about its own mails and orders; of leads and landings on its own site what
    /// it pays for, without the publisher's mail; of sums its own.
    pub fn for_shop(&self, shop: &Slug) -> Option<Self> {
        if self.shop.as_ref() == Some(shop) {
            return Some(self.for_publisher(shop));
        }
        let advertiser = match &self.what {
            What::AggregateCounted { hits } => {
                let own: Vec<_> = hits
                    .iter()
                    .filter(|hit| hit.shop.as_ref() == Some(shop))
                    .cloned()
                    .collect();
                return (!own.is_empty()).then(|| Self {
                    shop: Some(shop.clone()),
                    what: What::AggregateCounted { hits: own },
                    ..self.clone()
                });
            }
            What::Landed { advertiser, .. } => advertiser,
            What::LeadClaimed { of, .. }
            | What::LeadRefused { of, .. }
            | What::LeadConfirmed { of, .. }
            | What::LeadVoided { of, .. } => &of.advertiser,
            _ => return None,
        };
        (advertiser.as_ref() == Some(shop)).then(|| Self {
            message: None,
            ..self.clone()
        })
    }

    /// Leaves out what a shop's own customer did elsewhere: that the person knew the advertiser's site is the advertiser's.
    fn for_publisher(&self, shop: &Slug) -> Self {
        let mut notice = self.clone();
        match &mut notice.what {
            What::LeadRefused { of, reason, .. } if of.advertiser.as_ref() != Some(shop) => {
                reason.take_if(|reason| reason.tells_of_other_visits());
            }
            What::LeadVoided { of, reason, .. } if of.advertiser.as_ref() != Some(shop) => {
                reason.take_if(|reason| reason.tells_of_other_visits());
            }
            _ => {}
        }
        notice
    }

    /// Returns the type, as in the JSON.
    pub const fn kind(&self) -> &'static str {
        self.what.kind()
    }
}

impl What {
    /// Returns the type, as in the JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::OrderAccepted { .. } => "order.accepted",
            Self::MessageAccepted { .. } => "message.accepted",
            Self::Decided { .. } => "message.decided",
            Self::Refused { .. } => "message.refused",
            Self::Delivered { .. } => "message.delivered",
            Self::Deferred { .. } => "message.deferred",
            Self::Failed { .. } => "message.failed",
            Self::InDoubt { .. } => "message.in_doubt",
            Self::Expired => "message.expired",
            Self::Withdrawn => "message.withdrawn",
            Self::SuppressionAdded { .. } => "suppression.added",
            Self::SuppressionRemoved { .. } => "suppression.removed",
            Self::Unsubscribed { .. } => "unsubscribed",
            Self::Opened { .. } => "opened",
            Self::Clicked { .. } => "clicked",
            Self::Judged { .. } => "judged",
            Self::Landed { .. } => "landed",
            Self::LeadClaimed { .. } => "lead.claimed",
            Self::LeadRefused { .. } => "lead.refused",
            Self::LeadConfirmed { .. } => "lead.confirmed",
            Self::LeadVoided { .. } => "lead.voided",
            Self::AggregateCounted { .. } => "aggregate.counted",
            Self::PreferenceChanged { .. } => "preference.changed",
            Self::PersonErased => "person.erased",
            Self::ContactChanged { .. } => "contact.changed",
            Self::EventReported { .. } => "event.reported",
            Self::CartChanged { .. } => "cart.changed",
            Self::CartReminded { .. } => "cart.reminded",
            Self::CartSuppressed { .. } => "cart.suppressed",
            Self::CartWouldRemind { .. } => "cart.would_remind",
            Self::CartOrdered { .. } => "cart.ordered",
            Self::WorkflowEntered { .. } => "workflow.entered",
            Self::WorkflowMoved { .. } => "workflow.moved",
            Self::WorkflowLeft { .. } => "workflow.left",
        }
    }
}

fn text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[expect(clippy::ref_option, reason = "serde hands the field by reference")]
fn optional_text<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}
