//! The runners: one writer for each partition. A runner folds events into rows of state and asks [`policy`] what they cause.
//!
//! # A turn
//!
//! A runner is a thread that owns a range of partitions. It works in turns. In a turn it takes the submissions that wait in its inbox. It
//! records each event: it adds the event to the turn's batch and folds it into its desks. Then it asks [`policy`] what the event causes, and
//! records the answers in the same way. At the end of the turn it appends the whole batch to the journal in one append.
//!
//! ```text
//!  for each event                              at the end of the turn
//!
//!  inbox ─► take ─► Turn::record ─┬─► batch    batch ─► journal.append ─┬─► outbox, webhooks   (overlap the sync)
//!                       ▲         └─► desks                             ├─► receipts           (sent by the commit)
//!                       │              │       desks ─► settle ─────────┴─► state.submit       (written after the commit)
//!                       └─── decide ◄──┘
//! ```
//!
//! A runner waits for no sync. It hands a decided mail to the [`Outbox`] while the sync is under way: no session sends a mail's
//! final dot before the mail's claim is durable, and the claim comes after the decision in the journal. The commit itself answers the
//! callers that wait. The state store applies the turn's changes after the commit, in order, together with the turn's position.
//!
//! # The parts
//!
//! A desk keeps the rows of one subject. An event goes over all desks twice, in the order of this table: first each desk looks, then each
//! desk applies. Deciders read the desks, ask [`policy`] and record its answers. They own no rows.
//!
//! | folder | desk | keeps | deciders |
//! |---|---|---|---|
//! | `person` | `Persons` | what each person may be sent; suppression lists | |
//! | `mail` | `Mails` | mails after their decision: opens, clicks, verdicts, landings | `decide.rs`: orders and messages |
//! | `mail/outbox.rs` | `Outbox` | mails until they end | |
//! | `lead` | `Leads` | first visits and leads | `verdicts.rs`: verdicts, leads, settlements |
//! | `workflow` | `Instances` | contacts' ways through workflows | `engine.rs`, `reactions.rs`, `sends.rs`, `sweeps.rs` |
//! | `cart` | `Carts` | carts, and the names that shops gave them | `remind.rs`: reminders, orders that close carts |
//! | `contact` | `Contacts` | what each shop knows of a person | |
//! | `history` | `Histories` | each object's events, whom it is about, claimed names, erasures | |
//! | `tally` | `Tallies` | statistics, and how many mails showed each campaign | |
//! | `catalogue` | `Changes` | changes of the catalogue until they are durable | |
//! | `timers` | `Timers` | timers; those that are due soon are in `wheel` | |
//!
//! | file | is |
//! |---|---|
//! | `desk.rs` | the trait of a desk, and `Told`: the facts about one event that desks write for each other |
//! | `desks.rs` | the list of all desks, and their order |
//! | `turn.rs` | `Turn`: what one append records. `Context`: settings, clock, ports and metrics, which deciders need beside the desks |
//! | `runner.rs` | the loop; `runner/take.rs`: what a submission is recorded as, and who decides on it |
//! | `recovery.rs` | what a start does before it accepts anything |
//! | `memory.rs` | rows that state does not have yet |
//! | `metrics.rs`, `settings.rs` | as everywhere |
//!
//! # What a runner does, and when
//!
//! **Orders come first.** Opens and clicks have a lane of their own, which a runner drains behind its inbox. Whether one may be recorded
//! follows from the mail's row and the person's state, in the same turn.
//!
//! **About once a second** a runner looks at the mails that are due: it judges their opens and clicks, decides on landings and settles
//! leads, all as records of one turn. A mail's row says what is due. So a crash between two of these records loses nothing.
//!
//! **Timers** of workflows and carts are rows of state; those that are due soon are in a wheel in memory. Between two turns of the inbox a
//! runner fires a bounded number of due timers, so that neither keeps the other waiting. A timer is valid only while its owner has the
//! epoch with which the timer was armed.
//!
//! **An event of a contact** sets off the contact's carts, then its ways through workflows, then the workflows that it begins. Their
//! records may set off more. The runner works all of it off in the turn of the event, so one append holds it whole or not at all.
//!
//! **After a crash** state is behind the journal. [`Scheduler::start`] folds what state has not seen, without deciding:
//! decisions are records too and are applied as they stand. Then it settles what was under way: a claim without an end
//! becomes `in_doubt`; an accepted cause without a decision is decided now; a decided mail without bytes is made again;
//! the rest goes back to its queue.
//!
//! Deliberately absent: rules (they are `policy`'s), and anything that talks to the network.

mod cart;
mod catalogue;
mod contact;
mod desk;
mod desks;
mod history;
mod lead;
mod mail;
mod memory;
mod metrics;
mod person;
mod recovery;
mod runner;
mod settings;
mod tally;
mod timers;
mod turn;
// Public for its bench alone: a bench sees what any other crate sees.
#[doc(hidden)]
pub mod wheel;
mod workflow;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use prometheus::Registry;
use store::{Replay, Store};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use types::port::{Outbox, Survivor, Webhooks};
use types::time::Clock;
use types::withdrawals::Withdrawals;

pub use crate::settings::{InDoubt, Settings};

use crate::desks::Desks;
use crate::metrics::Metrics;
use crate::runner::Runner;
use crate::tally::Meters;
use crate::turn::Context;

