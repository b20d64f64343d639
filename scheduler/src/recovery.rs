//! The start, before anything is accepted: folds the records that state lacks, then settles what the last run left open.
//!
//! | found | becomes |
//! |---|---|
//! | a record that state has not seen | folded, never decided again |
//! | an accepted cause without a decision | decided now, under the rules of now |
//! | a bad mailbox without its suppression | suppressed now |
//! | a claim without an end | `in_doubt`: a final dot may have been sent; for good if it is the second doubt |
//! | a mail that was withdrawn | ended as withdrawn, or as in doubt if it was claimed; never tried again |
//! | a decided mail with bytes in the spool | a [`Survivor`]: back into its queue |
//! | a decided mail without bytes | rendered again: no dot was sent |

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use store::state::OutboxEntry;
use store::{Position, Record, Replay};
use types::catalogue::Catalogue;
use types::event::{AttemptEnded, Duty, Event, Origin, Outcome, Plan, SuppressionChanged, Verdict};
use types::id::{EventId, MessageId, PartitionId};
use types::order::Stream;
use types::port::{Admission, Mail, Request, Survivor};
use types::text::Line;
use types::time::Timestamp;

use crate::desk::Entry;
use crate::desks::Desks;
use crate::mail::Asked;
use crate::settings::{InDoubt, Settings};
use crate::{Deps, StartError};

/// Records folded before their turn is handed to state.
const REPLAY_TURN: usize = 1024;

/// An accepted cause that has no decision.
#[derive(Clone, Debug)]
pub(crate) struct Undecided {
    pub(crate) id: EventId,
    pub(crate) partition: PartitionId,
    pub(crate) wall: Timestamp,
    pub(crate) event: Event,
}

/// What a recovered runner starts with.
#[derive(Debug, Default)]
pub(crate) struct Open {
    /// To be decided.
    pub(crate) undecided: Vec<Undecided>,
    /// To be recorded.
    pub(crate) settled: Vec<(PartitionId, Event)>,
    /// To be rendered again.
    pub(crate) unrendered: Vec<(PartitionId, MessageId, OutboxEntry)>,
    /// To be queued again.
    pub(crate) survivors: Vec<Survivor>,
}

/// Folds what state missed into the desks of each runner. Returns what is open in each, and the last position read.
///
/// What came since the last time that every cause had its decision is still to be handed to state, together with the
/// decisions that are now made: state that passed a cause alone would keep it undecided if the process ended here.
pub(crate) fn replay(
    deps: &Deps,
    runners: &mut [Desks],
    replay: Replay,
) -> Result<(Vec<Open>, Option<Position>), StartError> {
    let mut opens: Vec<_> = runners.iter().map(|_| Opening::default()).collect();
    let mut turn = 0;
    let mut last = None;
    for record in replay {
        let record = record.map_err(StartError::Replay)?;
        let owner = runners
            .iter()
            .position(|desks| desks.range().contains(&record.partition.number()));
        if let Event::CartChanged(changed) = &record.event {
            let others = runners.iter_mut().enumerate().filter(|(at, _)| Some(*at) != owner);
            others.for_each(|(_, desks)| desks.carts.leave_name(changed.shop, &changed.id));
        }
        let Some((desks, open)) = owner.and_then(|owner| runners.get_mut(owner).zip(opens.get_mut(owner))) else {
            continue;
        };
        let entry = Entry {
            id: record.id,
            partition: record.partition,
            wall: record.wall,
            event: &record.event,
            payload: record.payload.clone(),
        };
        open.follow(&record, desks)?;
        desks.apply(&entry).map_err(StartError::State)?;
        deps.store.catalogue().apply(&desks.changes.take());
        last = Some(record.position);
        turn += 1;
        if turn >= REPLAY_TURN && opens.iter().all(|open| open.undecided.is_empty()) {
            hand_over(deps, runners, record.position);
            turn = 0;
        }
    }
    Ok((opens.into_iter().map(Opening::ends).collect(), last))
}

/// Blocks until state has all that is in the journal.
pub(crate) fn catch_up(deps: &Deps) -> Result<(), StartError> {
    let reached = deps.runtime.block_on(deps.store.fold_reached(Duration::MAX));
    reached.then_some(()).ok_or(StartError::Failed)
}

fn hand_over(deps: &Deps, runners: &mut [Desks], position: Position) {
    for desks in runners {
        let turn = desks.end_turn(position);
        deps.store.state().submit(turn);
    }
}

/// Causes whose effects have not been seen yet in the replay.
#[derive(Debug, Default)]
struct Opening {
    undecided: BTreeMap<EventId, Undecided>,
    suppressions: Vec<(PartitionId, SuppressionChanged)>,
}

impl Opening {
    fn follow(&mut self, record: &Record, desks: &mut Desks) -> Result<(), StartError> {
        match record.event.duty() {
            Duty::Decide => {
                let cause = Undecided {
                    id: record.id,
                    partition: record.partition,
                    wall: record.wall,
                    event: record.event.clone(),
                };
                self.undecided.insert(record.id, cause);
            }
            Duty::Decided(cause) => {
                self.undecided.remove(&cause);
            }
            Duty::Suppress(ended) => {
                let person = desks
                    .mails
                    .recipient_of(record.partition, ended.message)
                    .map_err(StartError::State)?;
                let owed = person.and_then(|person| policy::person::after_outcome(person, ended));
                self.suppressions.extend(owed.map(|owed| (record.partition, owed)));
            }
            Duty::Suppressed(changed) => self.suppressions.retain(|(_, owed)| owed != changed),
            Duty::Nothing => {}
        }
        Ok(())
    }

