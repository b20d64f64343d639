//! Everything that happens, as the journal keeps it.
//!
//! An [`Event`] is a kind number, which stands in the record's header, and a payload: a CBOR map with integer keys
//! (minicbor). The rules of evolution: a key or kind number, once used, is never given to anything else; a new field is
//! optional and skipped by older readers; records are copied as bytes, never decoded and written again, so fields from
//! the future survive; an unknown kind refuses the start. `docs/formats/journal.md` draws the bytes.
//!
//! Below stands the one table of events: number, payload, how the enum holds it, public names. The payload is in a file
//! of its own and says there all that others ask of it ([`Payload`]): which mail, shop and person it is about, what the
//! outside sees, the sentence for people, which counts it changes. So a new event is a file here, a line in the table, and
//! its page in `docs/formats/` (`journal.md`, and `events.md` if it is public). Tests hold the three together.

mod aggregate_counted;
mod attempt_claimed;
mod attempt_ended;
mod cart_changed;
mod cart_decided;
mod catalogue_changed;
mod claim;
mod clicked;
mod contact_changed;
mod decided;
mod did;
mod event_reported;
mod failure;
mod hit;
mod judged;
mod landed;
mod lead;
mod lead_decided;
mod lead_settled;
mod message_accepted;
mod moved;
mod notice;
mod opened;
mod order_accepted;
mod origin;
mod payload;
mod person_erased;
mod preference_changed;
mod refusal;
mod set_aside;
mod suppression_changed;
mod swept;
mod unsubscribed;
mod webhook_ended;

use serde::Serialize;

use crate::id::ShopNumber;
use crate::time::Timestamp;

pub use aggregate_counted::{AggregateCounted, AggregateHit, PublicHit, PublicHits};
pub use attempt_claimed::AttemptClaimed;
pub use attempt_ended::{AttemptEnded, Outcome, PublicOutcome};
pub use cart_changed::{CartChanged, PublicCart, PublicCartContent};
pub use cart_decided::{
    CartDecided, CartReason, CartVerdict, NextReminder, PublicCartDecision, PublicReminder, Recovery,
};
pub use catalogue_changed::CatalogueChanged;
pub use claim::Claim;
pub use clicked::{Clicked, PublicClick};
pub use contact_changed::{ContactChanged, PublicConsent, PublicContact};
pub use decided::{Decided, Offer, Plan, PublicDecision, PublicOffer, PublicPlan, Tracking, Verdict};
pub use did::{Did, PublicDid, Suppressed, WaitEnded};
pub use event_reported::{EventReported, PublicReport};
pub use failure::FailureClass;
pub use hit::{AgentClass, HitClass, HitKind, HitReason, Visit};
pub use judged::{HitVerdict, Judged, PublicJudgement, PublicVerdict, Round};
pub use landed::{Landed, LandingVia, PublicLanding};
pub use lead::{EvidenceGrade, LeadRefusal, PublicLeadOf, VoidReason};
pub use lead_decided::{LeadClaim, LeadDecided, LeadVerdict, PublicLeadDecision};
pub use lead_settled::{LeadOutcome, LeadSettled, PublicLeadSettlement};
pub use message_accepted::{MessageAccepted, PublicMessage};
pub use moved::{Leave, MoveCause, Moved, Place, PublicMove, PublicWaits, Waits, WaitsOn};
pub use notice::{Notice, Telling, Viewer};
pub use opened::{Opened, PublicOpen};
pub use order_accepted::{OrderAccepted, PublicOrder};
pub use origin::{Origin, ReminderPurpose};
pub use payload::{About, Bearing, Duty, Life, Named, NoMore, Payload, Silent, Touched};
pub use person_erased::PersonErased;
pub use preference_changed::{Preference, PreferenceChanged, PublicPreference};
pub use refusal::Refusal;
pub use set_aside::SetAside;
pub use suppression_changed::{PublicSuppression, SuppressionCause, SuppressionChanged};
pub use swept::Swept;
pub use unsubscribed::{PublicUnsubscription, UnsubscribeScope, Unsubscribed, UnsubscribedBy};
pub use webhook_ended::WebhookEnded;

