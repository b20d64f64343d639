//! A message's bytes on the wire: checked line ends, dot-stuffing, and its undoing (RFC 5321 §4.5.2).
//!
//! A receiver that takes a bare LF or CR for a line end can be made to see `<LF>.<CR><LF>` as the end of a message and
//! the rest as commands (SMTP smuggling). So a [`Body`] exists only if every CR is followed by LF and every LF preceded
//! by CR; what it writes can hold `<CR><LF>.<CR><LF>` nowhere but at its end.

use bytes::Bytes;
use memchr::{memchr, memchr2, memmem};

/// A message that may leave: RFC 5322 bytes in which every line end is CRLF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    bytes: Bytes,
    eight_bit: bool,
}

/// Why bytes cannot be a [`Body`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotABody {
    /// A CR that no LF follows, or an LF that no CR precedes.
    #[error("bare CR or LF at byte {0}")]
    BareLineEnd(usize),
    /// Nothing to send.
    #[error("the message is empty")]
    Empty,
}

impl TryFrom<Bytes> for Body {
    type Error = NotABody;

    fn try_from(bytes: Bytes) -> Result<Self, NotABody> {
        if bytes.is_empty() {
            return Err(NotABody::Empty);
        }
        let mut rest: &[u8] = &bytes;
        while let Some(at) = memchr2(b'\r', b'\n', rest) {
            let (_, found) = rest.split_at(at);
            let Some(after) = found.strip_prefix(b"\r\n") else {
                return Err(NotABody::BareLineEnd(bytes.len() - found.len()));
            };
            rest = after;
        }
        let eight_bit = !bytes.is_ascii();
        Ok(Self { bytes, eight_bit })
    }
}

impl Body {
    /// Returns the message's size in bytes, before dot-stuffing: what `SIZE=` declares (RFC 1870 §5).
    pub fn len(&self) -> usize {
        self.bytes.len() + if self.bytes.ends_with(b"\r\n") { 0 } else { 2 }
    }

    /// Returns false: an empty message is not a body.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Returns whether any byte is outside ASCII, so that `BODY=8BITMIME` is needed (RFC 6152).
    pub const fn eight_bit(&self) -> bool {
        self.eight_bit
    }

    /// Appends the dot-stuffed message to `out`, ending in CRLF, without the final `.<CR><LF>`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut rest: &[u8] = &self.bytes;
        out.reserve(rest.len() + 64);
        if rest.first() == Some(&b'.') {
            out.push(b'.');
        }
        while let Some(at) = memmem::find(rest, b"\n.") {
            let (line, after) = rest.split_at(at + 1);
            out.extend_from_slice(line);
            out.push(b'.');
            rest = after;
            // The dot itself goes with the rest; the search must go on behind it.
            let (dot, after) = rest.split_at(1);
            out.extend_from_slice(dot);
            rest = after;
        }
        out.extend_from_slice(rest);
        if !self.bytes.ends_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Reads what follows a 354: undoes dot-stuffing until `<CR><LF>.<CR><LF>`, and nothing else, ends the message.
#[derive(Debug, Default)]
pub struct Unstuffer {
    bytes: Vec<u8>,
    /// The tail of the current line that has not ended, dot included.
    line: Vec<u8>,
    too_big: bool,
}

impl Unstuffer {
    /// Takes bytes from `input` and returns the message once its end was seen; `Err` if it was larger than `max`.
    ///
    /// `input` is left behind the final dot. A message over `max` is read to its end, but not kept.
    pub fn feed(&mut self, input: &mut &[u8], max: usize) -> Option<Result<Vec<u8>, TooBig>> {
        while let Some(at) = memchr(b'\n', input) {
            let (part, rest) = input.split_at(at + 1);
            *input = rest;
            self.line.extend_from_slice(part);
            if !self.line.ends_with(b"\r\n") {
                // A bare LF ends no line.
                self.spill(max);
                continue;
            }
            if self.line == b".\r\n" {
                self.line.clear();
                let bytes = std::mem::take(&mut self.bytes);
                return Some(if std::mem::take(&mut self.too_big) {
                    Err(TooBig)
                } else {
                    Ok(bytes)
                });
            }
            let line = std::mem::take(&mut self.line);
            self.keep(line.strip_prefix(b".").unwrap_or(&line), max);
            self.line = line;
            self.line.clear();
        }
        self.line.extend_from_slice(input);
        *input = &[];
        self.spill(max);
        None
    }

    /// Bounds the unfinished line: over the limit, only what decides whether it ends is kept of it.
    fn spill(&mut self, max: usize) {
        if self.bytes.len() + self.line.len() > max + 3 {
            self.too_big = true;
            self.bytes.clear();
            if self.line.len() > 2 {
                let ends_in_cr = self.line.ends_with(b"\r");
                self.line.clear();
                self.line.extend_from_slice(if ends_in_cr { b"x\r" } else { b"x" });
            }
        }
    }

    fn keep(&mut self, line: &[u8], max: usize) {
        if self.too_big || self.bytes.len() + line.len() > max {
            self.too_big = true;
            self.bytes.clear();
        } else {
            self.bytes.extend_from_slice(line);
        }
    }
}

/// The message was larger than the server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message is larger than the limit")]
pub struct TooBig;
