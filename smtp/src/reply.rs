//! Replies of a server, read within bounds (RFC 5321 §4.2, RFC 2034).
//!
//! The reader is our own, not smtp-proto's `ResponseReceiver`: that one refuses a reply whose text is over 4 KiB, and does
//! not notice a code that changes between the lines. Lines are framed first and read when whole, so a reply means the same
//! however its bytes were split.
//!
//! The code decides, not the length: what is too long is read and cut. Refusing it would throw away the answer to a final
//! dot that the receiver has taken, and the mail would arrive twice.

use std::fmt;

use memchr::memchr;

/// The most bytes of one reply, over all lines.
///
/// RFC 5321 §4.5.3.1.5 has lines of 512 bytes; real receivers write more. What is past [`LINE_BYTES_KEPT`] and
/// [`TEXT_BYTES_MAX`] is read and dropped, so a long reply costs no memory. One past this bound ends the session.
pub const BYTES_MAX: usize = 1024 * 1024;
/// How much of one line is kept until its end comes; the rest of it is read and dropped.
pub const LINE_BYTES_KEPT: usize = 4096;
/// The most bytes of text that are kept of a reply; the rest is read and dropped.
pub const TEXT_BYTES_MAX: usize = 1024;
/// The most EHLO keywords that are looked at; more are dropped.
pub const KEYWORDS_MAX: usize = 64;

/// A reply: code, enhanced status code if there was one, and its text in printable ASCII.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The three digits: 200 to 599.
    pub code: u16,
    /// The enhanced status code (RFC 3463), of the first line.
    pub enhanced: Option<Enhanced>,
    /// The lines, joined by blanks, without codes; at most [`TEXT_BYTES_MAX`] bytes.
    ///
    /// Bytes outside printable ASCII appear as `\xNN`, so the text is safe in logs, headers and terminals.
    pub text: String,
}

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Enhanced(pub u8, pub u16, pub u16);

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        if !self.text.is_empty() {
            write!(f, " {}", self.text)?;
        }
        Ok(())
    }
}

impl Reply {
    /// Returns whether the code is 2xx.
    pub const fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// Returns whether the code is 4xx.
    pub const fn is_temporary(&self) -> bool {
        self.code / 100 == 4
    }

    /// Returns whether the code is 5xx.
    pub const fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }
}

/// Why what the peer sent is not a reply. The connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAReply {
    /// A line does not start with a code from 200 to 599 and a blank or hyphen, or the code changes between lines.
    #[error("malformed reply line")]
    Malformed,
    /// Went on past [`BYTES_MAX`]: nothing that follows can be told from it.
    #[error("reply longer than {BYTES_MAX} bytes")]
    TooLong,
}

/// What a server offers in its answer to EHLO.
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword that is there or not")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `PIPELINING` (RFC 2920).
    pub pipelining: bool,
    /// `8BITMIME` (RFC 6152).
    pub eight_bit_mime: bool,
    /// `STARTTLS` (RFC 3207).
    pub starttls: bool,
    /// `SIZE` (RFC 1870): offered at all, so that MAIL may carry `SIZE=`.
    pub size: bool,
    /// The limit that `SIZE` states; `None` means none was stated.
    pub size_max: Option<u64>,
}

/// Reads replies, one after the other, from bytes split anyhow.
#[derive(Debug, Default)]
pub struct ReplyParser {
    /// The beginning of a line whose end has not come: at most [`LINE_BYTES_KEPT`] bytes.
    partial: Vec<u8>,
    reply: Reply,
    capabilities: Capabilities,
    /// Whole lines of this reply so far.
    lines: usize,
    /// Bytes of this reply so far, dropped ones included.
    bytes: usize,
    cut_off: bool,
}

