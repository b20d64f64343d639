//! What goes to the peer, and the replies that are due for it.

use std::collections::VecDeque;
use std::time::Instant;

use super::Step;

/// The bytes that wait to be written, and the replies that are due, in the order of their commands.
#[derive(Debug)]
pub(super) struct Pipeline {
    out: Vec<u8>,
    /// How much of `out` was written.
    out_written: usize,
    /// Bytes that left `out` before its first byte: `out_base + out_written` were written in all.
    out_base: u64,
    /// When the driver last got rid of bytes, or of there being some.
    out_since: Instant,
    expected: VecDeque<Expected>,
    /// When the oldest expected reply began to be waited for.
    waiting_since: Instant,
}

/// A reply that is due.
#[derive(Clone, Copy, Debug)]
struct Expected {
    step: Step,
    /// How many bytes are written when its command is.
    after: u64,
}

impl Pipeline {
    /// Begins with the greeting, which answers nothing.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            out: Vec::new(),
            out_written: 0,
            out_base: 0,
            out_since: now,
            expected: VecDeque::from([Expected {
                step: Step::Greeting,
                after: 0,
            }]),
            waiting_since: now,
        }
    }

    /// Returns what is to be written now.
    pub(super) fn output(&self) -> &[u8] {
        self.out.get(self.out_written..).unwrap_or_default()
    }

    /// Notes that the first `count` bytes of the output were written, or may have been.
    pub(super) fn wrote(&mut self, count: usize, now: Instant) {
        self.out_written = (self.out_written + count).min(self.out.len());
        self.out_since = now;
        if self.out_written == self.out.len() {
            self.out_base += self.out.len() as u64;
            self.out.clear();
            self.out_written = 0;
            // The clock of the oldest expected reply runs from when its command had left.
            self.waiting_since = now;
        }
    }

    /// Returns how many bytes were written in all.
    pub(super) const fn written(&self) -> u64 {
        self.out_base + self.out_written as u64
    }

    /// Returns how many bytes are written when all of the output is.
    pub(super) const fn end(&self) -> u64 {
        self.out_base + self.out.len() as u64
    }

    /// Returns since when the driver has bytes to write without getting rid of any; `None` if there are none.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        (!self.output().is_empty()).then_some(self.out_since)
    }

    /// Returns since when the oldest expected reply is waited for.
    pub(super) const fn waiting_since(&self) -> Instant {
        self.waiting_since
    }

    /// Counts what is waited for from now on.
    pub(super) const fn wait_from(&mut self, now: Instant) {
        self.waiting_since = now;
    }

    /// Returns what the oldest reply that is due answers.
    pub(super) fn due(&self) -> Option<Step> {
        self.expected.front().map(|expected| expected.step)
    }

    /// Returns what the newest reply that is due answers.
    pub(super) fn last_due(&self) -> Option<Step> {
        self.expected.back().map(|expected| expected.step)
    }

    /// Takes a reply: returns what it answers, or `None` if nothing that was fully written asks for one.
    pub(super) fn answered(&mut self, now: Instant) -> Option<Step> {
        let written = self.written();
        let asked = self.expected.pop_front_if(|expected| expected.after <= written)?;
        self.waiting_since = now;
        Some(asked.step)
    }

    /// Returns the end of the output, to append to what is answered later.
    pub(super) const fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Notes that something was appended to which no reply is due.
    pub(super) const fn appended(&mut self, now: Instant) {
        self.out_since = now;
    }

    /// Says a command.
    pub(super) fn command(&mut self, command: &[u8], step: Step, now: Instant) {
        self.out.extend_from_slice(command);
        self.expect(step, now);
    }

    /// Expects a reply to what the output ends with.
    pub(super) fn expect(&mut self, step: Step, now: Instant) {
        let after = self.end();
        self.expect_at(step, after, now);
    }

    /// Expects a reply to what is written when `after` bytes are.
    pub(super) fn expect_at(&mut self, step: Step, after: u64, now: Instant) {
        if self.expected.is_empty() {
            self.waiting_since = now;
            self.out_since = now;
        }
        self.expected.push_back(Expected { step, after });
    }

    /// Drops what was not written, and what was expected.
    pub(super) fn stop(&mut self) {
        self.out.truncate(self.out_written);
        self.expected.clear();
    }
}
