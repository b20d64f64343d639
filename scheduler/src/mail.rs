//! Mails. This file is the desk of mails after their decision: whose they are, their opens, clicks, verdicts and landings, and what all of
//! these count.
//!
//! | file | is |
//! |---|---|
//! | `outbox.rs` | the desk of mails until they end: attempts, claims, withdrawals |
//! | `dues.rs` | the scan for mails that are due to be judged |
//! | `decide.rs` | decides what accepted orders and messages cause |
//! | `sending.rs` | records a request's decision and makes its mail; every mail is made here |

mod decide;
mod dues;
mod outbox;
mod sending;

use std::collections::HashMap;
use std::ops::Range;

use foldhash::fast::FixedState;
use policy::hits::{Change, Hit, Landing, MailState, Recorded};
use store::state::{MailPut, Put, State, StoredMail};
use store::{StateError, Store};
use types::event::{
    AggregateCounted, AggregateHit, AttemptEnded, Decided, Event, HitClass, HitKind, Judged, MessageAccepted,
    OrderAccepted, Origin, Outcome, Plan, Verdict,
};
use types::id::{EventId, MessageId, PartitionId, PersonKey};
use types::order::{Body, Stream};
use types::provider::Provider;
use types::tally::{Dimensions, Hour, Measure};
use types::text::Slug;
use types::time::Timestamp;

pub(crate) use decide::Orders;
use dues::Dues;
pub(crate) use outbox::Outbox;
pub(crate) use sending::{Asked, Own};

use crate::desk::{Desk, Entry, OfMail, Settled, Told, counts};
use crate::memory::Unapplied;

/// What the accepted event says of a mail, and the decision does not repeat.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    wall: Timestamp,
    stream: Stream,
    /// The provider by the address's domain.
    provider: Provider,
    template: Option<Slug>,
    /// The workflow step or cart that caused it; `None` if a shop's request did.
    origin: Option<Origin>,
}

/// A mail's row, and the time under which state lists it to be judged.
#[derive(Debug)]
struct Mail {
    state: MailState,
    due: Option<Timestamp>,
}

/// The mails that state does not have as they are.
pub(crate) struct Mails {
    store: Store,
    range: Range<u16>,
    rows: Unapplied<(PartitionId, MessageId), Mail>,
    dues: Dues,
    /// Accepts of this turn that have no decision yet.
    causes: HashMap<EventId, Cause, FixedState>,
}

impl Cause {
    fn order(wall: Timestamp, accepted: &OrderAccepted) -> Self {
        Self {
            wall,
            stream: Stream::Promotional,
            provider: Provider::of_host(accepted.order.customer.email.domain()),
            template: None,
            origin: None,
        }
    }

    fn message(wall: Timestamp, accepted: &MessageAccepted) -> Self {
        let request = &accepted.request;
        Self {
            wall,
            stream: request.stream,
            provider: Provider::of_host(request.to.email.domain()),
            template: match &request.body {
                Body::Template(template) => Some(template.id.clone()),
                Body::Cart(cart) => cart.template.clone(),
                Body::Content(_) => None,
            },
            origin: accepted.origin.clone(),
        }
    }

    /// Returns whether its mail counts anywhere, as one to the person.
    pub(crate) fn is_counted(&self) -> bool {
        counts(self.origin.as_ref())
    }

    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }
}

impl Mails {
    /// Starts with what state has of the partitions in `range`.
    pub(crate) fn new(store: Store, range: Range<u16>) -> Self {
        Self {
            store,
            range,
            rows: Unapplied::default(),
            dues: Dues::default(),
            causes: HashMap::default(),
        }
    }

    /// Returns a mail as of the last event folded, or `None` if there is no such mail.
    pub(crate) fn get(&mut self, partition: PartitionId, message: MessageId) -> Result<Option<&MailState>, StateError> {
        let key = (partition, message);
        if self.rows.get(&key).is_none() {
            let Some(mail) = read(self.store.state(), partition, message)? else {
                return Ok(None);
            };
            self.rows.keep(key, mail);
        }
        Ok(self.rows.get(&key).map(|mail| &mail.state))
    }

    /// Returns whose mail this is, or `None` if there is no such mail.
    pub(crate) fn person_of(
        &mut self,
        partition: PartitionId,
        message: MessageId,
    ) -> Result<Option<PersonKey>, StateError> {
        Ok(self.get(partition, message)?.map(|mail| *mail.person()))
    }

