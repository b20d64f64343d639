//! The messages of a session, in the order in which they were pushed: what is said of each, and how each ends.

use std::collections::VecDeque;
use std::time::Instant;

use super::pipeline::Pipeline;
use super::transaction::{State, Transaction};
use super::{End, Envelopes, Event, Step};
use crate::reply::{Capabilities, Reply, ReplyParser};

/// The messages that have not ended, on a session whose dialogue they share.
#[derive(Debug)]
pub(super) struct Transactions {
    /// Oldest first.
    queue: VecDeque<Transaction>,
    pub(super) pipeline: Pipeline,
    pub(super) events: VecDeque<Event>,
    /// What the peer offers.
    pub(super) capabilities: Capabilities,
    envelopes: Envelopes,
    /// The last transaction was left open.
    reset_wanted: bool,
}

/// A reply that its command cannot have.
#[derive(Debug)]
pub(super) struct Unexpected;

impl Transactions {
    /// Begins without any.
    pub(super) fn new(envelopes: Envelopes, now: Instant) -> Self {
        Self {
            queue: VecDeque::new(),
            pipeline: Pipeline::new(now),
            events: VecDeque::new(),
            capabilities: Capabilities::default(),
            envelopes,
            reset_wanted: false,
        }
    }

    /// Adds a message. It is started by [`Transactions::advance`].
    pub(super) fn push(&mut self, transaction: Transaction) {
        self.queue.push_back(transaction);
    }

    /// Frees the final dot of one message; false if it is not here.
    pub(super) fn free(&mut self, key: u64) -> bool {
        let found = self.queue.iter_mut().find(|transaction| transaction.key == key);
        found.map(|transaction| transaction.freed = true).is_some()
    }

    /// Takes a message back that has not been started. False if it has, or is not here.
    pub(super) fn take_back(&mut self, key: u64) -> bool {
        let before = self.queue.len();
        self.queue.retain(|t| t.key != key || t.state != State::Waiting);
        self.queue.len() < before
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn oldest(&self) -> Option<&Transaction> {
        self.queue.front()
    }

    /// Returns whether nothing is pending or unanswered.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.pipeline.due().is_none()
    }

    /// Returns where the dialogue stands.
    pub(super) fn step(&self) -> Step {
        let of_oldest = || self.oldest().map_or(Step::Idle, Transaction::step);
        self.pipeline.due().unwrap_or_else(of_oldest)
    }

    /// Says whatever may be said now.
    pub(super) fn advance(&mut self, now: Instant) {
        let pipelining = self.capabilities.pipelining;
        if let Some(front) = self.queue.front_mut()
            && front.state == State::Body
            && front.freed
        {
            front.state = State::Dot;
            front.dot_from = self.pipeline.end();
            self.pipeline.command(b".\r\n", Step::Dot, now);
        }
        // The next envelope may follow a final dot whose reply is still due; nothing may follow a body without one.
        loop {
            let dot_due = self.queue.front().is_some_and(|t| t.state == State::Dot);
            let next = usize::from(dot_due);
            if dot_due && !(pipelining && self.envelopes == Envelopes::Ahead) {
                return;
            }
            let Some(transaction) = self.queue.get(next) else {
                return;
            };
            if transaction.state != State::Waiting {
                return;
            }
            if let Err(cause) = transaction.suits(self.capabilities) {
                if let Some(transaction) = self.queue.remove(next) {
                    let end = End::Unsuitable(cause);
                    self.events.push_back(Event::Ended {
                        key: transaction.key,
                        end,
                    });
                }
                continue;
            }
            return self.start(next, now);
        }
    }

    /// Says the envelope of a waiting transaction: all of it, or MAIL alone where the peer takes no pipelining.
    fn start(&mut self, index: usize, now: Instant) {
        if self.reset_wanted {
            if self.pipeline.last_due() == Some(Step::Rset) {
                return;
            }
            self.pipeline.command(b"RSET\r\n", Step::Rset, now);
            if !self.capabilities.pipelining {
                return;
            }
            self.reset_wanted = false;
        }
        let Some(transaction) = self.queue.get_mut(index) else {
            return;
        };
        transaction.ahead = index > 0;
        transaction.write_mail(self.capabilities, self.pipeline.out());
        if self.capabilities.pipelining {
            transaction.state = State::Envelope(Step::Data);
            let mail_end = self.pipeline.end();
            transaction.write_rcpt(self.pipeline.out());
            let rcpt_end = self.pipeline.end();
            self.pipeline.expect_at(Step::Mail, mail_end, now);
            self.pipeline.expect_at(Step::Rcpt, rcpt_end, now);
            self.pipeline.command(b"DATA\r\n", Step::Data, now);
        } else {
            transaction.state = State::Envelope(Step::Mail);
            self.pipeline.expect(Step::Mail, now);
        }
    }

    /// Handles the answer to RSET: no transaction is open.
    pub(super) fn on_reset(&mut self, reply: &Reply) -> Result<(), Unexpected> {
        if reply.code / 100 != 2 {
            return Err(Unexpected);
        }
        self.reset_wanted = false;
        Ok(())
    }

