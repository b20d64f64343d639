//! Verdicts and leads: the mails that are due, looked at about once a second.
//!
//! What a look finds follows from the mail's row: verdicts that are due, landings that wait for a decision, leads that wait for their
//! settlement. So a crash between two of these records costs nothing: the row says what is missing, it is still due, and the next
//! look goes on from there. All that one look finds is recorded in one turn.

use std::sync::Arc;

use policy::hits::{Decidable, Settleable};
use policy::leads::{EarlierVisit, LeadFacts};
use store::StateError;
use types::catalogue::Catalogue;
use types::event::{Event, HitVerdict, Judged, LeadDecided, LeadSettled, PersonErased, Round};
use types::id::{MessageId, PartitionId, PersonKey, ShopNumber};
use types::time::Timestamp;

use super::{Runner, Work};

/// Mails looked at in one turn: a millisecond's worth, and some ten if each is full of hits. An order never waits longer.
const LOOKS_MAX: usize = 64;

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticked {
    /// Mails that were looked at.
    pub(super) looked: usize,
    /// Whether others were left for the next tick.
    pub(super) more: bool,
}

/// A mail that is looked at, as far as records about it need.
#[derive(Clone, Copy)]
struct Looked {
    partition: PartitionId,
    message: MessageId,
    shop: ShopNumber,
    person: PersonKey,
}

