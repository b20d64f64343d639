//! One session with a site: connected, kept warm, given messages, and what came of them.
//!
//! A task per session. It takes small batches of messages, submits the claims on them, and meanwhile has the machine
//! of [`smtp::client`] say MAIL, RCPT, DATA and the body. Each claim that becomes durable frees its message's final dot. If
//! a claim cannot be recorded, the connection is dropped: without the dot nothing was sent.

mod broken;
mod connect;
mod link;
mod outcome;

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use foldhash::fast::FixedState;
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use smtp::body::Body;
use smtp::client::{Closing, End, Event, Proof, Step};
use tokio::sync::Notify;
use types::event::{AttemptClaimed, FailureClass, Outcome};
use types::id::{Attempt, MessageId};
use types::provider::Provider;
use types::time::Timestamp;

use crate::ledger::NotRecorded;
use crate::queue::{Fresh, Settled, SiteId, Taken, Turn};
use crate::session::link::Link;
use crate::session::outcome::{Decided, Evidence, Lost, Sender, SiteFailure};
use crate::shared::Shared;

/// Proof that a message's bytes and this session's claim on it are on stable storage: its final dot may be sent.
#[derive(Debug)]
pub(crate) struct DurableClaim {
    message: MessageId,
    /// Nothing outside this module makes one.
    _seal: (),
}

impl Proof for DurableClaim {
    fn key(&self) -> u64 {
        self.message.raw()
    }
}

type Recorded = std::pin::Pin<Box<dyn Future<Output = (MessageId, Result<(), NotRecorded>)> + Send>>;

/// An established session at work.
struct Session {
    shared: Arc<Shared>,
    site: Site,
    link: Link,
    notify: Arc<Notify>,
    messages: HashMap<u64, InFlight, FixedState>,
    /// Messages of the last batch that are not begun.
    batch: VecDeque<Taken>,
    claims: FuturesUnordered<Recorded>,
    /// Messages that were taken so far.
    taken: u32,
    /// What the session has shown of the site so far.
    evidence: Evidence,
    /// The queues count on this session to ask for messages.
    coming: bool,
    /// No more messages are taken.
    last: bool,
    /// A begun message whose dot must not be sent. When it is the oldest, the connection is dropped.
    doomed: Option<u64>,
}

/// Whom a session speaks to.
struct Site {
    id: SiteId,
    name: Arc<str>,
    provider: Provider,
}

/// A message that this session has.
struct InFlight {
    taken: Taken,
    /// When its final dot was freed, for the time to its reply.
    freed_at: Option<tokio::time::Instant>,
}

/// Opens a session to a site, works until there is no more work, and closes it.
pub(crate) async fn run(shared: Arc<Shared>, site: SiteId) {
    let Some((target, provider, name)) = shared.with(|queue, _| queue.site(site).map(|site| site.endpoint())) else {
        return;
    };
    let opened = tokio::select! {
        biased;
        opened = AssertUnwindSafe(connect::open(&shared, &target)).catch_unwind() => {
            opened.unwrap_or_else(|_| Err(connect::OpenFault::new(FailureClass::Internal, broken::WHY)))
        }
        () = shared.tasks.stop.cancelled() => Err(connect::OpenFault::aborted()),
    };
    match opened {
        Err(fault) if fault.class == FailureClass::ForbiddenAddress => {
            tracing::warn!(site = %name, why = %fault.why, "site refused: its addresses are inside");
            shared.with(|queue, now| queue.at(site).forbid(&fault.why, now));
        }
        Err(fault) => {
            tracing::info!(site = %name, why = %fault.why, "no session");
            let wait = fault.wait;
            let random = shared.chance.draw();
            shared.with(|queue, now| {
                queue.at(site).open_failed(fault.class, &fault.why, wait, now, random);
            });
        }
        Ok(link) => {
            shared.with(|queue, _| {
                if let Some(site) = queue.site(site) {
                    site.opened();
                }
            });
            let notify = Arc::new(Notify::new());
            let mut session = Session {
                shared: Arc::clone(&shared),
                site: Site {
                    id: site,
                    name,
                    provider,
                },
                link,
                notify: Arc::clone(&notify),
                messages: HashMap::default(),
                batch: VecDeque::new(),
                claims: FuturesUnordered::new(),
                taken: 0,
                evidence: Evidence::None,
                coming: true,
                last: false,
                doomed: None,
            };
            if AssertUnwindSafe(session.work()).catch_unwind().await.is_err() {
                session.broke().await;
            }
            let coming = session.coming;
            drop(session);
            shared.with(|queue, now| queue.at(site).session_closed(&notify, coming, now));
        }
    }
}

