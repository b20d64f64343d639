//! Judges mails that are due: opens and clicks, then landings, then leads. A runner does it about once a second.
//!
//! The mail's row says what is due: verdicts, landings that wait for a decision, leads that wait for their settlement. So a crash between
//! two of these records loses nothing: the row still says what is missing, and the next look goes on there. All that one look finds is
//! recorded in one turn.

use std::sync::Arc;
use std::time::Duration;

use policy::hits::{Decidable, Settleable};
use policy::leads::{EarlierVisit, LeadFacts};
use store::StateError;
use types::catalogue::Catalogue;
use types::event::{Event, HitVerdict, Judged, LeadDecided, LeadSettled, PersonErased, Round};
use types::id::{MessageId, PartitionId, PersonKey, ShopNumber};
use types::time::Timestamp;

use crate::turn::Turn;
use crate::workflow::{Engine, settle_reaction};

/// Mails looked at in one turn: a millisecond of work, some ten if each mail is full of hits. An order never waits longer.
const LOOKS_MAX: usize = 64;

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticked {
    /// Mails that were looked at.
    pub(crate) looked: usize,
    /// Whether others were left for the next tick.
    pub(crate) more: bool,
    /// How long the one that was due the longest was due.
    pub(crate) lag: Option<Duration>,
}

/// A mail that is looked at, as far as records about it need.
#[derive(Clone, Copy)]
struct Looked {
    partition: PartitionId,
    message: MessageId,
    shop: ShopNumber,
    person: PersonKey,
}

/// Looks at the mails that are due now, as one turn.
pub(crate) fn tick(engine: &mut Engine, turn: &mut Turn<'_>) -> Ticked {
    let now = turn.context.now();
    let applied = turn.desks.applied();
    let due = match turn.desks.mails.due(applied, now, LOOKS_MAX) {
        Ok(due) => due,
        Err(error) => {
            turn.context
                .state_failed(&error, "state cannot be read: nothing was judged");
            return Ticked::default();
        }
    };
    for (partition, message) in &due.mails {
        if let Err(error) = look(engine, turn, *partition, *message) {
            turn.context
                .state_failed(&error, "state cannot be read: a mail was not judged");
        }
    }
    Ticked {
        looked: due.mails.len(),
        more: due.more,
        lag: Some(due.earliest.map_or(Duration::ZERO, |earliest| now.since(earliest))),
    }
}

/// Records what is to be judged, decided and settled about a mail now.
pub(crate) fn look(
    engine: &mut Engine,
    turn: &mut Turn<'_>,
    partition: PartitionId,
    message: MessageId,
) -> Result<(), StateError> {
    let now = turn.context.now();
    let Some(mail) = turn.desks.mails.get(partition, message)? else {
        return Ok(());
    };
    let looked = Looked {
        partition,
        message,
        shop: mail.shop(),
        person: *mail.person(),
    };
    let rules = &turn.context.settings.rules;
    let hits = mail.judge(rules, now);
    if !hits.is_empty() {
        let finals = hits.iter().filter(|verdict| verdict.round == Round::Final);
        for HitVerdict { hit, class, .. } in finals {
            if let Some((kept, _)) = mail.hits().find(|(kept, _)| kept.id == *hit) {
                turn.context.metrics.count_hit(kept.kind, *class);
            }
        }
        let judged = Judged {
            message,
            shop: looked.shop,
            rules: rules.version(),
            hits,
        };
        let event = Event::Judged(Box::new(judged.clone()));
        let recorded = turn.record(partition, &event)?;
        let reacted = engine.react_to_hits(turn, partition, recorded, &judged);
        settle_reaction(turn, partition, recorded.0, reacted)?;
    }
    for decidable in decidable(turn, looked, now)? {
        decide_lead(turn, looked, &decidable)?;
    }
    let settleable = turn
        .desks
        .mails
        .get(partition, message)?
        .map(policy::hits::MailState::settleable);
    for settleable in settleable.unwrap_or_default() {
        settle_lead(turn, looked, settleable)?;
    }
    Ok(())
}

