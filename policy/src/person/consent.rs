//! What a person agreed to at each shop, with the evidence, and since when it is refused.

use minicbor::{Decode, Encode};
use types::contact::{Channel, ChannelConsent, ContactSource};
use types::event::{ContactChanged, SuppressionCause};
use types::id::ShopNumber;
use types::order::{Consent, Grant, Stream};
use types::text::Line;
use types::time::Timestamp;

use super::PersonState;

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
    fn note(&mut self, said: Said, learned_at: Timestamp) -> bool {
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
    pub(super) const fn purpose(&self, purpose: Purpose) -> &History {
        match purpose {
            Purpose::Marketing => &self.marketing,
            Purpose::Tracking => &self.tracking,
            Purpose::Sharing => &self.sharing,
        }
    }
}

/// Which purposes an event withdrew.
pub(super) struct Withdrawn {
    pub(super) marketing: bool,
    pub(super) tracking: bool,
}

impl PersonState {
    /// Returns when the person last refused a purpose to a shop, by order or by withdrawal.
    pub fn refused_at(&self, shop: ShopNumber, purpose: Purpose) -> Option<Timestamp> {
        let by_shop = self
            .consent(shop)
            .and_then(|consent| consent.purpose(purpose).refused_at());
        match purpose {
            Purpose::Tracking => by_shop.max(self.left_network),
            Purpose::Marketing | Purpose::Sharing => by_shop,
        }
    }

    /// Returns whether evidence allows to record opens and clicks of a shop's next mail.
    pub(crate) fn may_track(&self, shop: ShopNumber, evidence: &Said) -> bool {
        let outweighs = |at: Option<Timestamp>| at.is_none_or(|at| evidence.at > at);
        let own_act_at = self.consent(shop).and_then(|consent| consent.tracking.own_act_at);
        evidence.granted
            && outweighs(self.refused_at(shop, Purpose::Tracking))
            && (own_act_at.is_none() || evidence.is_evidence_after(own_act_at))
    }

    pub(super) fn consent(&self, shop: ShopNumber) -> Option<&ShopConsent> {
        let at = self.consents.binary_search_by_key(&shop, |consent| consent.shop).ok()?;
        self.consents.get(at)
    }

    pub(super) fn consent_mut(&mut self, shop: ShopNumber) -> &mut ShopConsent {
        let at = match self.consents.binary_search_by_key(&shop, |consent| consent.shop) {
            Ok(at) => at,
            Err(at) => {
                let new = ShopConsent {
                    shop,
                    marketing: History::default(),
                    tracking: History::default(),
                    sharing: History::default(),
                    resumed_at: None,
                };
                self.consents.insert(at, new);
                at
            }
        };
        self.consents.get_mut(at).expect("found or inserted just above")
    }

    pub(super) fn note_consent(
        &mut self,
        shop: ShopNumber,
        consent: &Consent,
        placed_at: Timestamp,
        wall: Timestamp,
    ) -> Withdrawn {
        let mut withdrawn = Withdrawn {
            marketing: false,
            tracking: false,
        };
        let learned_at = self.learned_at(wall);
        let said = |grant: &Option<Grant>| grant.as_ref().map(|grant| Said::of(grant, placed_at, wall));
        if let Some(said) = said(&consent.marketing) {
            withdrawn.marketing = self.consent_mut(shop).marketing.note(said, learned_at);
        }
        if let Some(said) = said(&consent.tracking) {
            withdrawn.tracking = self.consent_mut(shop).tracking.note(said, learned_at);
        }
        if let Some(said) = said(&consent.sharing) {
            self.consent_mut(shop).sharing.note(said, learned_at);
        }
        withdrawn
    }

    /// Notes what a shop reports that the person said about mail; returns whether that withdraws.
    ///
    /// An import makes no consent where the person refused or unsubscribed, whatever evidence it brings.
    pub(super) fn note_contact(&mut self, changed: &ContactChanged, wall: Timestamp) -> bool {
        let shop = changed.shop;
        let learned_at = self.learned_at(wall);
        let mut withdraws = false;
        let by_mail = changed.change.consents.iter();
        for consent in by_mail.filter(|consent| consent.channel == Channel::Email) {
            let statement = &consent.statement;
            let is_imported = changed.source == ContactSource::Import;
            if statement.granted && is_imported && self.said_no(shop) {
                continue;
            }
            let said = Said {
                granted: statement.granted,
                at: statement.at.min(wall),
                asserted: consent.asserted,
                text: statement.text.clone(),
                source: statement.source.clone(),
            };
            withdraws |= self.consent_mut(shop).marketing.note(said, learned_at);
        }
        withdraws
    }

    /// Returns what an import says of a contact without the consents that it cannot make, since the person refused or unsubscribed; `None`
    /// if all of it counts.
    ///
    /// To be asked before it is recorded: the contact's own row may know of no refusal, having been erased or not yet made at that time.
    pub fn without_void_consents(&self, changed: &ContactChanged) -> Option<ContactChanged> {
        let is_void = |consent: &ChannelConsent| consent.channel == Channel::Email && consent.statement.granted;
        let applies = changed.source == ContactSource::Import
            && changed.change.consents.iter().any(is_void)
            && self.said_no(changed.shop);
        applies.then(|| {
            let mut changed = changed.clone();
            changed.change.consents.retain(|consent| !is_void(consent));
            changed
        })
    }

    /// Returns whether the person ever refused a shop's marketing, or unsubscribed from it and has not taken that back.
    pub(crate) fn said_no(&self, shop: ShopNumber) -> bool {
        self.refused_at(shop, Purpose::Marketing).is_some() || self.is_unsubscribed(shop)
    }

    /// Returns whether the person unsubscribed from a shop's offers, or everybody's, and has not taken that back.
    pub(crate) fn is_unsubscribed(&self, shop: ShopNumber) -> bool {
        let mut standing = self.suppressed(shop, Stream::Promotional, None);
        standing.any(|entry| entry.cause == SuppressionCause::Unsubscribed)
    }
}