/// What a session waited for and got.
enum Got {
    Io,
    Claim(MessageId, Result<(), NotRecorded>),
    Woken,
    Aborted,
}

impl Session {
    async fn work(&mut self) {
        let mut idle_since = tokio::time::Instant::now();
        loop {
            if self.handle_events().await {
                return;
            }
            if self.doomed.is_some() && self.doomed == self.link.client.oldest() {
                self.link.client.abort();
                continue;
            }
            if !self.last && self.wants_more() {
                if self.take_more().await {
                    continue;
                }
                if self.handle_events().await {
                    return;
                }
            }
            if !self.link.client.is_idle() {
                idle_since = tokio::time::Instant::now();
            } else if self.last {
                self.link.quit();
            }
            let idle_until = idle_since + self.shared.settings.idle_limit;
            let idle = self.link.client.is_idle() && !self.last;
            match self.wait(idle.then_some(idle_until)).await {
                Some(Got::Io | Got::Woken) => {}
                Some(Got::Claim(message, recorded)) => self.on_claim(message, recorded),
                Some(Got::Aborted) => self.link.client.abort(),
                // Idle for long enough, unless a message has just woken this session.
                None => {
                    let (site, notify) = (self.site.id, Arc::clone(&self.notify));
                    self.last |= self
                        .shared
                        .with(|queue, _| queue.site(site).is_none_or(|site| site.retire(&notify)));
                }
            }
        }
    }

    /// Returns whether another batch should be taken: before the last one is through, so that its claims are on
    /// their way while this one is sent.
    fn wants_more(&self) -> bool {
        self.link.client.is_ready()
            && self.claims.is_empty()
            && self.link.client.pending() <= self.shared.settings.window_max / 2
    }

    /// Takes a batch, pushes it, and submits the claims. True if there was any.
    async fn take_more(&mut self) -> bool {
        let (site, notify, pending) = (self.site.id, Arc::clone(&self.notify), self.messages.len());
        let (taken, coming) = (self.taken, self.coming);
        let turn = self.shared.with(|queue, now| {
            let per_connection = queue.site(site).map_or(1, |site| site.per_connection());
            match per_connection.saturating_sub(taken) as usize {
                0 => None,
                room => Some(queue.at(site).take(&notify, room, pending, coming, now)),
            }
        });
        if turn.is_some() {
            self.coming = false;
        }
        let mut batch = match turn {
            Some(Turn::Work(batch)) => batch,
            Some(Turn::Wait) => {
                if self.evidence == Evidence::None && self.messages.is_empty() {
                    self.evidence = Evidence::Unneeded;
                }
                return false;
            }
            Some(Turn::Close) | None => {
                self.last = true;
                return false;
            }
        };
        self.taken += u32::try_from(batch.len()).unwrap_or(u32::MAX);
        if batch.iter().any(|taken| taken.fresh.is_none()) {
            let (read, unreadable) = read_spool(Arc::clone(&self.shared), batch).await;
            for (taken, cause) in unreadable {
                self.defer_unreadable(taken, &cause).await;
            }
            batch = read;
        }
        self.batch = batch.into();
        while let Some(mut taken) = self.batch.pop_front() {
            let Some(fresh) = taken.fresh.take() else {
                let why = "its bytes are not in the spool";
                self.fail_internal(taken, why).await;
                continue;
            };
            let body = match Body::try_from(fresh.bytes) {
                Ok(body) => body,
                Err(cause) => {
                    self.fail_internal(taken, &cause.to_string()).await;
                    continue;
                }
            };
            let (message, partition) = (taken.message, taken.partition);
            let claim = AttemptClaimed {
                message,
                attempt: Attempt(taken.attempts + 1),
            };
            let key = message.raw();
            self.messages.insert(key, InFlight { taken, freed_at: None });
            self.link.push(key, fresh.reverse_path.as_ref(), &fresh.recipient, body);
            let recorded = self.shared.ledger.claim(partition, claim);
            self.claims.push(Box::pin(async move { (message, recorded.await) }));
        }
        true
    }

