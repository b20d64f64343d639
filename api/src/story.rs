//! What became of an order or a message, told from folded state.
//!
//! Everything shown comes from the timeline, which holds the events themselves: what was accepted and decided, every attempt and what
//! the far side said, and what the recipient did. The ids of the accept and of the message lead to the same story.

mod hits;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use store::state::StoredMail;
use store::{State, StateError, StoredEvent};
use types::event::{Event, HitVerdict, Offer, Refusal, Tracking, Verdict};
use types::id::{EventId, MessageId, PartitionId, PublicId, ShopNumber};
use types::tally::MailCounts;
use types::text::Slug;

use crate::app::App;
use crate::problem::Problem;
pub(crate) use hits::{CountsView, HitView};

/// What became of an order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct OrderStory {
    /// Names the accept.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    id: String,
    /// The shop's own number.
    order_id: String,
    /// Whose order it is.
    #[schema(value_type = String)]
    pub(crate) shop: Slug,
    /// When it was accepted.
    #[schema(format = DateTime)]
    accepted_at: String,
    /// What was decided; missing until it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Decision>,
    /// The messages it caused.
    messages: Vec<MessageState>,
    /// Everything that happened, in order.
    events: Vec<TimelineEvent>,
}

/// What became of a plain message, or of the mail that an order caused.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MessageStory {
    /// Names the accept.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    id: String,
    /// The order that caused it, by the shop's own number.
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    /// Whose message it is.
    #[schema(value_type = String)]
    pub(crate) shop: Slug,
    /// When its cause was accepted.
    #[schema(format = DateTime)]
    accepted_at: String,
    /// To whom.
    to: String,
    /// What was decided; missing until it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Decision>,
    /// The messages that were sent, or are about to be.
    messages: Vec<MessageState>,
    /// Everything that happened, in order.
    events: Vec<TimelineEvent>,
}

/// What was decided, and why.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Decision {
    /// Whether something is sent.
    verdict: VerdictName,
    /// When this was decided.
    #[schema(format = DateTime)]
    at: String,
    /// Every reason against sending, the weightiest first; empty when it is sent.
    reasons: Vec<Reason>,
    /// What is offered, in the order shown.
    offers: Vec<OfferView>,
    /// How it is sent; missing when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PlanView>,
}

/// Whether something is sent.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum VerdictName {
    /// A mail goes out.
    Send,
    /// Nothing goes out.
    Refuse,
}

/// One reason why nothing is sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Reason {
    /// Stable, for programs.
    #[schema(example = "no_marketing_consent")]
    code: &'static str,
    /// The same for people.
    text: &'static str,
}

/// One offer in a mail, with what the auction knew.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct OfferView {
    /// The campaign's id.
    campaign: String,
    /// What a lead from this mail costs; fixed when this was decided.
    price: types::money::Money,
    /// Expected value in millionths of a minor unit, by which it was ranked.
    #[schema(minimum = 0)]
    expected_value: u64,
    /// The probability, in millionths, with which this campaign came to this place.
    #[schema(minimum = 0, maximum = 1_000_000)]
    propensity: u32,
    /// Whether the place was used to explore.
    explored: bool,
}

/// How a mail is sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PlanView {
    stream: types::order::Stream,
    language: types::locale::Language,
    /// `individual` or `aggregate`: whether pixel and links may name the message.
    #[schema(value_type = String)]
    tracking: Tracking,
    /// When it is no longer worth sending.
    #[schema(format = DateTime)]
    expires: String,
    /// Whether the order was late and is mailed because the shop says so.
    late: bool,
}

/// Where one message stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MessageState {
    /// The message's id: in its `Message-ID` header too.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    id: String,
    /// `queued`, `sending`, `delivered`, `deferred`, `failed`, `in_doubt`, `expired` or `withdrawn`.
    #[schema(example = "delivered")]
    state: &'static str,
    /// Attempts so far.
    attempts: u16,
    /// Why it waits, while it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<String>,
    /// What the recipient, and machines, did with it; missing before anything was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    counts: Option<CountsView>,
}