    /// Returns the person to whose mailbox a mail went. `None` if there is no such mail, or if it went to the shop: the answer of the shop's
    /// mailbox says nothing about the person whose cart the mail shows.
    pub(crate) fn recipient_of(
        &mut self,
        partition: PartitionId,
        message: MessageId,
    ) -> Result<Option<PersonKey>, StateError> {
        let mail = self.get(partition, message)?.filter(|mail| counts(mail.origin()));
        Ok(mail.map(|mail| *mail.person()))
    }

    /// Returns the opens and clicks of real visits that a verdict is about, with their time and class.
    pub(crate) fn judged_hits(
        &mut self,
        partition: PartitionId,
        judged: &Judged,
    ) -> Result<Vec<(HitKind, Timestamp, HitClass)>, StateError> {
        let Some(mail) = self.get(partition, judged.message)? else {
            return Ok(Vec::new());
        };
        let hits = judged.hits.iter().filter_map(|verdict| {
            let (hit, _) = mail.hits().find(|(hit, _)| hit.id == verdict.hit)?;
            Some((hit.kind, hit.at, verdict.class))
        });
        Ok(hits.collect())
    }

    /// Changes a mail and returns what `change` does, or `None` if there is no such mail.
    fn change<T>(
        &mut self,
        partition: PartitionId,
        message: MessageId,
        change: impl FnOnce(&mut MailState) -> T,
    ) -> Result<Option<T>, StateError> {
        if self.get(partition, message)?.is_none() {
            return Ok(None);
        }
        let mail = self.rows.edit((partition, message));
        Ok(mail.map(|mail| change(&mut mail.state)))
    }

    /// Begins the row of a mail that was decided, and counts its accept in its own hour: a mail's template is chosen by its decision.
    fn decided(&mut self, entry: &Entry<'_>, decided: &Decided, told: &mut Told) -> Result<(), StateError> {
        told.objects.push(decided.cause);
        if let Some(plan) = decided.plan() {
            told.objects.push(plan.message.event());
            told.about.push((decided.person, decided.shop, plan.message.event()));
            self.begin(entry.partition, decided, plan, told.cause.as_ref());
            self.tell(entry.partition, plan.message, told)?;
            self.count_shown(entry.partition, plan.message, Measure::Sent, told)?;
        }
        if let Some(cause) = told.cause.clone().filter(Cause::is_counted) {
            let dimensions = Dimensions::Mails {
                shop: decided.shop,
                stream: cause.stream,
                provider: cause.provider,
                template: match &decided.verdict {
                    Verdict::Send(plan) => plan.template.clone(),
                    Verdict::Refuse(_) => cause.template,
                },
            };
            told.count_at(Hour::of(cause.wall), dimensions, Measure::Accepted, 1);
        }
        Ok(())
    }

    fn begin(&mut self, partition: PartitionId, decided: &Decided, plan: &Plan, cause: Option<&Cause>) {
        let provider = cause.map_or(Provider::Other, |cause| cause.provider);
        let origin = cause.and_then(|cause| cause.origin.clone());
        let mail = Mail {
            state: MailState::new(decided, plan, provider).caused_by(origin),
            due: None,
        };
        self.rows.set((partition, plan.message), mail);
    }

    /// Counts how a mail ended, once. A report about a mail that has ended before goes into its history and counts nothing.
    fn ended(&mut self, entry: &Entry<'_>, ended: &AttemptEnded, told: &mut Told) -> Result<(), StateError> {
        if !told.was_queued {
            return Ok(());
        }
        let measure = match ended.outcome {
            Outcome::Delivered => {
                let provider = ended.provider();
                self.change(entry.partition, ended.message, |mail| {
                    mail.delivered(entry.wall, provider);
                })?;
                // It counts where it was delivered from now on.
                self.tell(entry.partition, ended.message, told)?;
                Measure::Delivered
            }
            Outcome::InDoubt { .. } => Measure::InDoubt,
            Outcome::Failed { .. } | Outcome::Expired | Outcome::Withdrawn | Outcome::Deferred { .. } => {
                Measure::Failed
            }
        };
        self.count_shown(entry.partition, ended.message, measure, told)
    }