    fn ends(self) -> Open {
        Open {
            undecided: self.undecided.into_values().collect(),
            settled: self
                .suppressions
                .into_iter()
                .map(|(partition, owed)| (partition, Event::SuppressionChanged(owed)))
                .collect(),
            ..Open::default()
        }
    }
}

/// Sorts the mails that are not terminal: what is doubtful, what must be made again, what goes back into its queue.
pub(crate) fn sort_outbox(
    deps: &Deps,
    settings: &Settings,
    range: &Range<u16>,
    open: &mut Open,
) -> Result<(), StartError> {
    let now = deps.clock.now();
    for row in deps.store.state().outbox().of(range.clone()) {
        let (partition, message, entry) = row.map_err(StartError::State)?;
        if entry.claimed {
            let retry = match (entry.stream, settings.in_doubt) {
                _ if entry.withdrawn || entry.doubted => None,
                (Stream::Promotional, InDoubt::Hold) => None,
                (Stream::Transactional, _) | (Stream::Promotional, InDoubt::Retry) => {
                    Some(now + settings.in_doubt_wait)
                }
            };
            open.settled.push((partition, in_doubt(message, &entry, retry)));
            if let Some(due) = retry {
                open.survivors.push(Survivor {
                    due,
                    doubted: true,
                    ..survivor(partition, message, &entry)
                });
            }
        } else if entry.withdrawn {
            open.settled
                .push((partition, ended(message, &entry, Outcome::Withdrawn, "withdrawn")));
        } else if deps.store.spool().contains(message) {
            open.survivors.push(survivor(partition, message, &entry));
        } else {
            open.unrendered.push((partition, message, entry));
        }
    }
    Ok(())
}

fn in_doubt(message: MessageId, entry: &OutboxEntry, retry: Option<Timestamp>) -> Event {
    let reply = "the process ended between the claim and the receiver's answer";
    ended(message, entry, Outcome::InDoubt { retry }, reply)
}

fn ended(message: MessageId, entry: &OutboxEntry, outcome: Outcome, reply: &str) -> Event {
    Event::AttemptEnded(Box::new(AttemptEnded {
        message,
        attempt: entry.attempts,
        outcome,
        reply: Line::try_from(reply).expect("a short line of ASCII"),
        peer: Line::default(),
        tls: None,
    }))
}

fn survivor(partition: PartitionId, message: MessageId, entry: &OutboxEntry) -> Survivor {
    Survivor {
        partition,
        message,
        attempts: entry.attempts,
        due: entry.due,
        expires: entry.expires,
        stream: entry.stream,
        accepted_at: entry.accepted_at,
        doubted: entry.doubted,
    }
}

/// Gives mails without bytes to the outbox again, as they were decided.
pub(crate) fn render_again(
    deps: &Deps,
    unrendered: Vec<(PartitionId, MessageId, OutboxEntry)>,
) -> Result<(), StartError> {
    let mut catalogues: BTreeMap<u64, Arc<Catalogue>> = BTreeMap::new();
    for (partition, message, entry) in unrendered {
        let Some((plan, shop)) = plan_of(deps, partition, message)? else {
            tracing::error!(
                mail = ?message,
                "a queued mail has no decision in its timeline and cannot be made again"
            );
            continue;
        };
        let Some((request, origin)) = request_of(deps, partition, entry.cause)? else {
            tracing::error!(
                mail = ?message,
                "a queued mail has no cause in its timeline and cannot be made again"
            );
            continue;
        };
        let catalogue = if let Some(catalogue) = catalogues.get(&plan.catalogue) {
            Arc::clone(catalogue)
        } else {
            let catalogue = Arc::new(
                deps.store
                    .state()
                    .catalogue()
                    .at(plan.catalogue)
                    .map_err(StartError::State)?,
            );
            catalogues.insert(plan.catalogue, Arc::clone(&catalogue));
            catalogue
        };
        let asked = Asked {
            partition,
            cause: entry.cause,
            accepted_at: entry.accepted_at,
            shop,
            request,
            origin,
            catalogue,
            admission: Admission::default(),
        };
        deps.outbox.submit(Mail {
            doubted: entry.doubted,
            ..asked.mail(plan)
        });
    }
    Ok(())
}

fn plan_of(
    deps: &Deps,
    partition: PartitionId,
    message: MessageId,
) -> Result<Option<(Plan, types::id::ShopNumber)>, StartError> {
    let timeline = deps
        .store
        .state()
        .histories()
        .of(partition, message.event())
        .map_err(StartError::State)?;
    Ok(timeline.into_iter().find_map(|stored| match stored.event {
        Event::Decided(decided) => match decided.verdict {
            Verdict::Send(plan) => Some((plan, decided.shop)),
            Verdict::Refuse(_) => None,
        },
        _ => None,
    }))
}

fn request_of(
    deps: &Deps,
    partition: PartitionId,
    cause: EventId,
) -> Result<Option<(Request, Option<Origin>)>, StartError> {
    let timeline = deps
        .store
        .state()
        .histories()
        .of(partition, cause)
        .map_err(StartError::State)?;
    Ok(timeline.into_iter().find_map(|stored| match stored.event {
        Event::OrderAccepted(accepted) => Some((Request::Order(Arc::new(accepted.order)), None)),
        Event::MessageAccepted(accepted) => Some((Request::Message(Arc::new(accepted.request)), accepted.origin)),
        _ => None,
    }))
}
