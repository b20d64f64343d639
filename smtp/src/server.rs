//! The receiving side of a session, on smtp-proto's command parser.
//!
//! The machine keeps the order of commands, refuses what is out of it by itself, and hands everything else to whoever
//! drives it as an [`Event`] that waits for an [`Answer`]: the default one, or any other, so that a test can make every
//! command fail in every way. No command is read before the last one was answered.

use std::collections::VecDeque;

use memchr::memchr;
use smtp_proto::Request;

use crate::body::Unstuffer;

/// The longest command line, its end included; smtp-proto's own bound.
const LINE_BYTES_MAX: usize = 4096;
/// The most recipients of one message (RFC 5321 §4.5.3.1.8 asks for 100 at least).
const RECIPIENTS_MAX: usize = 1000;

/// What a server offers.
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword that is offered or not")]
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name in greeting and EHLO.
    pub hostname: String,
    /// The largest message in bytes, offered as `SIZE`.
    pub size_max: usize,
    /// Whether `PIPELINING` is offered.
    pub pipelining: bool,
    /// Whether `8BITMIME` is offered.
    pub eight_bit_mime: bool,
    /// Whether `STARTTLS` is offered.
    pub starttls: bool,
    /// Whether DATA is answered with 354 although no recipient was accepted, as RFC 2920 §3.1 allows.
    pub data_without_recipients: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: "localhost".into(),
            size_max: 64 << 20,
            pipelining: true,
            eight_bit_mime: true,
            starttls: false,
            data_without_recipients: false,
        }
    }
}

/// Who sent what to whom, as the commands said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The reverse-path; empty for `<>`.
    pub from: String,
    /// The recipients that were accepted.
    pub to: Vec<String>,
}

/// What the client wants. Each event waits for [`Server::answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It connected: the answer is the greeting.
    Connected,
    /// EHLO.
    Ehlo,
    /// HELO.
    Helo,
    /// STARTTLS; after a 220 the driver does the handshake and calls [`Server::tls_established`].
    StartTls,
    /// MAIL with this reverse-path.
    Mail(String),
    /// RCPT with this recipient.
    Rcpt(String),
    /// DATA.
    Data,
    /// The final dot of this message came.
    Message(Envelope, Vec<u8>),
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT; after the answer the connection is to be closed.
    Quit,
}

/// How an event is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// As a server without objections would.
    Default,
    /// With one line of this code and text.
    Line(u16, String),
}

/// The receiving side of one session.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    input: Vec<u8>,
    output: Vec<u8>,
    events: VecDeque<Event>,
    asked: Option<Event>,
    envelope: Option<Envelope>,
    data: Option<Unstuffer>,
    greeted: bool,
    secured: bool,
    closing: bool,
}

