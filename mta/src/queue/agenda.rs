//! What is to be done outside the queues, or at a later moment.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;
use types::event::{AttemptEnded, Outcome};
use types::id::{Attempt, PartitionId};
use types::provider::Provider;
use types::text::Line;
use types::time::Timestamp;

use super::book::{Entry, Tick};
use super::domain::DomainId;
use super::line;
use super::site::SiteId;

/// Something to be done outside.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Ask DNS where a domain's mail goes, then [`Queue::resolved`](super::Queue::resolved).
    Resolve(DomainId, Arc<str>),
    /// Open one session to a site.
    Open(SiteId),
    /// Wake a session that waits for work.
    Wake(Arc<Notify>),
    /// Wake the keeper: there are ends to be recorded, or a moment came nearer.
    Keep,
}

/// A moment at which something besides a message is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    Domain(DomainId),
    Site(SiteId),
}

/// An end, or a deferral, that is to be recorded in the message's partition.
pub(crate) type Ended = (PartitionId, Provider, AttemptEnded);

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    effects: Vec<Effect>,
    ended: VecDeque<Ended>,
    looks: BinaryHeap<Reverse<(Tick, Look)>>,
}

impl Agenda {
    /// Takes what has to be done outside.
    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Takes the ends to be recorded.
    pub(super) fn take_ended(&mut self) -> Vec<Ended> {
        self.ended.drain(..).collect()
    }

    /// Has DNS be asked where a domain's mail goes.
    pub(super) fn resolve(&mut self, id: DomainId, name: Arc<str>) {
        self.effects.push(Effect::Resolve(id, name));
    }

    /// Has one session be opened to a site.
    pub(super) fn open(&mut self, site: SiteId) {
        self.effects.push(Effect::Open(site));
    }

    /// Has a session be woken that waits for work.
    pub(super) fn wake(&mut self, session: Arc<Notify>) {
        self.effects.push(Effect::Wake(session));
    }

    /// Has the keeper be woken.
    pub(super) fn wake_keeper(&mut self) {
        self.effects.push(Effect::Keep);
    }

    /// Has an outcome of a message be recorded that no session has.
    pub(super) fn record(&mut self, entry: &Entry, provider: Provider, outcome: Outcome, reply: &str) {
        let ended = AttemptEnded {
            message: entry.message,
            attempt: Attempt(entry.attempts),
            outcome,
            reply: line(reply),
            peer: Line::default(),
            tls: None,
        };
        self.ended.push_back((entry.partition, provider, ended));
        self.wake_keeper();
    }

    /// Has a domain or site be looked at again at `time`.
    pub(super) fn look(&mut self, look: Look, time: Timestamp) {
        self.looks.push(Reverse((Tick::at(time), look)));
        self.wake_keeper();
    }

    /// Returns what is to be looked at by `tick`, one thing a call.
    pub(super) fn due_look(&mut self, tick: Tick) -> Option<Look> {
        self.looks.peek().filter(|Reverse((at, _))| *at <= tick)?;
        self.looks.pop().map(|Reverse((_, look))| look)
    }

    /// Returns when something is to be looked at next.
    pub(super) fn next_look(&self) -> Option<Tick> {
        self.looks.peek().map(|Reverse((at, _))| *at)
    }
}
