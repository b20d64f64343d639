//! One message on its way through a session.

use types::address::EmailAddress;

use super::{Step, Unsuitable};
use crate::body::Body;
use crate::reply::{Capabilities, Enhanced, Reply};

/// A message that was pushed and has not ended.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) key: u64,
    from: Option<EmailAddress>,
    to: EmailAddress,
    body: Body,
    pub(super) state: State,
    /// Its final dot may be sent.
    pub(super) freed: bool,
    /// Its envelope was said before the reply to the final dot before it.
    pub(super) ahead: bool,
    /// MAIL was accepted.
    pub(super) opened: bool,
    /// What refused it while later replies are still due.
    pub(super) refusal: Option<(Step, Reply)>,
    /// How many bytes were written before the first one of its final dot.
    pub(super) dot_from: u64,
}

/// How far a transaction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing was put into the output.
    Waiting,
    /// MAIL, or all of MAIL, RCPT and DATA, are in the output or beyond.
    Envelope(Step),
    /// The body too, without the final dot.
    Body,
    /// The final dot too.
    Dot,
    /// The dot that ends a transaction without recipients (RFC 2920 §3.1).
    EmptyDot,
}

impl Transaction {
    pub(super) fn new(key: u64, from: Option<&EmailAddress>, to: &EmailAddress, body: Body) -> Self {
        Self {
            key,
            from: from.cloned(),
            to: to.clone(),
            body,
            state: State::Waiting,
            freed: false,
            ahead: false,
            opened: false,
            refusal: None,
            dot_from: u64::MAX,
        }
    }

    /// Returns whether what refused it says only that it came too early: a disagreement about the protocol, no verdict.
    pub(super) fn too_early(&self) -> bool {
        self.ahead
            && self
                .refusal
                .as_ref()
                .is_some_and(|(_, reply)| is_out_of_sequence(reply))
    }

    /// Makes it as if nothing of it had been said. Its body was not.
    pub(super) fn rewind(&mut self) {
        self.state = State::Waiting;
        self.ahead = false;
        self.opened = false;
        self.refusal = None;
    }

    pub(super) fn step(&self) -> Step {
        match self.state {
            State::Waiting => Step::Idle,
            State::Envelope(step) => step,
            State::Body => Step::Body,
            State::Dot | State::EmptyDot => Step::Dot,
        }
    }

    pub(super) fn suits(&self, capabilities: Capabilities) -> Result<(), Unsuitable> {
        let size = self.body.len();
        match capabilities.size_max {
            Some(limit) if size as u64 > limit => Err(Unsuitable::TooLarge { size, limit }),
            _ if self.body.eight_bit() && !capabilities.eight_bit_mime => Err(Unsuitable::EightBit),
            _ => Ok(()),
        }
    }

    /// Appends MAIL with the parameters that the peer understands.
    pub(super) fn write_mail(&self, capabilities: Capabilities, out: &mut Vec<u8>) {
        out.extend_from_slice(b"MAIL FROM:<");
        if let Some(from) = &self.from {
            out.extend_from_slice(from.as_str().as_bytes());
        }
        out.push(b'>');
        if capabilities.size {
            out.extend_from_slice(b" SIZE=");
            let mut digits = [0_u8; 20];
            let mut rest = self.body.len();
            let mut used = 0;
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
                used += 1;
                if rest == 0 {
                    break;
                }
            }
            out.extend(digits.iter().skip(20 - used));
        }
        if self.body.eight_bit() && capabilities.eight_bit_mime {
            out.extend_from_slice(b" BODY=8BITMIME");
        }
        out.extend_from_slice(b"\r\n");
    }

    pub(super) fn write_rcpt(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"RCPT TO:<");
        out.extend_from_slice(self.to.as_str().as_bytes());
        out.extend_from_slice(b">\r\n");
    }

    pub(super) fn write_body(&self, out: &mut Vec<u8>) {
        self.body.write(out);
    }
}

/// Returns whether a reply says that a command is out of place, or none: a peer that drops what came early may have read
/// the first part of a command.
fn is_out_of_sequence(reply: &Reply) -> bool {
    matches!(reply.code, 500 | 502 | 503) || (reply.is_permanent() && reply.enhanced == Some(Enhanced(5, 5, 1)))
}