fn decidable(turn: &mut Turn<'_>, looked: Looked, now: Timestamp) -> Result<Vec<Decidable>, StateError> {
    let mail = turn.desks.mails.get(looked.partition, looked.message)?;
    Ok(mail.map(|mail| mail.decidable(now)).unwrap_or_default())
}

/// Decides on a landing: a lead, or why not.
fn decide_lead(turn: &mut Turn<'_>, looked: Looked, decidable: &Decidable) -> Result<(), StateError> {
    let Looked {
        partition,
        message,
        shop,
        person,
    } = looked;
    let landing = &decidable.landing;
    let catalogue = turn.context.catalogue();
    let Some(offer) = Offer::of(&catalogue, landing.campaign) else {
        // Landings are only recorded of campaigns that there are, and none ever goes.
        tracing::error!(
            mail = ?message,
            campaign = landing.campaign.0,
            "a landing names a campaign that never was"
        );
        return Ok(());
    };
    let visit = turn.desks.leads.visit(partition, person, offer.advertiser)?;
    let facts = LeadFacts {
        landing,
        click: decidable.click,
        mailed_at: message.event().time(),
        offer_ends_at: offer.ends_at,
        publisher: shop,
        advertiser: offer.advertiser,
        visitor: turn.context.visitors.key(offer.advertiser, &person),
        price: decidable.price,
        withdrawn: !turn.desks.may_record(partition, message)?,
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
    turn.context.metrics.count_lead(&decided.verdict);
    turn.record(partition, &Event::LeadDecided(Box::new(decided)))?;
    Ok(())
}

/// Voids the leads that wait in mails which are about to be erased: nothing would be left to settle them by.
pub(crate) fn void_erased(
    turn: &mut Turn<'_>,
    partition: PartitionId,
    erased: &PersonErased,
) -> Result<(), StateError> {
    for object in turn.desks.erasable(partition, erased)? {
        // Accepted events are among the objects; they are no mails.
        let message = MessageId::new(object);
        let Some(mail) = turn.desks.mails.get(partition, message)? else {
            continue;
        };
        let looked = Looked {
            partition,
            message,
            shop: mail.shop(),
            person: *mail.person(),
        };
        for settleable in mail.settleable_by_erasure() {
            settle_lead(turn, looked, settleable)?;
        }
    }
    Ok(())
}

fn settle_lead(turn: &mut Turn<'_>, looked: Looked, settleable: Settleable) -> Result<(), StateError> {
    let settled = LeadSettled {
        lead: settleable.lead,
        message: looked.message,
        shop: looked.shop,
        campaign: settleable.campaign,
        advertiser: settleable.advertiser,
        claimed: settleable.claimed,
        outcome: settleable.outcome,
    };
    let late = settleable.due.map(|due| turn.context.now().since(due));
    turn.context
        .metrics
        .count_settlement(settled.outcome, settleable.price, late);
    turn.record(looked.partition, &Event::LeadSettled(settled))?;
    Ok(())
}

/// What the catalogue says of an offer when its landing is decided on.
#[derive(Clone, Copy, Debug)]
struct Offer {
    advertiser: ShopNumber,
    /// Its campaign's end, or the moment of its deletion.
    ends_at: Option<Timestamp>,
}

impl Offer {
    fn of(catalogue: &Arc<Catalogue>, campaign: types::id::CampaignNumber) -> Option<Self> {
        let campaign = catalogue.campaign_by_number(campaign)?;
        let deleted_at = campaign.deleted.then_some(campaign.changed_at);
        Some(Self {
            advertiser: catalogue.shop_ever(&campaign.spec.advertiser)?.number,
            ends_at: campaign.spec.ends_at.into_iter().chain(deleted_at).min(),
        })
    }
}

/// Returns whether there is, or was, such a campaign.
pub(crate) fn is_offered(catalogue: &Arc<Catalogue>, campaign: types::id::CampaignNumber) -> bool {
    Offer::of(catalogue, campaign).is_some()
}
