//! What the sending side does with each reply of the session itself: greeting, EHLO, STARTTLS, QUIT, and what fits nowhere.

use std::time::Instant;

use super::transactions::Unexpected;
use super::{Capabilities, Client, Closing, Event, Phase, Proof, ProtocolFault, Step, Tls};
use crate::reply::NotAReply;

impl<P: Proof> Client<P> {
    /// Handles the reply in the parser. `last` tells whether no byte came behind it.
    pub(super) fn on_reply(&mut self, last: bool, now: Instant) {
        let code = self.parser.reply().code;
        let Some(step) = self.transactions.pipeline.answered(now) else {
            return self.on_unasked();
        };
        // 421 announces the end of the session, whatever was asked (RFC 5321 §3.8). From RCPT on it is the message's
        // refusal too, so that one message cannot end every session for ever.
        if code == 421 && !matches!(step, Step::Rcpt | Step::Data | Step::Dot) {
            let reply = self.parser.take();
            return self.close(Closing::Refused { at: step, reply });
        }
        let cut_off = self.parser.is_cut_off();
        if cut_off && !matches!(step, Step::Mail | Step::Rcpt | Step::Data | Step::Dot) {
            return self.break_off(step, NotAReply::TooLong.into());
        }
        let outcome = match step {
            Step::Greeting if code == 220 => {
                self.say_hello(now);
                Ok(())
            }
            Step::Greeting => {
                self.refused_session(step);
                Ok(())
            }
            Step::Hello => {
                self.on_hello(now);
                Ok(())
            }
            Step::StartTls => {
                self.on_starttls(last, now);
                Ok(())
            }
            Step::Rset => self.transactions.on_reset(self.parser.reply()),
            Step::Mail | Step::Rcpt | Step::Data => self.transactions.on_envelope_reply(step, self.parser.reply(), now),
            Step::Dot => self.transactions.on_dot_reply(&mut self.parser),
            Step::Quit => return self.close(Closing::Quit),
            Step::Idle | Step::Body => Err(Unexpected),
        };
        if let Err(Unexpected) = outcome {
            let fault = ProtocolFault::Unexpected(self.parser.take());
            return self.break_off(step, fault);
        }
        if code == 421 && self.phase != Phase::Closed {
            let reply = self.parser.take();
            return self.close(Closing::Refused { at: step, reply });
        }
        if cut_off {
            // What it answers has its answer; what would come behind it cannot be told from it.
            return self.break_off(step, NotAReply::TooLong.into());
        }
        if self.phase == Phase::Ready {
            self.transactions.advance(now);
        }
    }

    /// A reply that nothing asked for: the end of the session, and perhaps an early refusal of the body.
    fn on_unasked(&mut self) {
        let reply = self.parser.take();
        if self.transactions.refuse_body(&reply) {
            return self.close(Closing::Refused { at: Step::Body, reply });
        }
        let at = self.step();
        if reply.code == 421 {
            return self.close(Closing::Refused { at, reply });
        }
        self.break_off(at, ProtocolFault::Unsolicited(reply));
    }

    pub(super) fn say_hello(&mut self, now: Instant) {
        let hello = format!("EHLO {}\r\n", self.settings.helo);
        self.phase = Phase::Ehlo;
        self.transactions.pipeline.command(hello.as_bytes(), Step::Hello, now);
    }

    fn on_hello(&mut self, now: Instant) {
        let reply = self.parser.reply();
        if reply.is_permanent() && self.phase == Phase::Ehlo {
            let hello = format!("HELO {}\r\n", self.settings.helo);
            self.phase = Phase::Helo;
            return self.transactions.pipeline.command(hello.as_bytes(), Step::Hello, now);
        }
        if !reply.is_positive() {
            return self.refused_session(Step::Hello);
        }
        if self.phase == Phase::Ehlo {
            self.transactions.capabilities = self.parser.capabilities();
        }
        if self.transactions.capabilities.starttls && self.settings.tls == Tls::Opportunistic {
            self.phase = Phase::StartTlsAsked;
            return self.transactions.pipeline.command(b"STARTTLS\r\n", Step::StartTls, now);
        }
        self.ready();
    }

    fn ready(&mut self) {
        self.phase = Phase::Ready;
        let offered = self.transactions.capabilities;
        self.transactions.events.push_back(Event::Ready(offered));
    }

    fn on_starttls(&mut self, last: bool, now: Instant) {
        if self.parser.reply().code != 220 {
            // The session goes on in the clear: the offer was opportunistic.
            return self.ready();
        }
        if !last {
            return self.break_off(self.step(), ProtocolFault::Injection);
        }
        self.phase = Phase::Handshake;
        self.transactions.pipeline.wait_from(now);
        // TLS is not asked for twice, and what was offered before is forgotten (RFC 3207 §4.2).
        self.settings.tls = Tls::Never;
        self.transactions.capabilities = Capabilities::default();
        self.transactions.events.push_back(Event::StartTls);
    }

    fn refused_session(&mut self, at: Step) {
        let reply = self.parser.take();
        if reply.is_temporary() || reply.is_permanent() {
            self.close(Closing::Refused { at, reply });
        } else {
            self.break_off(at, ProtocolFault::Unexpected(reply));
        }
    }

    /// Ends the session as the peer broke the protocol.
    pub(super) fn break_off(&mut self, at: Step, fault: ProtocolFault) {
        self.close(Closing::Protocol { at, fault });
    }

    /// Ends every message and the session.
    pub(super) fn close(&mut self, closing: Closing) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.transactions.end_all();
        self.transactions.events.push_back(Event::Closed(closing));
        self.transactions.pipeline.stop();
    }
}