/// One event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TimelineEvent {
    /// The event's own id.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    id: String,
    /// When it happened.
    #[schema(format = DateTime)]
    time: String,
    /// What kind of thing happened: the event's public name, as in the stream of events.
    #[schema(example = "message.delivered")]
    kind: &'static str,
    /// The same for people, with what is particular to this time.
    detail: String,
    /// The message it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, pattern = "^[a-z2-7]{16}$")]
    message: Option<String>,
    /// Who or what an open or click is taken for; missing until it is judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    verdict: Option<HitView>,
}

/// Finds an order by the name it was claimed under.
pub(crate) async fn order(app: &App, name: [u8; 16]) -> Result<Option<OrderStory>, Problem> {
    let find = move |state: &State| match state.claims().get(&name)? {
        Some(claimed) => gather(state, claimed.id),
        None => Ok(None),
    };
    let Some(told) = app.reading(find).await? else {
        return Ok(None);
    };
    let (Some(order_id), Some(shop)) = (told.order_id.clone(), told.shop(app)) else {
        return Ok(None);
    };
    Ok(Some(OrderStory {
        id: told.public(told.cause),
        order_id,
        shop,
        accepted_at: told.accepted_at.clone(),
        messages: told.messages(app),
        events: told.timeline(),
        decision: told.decision(),
    }))
}

/// Finds a message by the id of its accept, or its own.
pub(crate) async fn message(app: &App, id: PublicId) -> Result<Option<MessageStory>, Problem> {
    let Some(told) = app.reading(move |state| gather(state, id)).await? else {
        return Ok(None);
    };
    let Some(shop) = told.shop(app) else { return Ok(None) };
    Ok(Some(MessageStory {
        id: told.public(told.cause),
        order_id: told.order_id.clone(),
        shop,
        accepted_at: told.accepted_at.clone(),
        to: told.to.clone(),
        messages: told.messages(app),
        events: told.timeline(),
        decision: told.decision(),
    }))
}

/// All events around one accept.
pub(crate) struct Told {
    partition: PartitionId,
    pub(crate) cause: EventId,
    pub(crate) shop: ShopNumber,
    order_id: Option<String>,
    to: String,
    accepted_at: String,
    pub(crate) events: Vec<StoredEvent>,
    counts: BTreeMap<EventId, MailCounts>,
}

/// Gathers what the timelines of the cause and of its messages hold. `None` if there is no accept among it.
pub(crate) fn gather(state: &State, id: PublicId) -> Result<Option<Told>, StateError> {
    let PublicId { partition, event } = id;
    let mut events: BTreeMap<EventId, StoredEvent> = BTreeMap::new();
    let mut related = BTreeSet::new();
    for stored in state.histories().of(partition, event)? {
        if let Event::Decided(decided) = &stored.event {
            related.insert(decided.cause);
            related.extend(decided.plan().map(|plan| plan.message.event()));
        }
        events.insert(stored.id, stored);
    }
    related.remove(&event);
    for object in related {
        events.extend(
            state
                .histories()
                .of(partition, object)?
                .into_iter()
                .map(|stored| (stored.id, stored)),
        );
    }
    let Some(mut told) = Told::of(partition, events.into_values().collect()) else {
        return Ok(None);
    };
    let decided = told.events.iter().filter_map(|stored| match &stored.event {
        Event::Decided(decided) => decided.plan().map(|plan| plan.message),
        _ => None,
    });
    for message in decided {
        if let Some(StoredMail { counts, .. }) = state.mails().get(partition, message)? {
            told.counts.insert(message.event(), counts);
        }
    }
    Ok(Some(told))
}

impl Told {
    fn of(partition: PartitionId, events: Vec<StoredEvent>) -> Option<Self> {
        events
            .iter()
            .find_map(|stored| {
                let (shop, order_id, to) = match &stored.event {
                    Event::OrderAccepted(accepted) => {
                        let order = &accepted.order;
                        (accepted.shop, Some(order.order_id.to_string()), &order.customer.email)
                    }
                    Event::MessageAccepted(accepted) => (accepted.shop, None, &accepted.request.to.email),
                    _ => return None,
                };
                Some((stored.id, shop, order_id, to.to_string(), stored.wall.to_string()))
            })
            .map(|(cause, shop, order_id, to, accepted_at)| Self {
                partition,
                cause,
                shop,
                order_id,
                to,
                accepted_at,
                events,
                counts: BTreeMap::new(),
            })
    }

