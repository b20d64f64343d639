//! What the sending side does with each reply, and what it says next.

use std::time::Instant;

use super::transaction::State;
use super::{Client, Closing, End, Envelopes, Event, Expected, Phase, Proof, ProtocolFault, Step, Tls};
use crate::reply::NotAReply;

impl<P: Proof> Client<P> {
    /// Handles the reply in the parser. `last` tells whether no byte came behind it.
    pub(super) fn on_reply(&mut self, last: bool, now: Instant) {
        let code = self.parser.reply().code;
        let written = self.out_base + self.out_written as u64;
        let asked = self.expected.front().filter(|expected| expected.after <= written);
        let Some(step) = asked.map(|expected| expected.step) else {
            return self.on_unasked();
        };
        self.expected.pop_front();
        self.waiting_since = now;
        // 421 announces the end of the session, whatever was asked (RFC 5321 §3.8). From RCPT on it is the message's
        // refusal too, so that one message cannot end every session for ever.
        if code == 421 && !matches!(step, Step::Rcpt | Step::Data | Step::Dot) {
            let reply = self.parser.take();
            return self.close(Closing::Refused { at: step, reply });
        }
        let cut_off = self.parser.is_cut_off();
        if cut_off && !matches!(step, Step::Mail | Step::Rcpt | Step::Data | Step::Dot) {
            return self.endless(step);
        }
        match step {
            Step::Greeting => self.on_greeting(now),
            Step::Hello => self.on_hello(now),
            Step::StartTls => self.on_starttls(last, now),
            Step::Rset if code / 100 == 2 => self.reset_wanted = false,
            Step::Mail | Step::Rcpt | Step::Data => self.on_envelope_reply(step, now),
            Step::Dot => self.on_dot_reply(),
            Step::Quit => return self.close(Closing::Quit),
            Step::Idle | Step::Rset | Step::Body => return self.unexpected(step),
        }
        if code == 421 && self.phase != Phase::Closed {
            let reply = self.parser.take();
            return self.close(Closing::Refused { at: step, reply });
        }
        if cut_off {
            // What it answers has its answer; what would come behind it cannot be told from it.
            return self.endless(step);
        }
        self.advance(now);
    }

    /// A reply that nothing asked for: the end of the session, and perhaps an early refusal of the body.
    fn on_unasked(&mut self) {
        let reply = self.parser.take();
        let in_body = self
            .transactions
            .front()
            .is_some_and(|t| t.state == State::Body && t.refusal.is_none());
        if in_body && (reply.is_temporary() || reply.is_permanent()) {
            if let Some(front) = self.transactions.pop_front() {
                let end = End::Refused {
                    at: Step::Body,
                    reply: reply.clone(),
                };
                self.events.push_back(Event::Ended { key: front.key, end });
            }
            return self.close(Closing::Refused { at: Step::Body, reply });
        }
        if reply.code == 421 {
            let at = self.step();
            return self.close(Closing::Refused { at, reply });
        }
        self.break_off(ProtocolFault::Unsolicited(reply));
    }

    fn on_greeting(&mut self, now: Instant) {
        if self.parser.reply().code == 220 {
            return self.say_hello(now);
        }
        self.refused_session(Step::Greeting);
    }

    pub(super) fn say_hello(&mut self, now: Instant) {
        let hello = format!("EHLO {}\r\n", self.settings.helo);
        self.phase = Phase::Ehlo;
        self.command(hello.as_bytes(), Step::Hello, now);
    }

    fn on_hello(&mut self, now: Instant) {
        let reply = self.parser.reply();
        if reply.is_permanent() && self.phase == Phase::Ehlo {
            let hello = format!("HELO {}\r\n", self.settings.helo);
            self.phase = Phase::Helo;
            return self.command(hello.as_bytes(), Step::Hello, now);
        }
        if !reply.is_positive() {
            return self.refused_session(Step::Hello);
        }
        if self.phase == Phase::Ehlo {
            self.capabilities = self.parser.capabilities();
        }
        if self.capabilities.starttls && self.settings.tls == Tls::Opportunistic {
            self.phase = Phase::StartTlsAsked;
            return self.command(b"STARTTLS\r\n", Step::StartTls, now);
        }
        self.ready();
    }