/// What the runners need from outside.
pub struct Deps {
    /// Journal, state, inboxes and catalogue.
    pub store: Store,
    /// Takes decided mails to be made, signed and sent.
    pub outbox: Arc<dyn Outbox>,
    /// Calls shops' pages for webhook steps.
    pub webhooks: Arc<dyn Webhooks>,
    /// Mails whose persons withdrew; the tracker reads it.
    pub withdrawals: Arc<Withdrawals>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are registered.
    pub registry: Registry,
    /// The runtime whose timers and wake-ups the runners use.
    pub runtime: Handle,
    /// Where the runners work.
    pub place: Place,
    /// What is left to chance is drawn from it: the same events under the same seed are decided in the same way.
    pub seed: u64,
}

/// Where the runners work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Each on a thread of its own.
    #[default]
    Threads,
    /// All as tasks of the runtime: for a simulation, whose runtime has one thread.
    Tasks,
}

impl std::fmt::Debug for Deps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deps")
    }
}

/// The running runners.
#[derive(Debug)]
pub struct Scheduler {
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    /// Asks each runner to look at what is due.
    asks: Vec<mpsc::Sender<oneshot::Sender<usize>>>,
}

/// Why the runners could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal could not be replayed.
    #[error("replaying the journal: {0}")]
    Replay(#[source] store::ReplayError),
    /// State could not be read.
    #[error("reading state: {0}")]
    State(#[source] store::StateError),
    /// A write, a sync or a read failed while state caught up; the log says which.
    #[error("the store has failed")]
    Failed,
    /// The operating system gave no thread.
    #[error("starting a runner's thread: {0}")]
    Thread(#[source] std::io::Error),
}

impl Scheduler {
    /// Recovers state from the journal and starts a runner per inbox of the store. Blocks until recovery is done.
    ///
    /// Returns the mails whose bytes are in the spool, to be put back into their queues.
    pub fn start(settings: &Settings, deps: Deps, replay: Replay) -> Result<(Self, Vec<Survivor>), StartError> {
        let seed = deps.seed;
        let deps = Arc::new(deps);
        let metrics = Arc::new(Metrics::register(&deps.registry));
        let meters = Arc::new(Meters::default());
        let inboxes = deps.store.intake().take_inboxes();

        let desks = |range: &Range<u16>| Desks::new(range.clone(), &deps.store, Arc::clone(&deps.withdrawals));
        let mut desks = inboxes
            .iter()
            .map(|(range, _)| desks(range))
            .collect::<Result<Vec<_>, _>>()
            .map_err(StartError::State)?;
        let (opens, last) = recovery::replay(&deps, &mut desks, replay)?;
        for desks in &desks {
            desks.tallies.publish(&meters);
        }
        let mut runners: Vec<_> = desks
            .into_iter()
            .enumerate()
            .map(|(number, desks)| {
                let context = Context {
                    settings: settings.clone(),
                    visitors: deps.store.secrets().visitor_keyer(),
                    deps: Arc::clone(&deps),
                    meters: Arc::clone(&meters),
                    metrics: Arc::clone(&metrics),
                };
                // Each has chance of its own.
                let seed = seed.wrapping_add(number as u64);
                Runner::new(desks, context, metrics.per_runner.of(number), seed)
            })
            .collect();
        for (runner, open) in runners.iter_mut().zip(&opens) {
            runner.decide_recovered(&open.undecided, last);
        }
        recovery::catch_up(&deps)?;

        let stop = CancellationToken::new();
        let (mut threads, mut tasks) = (Vec::new(), Vec::new());
        let mut asks = Vec::new();
        let mut survivors = Vec::new();
        for (((_, inbox), mut runner), mut open) in inboxes.into_iter().zip(runners).zip(opens) {
            recovery::sort_outbox(&deps, settings, runner.range(), &mut open)?;
            survivors.append(&mut open.survivors);
            runner.settle(open.settled);
            recovery::render_again(&deps, open.unrendered)?;
            let (stop, runtime, store) = (stop.clone(), deps.runtime.clone(), deps.store.clone());
            let (ask, asked) = mpsc::channel(1);
            asks.push(ask);
            if deps.place == Place::Tasks {
                tasks.push(deps.runtime.spawn(runner.run(inbox, asked, stop)));
                continue;
            }
            let thread = std::thread::Builder::new().name(format!("runner-{}", threads.len()));
            // Filters of shops' workflows run here.
            let thread = thread.stack_size(policy::STACK_BYTES);
            threads.push(
                thread
                    .spawn(move || {
                        let run = AssertUnwindSafe(|| runtime.block_on(runner.run(inbox, asked, stop)));
                        if catch_unwind(run).is_err() {
                            // Its partitions would stand still for ever; a restart has them go on.
                            store.fail("a runner", &"it panicked");
                        }
                    })
                    .map_err(StartError::Thread)?,
            );
        }
        let scheduler = Self {
            stop,
            threads,
            tasks,
            asks,
        };
        Ok((scheduler, survivors))
    }

    /// Has every runner judge, decide and settle what is due now by the clock, as they do by themselves about once a second.
    /// Returns how many mails they looked at; all is in the journal then, and not yet durable.
    pub async fn tick(&self) -> usize {
        let mut looked = 0;
        for ask in &self.asks {
            let (answer, answered) = oneshot::channel();
            // A runner that has ended looks at nothing any more.
            if ask.send(answer).await.is_ok() {
                looked += answered.await.unwrap_or(0);
            }
        }
        looked
    }

    /// Closes the inboxes, lets the runners finish what is in them, and waits for their tasks.
    pub async fn drain_tasks(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a runner ended badly");
            }
        }
    }

    /// Closes the inboxes, lets the runners finish what is in them, and waits for their threads. Blocks.
    pub fn drain(self) {
        self.stop.cancel();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a runner ended by a panic; its inbox is lost, its journal is not");
            }
        }
    }
}