/// Why a record's payload is not the event that its header names.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Written by a newer version; starting would drop what it means.
    #[error("event kind {0} is unknown: the data was written by a newer version")]
    UnknownKind(u16),
    /// Not the CBOR that this kind has.
    #[error("event kind {kind} has a malformed payload: {source}")]
    Malformed {
        /// The kind in the header.
        kind: u16,
        /// What the decoder says.
        #[source]
        source: minicbor::decode::Error,
    },
}

/// How the enum holds a payload that is small, or common enough to be worth its place.
type Inline<T> = T;

/// Makes of the table the enum, its numbers and names, both ways of its bytes, and what each payload says of itself.
macro_rules! events {
    ($($(#[$doc:meta])* $kind:literal $holder:ident $payload:ident = $($name:literal)|+;)*) => {
        /// Something that happened.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Event {
            $($(#[$doc])* $payload($holder<$payload>),)*
        }

        /// What the outside sees of an event: each payload's own public form.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
        #[serde(untagged)]
        pub enum Public {
            $($(#[$doc])* $payload(<$payload as Payload>::Public),)*
        }

        $(impl Named for $payload {
            const NAMES: &'static [&'static str] = &[$($name),+];
        })*

        impl Event {
            /// The table: each event's number, the name of its payload, its public names, and whether the outside sees it.
            pub const TABLE: &'static [TableLine] = &[$(TableLine {
                kind: $kind,
                payload: stringify!($payload),
                names: <$payload as Named>::NAMES,
                is_public: <$payload as Payload>::IS_PUBLIC,
            }),*];

            /// Returns the kind number that the record's header carries.
            pub const fn kind(&self) -> u16 {
                match self {
                    $(Self::$payload(_) => $kind,)*
                }
            }

            /// Appends the payload to `out`.
            pub fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$payload(event) => minicbor::encode(event, out),)*
                }
                .expect("writing CBOR to a vector cannot fail");
            }

            /// Reads the payload of an event of this kind.
            pub fn decode(kind: u16, payload: &[u8]) -> Result<Self, EventError> {
                match kind {
                    $($kind => minicbor::decode(payload).map(Self::$payload),)*
                    unknown => return Err(EventError::UnknownKind(unknown)),
                }
                .map_err(|source| EventError::Malformed { kind, source })
            }

            /// Returns the public name of what happened, such as `order.accepted`: the same everywhere.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$payload(event) => event.name(),)*
                }
            }

            /// Returns whether the outside sees it at all.
            pub const fn is_public(&self) -> bool {
                match self {
                    $(Self::$payload(_) => <$payload as Payload>::IS_PUBLIC,)*
                }
            }

            /// Returns which mail, whose shop and which person it is about, as far as it says so itself.
            pub fn about(&self) -> About {
                match self {
                    $(Self::$payload(event) => event.about(),)*
                }
            }

            /// Returns what happened as sentences for people.
            pub fn sentence(&self) -> String {
                match self {
                    $(Self::$payload(event) => event.sentence(),)*
                }
            }

            /// Returns which counts it changes.
            pub fn touches(&self) -> Touched {
                let mut touched = Touched::default();
                match self {
                    $(Self::$payload(event) => event.touches(&mut touched),)*
                }
                touched
            }

            /// Returns what it says of what a person may be sent, its record being of `wall`.
            pub fn bearing(&self, wall: Timestamp) -> Bearing<'_> {
                match self {
                    $(Self::$payload(event) => event.bearing(wall),)*
                }
            }

            /// Returns the names that it claims.
            pub fn claims(&self) -> &[Claim] {
                match self {
                    $(Self::$payload(event) => event.claims(),)*
                }
            }

            /// Returns whose life it begins or ends.
            pub fn life(&self) -> Option<Life> {
                match self {
                    $(Self::$payload(event) => event.life(),)*
                }
            }

            /// Returns what a start owes to it.
            pub fn duty(&self) -> Duty<'_> {
                match self {
                    $(Self::$payload(event) => event.duty(),)*
                }
            }

            fn public(&self, telling: &Telling<'_>) -> Option<Public> {
                match self {
                    $(Self::$payload(event) => event.public(telling).map(Public::$payload),)*
                }
            }

            fn concerns(&self, shop: ShopNumber, telling: &Telling<'_>) -> bool {
                match self {
                    $(Self::$payload(event) => event.concerns(shop, telling),)*
                }
            }
        }
    };
}