impl Server {
    /// Begins a session: its first event is [`Event::Connected`].
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            input: Vec::new(),
            output: Vec::new(),
            events: VecDeque::from([Event::Connected]),
            asked: None,
            envelope: None,
            data: None,
            greeted: false,
            secured: false,
            closing: false,
        }
    }

    /// Takes bytes that the client sent. Poll events until there is none before giving more.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Returns the next event, once the last one was answered.
    pub fn poll_event(&mut self) -> Option<Event> {
        if self.asked.is_some() {
            return None;
        }
        while self.events.is_empty() && !self.closing {
            let input = std::mem::take(&mut self.input);
            let mut rest: &[u8] = &input;
            let moved = self.read(&mut rest);
            self.input.clear();
            let used = input.len() - rest.len();
            self.input = input;
            self.input.drain(..used);
            if !moved {
                break;
            }
        }
        let event = self.events.pop_front()?;
        // The message itself is not needed for the answer.
        self.asked = Some(match &event {
            Event::Message(..) => Event::Message(Envelope::default(), Vec::new()),
            other => other.clone(),
        });
        Some(event)
    }

    /// Answers the event that was polled last.
    pub fn answer(&mut self, answer: Answer) {
        let Some(event) = self.asked.take() else { return };
        let (code, text) = match answer {
            Answer::Line(code, text) => (code, text),
            Answer::Default => self.default_answer(&event),
        };
        if code / 100 == 2 || code == 354 {
            self.on_granted(event, code);
        } else if matches!(event, Event::Message(..)) {
            self.envelope = None;
        } else if code == 421 || event == Event::Connected {
            self.closing = true;
        }
        self.say(code, &text);
    }

    /// Returns what is to be written; all of it, as [`Self::wrote`] is told how much was.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Notes that the first `count` bytes of the output were written.
    pub fn wrote(&mut self, count: usize) {
        self.output.drain(..count.min(self.output.len()));
    }

    /// Returns whether the connection is to be closed once the output is written.
    pub const fn is_closing(&self) -> bool {
        self.closing
    }

    /// Goes on inside TLS: all that was said before is forgotten (RFC 3207 §4.2).
    pub fn tls_established(&mut self) {
        self.input.clear();
        self.greeted = false;
        self.secured = true;
        self.envelope = None;
    }

    fn default_answer(&self, event: &Event) -> (u16, String) {
        let text = match event {
            Event::Connected => return (220, format!("{} ESMTP", self.settings.hostname)),
            Event::Ehlo => return (250, self.keywords()),
            Event::Helo => return (250, self.settings.hostname.clone()),
            Event::StartTls => return (220, "2.0.0 go ahead".into()),
            Event::Data => return (354, "end data with <CR><LF>.<CR><LF>".into()),
            Event::Quit => return (221, "2.0.0 bye".into()),
            Event::Mail(_) => "2.1.0 sender ok",
            Event::Rcpt(_) => "2.1.5 recipient ok",
            Event::Message(..) => "2.0.0 accepted",
            Event::Rset | Event::Noop => "2.0.0 ok",
        };
        (250, text.into())
    }

    /// Returns the lines of the answer to EHLO, separated by LF.
    fn keywords(&self) -> String {
        use std::fmt::Write as _;
        let mut lines = self.settings.hostname.clone();
        if self.settings.pipelining {
            lines.push_str("\nPIPELINING");
        }
        if self.settings.eight_bit_mime {
            lines.push_str("\n8BITMIME");
        }
        if self.settings.starttls && !self.secured {
            lines.push_str("\nSTARTTLS");
        }
        let _ = write!(lines, "\nSIZE {}\nENHANCEDSTATUSCODES", self.settings.size_max);
        lines
    }

    fn on_granted(&mut self, event: Event, code: u16) {
        match event {
            Event::Connected | Event::Noop => {}
            Event::Ehlo | Event::Helo => {
                self.greeted = true;
                self.envelope = None;
            }
            // Nothing that came in the clear may be read as if it came inside TLS.
            Event::StartTls => self.input.clear(),
            Event::Mail(from) => self.envelope = Some(Envelope { from, to: Vec::new() }),
            Event::Rcpt(to) => {
                if let Some(envelope) = &mut self.envelope {
                    envelope.to.push(to);
                }
            }
            Event::Data if code == 354 => self.data = Some(Unstuffer::default()),
            Event::Message(..) | Event::Rset | Event::Data => self.envelope = None,
            Event::Quit => self.closing = true,
        }
    }

    fn say(&mut self, code: u16, text: &str) {
        let mut lines = text.lines().peekable();
        if lines.peek().is_none() {
            self.output.extend_from_slice(format!("{code}\r\n").as_bytes());
        }
        while let Some(line) = lines.next() {
            let hyphen = if lines.peek().is_some() { '-' } else { ' ' };
            self.output
                .extend_from_slice(format!("{code}{hyphen}{line}\r\n").as_bytes());
        }
    }

    /// Reads one command or the rest of a message; false when more bytes are needed.
    fn read(&mut self, input: &mut &[u8]) -> bool {
        if let Some(data) = &mut self.data {
            let Some(message) = data.feed(input, self.settings.size_max) else {
                return false;
            };
            self.data = None;
            let envelope = self.envelope.take().unwrap_or_default();
            match message {
                Ok(_) if envelope.to.is_empty() => self.say(554, "5.5.1 no valid recipients"),
                Ok(bytes) => self.events.push_back(Event::Message(envelope, bytes)),
                Err(_) => self.say(552, "5.3.4 message too big"),
            }
            return true;
        }
        let Some(end) = memchr(b'\n', input) else {
            if input.len() > LINE_BYTES_MAX {
                *input = &[];
                self.say(500, "5.5.2 line too long");
                self.closing = true;
            }
            return false;
        };
        let (line, rest) = input.split_at(end + 1);
        *input = rest;
        match Request::parse(&mut line.iter()) {
            Ok(request) => self.on_request(request),
            Err(_) => self.say(500, "5.5.2 not understood"),
        }
        true
    }

    fn on_request(&mut self, request: Request<std::borrow::Cow<'_, str>>) {
        let (in_mail, recipients) = match &self.envelope {
            Some(envelope) => (true, envelope.to.len()),
            None => (false, 0),
        };
        let event = match request {
            Request::Ehlo { .. } => Event::Ehlo,
            Request::Helo { .. } => Event::Helo,
            Request::StartTls if self.settings.starttls && !self.secured => Event::StartTls,
            Request::Rset => Event::Rset,
            Request::Noop { .. } => Event::Noop,
            Request::Quit => Event::Quit,
            Request::Mail { .. } if !self.greeted || in_mail => return self.out_of_order(),
            Request::Mail { from } if from.size > self.settings.size_max => {
                return self.say(552, "5.3.4 message too big");
            }
            Request::Mail { from } => Event::Mail(from.address.into_owned()),
            Request::Rcpt { .. } | Request::Data if !in_mail => return self.out_of_order(),
            Request::Rcpt { .. } if recipients >= RECIPIENTS_MAX => return self.say(452, "4.5.3 too many recipients"),
            Request::Rcpt { to } => Event::Rcpt(to.address.into_owned()),
            Request::Data if recipients == 0 && !self.settings.data_without_recipients => {
                return self.say(554, "5.5.1 no valid recipients");
            }
            Request::Data => Event::Data,
            _ => return self.say(502, "5.5.1 not implemented"),
        };
        self.events.push_back(event);
    }

    fn out_of_order(&mut self) {
        self.say(503, "5.5.1 bad sequence of commands");
    }
}
