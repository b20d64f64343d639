//! How one mail stands with its recipient: its row of state.

use minicbor::{Decode, Encode};
use types::event::{
    Decided, HitClass, HitKind, HitReason, Judged, LeadDecided, LeadVerdict, Origin, Plan, Round, Tracking, Visit,
};
use types::id::{CampaignNumber, EventId, LeadId, MessageId, PersonKey, ShopNumber};
use types::money::Money;
use types::order::Stream;
use types::provider::Provider;
use types::tally::MailCounts;
use types::text::Slug;
use types::time::Timestamp;

use super::landing::{Landing, Stand};
use super::landings::Landings;
use super::unique::Unique;
use super::{Change, Hit, Recorded};

/// A mail: whose it is, how it was made, and what was done with it.
///
/// The stored form is a CBOR map with integer keys: readers skip keys they do not know, and a number, once used, is never
/// given to another field.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct MailState {
    #[n(0)]
    person: PersonKey,
    #[n(1)]
    shop: ShopNumber,
    /// `None` once the mail is erased.
    #[n(2)]
    pub(super) known: Option<Known>,
}

/// What is known of a mail that is not erased.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Known {
    #[n(0)]
    message: MessageId,
    #[n(1)]
    stream: Stream,
    /// By its number.
    #[n(2)]
    provider: u8,
    #[n(3)]
    template: Option<Slug>,
    #[n(4)]
    #[cbor(default)]
    pub(super) test: bool,
    #[n(5)]
    tracking: Tracking,
    #[n(6)]
    pub(super) delivered_at: Option<Timestamp>,
    /// By place.
    #[n(7)]
    #[cbor(default)]
    pub(super) offers: Vec<Shown>,
    /// In the order recorded; at most [`super::HITS_MAX`].
    #[n(8)]
    #[cbor(default)]
    pub(super) hits: Vec<Kept>,
    #[n(9)]
    #[cbor(default)]
    pub(super) landings: Landings,
    /// Where the unique counts stand.
    #[n(10)]
    #[cbor(default)]
    pub(super) uniques: Vec<Unique>,
    /// [`MailCounts`] as bytes: hits that are no longer kept included.
    #[cbor(n(11), with = "minicbor::bytes")]
    counts: [u8; MailCounts::LEN],
    /// What of our own caused it; `None` if a request of the shop did.
    #[n(12)]
    origin: Option<Origin>,
}

/// An offer that the mail shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Shown {
    /// Which.
    #[n(0)]
    pub campaign: CampaignNumber,
    /// What a lead of it costs: frozen when it was chosen.
    #[n(1)]
    pub price: Money,
}

/// A hit with its last verdict.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Kept {
    #[n(0)]
    pub(super) hit: Hit,
    #[n(1)]
    pub(super) given: Option<Given>,
}

/// A verdict that was given.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct Given {
    #[n(0)]
    pub(super) round: Round,
    #[n(1)]
    pub(super) class: HitClass,
    #[n(2)]
    #[cbor(default)]
    pub(super) reasons: Vec<HitReason>,
}

impl MailState {
    /// Begins the row of a mail that was decided.
    pub fn new(decided: &Decided, plan: &Plan, provider: Provider) -> Self {
        let shown = plan.offers.iter().map(|offer| Shown {
            campaign: offer.campaign,
            price: offer.price,
        });
        Self {
            person: decided.person,
            shop: decided.shop,
            known: Some(Known {
                message: plan.message,
                stream: plan.stream,
                provider: provider.number(),
                template: plan.template.clone(),
                test: plan.test,
                tracking: plan.tracking,
                delivered_at: None,
                offers: shown.collect(),
                hits: Vec::new(),
                landings: Landings::default(),
                uniques: Vec::new(),
                counts: MailCounts::default().to_bytes(),
                origin: None,
            }),
        }
    }