impl Runner {
    /// Looks at the mails that are due now, as one turn.
    pub(super) fn tick(&mut self) -> Ticked {
        let now = self.deps.clock.now();
        let due = match self.fold.due(now, LOOKS_MAX) {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "state cannot be read: nothing was judged");
                self.metrics.state_errors.inc();
                return Ticked::default();
            }
        };
        let lag = due.earliest.map_or(0.0, |earliest| now.since(earliest).as_secs_f64());
        self.own.judged_lag_seconds.set(lag);
        let mut work = Work::default();
        for (partition, message) in &due.mails {
            if let Err(error) = self.look(&mut work, *partition, *message) {
                tracing::error!(mail = ?message, %error, "state cannot be read: a mail was not judged");
                self.metrics.state_errors.inc();
            }
        }
        self.append(work);
        Ticked {
            looked: due.mails.len(),
            more: due.more,
        }
    }

    /// Records what is to be judged, decided and settled about a mail now.
    pub(super) fn look(
        &mut self,
        work: &mut Work,
        partition: PartitionId,
        message: MessageId,
    ) -> Result<(), StateError> {
        let now = self.deps.clock.now();
        let Some(mail) = self.fold.mail(partition, message)? else {
            return Ok(());
        };
        let looked = Looked {
            partition,
            message,
            shop: mail.shop(),
            person: *mail.person(),
        };
        let rules = &self.settings.rules;
        let hits = mail.judge(rules, now);
        if !hits.is_empty() {
            let finals = hits.iter().filter(|verdict| verdict.round == Round::Final);
            for HitVerdict { hit, class, .. } in finals {
                if let Some((kept, _)) = mail.hits().find(|(kept, _)| kept.id == *hit) {
                    self.metrics.count_hit(kept.kind, *class);
                }
            }
            let judged = Judged {
                message,
                shop: looked.shop,
                rules: rules.version(),
                hits,
            };
            let event = Event::Judged(Box::new(judged.clone()));
            let recorded = self.record(work, partition, &event)?;
            let reacted = self.react_to_hits(work, partition, recorded, &judged);
            self.settle_reaction(work, partition, recorded.0, reacted)?;
        }
        for decidable in self.decidable(looked, now)? {
            self.decide_lead(work, looked, &decidable)?;
        }
        let settleable = self
            .fold
            .mail(partition, message)?
            .map(policy::hits::MailState::settleable);
        for settleable in settleable.unwrap_or_default() {
            self.settle_lead(work, looked, settleable)?;
        }
        Ok(())
    }

    fn decidable(&mut self, looked: Looked, now: Timestamp) -> Result<Vec<Decidable>, StateError> {
        let mail = self.fold.mail(looked.partition, looked.message)?;
        Ok(mail.map(|mail| mail.decidable(now)).unwrap_or_default())
    }

    /// Decides on a landing: a lead, or why not.
    fn decide_lead(&mut self, work: &mut Work, looked: Looked, decidable: &Decidable) -> Result<(), StateError> {
        let Looked {
            partition,
            message,
            shop,
            person,
        } = looked;
        let landing = &decidable.landing;
        let catalogue = self.deps.store.catalogue().load();
        let Some(offer) = Offer::of(&catalogue, landing.campaign) else {
            // Landings are only recorded of campaigns that there are, and none ever goes.
            tracing::error!(
                mail = ?message,
                campaign = landing.campaign.0,
                "a landing names a campaign that never was"
            );
            return Ok(());
        };
        let visit = self.fold.visit(partition, person, offer.advertiser)?;
        let facts = LeadFacts {
            landing,
            click: decidable.click,
            mailed_at: message.event().time(),
            offer_ends_at: offer.ends_at,
            publisher: shop,
            advertiser: offer.advertiser,
            visitor: self.visitors.key(offer.advertiser, &person),
            price: decidable.price,
            withdrawn: !self.fold.may_record(partition, message)?,
            visit: visit.map(|visit| EarlierVisit {
                generation: visit.generation,
                open: visit.open,
            }),
        };
        let decided = LeadDecided {
            message,
            shop,
            campaign: landing.campaign,
            advertiser: offer.advertiser,
            click: landing.click,
            landing: landing.id,
            verdict: policy::leads::decide(&facts),
        };
        self.metrics.count_lead(&decided.verdict);
        self.record(work, partition, &Event::LeadDecided(Box::new(decided)))?;
        Ok(())
    }

    /// Voids the leads that wait in mails which are about to be erased: nothing would be left to settle them by.
    pub(super) fn void_erased(
        &mut self,
        work: &mut Work,
        partition: PartitionId,
        erased: &PersonErased,
    ) -> Result<(), StateError> {
        for object in self.fold.erasable(partition, erased)?.into_keys() {
            // Accepted events are among them, and are nobody's mail.
            let message = MessageId::new(object);
            let Some(mail) = self.fold.mail(partition, message)? else {
                continue;
            };
            let looked = Looked {
                partition,
                message,
                shop: mail.shop(),
                person: *mail.person(),
            };
            for settleable in mail.settleable_by_erasure() {
                self.settle_lead(work, looked, settleable)?;
            }
        }
        Ok(())
    }

    fn settle_lead(&mut self, work: &mut Work, looked: Looked, settleable: Settleable) -> Result<(), StateError> {
        let settled = LeadSettled {
            lead: settleable.lead,
            message: looked.message,
            shop: looked.shop,
            campaign: settleable.campaign,
            advertiser: settleable.advertiser,
            claimed: settleable.claimed,
            outcome: settleable.outcome,
        };
        let late = settleable.due.map(|due| self.deps.clock.now().since(due));
        self.metrics.count_settlement(settled.outcome, settleable.price, late);
        self.record(work, looked.partition, &Event::LeadSettled(settled))?;
        Ok(())
    }
}

/// What the catalogue says of an offer when its landing is decided on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    advertiser: ShopNumber,
    /// Its campaign's end, or the moment of its deletion.
    ends_at: Option<Timestamp>,
}

impl Offer {
    pub(super) fn of(catalogue: &Arc<Catalogue>, campaign: types::id::CampaignNumber) -> Option<Self> {
        let campaign = catalogue.campaign_by_number(campaign)?;
        let deleted_at = campaign.deleted.then_some(campaign.changed_at);
        Some(Self {
            advertiser: catalogue.shop_ever(&campaign.spec.advertiser)?.number,
            ends_at: campaign.spec.ends_at.into_iter().chain(deleted_at).min(),
        })
    }
}