    /// Returns the id of the shop whose it is.
    fn shop(&self, app: &App) -> Option<Slug> {
        app.catalogue().shop_by_number(self.shop).map(|shop| shop.id.clone())
    }

    fn public(&self, event: EventId) -> String {
        PublicId {
            partition: self.partition,
            event,
        }
        .to_string()
    }

    fn decision(&self) -> Option<Decision> {
        let (at, decided) = self.events.iter().find_map(|stored| match &stored.event {
            Event::Decided(decided) => Some((stored.wall, decided)),
            _ => None,
        })?;
        let at = at.to_string();
        Some(match &decided.verdict {
            Verdict::Send(plan) => Decision {
                verdict: VerdictName::Send,
                at,
                reasons: Vec::new(),
                offers: plan.offers.iter().map(OfferView::of).collect(),
                plan: Some(PlanView {
                    stream: plan.stream,
                    language: plan.language,
                    tracking: plan.tracking,
                    expires: plan.expires.to_string(),
                    late: plan.late,
                }),
            },
            Verdict::Refuse(reasons) => Decision {
                verdict: VerdictName::Refuse,
                at,
                reasons: reasons.iter().copied().map(Reason::of).collect(),
                offers: Vec::new(),
                plan: None,
            },
        })
    }

    fn messages(&self, app: &App) -> Vec<MessageState> {
        let planned = self.events.iter().filter_map(|stored| match &stored.event {
            Event::Decided(decided) => decided.plan(),
            _ => None,
        });
        planned.map(|plan| self.message(app, plan.message)).collect()
    }

    fn message(&self, app: &App, message: MessageId) -> MessageState {
        let (mut state, mut attempts, mut over) = ("queued", 0, false);
        for stored in &self.events {
            match &stored.event {
                Event::AttemptClaimed(claimed) if claimed.message == message => {
                    (state, attempts) = ("sending", claimed.attempt.0);
                }
                Event::AttemptEnded(ended) if ended.message == message => {
                    (state, attempts) = (ended.outcome.as_str(), ended.attempt.0);
                    over = ended.outcome.is_terminal();
                }
                _ => {}
            }
        }
        MessageState {
            id: self.public(message.event()),
            state,
            attempts,
            waiting: if over { None } else { app.ports.queues.waiting(message) },
            counts: self.counts.get(&message.event()).and_then(CountsView::of),
        }
    }

    pub(crate) fn timeline(&self) -> Vec<TimelineEvent> {
        let judged = self.events.iter().filter_map(|stored| match &stored.event {
            Event::Judged(judged) => Some(judged.hits.iter()),
            _ => None,
        });
        // A later verdict on the same hit replaces the earlier one.
        let verdicts: BTreeMap<EventId, &HitVerdict> = judged.flatten().map(|verdict| (verdict.hit, verdict)).collect();
        let told = |stored: &StoredEvent| TimelineEvent {
            id: self.public(stored.id),
            time: stored.wall.to_string(),
            kind: stored.event.name(),
            detail: stored.event.sentence(),
            message: stored.event.about().mail.map(|message| self.public(message.event())),
            verdict: verdicts.get(&stored.id).map(|verdict| HitView::of(verdict)),
        };
        self.events.iter().map(told).collect()
    }
}

impl Reason {
    fn of(refusal: Refusal) -> Self {
        Self {
            code: refusal.code(),
            text: refusal.sentence(),
        }
    }
}

impl OfferView {
    fn of(offer: &Offer) -> Self {
        Self {
            campaign: offer.id.to_string(),
            price: offer.price,
            expected_value: offer.expected_value,
            propensity: offer.propensity,
            explored: offer.explored,
        }
    }
}