    /// Notes what of our own caused the mail.
    #[must_use]
    pub fn caused_by(mut self, origin: Option<Origin>) -> Self {
        if let Some(known) = &mut self.known {
            known.origin = origin;
        }
        self
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, minicbor::decode::Error> {
        minicbor::decode(bytes)
    }

    /// Writes the stored form.
    pub fn encode(&self) -> Vec<u8> {
        minicbor::to_vec(self).expect("writing CBOR to a vector cannot fail")
    }

    /// Returns whose mail it is.
    pub const fn person(&self) -> &PersonKey {
        &self.person
    }

    /// Returns which shop's mail it is.
    pub const fn shop(&self) -> ShopNumber {
        self.shop
    }

    /// Returns whether the mail was erased: its links still work, and nothing about it is recorded.
    pub const fn is_forgotten(&self) -> bool {
        self.known.is_none()
    }

    /// Returns the mail's stream. `None` once it is erased, as for all that follow.
    pub fn stream(&self) -> Option<Stream> {
        self.known.as_ref().map(|known| known.stream)
    }

    /// Returns who runs the recipient's mailbox.
    pub fn provider(&self) -> Option<Provider> {
        let known = self.known.as_ref()?;
        // A provider of a later version counts as any other.
        Some(Provider::from_number(known.provider).unwrap_or(Provider::Other))
    }

    /// Returns the template that the mail was made with.
    pub fn template(&self) -> Option<&Slug> {
        self.known.as_ref()?.template.as_ref()
    }

    /// Returns what of our own caused the mail; `None` if a request of the shop did.
    pub fn origin(&self) -> Option<&Origin> {
        self.known.as_ref()?.origin.as_ref()
    }

    /// Returns when the receiver answered 250.
    pub fn delivered_at(&self) -> Option<Timestamp> {
        self.known.as_ref()?.delivered_at
    }

    /// Returns the offers, by place.
    pub fn offers(&self) -> &[Shown] {
        self.known.as_ref().map_or(&[], |known| &known.offers)
    }

    /// Returns what readers see of the mail.
    pub fn counts(&self) -> MailCounts {
        let known = self.known.as_ref();
        known.map_or_else(MailCounts::default, |known| MailCounts::from_bytes(&known.counts))
    }

    /// Returns the kept hits with the class each was given last, in the order recorded.
    pub fn hits(&self) -> impl Iterator<Item = (&Hit, Option<(Round, HitClass)>)> {
        let hits = self.known.iter().flat_map(|known| &known.hits);
        hits.map(|kept| (&kept.hit, kept.given.as_ref().map(|given| (given.round, given.class))))
    }

    /// Returns the kept landings, in the order of their first reports.
    pub fn landings(&self) -> &[Landing] {
        self.known.as_ref().map_or(&[], |known| known.landings.as_slice())
    }

    /// Notes that the receiver answered 250, and what the name of its exchanger tells. The first answer stands.
    pub fn delivered(&mut self, at: Timestamp, provider: Provider) {
        if let Some(known) = &mut self.known {
            known.delivered_at.get_or_insert(at);
            known.provider = provider.number();
        }
    }

    /// Keeps a hit, and says what it counts.
    pub fn record(&mut self, hit: Hit) -> Recorded {
        let Some(known) = &mut self.known else {
            return Recorded::Ignored;
        };
        if known.hits.iter().any(|kept| kept.hit.id == hit.id) {
            return Recorded::Ignored;
        }
        let change = Change { raw: 1, ..hit.change() };
        let counts = !known.test && hit.visit == Visit::Real;
        known.hits.push(Kept { hit, given: None });
        known.make_room();
        if counts {
            known.count(&change);
            Recorded::Counted(change)
        } else {
            Recorded::Evidence
        }
    }

    /// Folds a report of a landing; returns what it counts: the first one of a click does.
    ///
    /// A landing can turn a verdict, so the mail is to be looked at right away, not only when it is [due](Self::due).
    pub fn land(&mut self, landing: Landing) -> Option<Change> {
        let known = self.known.as_mut()?;
        let change = known.landings.report(landing)?;
        if known.test {
            return None;
        }
        known.count(&change);
        Some(change)
    }

    /// Folds verdicts that were journaled; returns what they change in the counts.
    ///
    /// What is told of a hit that is not kept changes nothing, and so does a verdict that was folded before.
    pub fn apply(&mut self, judged: &Judged) -> Vec<Change> {
        let Some(known) = &mut self.known else {
            return Vec::new();
        };
        let mut changes = Vec::new();
        for verdict in &judged.hits {
            let Some(kept) = known.hits.iter_mut().find(|kept| kept.hit.id == verdict.hit) else {
                continue;
            };
            let from = kept.given.as_ref().map(|given| given.class);
            changes.push(kept.hit.change().judged(from, verdict.class));
            kept.given = Some(Given {
                round: verdict.round,
                class: verdict.class,
                reasons: verdict.reasons.clone(),
            });
        }
        known.move_uniques(&mut changes);
        changes.retain(|change| !change.is_nothing());
        for change in &changes {
            known.count(change);
        }
        changes
    }

    /// Folds the decision on a landing; `event` is its id.
    pub fn decided(&mut self, event: EventId, decided: &LeadDecided) {
        let Some(known) = &mut self.known else {
            return;
        };
        let stand = match &decided.verdict {
            LeadVerdict::Refused(_) => Stand::Over,
            LeadVerdict::Claimed(claim) => Stand::Pending {
                lead: claim.lead,
                claimed: event,
                advertiser: decided.advertiser,
            },
        };
        let is_new = known.landings.decide(decided.click, stand);
        if is_new && matches!(decided.verdict, LeadVerdict::Claimed(_)) {
            known.count_leads(1);
        }
    }

    /// Folds that a lead was settled; `voided` tells whether it counts no more.
    pub fn settled(&mut self, lead: LeadId, voided: bool) {
        let Some(known) = &mut self.known else {
            return;
        };
        if known.landings.settle(lead) && voided {
            known.count_leads(-1);
        }
    }

    /// Erases all but whose mail it is, which the unsubscribe link needs.
    pub fn forget(&mut self) {
        self.known = None;
    }
}

impl Known {
    fn count(&mut self, change: &Change) {
        let mut counts = MailCounts::from_bytes(&self.counts);
        let add = |count: &mut u16, by: i8| *count = count.saturating_add_signed(by.into());
        let counters = match change.kind {
            HitKind::Open => &mut counts.opens,
            HitKind::Click => &mut counts.clicks,
            HitKind::Landing => {
                add(&mut counts.landings, change.raw);
                self.counts = counts.to_bytes();
                return;
            }
        };
        let by = [change.raw, change.machine, change.qualified];
        counters.iter_mut().zip(by).for_each(|(count, by)| add(count, by));
        self.counts = counts.to_bytes();
    }

    fn count_leads(&mut self, by: i16) {
        let mut counts = MailCounts::from_bytes(&self.counts);
        counts.leads = counts.leads.saturating_add_signed(by);
        self.counts = counts.to_bytes();
    }
}
