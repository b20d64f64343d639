//! Mails over SMTP into a relay or a sink: pipelined, on kept sessions, as fast as they are taken or at a rate.
//!
//! Each mail is its [`Tag`]'s, stands in the ledger as asked for when it is due and as acknowledged when its 250 came, and carries
//! the digest of its body. What is refused for now is tried again, and what may have been taken before a session broke too; so a
//! relay that says 250 to a mail once has it once or twice, and the ledger tells which.

mod mail;
mod session;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use smtp::client::Envelopes;
use types::address::EmailAddress;

use crate::ledger::{Ledger, Tag};

pub(crate) use mail::mail;

/// How long one mail, or a connection, is tried.
const PATIENCE: Duration = Duration::from_mins(1);
/// The longest wait before what was refused is tried again; the first is [`RETRY_FIRST`], and each doubles it.
const RETRY_MAX: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_millis(50);

/// What is to be sent.
pub(crate) struct Injection<'a> {
    /// The mails, in order. It is asked for one only when that is to be sent, so it may also end by the clock.
    pub(crate) tags: &'a mut (dyn Iterator<Item = Tag> + Send),
    /// The reverse-path of all.
    pub(crate) from: EmailAddress,
    /// Who gets a mail; the local part must be its tag.
    pub(crate) recipient: &'a (dyn Fn(Tag) -> EmailAddress + Sync),
    /// Makes a mail; see [`mail()`].
    pub(crate) mail: &'a (dyn Fn(Tag, &EmailAddress) -> Vec<u8> + Sync),
    /// Connections at once.
    pub(crate) sessions: usize,
    /// When a session says the next envelope. Some receivers, Haraka for one, refuse what comes before their answer to the dot.
    pub(crate) envelopes: Envelopes,
    /// Mails a second. None: the next one as soon as a session is free.
    pub(crate) rate: Option<f64>,
    /// Where each is noted.
    pub(crate) ledger: &'a Ledger,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Injected {
    /// Mails answered with 250.
    pub(crate) accepted: u64,
    /// Mails refused for good.
    pub(crate) refused: u64,
    /// Mails given up after a minute.
    pub(crate) failed: u64,
    /// How often a mail was tried once more.
    pub(crate) retried: u64,
    /// How often a session broke behind a final dot, so that the mail may have been taken.
    pub(crate) in_doubt: u64,
    /// From the first mail to the last 250.
    pub(crate) seconds: f64,
    /// From when each was due to its 250, in microseconds.
    pub(crate) micros: Histogram<u64>,
    /// The first refusals' texts with their counts, to see what a relay minds.
    pub(crate) replies: BTreeMap<String, u64>,
}

impl Injected {
    /// Returns mails accepted a second.
    #[expect(clippy::cast_precision_loss, reason = "counts of mails are far below 2^52")]
    pub(crate) fn per_second(&self) -> f64 {
        self.accepted as f64 / self.seconds.max(1e-9)
    }
}

/// Sends all of it to `address` and returns when each mail has ended. Blocks; runs on a thread of its own.
pub(crate) fn inject(address: SocketAddr, injection: Injection<'_>) -> anyhow::Result<Injected> {
    std::thread::scope(|scope| {
        let all = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(inject_all(address, injection))
        };
        std::thread::Builder::new()
            .name("inject".to_owned())
            .spawn_scoped(scope, all)?
            .join()
            .map_err(|_| anyhow!("the injector broke"))?
    })
}

async fn inject_all(address: SocketAddr, injection: Injection<'_>) -> anyhow::Result<Injected> {
    let sessions = injection.sessions.max(1);
    let work = RefCell::new(Work::new(injection));
    try_join_all((0..sessions).map(|_| session::run(address, &work)))
        .await
        .with_context(|| format!("injecting into {address}"))?;
    Ok(work.into_inner().injected)
}

/// One mail on its way.
#[derive(Clone, Copy, Debug)]
struct Job {
    tag: Tag,
    due: Instant,
    tries: u32,
}

/// What a session is to do next.
enum Next {
    Send(Job),
    /// Nothing before this moment.
    Wait(Instant),
    /// Nothing any more.
    End,
}

/// What the sessions share: all of them run on one thread.
struct Work<'a> {
    injection: Injection<'a>,
    started: Instant,
    taken: u64,
    ended: bool,
    /// Mails that were taken up and have not ended, those in `again` included.
    open: u64,
    /// What is to be tried again, and when.
    again: Vec<(Instant, Job)>,
    injected: Injected,
}

impl<'a> Work<'a> {
    fn new(injection: Injection<'a>) -> Self {
        Self {
            injection,
            started: Instant::now(),
            taken: 0,
            ended: false,
            open: 0,
            again: Vec::new(),
            injected: Injected {
                accepted: 0,
                refused: 0,
                failed: 0,
                retried: 0,
                in_doubt: 0,
                seconds: 0.0,
                micros: Histogram::new(3).expect("three digits are allowed"),
                replies: BTreeMap::new(),
            },
        }
    }

    fn next(&mut self, now: Instant) -> Next {
        if let Some(place) = self.again.iter().position(|(at, _)| *at <= now) {
            let (_, job) = self.again.swap_remove(place);
            self.injected.retried += 1;
            return Next::Send(job);
        }
        let again_at = self.again.iter().map(|(at, _)| *at).min();
        if !self.ended {
            let due = match self.injection.rate {
                #[expect(clippy::cast_precision_loss, reason = "counts of mails are far below 2^52")]
                Some(rate) => self.started + Duration::from_secs_f64(self.taken as f64 / rate),
                None => now,
            };
            if due > now {
                return Next::Wait(again_at.map_or(due, |again| again.min(due)));
            }
            if let Some(tag) = self.injection.tags.next() {
                self.taken += 1;
                self.open += 1;
                self.injection.ledger.ask(tag, due);
                return Next::Send(Job { tag, due, tries: 0 });
            }
            self.ended = true;
        }
        match (again_at, self.open) {
            (Some(at), _) => Next::Wait(at),
            (None, 0) => Next::End,
            // Another session's mail may yet have to be tried again.
            (None, _) => Next::Wait(now + RETRY_FIRST),
        }
    }

    fn accept(&mut self, job: Job, now: Instant) {
        self.open -= 1;
        self.injection.ledger.acknowledge(job.tag, now);
        self.injected.accepted += 1;
        self.injected.seconds = now.duration_since(self.started).as_secs_f64();
        let micros = now.saturating_duration_since(job.due).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX).max(1);
        // `saturating_record` would cut off at what the histogram has room for so far instead of growing.
        self.injected.micros.record(micros).expect("it grows");
    }

    fn refuse(&mut self, reply: String) {
        self.open -= 1;
        self.injected.refused += 1;
        self.note(reply);
    }

    /// Has a mail tried again later, unless it was tried for long enough.
    fn put_back(&mut self, mut job: Job, now: Instant) {
        if now.saturating_duration_since(job.due) > PATIENCE {
            self.open -= 1;
            self.injected.failed += 1;
            return;
        }
        let wait = RETRY_FIRST * 2_u32.saturating_pow(job.tries.min(10));
        job.tries += 1;
        self.again.push((now + wait.min(RETRY_MAX), job));
    }

    fn note(&mut self, reply: String) {
        // Texts that hold an id are each their own; there may be no end to them.
        if self.injected.replies.len() < 20 || self.injected.replies.contains_key(&reply) {
            *self.injected.replies.entry(reply).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests;
