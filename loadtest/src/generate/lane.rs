//! One load's way to the service: kept connections, the queue of requests that wait for one, and what becomes of each request.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::pacer::{Leg, Tick};
use super::{Counters, LoadOutcome, Origin};
use crate::books::Books;
use crate::http::{Answer, Connection};
use crate::ledger::Tag;
use crate::meter::Measure;
use crate::scenario::{Load, Send};

/// How long after it was due a request is tried again, as good clients do.
const TRIED_FOR: Duration = Duration::from_mins(1);
/// How long one try may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// The pauses between tries: the first, doubled each time, and the longest, also if the answer asks for a longer one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often it is looked whether what a request waits for has come.
const NOT_YET: Duration = Duration::from_millis(2);
/// Errors that are told in words.
const ERRORS_MAX: usize = 5;

/// A request, whole.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// Head and body.
    pub(super) bytes: Vec<u8>,
    /// The mail that it causes, and since when that mail is due.
    pub(super) mail: Option<(Tag, Instant)>,
}

/// What is to be sent for a tick.
#[derive(Clone, Debug)]
pub(super) enum Make {
    /// This.
    Request(Made),
    /// Something that cannot be known yet.
    NotYet,
    /// Nothing, and why.
    Nothing(&'static str),
}

/// Makes the requests of a load.
pub(super) trait Maker {
    /// Returns the request that is due. It is sent until it is answered; another is made only after [`Make::NotYet`].
    fn make(&self, tick: &Tick) -> Make;

    /// Learns from the answer to a request.
    fn answered(&self, _tick: &Tick, _answer: &Answer) {}

    /// Learns that a request failed for good.
    fn failed(&self, _tick: &Tick) {}
}

/// What all lanes of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    origin: Origin,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    /// Requests that were due and are not done.
    open: Cell<u64>,
    none_open: Notify,
    /// Answers by second since the first.
    seconds: RefCell<VecDeque<u64>>,
    began: Instant,
}

impl Shared {
    pub(super) fn new(origin: Origin, counters: Arc<Counters>, stop: Arc<AtomicBool>) -> Self {
        Self {
            origin,
            counters,
            stop,
            open: Cell::new(0),
            none_open: Notify::new(),
            seconds: RefCell::default(),
            began: Instant::now(),
        }
    }

    /// Waits until nothing is open, or it is to stop.
    pub(super) async fn done(&self) {
        while self.open.get() > 0 && !self.stops() {
            let _ = timeout(Duration::from_millis(50), self.none_open.notified()).await;
        }
    }

    /// Returns how many requests were answered in the busiest second.
    pub(super) fn busiest_second(&self) -> u64 {
        self.seconds.borrow().iter().copied().max().unwrap_or_default()
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn close(&self) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.none_open.notify_one();
        }
    }

    fn count_answer(&self, at: Instant) {
        let second = usize::try_from(at.saturating_duration_since(self.began).as_secs()).unwrap_or_default();
        let mut seconds = self.seconds.borrow_mut();
        if second >= seconds.len() {
            seconds.resize(second + 1, 0);
        }
        if let Some(count) = seconds.get_mut(second) {
            *count += 1;
        }
    }
}

/// One load at work.
pub(super) struct Lane {
    send: Send,
    maker: Box<dyn Maker>,
    address: SocketAddr,
    connections_max: usize,
    books: Books,
    /// Whether its latencies are figures.
    is_measured: bool,
    shared: Rc<Shared>,
    /// Connections that nobody uses, the last used first.
    idle: RefCell<Vec<Connection>>,
    /// Tasks at work, each with one connection at most.
    busy: Cell<usize>,
    /// What waits for a connection, the longest first. Bounded by the schedule.
    waiting: RefCell<VecDeque<Tick>>,
    counts: RefCell<LoadOutcome>,
}

impl Lane {
    pub(super) fn new(
        load: &Load,
        address: SocketAddr,
        maker: Box<dyn Maker>,
        books: Books,
        shared: Rc<Shared>,
    ) -> Self {
        Self {
            send: load.send,
            maker,
            address,
            connections_max: load.connections_max,
            books,
            is_measured: true,
            shared,
            idle: RefCell::default(),
            busy: Cell::new(0),
            waiting: RefCell::default(),
            counts: RefCell::new(LoadOutcome {
                send: load.send,
                asked: 0,
                answered: 0,
                failed: 0,
                retried: 0,
                waited: 0,
                by_status: BTreeMap::new(),
                errors: Vec::new(),
            }),
        }
    }

    /// The same, of which no latency is noted.
    pub(super) fn unmeasured(self) -> Self {
        Self {
            is_measured: false,
            ..self
        }
    }

    /// Takes a request that is due: on a free connection, on a new one if there may be more, or in the queue.
    pub(super) fn arrive(lane: &Rc<Self>, tick: Tick) {
        lane.counts.borrow_mut().asked += 1;
        lane.shared.counters.asked.fetch_add(1, Ordering::Relaxed);
        lane.shared.open.set(lane.shared.open.get() + 1);
        let idle = lane.idle.borrow_mut().pop();
        if idle.is_none() && lane.busy.get() >= lane.connections_max {
            lane.counts.borrow_mut().waited += 1;
            lane.waiting.borrow_mut().push_back(tick);
            return;
        }
        lane.busy.set(lane.busy.get() + 1);
        tokio::task::spawn_local(Rc::clone(lane).work(idle, tick));
    }