impl ReplyParser {
    /// Takes bytes from `input` up to the end of the next reply; `Ok(true)` when there is one to look at.
    ///
    /// After `Ok(true)` the reply stands in [`Self::reply`] until the next call; after `Err` nothing more can be read.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<bool, NotAReply> {
        if self.cut_off {
            return Err(NotAReply::TooLong);
        }
        while let Some(at) = memchr(b'\n', input) {
            let (line, rest) = input.split_at(at + 1);
            *input = rest;
            self.bytes = self.bytes.saturating_add(line.len());
            if self.bytes > BYTES_MAX {
                self.keep(line);
                return self.cut(input);
            }
            let last = if self.partial.is_empty() {
                self.line(line)?
            } else {
                self.keep(line);
                let mut whole = std::mem::take(&mut self.partial);
                let last = self.line(&whole)?;
                whole.clear();
                self.partial = whole;
                last
            };
            if last {
                self.lines = 0;
                self.bytes = 0;
                return Ok(true);
            }
        }
        self.bytes = self.bytes.saturating_add(input.len());
        self.keep(input);
        if self.bytes > BYTES_MAX {
            return self.cut(input);
        }
        *input = &[];
        Ok(false)
    }

    /// Returns whether the reply that the last [`Self::feed`] completed went on past [`BYTES_MAX`].
    ///
    /// Its code is known and counts, but nothing more can be read.
    pub const fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    /// Returns the reply that the last [`Self::feed`] completed.
    pub const fn reply(&self) -> &Reply {
        &self.reply
    }

    /// Returns what the reply's keywords offer, if it answers EHLO.
    pub const fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Takes the reply that the last [`Self::feed`] completed.
    pub fn take(&mut self) -> Reply {
        std::mem::take(&mut self.reply)
    }

    /// Returns whether part of a reply was received.
    pub const fn is_mid_reply(&self) -> bool {
        !self.partial.is_empty() || self.lines > 0
    }

    /// Keeps the beginning of a line.
    fn keep(&mut self, part: &[u8]) {
        let room = LINE_BYTES_KEPT.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(part.get(..room).unwrap_or(part));
    }

    /// Ends a reply that does not end by itself. All its lines have the code of its first one, or of the line that it is
    /// in the midst of.
    fn cut(&mut self, input: &mut &[u8]) -> Result<bool, NotAReply> {
        *input = &[];
        if self.lines == 0 {
            let line = std::mem::take(&mut self.partial);
            self.line(&line)?;
        }
        self.cut_off = true;
        Ok(true)
    }

    /// Reads one whole line, or what is kept of it; true if it is the reply's last.
    fn line(&mut self, line: &[u8]) -> Result<bool, NotAReply> {
        let line = line.get(..LINE_BYTES_KEPT).unwrap_or(line);
        if self.lines == 0 {
            self.reply.code = 0;
            self.reply.enhanced = None;
            self.reply.text.clear();
            self.capabilities = Capabilities::default();
        }
        self.lines += 1;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (code, last, text) = match line {
            [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] => {
                let digit = |d: &u8| u16::from(d - b'0');
                let code = digit(a) * 100 + digit(b) * 10 + digit(c);
                match rest {
                    [] => (code, true, rest),
                    [b' ', text @ ..] => (code, true, text),
                    [b'-', text @ ..] => (code, false, text),
                    _ => return Err(NotAReply::Malformed),
                }
            }
            _ => return Err(NotAReply::Malformed),
        };
        if self.lines == 1 {
            self.reply.code = code;
        } else if self.reply.code != code {
            return Err(NotAReply::Malformed);
        }
        let (enhanced, text) = split_enhanced(text);
        if self.lines == 1 {
            self.reply.enhanced = enhanced;
        } else if self.lines <= KEYWORDS_MAX + 1 {
            keyword(text, &mut self.capabilities);
        }
        push_printable(&mut self.reply.text, text);
        Ok(last)
    }
}

/// Splits `5.1.1 text` into the enhanced status code and the text.
fn split_enhanced(text: &[u8]) -> (Option<Enhanced>, &[u8]) {
    let end = memchr(b' ', text).unwrap_or(text.len()).min(9);
    let (word, rest) = text.split_at(end);
    let mut parts = word.split(|b| *b == b'.');
    let mut number = || {
        let digits = parts.next()?;
        let digits = std::str::from_utf8(digits).ok()?;
        let counts = !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit());
        if counts { digits.parse::<u16>().ok() } else { None }
    };
    let (class, subject, detail) = (number(), number(), number());
    let ended = parts.next().is_none() && (rest.is_empty() || rest.first() == Some(&b' '));
    match (class, subject, detail) {
        (Some(class @ (2 | 4 | 5)), Some(subject), Some(detail)) if ended => {
            let class = if class == 2 { 2 } else { u8::from(class == 5) + 4 };
            (
                Some(Enhanced(class, subject, detail)),
                rest.strip_prefix(b" ").unwrap_or(rest),
            )
        }
        _ => (None, text),
    }
}

fn keyword(text: &[u8], capabilities: &mut Capabilities) {
    let mut words = text.split(|b| *b == b' ');
    let word = words.next().unwrap_or_default();
    if word.eq_ignore_ascii_case(b"PIPELINING") {
        capabilities.pipelining = true;
    } else if word.eq_ignore_ascii_case(b"8BITMIME") {
        capabilities.eight_bit_mime = true;
    } else if word.eq_ignore_ascii_case(b"STARTTLS") {
        capabilities.starttls = true;
    } else if word.eq_ignore_ascii_case(b"SIZE") {
        capabilities.size = true;
        let limit = words.next().and_then(|limit| std::str::from_utf8(limit).ok());
        // "A value of 0 indicates that no fixed maximum message size is in force" (RFC 1870 §4).
        capabilities.size_max = limit.and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
    }
}

/// Appends `text` in printable ASCII, up to [`TEXT_BYTES_MAX`] in all, behind a blank if there is text already.
fn push_printable(out: &mut String, text: &[u8]) {
    if !out.is_empty() && !text.is_empty() && out.len() < TEXT_BYTES_MAX {
        out.push(' ');
    }
    for &byte in text {
        if out.len() + 4 > TEXT_BYTES_MAX {
            return;
        }
        match byte {
            b' '..=b'~' => out.push(char::from(byte)),
            b'\t' => out.push(' '),
            _ => {
                out.push_str("\\x");
                for nibble in [byte >> 4, byte & 15] {
                    out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
                }
            }
        }
    }
}

/// Returns `text` in printable ASCII, as [`Reply::text`] is.
pub fn printable(text: &[u8]) -> String {
    let mut out = String::new();
    push_printable(&mut out, text);
    out
}