    fn ready(&mut self) {
        self.phase = Phase::Ready;
        self.events.push_back(Event::Ready(self.capabilities));
    }

    fn on_starttls(&mut self, last: bool, now: Instant) {
        if self.parser.reply().code != 220 {
            // The session goes on in the clear: the offer was opportunistic.
            return self.ready();
        }
        if !last {
            return self.break_off(ProtocolFault::Injection);
        }
        self.phase = Phase::Handshake;
        self.waiting_since = now;
        // TLS is not asked for twice, and what was offered before is forgotten (RFC 3207 §4.2).
        self.settings.tls = Tls::Never;
        self.capabilities = super::Capabilities::default();
        self.events.push_back(Event::StartTls);
    }

    fn refused_session(&mut self, at: Step) {
        let reply = self.parser.take();
        if reply.is_temporary() || reply.is_permanent() {
            self.close(Closing::Refused { at, reply });
        } else {
            let fault = ProtocolFault::Unexpected(reply);
            self.close(Closing::Protocol { at, fault });
        }
    }

    /// Handles the answer to MAIL, RCPT or DATA of the oldest transaction.
    fn on_envelope_reply(&mut self, step: Step, now: Instant) {
        let pipelining = self.capabilities.pipelining;
        let reply = self.parser.reply();
        let refused = reply.is_temporary() || reply.is_permanent();
        let wanted = if step == Step::Data {
            reply.code == 354
        } else {
            reply.is_positive()
        };
        if !wanted && !refused {
            return self.unexpected(step);
        }
        let Some(front) = self.transactions.front_mut() else {
            return self.unexpected(step);
        };
        if refused && front.refusal.is_none() {
            front.refusal = Some((step, self.parser.reply().clone()));
            if front.too_early() {
                self.settings.envelopes = Envelopes::InTurn;
                self.events.push_back(Event::AheadRefused(self.parser.reply().clone()));
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
                    front.write_rcpt(&mut self.out);
                } else {
                    self.out.extend_from_slice(b"DATA\r\n");
                }
                self.expect(next, now);
            }
            return;
        }
        match (&front.refusal, wanted) {
            // The peer answered 354 although it takes no recipient: a lone dot ends it (RFC 2920 §3.1). That message has
            // neither recipient nor content, so it needs no proof.
            (Some(_), true) => {
                front.state = State::EmptyDot;
                self.out.extend_from_slice(b".\r\n");
                self.expect(Step::Dot, now);
            }
            (Some(_), false) => self.end_refused(),
            (None, _) => {
                front.state = State::Body;
                front.write_body(&mut self.out);
                self.out_since = now;
            }
        }
    }

    /// Ends the oldest transaction by its refusal, or lets it begin anew if it only came too early.
    fn end_refused(&mut self) {
        if let Some(front) = self.transactions.front_mut()
            && front.too_early()
        {
            front.rewind();
            // We do not agree on where the dialogue stands; after RSET we do.
            self.reset_wanted = true;
            return;
        }
        let Some(front) = self.transactions.pop_front() else {
            return;
        };
        // A transaction that MAIL opened and no accepted dot ended is still open, or may be.
        self.reset_wanted = front.opened;
        if let Some((at, reply)) = front.refusal {
            let end = End::Refused { at, reply };
            self.events.push_back(Event::Ended { key: front.key, end });
        }
    }

    fn on_dot_reply(&mut self) {
        let reply = self.parser.reply();
        if !(reply.is_positive() || reply.is_temporary() || reply.is_permanent()) {
            return self.unexpected(Step::Dot);
        }
        if self.transactions.front().is_some_and(|t| t.state == State::EmptyDot) {
            return self.end_refused();
        }
        let Some(front) = self.transactions.pop_front() else {
            return;
        };
        let reply = if reply.code == 421 {
            reply.clone()
        } else {
            self.parser.take()
        };
        let end = if reply.is_positive() {
            End::Accepted(reply)
        } else {
            End::Refused { at: Step::Dot, reply }
        };
        self.events.push_back(Event::Ended { key: front.key, end });
    }

    /// Says whatever may be said now.
    pub(super) fn advance(&mut self, now: Instant) {
        if self.phase != Phase::Ready {
            return;
        }
        let pipelining = self.capabilities.pipelining;
        if let Some(front) = self.transactions.front_mut()
            && front.state == State::Body
            && front.freed
        {
            front.state = State::Dot;
            front.dot_from = self.out_base + self.out.len() as u64;
            self.out.extend_from_slice(b".\r\n");
            self.expect(Step::Dot, now);
        }
        // The next envelope may follow a final dot whose reply is still due; nothing may follow a body without one.
        loop {
            let dot_due = self.transactions.front().is_some_and(|t| t.state == State::Dot);
            let next = usize::from(dot_due);
            if dot_due && !(pipelining && self.settings.envelopes == Envelopes::Ahead) {
                return;
            }
            let Some(transaction) = self.transactions.get(next) else {
                return;
            };
            if transaction.state != State::Waiting {
                return;
            }
            if let Err(cause) = transaction.suits(self.capabilities) {
                if let Some(transaction) = self.transactions.remove(next) {
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
            if self.expected.back().is_some_and(|expected| expected.step == Step::Rset) {
                return;
            }
            self.command(b"RSET\r\n", Step::Rset, now);
            if !self.capabilities.pipelining {
                return;
            }
            self.reset_wanted = false;
        }
        let Some(transaction) = self.transactions.get_mut(index) else {
            return;
        };
        transaction.ahead = index > 0;
        transaction.write_mail(self.capabilities, &mut self.out);
        if self.capabilities.pipelining {
            transaction.state = State::Envelope(Step::Data);
            let mail_end = self.out_base + self.out.len() as u64;
            transaction.write_rcpt(&mut self.out);
            let rcpt_end = self.out_base + self.out.len() as u64;
            self.expect_at(Step::Mail, mail_end, now);
            self.expect_at(Step::Rcpt, rcpt_end, now);
            self.command(b"DATA\r\n", Step::Data, now);
        } else {
            transaction.state = State::Envelope(Step::Mail);
            self.expect(Step::Mail, now);
        }
    }

    pub(super) fn command(&mut self, command: &[u8], step: Step, now: Instant) {
        self.out.extend_from_slice(command);
        self.expect(step, now);
    }

    /// Expects a reply to what the output ends with.
    fn expect(&mut self, step: Step, now: Instant) {
        let after = self.out_base + self.out.len() as u64;
        self.expect_at(step, after, now);
    }

    fn expect_at(&mut self, step: Step, after: u64, now: Instant) {
        if self.expected.is_empty() {
            self.waiting_since = now;
            self.out_since = now;
        }
        self.expected.push_back(Expected { step, after });
    }

    fn endless(&mut self, at: Step) {
        let fault = ProtocolFault::Reply(NotAReply::TooLong);
        self.close(Closing::Protocol { at, fault });
    }

    fn unexpected(&mut self, at: Step) {
        let fault = ProtocolFault::Unexpected(self.parser.take());
        self.close(Closing::Protocol { at, fault });
    }

    pub(super) fn break_off(&mut self, fault: ProtocolFault) {
        let at = self.step();
        self.close(Closing::Protocol { at, fault });
    }

    /// Ends every message and the session.
    pub(super) fn close(&mut self, closing: Closing) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.end_all();
        self.events.push_back(Event::Closed(closing));
        self.out.truncate(self.out_written);
        self.expected.clear();
    }

    pub(super) fn end_all(&mut self) {
        let written = self.out_base + self.out_written as u64;
        for transaction in self.transactions.drain(..) {
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