    /// Frees a final dot, or sees to it that none is sent.
    fn on_claim(&mut self, message: MessageId, recorded: Result<(), NotRecorded>) {
        let key = message.raw();
        let Some(in_flight) = self.messages.get_mut(&key) else {
            return;
        };
        let (site, slot) = (self.site.id, in_flight.taken.slot);
        match recorded {
            Err(cause) => {
                tracing::warn!(mail = ?message, %cause, "a claim was not recorded: no final dot is sent");
                let why = "a claim could not be recorded";
                let (class, random) = (FailureClass::Internal, self.shared.chance.draw());
                self.shared.with(|queue, now| {
                    queue.at(site).throttle(class, why, Duration::ZERO, now, random);
                });
            }
            Ok(()) if self.shared.with(|queue, _| queue.may_finish(slot)) => {
                in_flight.freed_at = Some(tokio::time::Instant::now());
                return self.link.free(DurableClaim { message, _seal: () });
            }
            // Withdrawn since it was taken.
            Ok(()) => {}
        }
        if self.link.client.take_back(key) {
            self.messages.remove(&key);
            self.shared.with(|queue, now| queue.settle(slot, Settled::Again, now));
        } else {
            // The peer has part of it: only dropping the connection keeps it from having it all.
            self.doomed.get_or_insert(key);
            self.last = true;
        }
    }