    /// Handles the answer to MAIL, RCPT or DATA of the oldest transaction.
    pub(super) fn on_envelope_reply(&mut self, step: Step, reply: &Reply, now: Instant) -> Result<(), Unexpected> {
        let pipelining = self.capabilities.pipelining;
        let refused = reply.is_temporary() || reply.is_permanent();
        let wanted = if step == Step::Data {
            reply.code == 354
        } else {
            reply.is_positive()
        };
        if !wanted && !refused {
            return Err(Unexpected);
        }
        let front = self.queue.front_mut().ok_or(Unexpected)?;
        if refused && front.refusal.is_none() {
            front.refusal = Some((step, reply.clone()));
            if front.too_early() {
                self.envelopes = Envelopes::InTurn;
                self.events.push_back(Event::AheadRefused(reply.clone()));
            }
        }
        if step == Step::Mail {
            front.opened = wanted;
        }
        let last_of_group = step == Step::Data || (refused && !pipelining);
        if !last_of_group {
            if !pipelining {
                let next = if step == Step::Mail { Step::Rcpt } else { Step::Data };
                front.state = State::Envelope(next);
                if next == Step::Rcpt {
                    front.write_rcpt(self.pipeline.out());
                } else {
                    self.pipeline.out().extend_from_slice(b"DATA\r\n");
                }
                self.pipeline.expect(next, now);
            }
            return Ok(());
        }
        match (&front.refusal, wanted) {
            // The peer answered 354 although it takes no recipient: a lone dot ends it (RFC 2920 §3.1). That message has
            // neither recipient nor content, so it needs no proof.
            (Some(_), true) => {
                front.state = State::EmptyDot;
                self.pipeline.command(b".\r\n", Step::Dot, now);
            }
            (Some(_), false) => self.end_refused(),
            (None, _) => {
                front.state = State::Body;
                front.write_body(self.pipeline.out());
                self.pipeline.appended(now);
            }
        }
        Ok(())
    }

    /// Handles the answer to a final dot, the reply in the parser.
    pub(super) fn on_dot_reply(&mut self, parser: &mut ReplyParser) -> Result<(), Unexpected> {
        let reply = parser.reply();
        if !(reply.is_positive() || reply.is_temporary() || reply.is_permanent()) {
            return Err(Unexpected);
        }
        if self.queue.front().is_some_and(|t| t.state == State::EmptyDot) {
            self.end_refused();
            return Ok(());
        }
        let Some(front) = self.queue.pop_front() else {
            return Ok(());
        };
        // The session still needs the one that ends it.
        let reply = if reply.code == 421 {
            reply.clone()
        } else {
            parser.take()
        };
        let end = if reply.is_positive() {
            End::Accepted(reply)
        } else {
            End::Refused { at: Step::Dot, reply }
        };
        self.events.push_back(Event::Ended { key: front.key, end });
        Ok(())
    }

    /// Takes a reply that nothing asked for as an early refusal of the body, if one is under way; returns whether it is.
    pub(super) fn refuse_body(&mut self, reply: &Reply) -> bool {
        let in_body = |front: &mut Transaction| front.state == State::Body && front.refusal.is_none();
        if !(reply.is_temporary() || reply.is_permanent()) {
            return false;
        }
        let Some(front) = self.queue.pop_front_if(in_body) else {
            return false;
        };
        let end = End::Refused {
            at: Step::Body,
            reply: reply.clone(),
        };
        self.events.push_back(Event::Ended { key: front.key, end });
        true
    }

    /// Ends the oldest transaction by its refusal, or lets it begin anew if it only came too early.
    fn end_refused(&mut self) {
        if let Some(front) = self.queue.front_mut()
            && front.too_early()
        {
            front.rewind();
            // We do not agree on where the dialogue stands; after RSET we do.
            self.reset_wanted = true;
            return;
        }
        let Some(front) = self.queue.pop_front() else {
            return;
        };
        // A transaction that MAIL opened and no accepted dot ended is still open, or may be.
        self.reset_wanted = front.opened;
        if let Some((at, reply)) = front.refusal {
            let end = End::Refused { at, reply };
            self.events.push_back(Event::Ended { key: front.key, end });
        }
    }

    /// Ends every message, as the session ends.
    pub(super) fn end_all(&mut self) {
        let written = self.pipeline.written();
        for transaction in self.queue.drain(..) {
            let opened = transaction.opened;
            let too_early = transaction.too_early();
            let end = match (transaction.state, transaction.refusal) {
                // As if no more than MAIL had been said: the peer took none of it in.
                (_, Some(_)) if too_early => End::Interrupted { at: Step::Mail },
                (_, Some((at, reply))) => End::Refused { at, reply },
                (State::Dot, None) if written > transaction.dot_from => End::InDoubt,
                (State::Dot, None) => End::Interrupted { at: Step::Body },
                (state, None) => End::Interrupted {
                    at: match state {
                        State::Waiting => Step::Idle,
                        State::Envelope(_) if !opened => Step::Mail,
                        State::Envelope(_) => Step::Rcpt,
                        State::Body | State::Dot | State::EmptyDot => Step::Body,
                    },
                },
            };
            self.events.push_back(Event::Ended {
                key: transaction.key,
                end,
            });
        }
    }
}