    fn hit(&mut self, entry: &Entry<'_>, message: MessageId, hit: Hit, told: &mut Told) -> Result<(), StateError> {
        if let Some(Recorded::Counted(change)) = self.change(entry.partition, message, |mail| mail.record(hit))? {
            count_changes(&[change], told);
        }
        Ok(())
    }

    /// Forgets the mails that are erased. Copies and tests of reminders that are queued are withdrawn: they go to the shop, so the person's
    /// own state does not know them; but they show the person's cart.
    fn erase(&mut self, partition: PartitionId, told: &mut Told) -> Result<(), StateError> {
        for (object, _) in &told.erased {
            let message = MessageId::new(*object);
            if self.get(partition, message)?.is_some_and(|mail| !counts(mail.origin())) {
                told.withdrawn.push(message);
            }
            self.change(partition, message, MailState::forget)?;
        }
        Ok(())
    }

    /// Writes what other desks need to know of a mail.
    fn tell(&mut self, partition: PartitionId, message: MessageId, told: &mut Told) -> Result<(), StateError> {
        told.mail = self.get(partition, message)?.map(OfMail::of);
        Ok(())
    }

    /// Counts something of a mail and of all offers that it shows, in the hour of the record.
    fn count_shown(
        &mut self,
        partition: PartitionId,
        message: MessageId,
        measure: Measure,
        told: &mut Told,
    ) -> Result<(), StateError> {
        told.count_mail(measure);
        if let Some(mail) = self.get(partition, message)? {
            let publisher = mail.shop();
            for campaign in mail.offers().iter().map(|shown| shown.campaign) {
                told.count(Dimensions::Offer { campaign, publisher }, measure, 1);
            }
        }
        Ok(())
    }
}

impl Desk for Mails {
    fn look(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        let message = match entry.event {
            Event::Decided(decided) => {
                told.cause = self.causes.remove(&decided.cause);
                None
            }
            Event::AttemptEnded(ended) => Some(ended.message),
            Event::Unsubscribed(unsubscribed) => Some(unsubscribed.message),
            Event::Opened(opened) => Some(opened.message),
            Event::Clicked(clicked) => Some(clicked.message),
            Event::Judged(judged) => Some(judged.message),
            Event::Landed(landed) => Some(landed.message),
            Event::LeadDecided(decided) => Some(decided.message),
            Event::LeadSettled(settled) => Some(settled.message),
            Event::PreferenceChanged(changed) => Some(changed.message),
            _ => None,
        };
        if let Some(message) = message {
            let mail = self.get(entry.partition, message)?;
            if !mail.is_some_and(MailState::is_forgotten) {
                told.objects.push(message.event());
            }
            self.tell(entry.partition, message, told)?;
        }
        if let Some(Origin::Workflow { workflow, step, .. }) = told.origin() {
            told.of_origin = Some(Dimensions::Step {
                workflow: *workflow,
                step: Some(step.clone()),
                reason: None,
            });
        }
        Ok(())
    }

    fn apply(&mut self, entry: &Entry<'_>, told: &mut Told) -> Result<(), StateError> {
        match entry.event {
            Event::OrderAccepted(accepted) => {
                self.causes.insert(entry.id, Cause::order(entry.wall, accepted));
                told.objects.push(entry.id);
                told.about.push((accepted.person, accepted.shop, entry.id));
            }
            Event::MessageAccepted(accepted) => {
                self.causes.insert(entry.id, Cause::message(entry.wall, accepted));
                told.objects.push(entry.id);
                told.about.push((accepted.person, accepted.shop, entry.id));
            }
            Event::Decided(decided) => self.decided(entry, decided, told)?,
            Event::AttemptEnded(ended) => self.ended(entry, ended, told)?,
            Event::Opened(opened) => {
                self.hit(entry, opened.message, Hit::opened(entry.id, entry.wall, opened), told)?;
            }
            Event::Clicked(clicked) => {
                self.hit(
                    entry,
                    clicked.message,
                    Hit::clicked(entry.id, entry.wall, clicked),
                    told,
                )?;
            }
            Event::Judged(judged) => {
                let changes = self.change(entry.partition, judged.message, |mail| mail.apply(judged))?;
                told.hits = self.judged_hits(entry.partition, judged)?;
                count_changes(&changes.unwrap_or_default(), told);
            }
            Event::Landed(landed) => {
                let landing = Landing::reported(entry.id, entry.wall, landed);
                let change = self.change(entry.partition, landed.message, |mail| mail.land(landing))?;
                count_changes(change.flatten().as_slice(), told);
            }
            Event::LeadDecided(decided) => {
                self.change(entry.partition, decided.message, |mail| mail.decided(entry.id, decided))?;
            }
            Event::LeadSettled(settled) => {
                let is_void = settled.outcome.is_void();
                self.change(entry.partition, settled.message, |mail| {
                    mail.settled(settled.lead, is_void);
                })?;
            }
            Event::AggregateCounted(counted) => count_aggregate(counted, told),
            Event::PersonErased(_) => self.erase(entry.partition, told)?,
            _ => {}
        }
        Ok(())
    }