    /// Waits for bytes, claims, being woken, or until `idle_until`, which is `None`.
    async fn wait(&mut self, idle_until: Option<tokio::time::Instant>) -> Option<Got> {
        let Self {
            link,
            claims,
            notify,
            shared,
            ..
        } = self;
        let mut woken = pin!(notify.notified());
        let mut aborted = pin!(shared.tasks.abort.cancelled());
        poll_fn(|cx| {
            // Before any byte goes out: so a claim stands in its runner's inbox before the end that a quick refusal brings,
            // and is not taken for a claim that has not ended.
            if let Poll::Ready(Some((message, recorded))) = claims.poll_next_unpin(cx) {
                return Poll::Ready(Some(Got::Claim(message, recorded)));
            }
            if link.poll(cx, idle_until).is_ready() {
                return Poll::Ready(if link.is_idle_over(idle_until) {
                    None
                } else {
                    Some(Got::Io)
                });
            }
            if idle_until.is_some() && woken.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Some(Got::Woken));
            }
            if aborted.as_mut().poll(cx).is_ready() && !link.client.is_closed() {
                return Poll::Ready(Some(Got::Aborted));
            }
            Poll::Pending
        })
        .await
    }

    /// Handles what the machine tells. True if the session is over.
    async fn handle_events(&mut self) -> bool {
        let mut ends = Vec::new();
        let mut closing = None;
        while let Some(event) = self.link.client.poll_event() {
            match event {
                Event::Ended { key, end } => ends.push((key, end)),
                Event::Closed(cause) => closing = Some(cause),
                Event::AheadRefused(reply) => self.on_ahead_refused(&reply),
                Event::Ready(_) | Event::StartTls => {}
            }
        }
        if closing.is_some() {
            // Claims that are not yet handed over are never recorded; those that are come before what is told now.
            self.claims = FuturesUnordered::new();
        }
        self.weigh(&ends);
        // The site waits before any message goes back to it: or a session would be opened for each.
        let held_until = closing.as_ref().and_then(|closing| self.on_closing(closing));
        let proven = self.evidence == Evidence::Served;
        let lost = ends.iter().position(|(_, end)| !is_served(end) && !is_untried(end));
        // Those that were interrupted go back to the head of their list: the last one first, so that they keep their order.
        let (interrupted, ended): (Vec<_>, Vec<_>) = ends
            .into_iter()
            .enumerate()
            .partition(|(_, (_, end))| matches!(end, End::Interrupted { .. }));
        for (at, (key, end)) in ended.into_iter().chain(interrupted.into_iter().rev()) {
            if let Some(in_flight) = self.messages.remove(&key) {
                let lost = Lost {
                    closing: closing.as_ref(),
                    proven,
                    first: lost == Some(at),
                    held_until,
                };
                self.on_end(in_flight, end, &lost).await;
            }
        }
        closing.is_some()
    }

    /// Notes what the ends of messages show of the site.
    fn weigh(&mut self, ends: &[(u64, End)]) {
        if self.evidence == Evidence::Served {
            return;
        }
        if ends.iter().any(|(_, end)| is_served(end)) {
            self.evidence = Evidence::Served;
            let site = self.site.id;
            self.shared.with(|queue, now| queue.at(site).served(now));
        } else if !ends.iter().all(|(_, end)| is_untried(end)) {
            self.evidence = Evidence::Failed;
        }
    }

    /// Remembers that a host wants each envelope in its turn. The message that met it is still this session's.
    fn on_ahead_refused(&self, reply: &smtp::reply::Reply) {
        tracing::info!(peer = %self.link.peer, %reply, "an envelope that came with the dot before it was refused; going on one by one");
        let memory = self.shared.settings.ahead_refusal_memory;
        self.shared
            .hosts
            .refused_ahead(&self.link.host, self.shared.now(), memory);
    }

    async fn on_end(&mut self, in_flight: InFlight, end: End, lost: &Lost<'_>) {
        let InFlight { taken, freed_at } = in_flight;
        let accepted = matches!(end, End::Accepted(_));
        let now = self.shared.now();
        let mut decided = outcome::decide(
            &Sender {
                settings: &self.shared.settings,
                now,
                random: self.shared.chance.draw(),
            },
            &taken,
            &end,
            lost,
        );
        let doubtful = matches!(decided.outcome, Outcome::InDoubt { retry: Some(_) });
        if doubtful && !self.shared.with(|queue, _| queue.may_finish(taken.slot)) {
            // Withdrawn after its dot: it is not tried again, but the peer may have it, which must not be hidden.
            decided.outcome = Outcome::InDoubt { retry: None };
            decided.settled = Settled::Over;
        }
        if accepted {
            if let Some(freed_at) = freed_at {
                self.shared
                    .metrics
                    .final_reply
                    .observe(freed_at.elapsed().as_secs_f64());
            }
            let seconds = now.since(taken.accepted_at).as_secs_f64();
            self.shared.metrics.delivered_after(seconds, &taken, self.site.provider);
        }
        let ended = decided.ended(&taken, &self.link.peer, self.link.tls_version());
        if matches!(decided.settled, Settled::Over) {
            self.settle(&taken, &decided);
            self.shared.tell(taken.partition, self.site.provider, ended).await;
            return;
        }
        // The end is handed over before the message can be claimed again. One that was withdrawn meanwhile is told of by
        // the queues.
        if self.shared.with(|queue, _| queue.may_finish(taken.slot)) {
            self.shared.tell(taken.partition, self.site.provider, ended).await;
        }
        self.settle(&taken, &decided);
    }

    fn settle(&mut self, taken: &Taken, decided: &Decided) {
        let site = self.site.id;
        let comes_back = self.messages.is_empty() && !self.last && !self.coming && self.link.client.is_ready();
        self.coming |= comes_back;
        self.shared.with(|queue, now| {
            if comes_back && let Some(site) = queue.site(site) {
                site.comes_back();
            }
            queue.settle(taken.slot, decided.settled, now);
            if let Some((class, wait, why)) = &decided.site {
                let random = self.shared.chance.draw();
                queue.at(site).throttle(*class, why, *wait, now, random);
            }
        });
    }

    /// Tells the queues what the session's end says of the site. Returns until when the site waits, if it does.
    fn on_closing(&self, closing: &Closing) -> Option<Timestamp> {
        let failure = outcome::site_failure(closing, self.evidence)?;
        let (site, why) = (self.site.id, format!("{}: {closing}", self.link.peer));
        let served = self.evidence == Evidence::Served;
        tracing::info!(site = %self.site.name, %why, served, "a session ended in a way that has the site wait");
        let random = self.shared.chance.draw();
        self.shared.with(|queue, now| match failure {
            SiteFailure::Limit(class, wait) => queue.at(site).throttle(class, &why, wait, now, random),
            SiteFailure::Nothing(class) => queue.at(site).session_failed(class, &why, now, random),
        })
    }

    /// A disk that does not answer now may do so later.
    async fn defer_unreadable(&mut self, taken: Taken, cause: &str) {
        tracing::error!(mail = ?taken.message, cause, "a spooled message cannot be read");
        self.defer(taken, "its bytes cannot be read").await;
    }

    /// Has a message wait for its next attempt because of us.
    async fn defer(&mut self, taken: Taken, why: &str) {
        let sender = Sender {
            settings: &self.shared.settings,
            now: self.shared.now(),
            random: self.shared.chance.draw(),
        };
        let decided = outcome::later(&sender, &taken, FailureClass::Internal, None, why);
        let ended = decided.ended(&taken, "", None);
        self.shared.tell(taken.partition, self.site.provider, ended).await;
        self.shared
            .with(|queue, now| queue.settle(taken.slot, decided.settled, now));
    }

    async fn fail_internal(&mut self, taken: Taken, why: &str) {
        tracing::error!(mail = ?taken.message, why, "a message cannot be sent");
        let outcome = Outcome::Failed {
            class: FailureClass::Internal,
        };
        let ended = outcome::ended(&taken, outcome, why, "", None);
        self.shared.tell(taken.partition, self.site.provider, ended).await;
        self.shared
            .with(|queue, now| queue.settle(taken.slot, Settled::Over, now));
    }
}