events! {
    /// A shop reported an order.
    1 Box OrderAccepted = "order.accepted";
    /// A shop asked for a plain send.
    2 Box MessageAccepted = "message.accepted";
    /// Policy decided what an order or a plain send causes.
    3 Box Decided = "message.decided" | "message.refused";
    /// A session took a message and may send its final dot from now on.
    4 Inline AttemptClaimed = "message.claimed";
    /// An attempt, or the message's life, ended.
    5 Box AttemptEnded = "message.delivered" | "message.deferred" | "message.failed" | "message.in_doubt"
        | "message.expired" | "message.withdrawn";
    /// A shop, campaign, template or key changed.
    6 Box CatalogueChanged = "catalogue.changed";
    /// A person was put on, or taken off, a suppression list.
    7 Inline SuppressionChanged = "suppression.added" | "suppression.removed";
    /// A person unsubscribed by a mail's link or header.
    8 Inline Unsubscribed = "unsubscribed";
    /// A mail's pixel was fetched.
    9 Inline Opened = "opened";
    /// A mail's link was followed.
    10 Inline Clicked = "clicked";
    /// A mail's opens and clicks were judged: people or machines.
    11 Box Judged = "judged";
    /// An advertiser's site was reached through a click.
    12 Box Landed = "landed";
    /// A landing was decided on: a lead, or why not.
    13 Box LeadDecided = "lead.claimed" | "lead.refused";
    /// A lead was confirmed or voided.
    14 Inline LeadSettled = "lead.confirmed" | "lead.voided";
    /// Opens, clicks and landings that name nobody, added up.
    15 Inline AggregateCounted = "aggregate.counted";
    /// A person changed a preference on a mail's page.
    16 Inline PreferenceChanged = "preference.changed";
    /// A person's data are erased.
    17 Inline PersonErased = "person.erased";
    /// A contact was made or changed.
    18 Box ContactChanged = "contact.changed";
    /// A shop reported something that a contact did.
    19 Box EventReported = "event.reported";
    /// A cart was touched.
    20 Box CartChanged = "cart.changed";
    /// A cart's reminder was decided on, or its order came.
    21 Box CartDecided = "cart.reminded" | "cart.suppressed" | "cart.would_remind" | "cart.ordered";
    /// A contact went on in a workflow.
    22 Box Moved = "workflow.entered" | "workflow.moved" | "workflow.left";
    /// A workflow's webhook was answered.
    23 Inline WebhookEnded = "webhook.ended";
    /// A workflow that was switched on has looked at a partition's contacts.
    24 Inline Swept = "workflow.swept";
    /// Something could not be done, and was set aside.
    25 Box SetAside = "work.set_aside";
}

/// One line of the table of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableLine {
    /// The kind number in the record's header.
    pub kind: u16,
    /// The name of the payload's type.
    pub payload: &'static str,
    /// The public names: several where one payload stands for several things that happen.
    pub names: &'static [&'static str],
    /// Whether the outside sees it.
    pub is_public: bool,
}

impl Event {
    /// Returns the names of all events that the outside sees, in the table's order.
    pub fn public_names() -> impl Iterator<Item = &'static str> {
        let public = Self::TABLE.iter().filter(|line| line.is_public);
        public.flat_map(|line| line.names.iter().copied())
    }
}
