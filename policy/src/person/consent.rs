//! What a person agreed to at each shop, with the evidence, and since when it is refused.

use minicbor::{Decode, Encode};
use types::contact::ChannelConsent;
use types::id::ShopNumber;
use types::order::{Consent, Grant};
use types::text::Line;
use types::time::Timestamp;

/// What consent is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Offers of other shops by mail.
    Marketing,
    /// Opens and clicks recorded per person.
    Tracking,
    /// Contact data handed to an advertiser.
    Sharing,
}

/// What a person said last about one purpose, with the evidence (GDPR Art. 7(1)).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Said {
    /// Yes or no.
    #[n(0)]
    pub granted: bool,
    /// When the person said so; never later than the record that brought it.
    #[n(1)]
    pub at: Timestamp,
    /// Whether the shop only asserted it, without evidence.
    #[n(2)]
    pub asserted: bool,
    /// Which wording the person saw.
    #[n(3)]
    pub text: Option<Line<128>>,
    /// Where it was collected.
    #[n(4)]
    pub source: Option<Line<128>>,
}

impl Said {
    /// Reads a grant that came with something placed at `placed_at` in a record of `wall`.
    ///
    /// A time that lies ahead of the record counts as the record's: nobody has agreed to anything in the future.
    pub(crate) fn of(grant: &Grant, placed_at: Timestamp, wall: Timestamp) -> Self {
        let (text, source) = match grant {
            Grant::Bare(_) => (None, None),
            Grant::Stated(statement) => (statement.text.clone(), statement.source.clone()),
        };
        Self {
            granted: grant.granted(),
            at: grant.at(placed_at).min(wall),
            asserted: matches!(grant, Grant::Bare(_)),
            text,
            source,
        }
    }

    /// Reads what a shop reports, in a record of `wall`, that the person said about mail.
    pub(super) fn reported(consent: &ChannelConsent, wall: Timestamp) -> Self {
        let statement = &consent.statement;
        Self {
            granted: statement.granted,
            at: statement.at.min(wall),
            asserted: consent.asserted,
            text: statement.text.clone(),
            source: statement.source.clone(),
        }
    }

    /// Returns whether this outweighs what the person did at `act_at`: a later yes, with evidence.
    ///
    /// A bare `true` is what a shop's plug-in sends with every order; it does not outweigh what the person did.
    pub(super) fn is_evidence_after(&self, act_at: Option<Timestamp>) -> bool {
        self.granted && !self.asserted && Some(self.at) > act_at
    }
}

/// The history of one purpose at one shop, as far as decisions need it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct History {
    /// The latest statement by its own time; a later record wins a tie.
    #[n(0)]
    last: Option<Said>,
    /// When the person last refused or withdrew. It stays when consent is given again.
    #[n(1)]
    refused_at: Option<Timestamp>,
    /// When we learned of the last withdrawal: mails made until then stay withdrawn for ever.
    #[n(2)]
    withdrawn_at: Option<Timestamp>,
    /// When the person last withdrew by an own act, as long as no evidence of a later change of mind has come.
    #[n(3)]
    own_act_at: Option<Timestamp>,
}

impl History {
    pub(super) const fn refused_at(&self) -> Option<Timestamp> {
        self.refused_at
    }

    pub(super) const fn last(&self) -> Option<&Said> {
        self.last.as_ref()
    }

    pub(super) const fn withdrawn_at(&self) -> Option<Timestamp> {
        self.withdrawn_at
    }

    /// Returns whether a statement outweighs the person's own act, if there was one.
    pub(super) fn is_outweighed_by(&self, evidence: &Said) -> bool {
        self.own_act_at.is_none() || evidence.is_evidence_after(self.own_act_at)
    }

    /// Notes that the person withdrew, by an own act that we learn of as it happens.
    pub(super) fn withdraw(&mut self, at: Timestamp, learned_at: Timestamp) {
        self.refused_at = self.refused_at.max(Some(at));
        self.withdrawn_at = self.withdrawn_at.max(Some(learned_at));
        self.own_act_at = self.own_act_at.max(Some(at));
    }