    /// Returns what was done.
    pub(super) fn outcome(&self) -> LoadOutcome {
        self.counts.borrow().clone()
    }

    /// Does one request, and whatever waits behind it.
    async fn work(self: Rc<Self>, mut connection: Option<Connection>, mut tick: Tick) {
        loop {
            self.ask(&mut connection, &tick).await;
            self.shared.close();
            let next = self.waiting.borrow_mut().pop_front();
            match next {
                Some(next) if !self.shared.stops() => tick = next,
                _ => break,
            }
        }
        self.busy.set(self.busy.get() - 1);
        self.idle.borrow_mut().extend(connection);
    }

    /// Asks until it is answered, or until there is no point in asking any more.
    async fn ask(&self, connection: &mut Option<Connection>, tick: &Tick) {
        let made = loop {
            match self.maker.make(tick) {
                Make::Request(made) => break made,
                Make::NotYet if Instant::now() < tick.due + TRIED_FOR && !self.shared.stops() => sleep(NOT_YET).await,
                Make::NotYet => return self.fail(tick, "what it waits for did not come".to_owned()),
                Make::Nothing(why) => return self.fail(tick, why.to_owned()),
            }
        };
        if let Some((tag, due)) = made.mail {
            self.books.ledger.ask(tag, due);
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let is_kept = connection.is_some();
            let tried = self.try_once(connection, &made.bytes).await;
            let wait = match &tried {
                Ok(answer) if matches!(answer.status, 429 | 503) => answer
                    .retry_after
                    .map_or(pause, |asked| asked.clamp(pause, LONGEST_PAUSE)),
                Ok(answer) => return self.conclude(tick, &made, answer),
                // A kept connection may have been closed meanwhile, which says nothing of the service.
                Err(_) if is_kept => Duration::ZERO,
                Err(_) => pause,
            };
            if Instant::now() + wait >= tick.due + TRIED_FOR || self.shared.stops() {
                let error = match tried {
                    Ok(answer) => format!("answered {} for a minute", answer.status),
                    Err(error) => format!("{error:#}"),
                };
                return self.fail(tick, error);
            }
            self.counts.borrow_mut().retried += 1;
            self.shared.counters.retried.fetch_add(1, Ordering::Relaxed);
            sleep(wait).await;
            if !wait.is_zero() {
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Sends the request once. Err: the connection is gone.
    async fn try_once(&self, connection: &mut Option<Connection>, request: &[u8]) -> anyhow::Result<Answer> {
        let exchange = async {
            let open = match connection.as_mut() {
                Some(open) => open,
                None => connection.insert(Connection::open(self.address).await?),
            };
            open.exchange(request).await
        };
        let answered = timeout(ANSWERED_WITHIN, exchange).await;
        match answered.context("no answer in time").flatten() {
            Ok(answer) => {
                if answer.closes {
                    *connection = None;
                }
                *self.counts.borrow_mut().by_status.entry(answer.status).or_default() += 1;
                Ok(answer)
            }
            Err(error) => {
                *connection = None;
                Err(error)
            }
        }
    }

    fn conclude(&self, tick: &Tick, made: &Made, answer: &Answer) {
        let (measure, expected) = what_counts(self.send, tick.leg);
        if answer.status != expected {
            let text = String::from_utf8_lossy(&answer.body);
            return self.fail(
                tick,
                format!(
                    "answered {}: {}",
                    answer.status,
                    text.chars().take(300).collect::<String>()
                ),
            );
        }
        let now = Instant::now();
        self.maker.answered(tick, answer);
        if let Some((tag, _)) = made.mail {
            self.books.ledger.acknowledge(tag, now);
            if let Some(id) = id_of(&answer.body) {
                self.books.ledger.name(tag, id);
            }
        }
        // What was due in the warm-up is no figure, even if it is answered later.
        if self.is_measured && tick.due >= self.shared.origin.instant {
            self.books
                .meters
                .note(measure, now, now.saturating_duration_since(tick.due));
        }
        self.shared.count_answer(now);
        self.counts.borrow_mut().answered += 1;
        self.shared.counters.answered.fetch_add(1, Ordering::Relaxed);
    }

    fn fail(&self, tick: &Tick, error: String) {
        self.maker.failed(tick);
        let mut counts = self.counts.borrow_mut();
        counts.failed += 1;
        if counts.errors.len() < ERRORS_MAX {
            counts.errors.push(error);
        }
        self.shared.counters.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns the id in an accept's answer, which begins with it: `{"id":"…"`.
fn id_of(body: &[u8]) -> Option<&[u8]> {
    let rest = body.strip_prefix(br#"{"id":""#)?;
    rest.split(|byte| *byte == b'"').next()
}

/// Returns what an answer is a measure of, and the status that it is to have.
const fn what_counts(send: Send, leg: Leg) -> (Measure, u16) {
    match (send, leg) {
        (Send::Orders, _) => (Measure::OrderAccepted, 202),
        (Send::Messages, _) => (Measure::MessageAccepted, 202),
        (Send::Timers, _) => (Measure::TimerArmed, 202),
        (Send::Opens, _) => (Measure::Open, 200),
        (Send::Clicks, _) | (Send::Landings, Leg::Click) => (Measure::Click, 302),
        (Send::Landings, Leg::Main) => (Measure::Landing, 204),
    }
}