    fn settle(&mut self, position: u64, settled: &mut Settled) {
        let dues = &mut self.dues;
        self.rows.settle(position, |(partition, message), mail| {
            let due = mail.state.due();
            if due != mail.due {
                let gone = mail.due.map(|at| MailPut::DueDelete { at, partition, message });
                let set = due.map(|at| MailPut::DueSet { at, partition, message });
                settled.puts.extend(gone.into_iter().chain(set).map(Put::Mail));
                if let Some(at) = due {
                    dues.set(at);
                }
                mail.due = due;
            }
            settled.puts.push(Put::Mail(MailPut::Set {
                partition,
                message,
                mail: StoredMail {
                    counts: mail.state.counts(),
                    value: mail.state.encode(),
                },
            }));
        });
        dues.settle(position);
        self.causes.clear();
    }

    fn forget(&mut self, applied: u64) {
        self.rows.forget(applied);
    }

    fn held(&self) -> usize {
        self.rows.len()
    }
}

/// Counts opens, clicks and landings that name nobody.
fn count_aggregate(counted: &AggregateCounted, told: &mut Told) {
    for hit in &counted.hits {
        let AggregateHit {
            shop,
            campaign,
            kind,
            class,
            count,
        } = *hit;
        if matches!(class, HitClass::Prefetch | HitClass::Test) {
            continue;
        }
        let measure = match kind {
            HitKind::Open => Measure::OpensAggregate,
            HitKind::Click => Measure::ClicksAggregate,
            HitKind::Landing => Measure::LandingsAggregate,
        };
        let mails = Dimensions::Mails {
            shop,
            stream: Stream::Promotional,
            provider: Provider::Other,
            template: None,
        };
        told.count(mails, measure, i64::from(count));
        if let Some(campaign) = campaign {
            let publisher = shop;
            told.count(Dimensions::Offer { campaign, publisher }, measure, i64::from(count));
        }
    }
}

/// Counts what hits and landings of a mail change: in its cell, and in the offer's if they are about one.
fn count_changes(changes: &[Change], told: &mut Told) {
    let Some(publisher) = told.mail.as_ref().map(|mail| mail.shop) else {
        return;
    };
    for change in changes {
        for (measure, by) in change.measures() {
            told.count_mail_at(change.hour, measure, by);
            if let Some(campaign) = change.campaign {
                told.count_at(change.hour, Dimensions::Offer { campaign, publisher }, measure, by);
            }
        }
    }
}

/// Reads a mail from state. One that an earlier version decided has no row: it begins as its history says.
fn read(state: &State, partition: PartitionId, message: MessageId) -> Result<Option<Mail>, StateError> {
    if let Some(StoredMail { value, .. }) = state.mails().get(partition, message)? {
        let state =
            MailState::decode(&value).map_err(|error| StateError::Malformed(format!("mail {message:?}: {error}")))?;
        let due = state.due();
        return Ok(Some(Mail { state, due }));
    }
    let mut mail: Option<MailState> = None;
    for stored in state.histories().of(partition, message.event())? {
        match (&stored.event, &mut mail) {
            (Event::Decided(decided), None) => {
                // An order's history has decisions as well.
                let plan = decided.plan().filter(|plan| plan.message == message);
                mail = plan.map(|plan| MailState::new(decided, plan, Provider::Other));
            }
            (Event::AttemptEnded(ended), Some(mail)) if ended.outcome == Outcome::Delivered => {
                mail.delivered(stored.wall, ended.provider());
            }
            _ => {}
        }
    }
    Ok(mail.map(|state| Mail { state, due: None }))
}
