//! Conversations in files: what the client says and reports, line by line.
//!
//! A line of `tests/transcripts/*.txt` is one of
//!
//! - `C: text`: the next line that the client writes is this one; only now is it written;
//! - `S: text`: the server sends this line; consecutive ones arrive in one segment;
//! - `= event`: the client's next event;
//! - `> push KEY BODY`, `> free KEY`, `> quit`, `> lost`, `> timeout`, `> tls`, `> part N` (N bytes are written): what the
//!   driver does;
//! - `# comment`. A comment `# whole` keeps the file out of the byte-by-byte run; with a
//!   comment `# in turn` no envelope is said ahead.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test says what it expects"
)]

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smtp::body::Body;
use smtp::client::{Client, Closing, End, Envelopes, Event, Proof, Settings, Timeouts, Tls};
use types::address::EmailAddress;

struct Freed(u64);

impl Proof for Freed {
    fn key(&self) -> u64 {
        self.0
    }
}

fn told(event: &Event) -> String {
    match event {
        Event::StartTls => "starttls".into(),
        Event::Ready(_) => "ready".into(),
        Event::AheadRefused(reply) => format!("ahead refused {reply}"),
        Event::Ended { key, end } => match end {
            End::Accepted(reply) => format!("{key} accepted {reply}"),
            End::Refused { at, reply } => format!("{key} refused at {} {reply}", at.as_str()),
            End::Unsuitable(cause) => format!("{key} unsuitable: {cause}"),
            End::Interrupted { at } => format!("{key} interrupted at {}", at.as_str()),
            End::InDoubt => format!("{key} in doubt"),
        },
        Event::Closed(closing) => match closing {
            Closing::Refused { at, reply } => format!("closed: refused at {} {reply}", at.as_str()),
            Closing::Closed { at } => format!("closed: lost at {}", at.as_str()),
            Closing::Timeout { at } => format!("closed: timeout at {}", at.as_str()),
            Closing::Protocol { at, fault } => format!("closed: protocol at {}: {fault}", at.as_str()),
            other => format!("closed: {other}"),
        },
    }
}

struct Run {
    client: Client<Freed>,
    now: Instant,
    events: VecDeque<String>,
    to: EmailAddress,
    from: EmailAddress,
    step: usize,
}

impl Run {
    fn feed(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(self.step) {
            self.client.receive(chunk, self.now);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.client.poll_event() {
            self.events.push_back(told(&event));
        }
    }

    fn drive(&mut self, words: &str) {
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        match verb {
            "push" => {
                let (key, body) = rest.split_once(' ').expect("push KEY BODY");
                let body = body
                    .replace("\\r", "\r")
                    .replace("\\n", "\n")
                    .replace("\\xe9", "\u{e9}");
                let body = Body::try_from(Bytes::from(body)).expect("a body");
                let key = key.parse().expect("key");
                self.client.push(key, Some(&self.from), &self.to, body, self.now);
            }
            "free" => {
                self.client.finish_data(Freed(rest.parse().expect("key")), self.now);
            }
            "quit" => {
                self.client.quit(self.now);
            }
            "lost" => self.client.connection_lost(),
            "tls" => self.client.tls_established(self.now),
            "part" => self.client.wrote(rest.parse().expect("count"), self.now),
            "timeout" => {
                self.now = self.client.next_deadline().expect("a deadline");
                self.client
                    .on_deadline(self.now.checked_sub(Duration::from_millis(1)).expect("later"));
                assert!(!self.client.is_closed(), "closed before its deadline");
                self.client.on_deadline(self.now);
            }
            other => panic!("unknown directive {other}"),
        }
        self.drain();
    }

    fn next_line(&mut self) -> String {
        let output = self.client.output();
        let end = output
            .windows(2)
            .position(|two| two == b"\r\n")
            .map_or(output.len(), |at| at + 2);
        let line = String::from_utf8_lossy(&output[..end])
            .trim_end_matches("\r\n")
            .to_owned();
        let nothing = end == 0;
        self.client.wrote(end, self.now);
        if nothing { "(nothing)".into() } else { line }
    }
}

fn play(name: &str, script: &str, step: usize) {
    let now = Instant::now();
    let settings = Settings {
        helo: "mta.example".into(),
        tls: Tls::Opportunistic,
        timeouts: Timeouts::default(),
        envelopes: if script.contains("# in turn") {
            Envelopes::InTurn
        } else {
            Envelopes::Ahead
        },
    };
    let mut run = Run {
        client: Client::new(settings, now),
        now,
        events: VecDeque::new(),
        to: EmailAddress::try_from("r@dest.example").expect("valid"),
        from: EmailAddress::try_from("s@shop.example").expect("valid"),
        step,
    };
    let mut sent = String::new();
    for (number, line) in script.lines().chain(["#"]).enumerate() {
        let place = format!("{name}:{} ({step} bytes at a time)", number + 1);
        if let Some(text) = line.strip_prefix("S:") {
            let _ = write!(
                sent,
                "{}\r\n",
                text.strip_prefix(' ').unwrap_or(text).replace("\\e", "\x1b")
            );
            continue;
        }
        if !sent.is_empty() {
            run.feed(std::mem::take(&mut sent).as_bytes());
        }
        if let Some(text) = line.strip_prefix("C: ") {
            assert_eq!(run.next_line(), text, "{place}");
        } else if let Some(text) = line.strip_prefix("= ") {
            assert_eq!(run.events.pop_front().as_deref(), Some(text), "{place}");
        } else if let Some(words) = line.strip_prefix("> ") {
            run.drive(words);
        }
    }
    assert_eq!(
        run.events,
        VecDeque::<String>::new(),
        "{name}: events left at {step} bytes at a time"
    );
    let left = String::from_utf8_lossy(run.client.output()).into_owned();
    assert_eq!(left, "", "{name}: output left at {step} bytes at a time");
}

#[test]
fn every_conversation_goes_as_written_however_its_bytes_are_split() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut played = 0;
    for entry in fs::read_dir(folder).expect("transcripts") {
        let path = entry.expect("entry").path();
        let name = path.file_name().expect("name").to_string_lossy().into_owned();
        let script = fs::read_to_string(&path).expect("text");
        let steps: &[usize] = if script.contains("# whole") {
            &[usize::MAX]
        } else {
            &[usize::MAX, 1, 2, 3, 7]
        };
        for step in steps {
            play(&name, &script, *step);
        }
        played += 1;
    }
    assert!(played >= 20, "only {played} transcripts were found");
}