    /// Forgets what was said, and with it the evidence; what forbids stays. Mails made until now are withdrawn.
    pub(super) fn erase(&mut self, learned_at: Timestamp) {
        self.last = None;
        self.withdrawn_at = self.withdrawn_at.max(Some(learned_at));
    }

    /// Notes a statement of which we learn at `learned_at`; returns whether it withdraws: it refuses, and nothing said later grants.
    pub(super) fn note(&mut self, said: Said, learned_at: Timestamp) -> bool {
        let is_last = self.last.as_ref().is_none_or(|last| last.at <= said.at);
        let refuses = !said.granted;
        if said.is_evidence_after(self.own_act_at) {
            self.own_act_at = None;
        }
        if refuses {
            self.refused_at = self.refused_at.max(Some(said.at));
        }
        if is_last {
            self.last = Some(said);
        }
        let withdraws = refuses && is_last;
        if withdraws {
            self.withdrawn_at = self.withdrawn_at.max(Some(learned_at));
        }
        withdraws
    }
}

/// What a person said to one shop.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) struct ShopConsent {
    #[n(0)]
    pub(super) shop: ShopNumber,
    #[n(1)]
    pub(super) marketing: History,
    #[n(2)]
    pub(super) tracking: History,
    #[n(3)]
    pub(super) sharing: History,
    /// When the person last said, by an own act, that unsubscribing was a mistake.
    #[n(4)]
    pub(super) resumed_at: Option<Timestamp>,
}

impl ShopConsent {
    fn new(shop: ShopNumber) -> Self {
        Self {
            shop,
            marketing: History::default(),
            tracking: History::default(),
            sharing: History::default(),
            resumed_at: None,
        }
    }

    pub(super) const fn purpose(&self, purpose: Purpose) -> &History {
        match purpose {
            Purpose::Marketing => &self.marketing,
            Purpose::Tracking => &self.tracking,
            Purpose::Sharing => &self.sharing,
        }
    }

    /// Notes what came with something placed at `placed_at`, in a record of `wall` of which we learn at `learned_at`.
    pub(super) fn note(
        &mut self,
        consent: &Consent,
        placed_at: Timestamp,
        (wall, learned_at): (Timestamp, Timestamp),
    ) -> Withdrawn {
        let said = |grant: &Option<Grant>| grant.as_ref().map(|grant| Said::of(grant, placed_at, wall));
        let note = |history: &mut History, grant| said(grant).is_some_and(|said| history.note(said, learned_at));
        note(&mut self.sharing, &consent.sharing);
        Withdrawn {
            marketing: note(&mut self.marketing, &consent.marketing),
            tracking: note(&mut self.tracking, &consent.tracking),
        }
    }

    /// Forgets what was said; what forbids stays.
    pub(super) fn erase(&mut self, learned_at: Timestamp) {
        self.marketing.erase(learned_at);
        self.tracking.erase(learned_at);
        self.sharing.erase(learned_at);
        self.resumed_at = None;
    }
}

/// Which purposes an event withdrew.
pub(super) struct Withdrawn {
    pub(super) marketing: bool,
    pub(super) tracking: bool,
}

/// What a person said to each shop, by shop in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct Consents(#[n(0)] Vec<ShopConsent>);

impl Consents {
    pub(super) fn of(&self, shop: ShopNumber) -> Option<&ShopConsent> {
        let at = self.0.binary_search_by_key(&shop, |consent| consent.shop).ok()?;
        self.0.get(at)
    }

    /// Returns what was said to a shop, beginning with nothing.
    pub(super) fn of_mut(&mut self, shop: ShopNumber) -> &mut ShopConsent {
        let at = match self.0.binary_search_by_key(&shop, |consent| consent.shop) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, ShopConsent::new(shop));
                at
            }
        };
        self.0.get_mut(at).expect("found or inserted just above")
    }

    /// Returns the shops to which anything was said.
    pub(super) fn shops(&self) -> impl Iterator<Item = ShopNumber> {
        self.0.iter().map(|consent| consent.shop)
    }
}
