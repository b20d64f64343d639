//! The sending side of a session.
//!
//! # The dialogue
//!
//! Greeting, EHLO (HELO if refused), STARTTLS if wanted and offered, then transactions. Where the peer offers
//! PIPELINING, a message costs one round trip once the session runs: its body, its final dot and the envelope of the
//! next message leave together, and the peer answers them together.
//!
//! ```text
//! C: MAIL 1 RCPT 1 DATA                  S: 250 250 354
//! C: body 1 . MAIL 2 RCPT 2 DATA         S: 250 250 250 354
//! C: body 2 .                            S: 250
//! ```
//!
//! Some peers hold that nothing may follow a final dot before its reply, since what does may be a message's text that a
//! misread end of data turned into commands. They answer all of it with 503. That says nothing of the message, so
//! its envelope is said again, once, after RSET; and from then on the session says each envelope in its turn.
//!
//! # The gate
//!
//! A body is written as soon as the peer answers 354, but its final dot only after [`Client::finish_data`] was given the
//! proof that the message may be sent. Without the dot the peer must not deliver (RFC 5321 §4.1.1.4), so a session
//! that is dropped before has sent nothing.
//!
//! # Ends
//!
//! Each message that was pushed ends in exactly one [`End`], at the latest when the session closes. It is
//! [`End::InDoubt`] exactly if any byte of its final dot was, or may have been, written and no reply to it came
//! (RFC 1047).
//!
//! # Distrust
//!
//! A reply counts only if its command was fully written before it came; anything else closes the session. So an extra
//! `250` is never taken for the answer to a final dot that was not sent.

mod dialogue;
mod pipeline;
mod progress;
mod transaction;
mod transactions;

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use types::address::EmailAddress;

use crate::body::Body;
use crate::reply::{Capabilities, ReplyParser};
use transaction::Transaction;
use transactions::Transactions;

pub use progress::{Closing, End, Event, ProtocolFault, Step, Unsuitable};

/// Proof that a message's final dot may be sent. Its makers see to it that nothing else can make one.
pub trait Proof {
    /// Returns the key of the message that it frees, as given to [`Client::push`].
    fn key(&self) -> u64;
}

/// What a client says of itself, how long it waits, and whether it asks for TLS.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name in EHLO: ours, fully qualified.
    pub helo: String,
    /// Whether STARTTLS is used.
    pub tls: Tls,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// When the next message's envelope is said.
    pub envelopes: Envelopes,
}

/// When the envelope of the next message is said, where the peer offers PIPELINING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelopes {
    /// Together with the final dot of the message before (RFC 2920 §3.1).
    Ahead,
    /// After the reply to that dot.
    InTurn,
}

/// Whether STARTTLS is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// If the peer offers it.
    Opportunistic,
    /// Never.
    Never,
}

/// How long the peer may take for each step; the defaults are the minima of RFC 5321 §4.5.3.2.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until the greeting (§4.5.3.2.1).
    pub greeting: Duration,
    /// For the answers to EHLO, HELO and STARTTLS.
    pub hello: Duration,
    /// For the answer to MAIL (§4.5.3.2.2), and to RSET.
    pub mail: Duration,
    /// For the answer to RCPT (§4.5.3.2.3).
    pub rcpt: Duration,
    /// For the answer to DATA (§4.5.3.2.4).
    pub data: Duration,
    /// For each block of what we send to be taken (§4.5.3.2.5).
    pub block: Duration,
    /// For the answer to the final dot (§4.5.3.2.6). Shorter means duplicates: slow receivers have already taken it.
    pub dot: Duration,
    /// For the answer to QUIT.
    pub quit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            greeting: Duration::from_mins(5),
            hello: Duration::from_mins(5),
            mail: Duration::from_mins(5),
            rcpt: Duration::from_mins(5),
            data: Duration::from_mins(2),
            block: Duration::from_mins(3),
            dot: Duration::from_mins(10),
            quit: Duration::from_secs(5),
        }
    }
}

impl Timeouts {
    /// Returns how long the answer to a step may take.
    const fn of(&self, step: Step) -> Duration {
        match step {
            Step::Greeting => self.greeting,
            Step::Hello | Step::StartTls => self.hello,
            Step::Idle | Step::Rset | Step::Mail => self.mail,
            Step::Rcpt => self.rcpt,
            Step::Data => self.data,
            Step::Body => self.block,
            Step::Dot => self.dot,
            Step::Quit => self.quit,
        }
    }
}

/// The sending side of one session; `P` is the proof that frees a final dot.
#[derive(Debug)]
pub struct Client<P> {
    settings: Settings,
    parser: ReplyParser,
    transactions: Transactions,
    phase: Phase,
    proof: PhantomData<fn(P)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Greeting,
    Ehlo,
    Helo,
    StartTlsAsked,
    Handshake,
    Ready,
    Quitting,
    Closed,
}