/// Returns whether the peer did its work: 421 only announces the end of a session, whatever was asked (RFC 5321 §3.8).
fn is_served(end: &End) -> bool {
    match end {
        End::Accepted(_) => true,
        End::Refused { reply, .. } => reply.code != 421,
        End::Unsuitable(_) | End::Interrupted { .. } | End::InDoubt => false,
    }
}

/// Returns whether nothing of a message was said.
fn is_untried(end: &End) -> bool {
    matches!(end, End::Unsuitable(_) | End::Interrupted { at: Step::Idle })
}

/// Reads what is no longer in memory. Returns those that may be sent or are not in the spool, and those that could not be
/// read, with the cause.
async fn read_spool(shared: Arc<Shared>, batch: Vec<Taken>) -> (Vec<Taken>, Vec<(Taken, String)>) {
    let reader = Arc::clone(&shared);
    let reading = shared.block_on_disk(move || {
        let (mut read, mut unreadable) = (Vec::with_capacity(batch.len()), Vec::new());
        for mut taken in batch {
            if taken.fresh.is_none() {
                reader.metrics.spool_reads.inc();
                let read = catch_unwind(AssertUnwindSafe(|| reader.ledger.read(taken.message)));
                match read.unwrap_or_else(|_| Err("reading it panicked".to_owned())) {
                    Ok(spooled) => {
                        taken.fresh = spooled.map(|spooled| Fresh {
                            reverse_path: spooled.reverse_path,
                            recipient: spooled.recipient,
                            bytes: spooled.bytes,
                        });
                    }
                    Err(cause) => {
                        unreadable.push((taken, cause));
                        continue;
                    }
                }
            }
            read.push(taken);
        }
        (read, unreadable)
    });
    reading.await.unwrap_or_default()
}