impl<P: Proof> Client<P> {
    /// Begins a session on a connection that was just made: waits for the greeting.
    pub fn new(settings: Settings, now: Instant) -> Self {
        Self {
            parser: ReplyParser::default(),
            transactions: Transactions::new(settings.envelopes, now),
            phase: Phase::Greeting,
            proof: PhantomData,
            settings,
        }
    }

    /// Adds a message to those that this session sends, in order. It may be pushed before the session is ready.
    pub fn push(&mut self, key: u64, from: Option<&EmailAddress>, to: &EmailAddress, body: Body, now: Instant) {
        self.transactions.push(Transaction::new(key, from, to, body));
        match self.phase {
            Phase::Closed => self.transactions.end_all(),
            Phase::Ready => self.transactions.advance(now),
            _ => {}
        }
    }

    /// Frees the final dot of one message: from now on it may be sent.
    ///
    /// False if that message has ended, for example by a refusal.
    #[expect(clippy::needless_pass_by_value, reason = "a proof is spent by its use")]
    pub fn finish_data(&mut self, proof: P, now: Instant) -> bool {
        let is_here = self.transactions.free(proof.key());
        if is_here && self.phase == Phase::Ready {
            self.transactions.advance(now);
        }
        is_here
    }

    /// Takes a message back that has not been started. False if it has, or is not here.
    pub fn take_back(&mut self, key: u64) -> bool {
        self.transactions.take_back(key)
    }

    /// Returns how many messages were pushed and have not ended.
    pub fn pending(&self) -> usize {
        self.transactions.len()
    }

    /// Returns the key of the oldest message that has not ended.
    pub fn oldest(&self) -> Option<u64> {
        self.transactions.oldest().map(|transaction| transaction.key)
    }

    /// Returns whether transactions can begin.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Returns whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Returns whether the session is ready and nothing is pending or unanswered.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Ready && self.transactions.is_idle()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.transactions.events.pop_front()
    }

    /// Returns what is to be written now; report what was with [`Self::wrote`].
    pub fn output(&self) -> &[u8] {
        self.transactions.pipeline.output()
    }

    /// Notes that the first `count` bytes of [`Self::output`] were written, or may have been.
    ///
    /// A driver that cannot tell how much a failed write has sent, as under TLS, reports all.
    pub fn wrote(&mut self, count: usize, now: Instant) {
        self.transactions.pipeline.wrote(count, now);
    }

    /// Returns when [`Self::on_deadline`] wants to be called, unless something else happens first.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.phase == Phase::Closed {
            return None;
        }
        let (pipeline, timeouts) = (&self.transactions.pipeline, &self.settings.timeouts);
        if let Some(since) = pipeline.blocked_since() {
            return Some(since + timeouts.block);
        }
        let limit = match self.phase {
            Phase::Handshake => timeouts.hello,
            _ => timeouts.of(pipeline.due()?),
        };
        Some(pipeline.waiting_since() + limit)
    }

    /// Ends the session if its deadline has passed.
    pub fn on_deadline(&mut self, now: Instant) {
        if self.next_deadline().is_some_and(|deadline| deadline <= now) {
            let at = self.step();
            self.close(if at == Step::Quit {
                Closing::Quit
            } else {
                Closing::Timeout { at }
            });
        }
    }

    /// Takes bytes that the peer sent.
    pub fn receive(&mut self, mut input: &[u8], now: Instant) {
        if self.phase == Phase::Handshake {
            return self.break_off(self.step(), ProtocolFault::Injection);
        }
        while !input.is_empty() && self.phase != Phase::Closed {
            match self.parser.feed(&mut input) {
                Ok(false) => return,
                Ok(true) => self.on_reply(input.is_empty(), now),
                Err(fault) => self.break_off(self.step(), fault.into()),
            }
        }
    }

    /// Notes that the peer closed the connection, or that reading or writing failed.
    pub fn connection_lost(&mut self) {
        let at = self.step();
        self.close(if at == Step::Quit {
            Closing::Quit
        } else {
            Closing::Closed { at }
        });
    }

    /// Drops the session: messages without a final dot are interrupted, the others in doubt.
    pub fn abort(&mut self) {
        self.close(Closing::Aborted);
    }

    /// Goes on inside TLS: EHLO is asked again, as what was offered in the clear proves nothing (RFC 3207 §4.2).
    pub fn tls_established(&mut self, now: Instant) {
        if self.phase == Phase::Handshake {
            self.say_hello(now);
        }
    }

    /// Ends the session as TLS could not be set up.
    pub fn tls_failed(&mut self, cause: &str) {
        self.close(Closing::Tls(crate::reply::printable(cause.as_bytes())));
    }

    /// Says QUIT when nothing is pending; otherwise does nothing and returns false.
    pub fn quit(&mut self, now: Instant) -> bool {
        if self.is_idle() {
            self.transactions.pipeline.command(b"QUIT\r\n", Step::Quit, now);
            self.phase = Phase::Quitting;
        }
        self.phase == Phase::Quitting
    }

    /// Returns where the dialogue stands.
    pub fn step(&self) -> Step {
        match self.phase {
            Phase::Handshake => Step::StartTls,
            _ => self.transactions.step(),
        }
    }
}
