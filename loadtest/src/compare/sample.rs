//! The mail that all deliver: one as the service makes it for an order, taken from it and made again for every recipient.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use mail_parser::MessageParser;
use smtp::server::{Answer, Event, Server, Settings};
use types::address::EmailAddress;

use super::signing_key::DOMAIN;
use crate::ledger::Tag;
use crate::sink::DIGEST_FIELD;

/// How long the first mail may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Fields that are each mail's own, or the service's alone.
const LEFT_OUT: [&str; 3] = ["dkim-signature", "message-id", "to"];

/// A mail without what tells one recipient from another.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    head: String,
    body: String,
    /// The parts that it was made of.
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

impl Sample {
    /// Takes it out of a mail as the service delivered it.
    pub(super) fn of(mail: &[u8]) -> anyhow::Result<Self> {
        let parsed = MessageParser::default().parse(mail).context("the mail is none")?;
        let missing = || anyhow!("the mail is not of a text and an HTML part");
        let part = |part: Option<std::borrow::Cow<'_, str>>| part.map(std::borrow::Cow::into_owned).ok_or_else(missing);
        let whole = std::str::from_utf8(mail).context("the mail is not ASCII")?;
        let (head, body) = whole.split_once("\r\n\r\n").context("the mail has no body")?;
        Ok(Self {
            head: common_fields(head).replace("news.publisher.example", DOMAIN) + &digest_field(body),
            body: body.to_owned(),
            subject: parsed.subject().ok_or_else(missing)?.to_owned(),
            text: part(parsed.body_text(0))?,
            html: part(parsed.body_html(0))?,
        })
    }

    /// Returns how long a mail is before anybody adds to it.
    pub(super) fn bytes(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Makes the mail of a tag.
    pub(super) fn mail(&self, tag: Tag, to: &EmailAddress) -> Vec<u8> {
        let Self { head, body, .. } = self;
        format!("{head}To: <{to}>\r\nMessage-ID: <{tag}@{DOMAIN}>\r\n\r\n{body}").into_bytes()
    }
}

/// Returns the fields of a head, each with its folded lines, without those left out.
fn common_fields(head: &str) -> String {
    let (mut kept, mut keep) = (String::new(), true);
    for line in head.split("\r\n") {
        if !line.starts_with([' ', '\t']) {
            let name = line.split(':').next().unwrap_or_default();
            keep = !LEFT_OUT.iter().any(|left_out| name.eq_ignore_ascii_case(left_out));
        }
        if keep {
            kept.push_str(line);
            kept.push_str("\r\n");
        }
    }
    kept
}

fn digest_field(body: &str) -> String {
    let hash = digest(&SHA256, body.as_bytes());
    format!("{DIGEST_FIELD}: {}\r\n", HEXLOWER.encode(hash.as_ref()))
}

/// Takes the first mail that somebody delivers.
pub(super) struct Taker {
    pub(super) address: SocketAddr,
    thread: JoinHandle<anyhow::Result<Vec<u8>>>,
}

impl Taker {
    /// Listens on loopback.
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let thread = std::thread::spawn(move || take(&listener));
        Ok(Self { address, thread })
    }

    /// Waits for the mail.
    pub(super) fn mail(self) -> anyhow::Result<Vec<u8>> {
        self.thread.join().map_err(|_| anyhow!("taking a mail broke"))?
    }
}

fn take(listener: &TcpListener) -> anyhow::Result<Vec<u8>> {
    listener.set_nonblocking(true)?;
    let end = Instant::now() + PATIENCE;
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error).context("nobody delivered a mail"),
        }
    };
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut server = Server::new(Settings::default());
    let mut buffer = vec![0; 64 << 10];
    let mut taken = None;
    loop {
        while let Some(event) = server.poll_event() {
            if let Event::Message(_, mail) = event {
                taken = Some(mail);
            }
            server.answer(Answer::Default);
        }
        let length = server.output().len();
        stream.write_all(server.output())?;
        server.wrote(length);
        if let Some(mail) = taken {
            return Ok(mail);
        }
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            bail!("the connection was closed before its mail");
        }
        server.receive(buffer.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Kind;

    const MAIL: &str = "DKIM-Signature: v=1;\r\n\tb=x\r\nFrom: Shop <offers@news.publisher.example>\r\nTo: <o1@a.load.test>\r\n\
        Message-ID:\r\n <x@news.publisher.example>\r\nSubject: Offerte\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/alternative; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nCiao.\r\n--b\r\n\
        Content-Type: text/html\r\n\r\n<p>Ciao.</p>\r\n--b--\r\n";

    #[test]
    fn a_mail_is_made_again_for_another_without_the_signature() {
        let sample = Sample::of(MAIL.as_bytes()).unwrap();
        assert_eq!(
            (&*sample.subject, sample.text.trim(), sample.html.trim()),
            ("Offerte", "Ciao.", "<p>Ciao.</p>")
        );
        let tag = Tag {
            kind: Kind::Message,
            number: 7,
        };
        let mail = String::from_utf8(sample.mail(tag, &EmailAddress::try_from("m7@b.load.test").unwrap())).unwrap();
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, MAIL.split_once("\r\n\r\n").unwrap().1);
        assert!(
            head.starts_with("From: Shop <offers@sender.test>\r\nSubject: "),
            "{head}"
        );
        assert!(
            head.ends_with("\r\nTo: <m7@b.load.test>\r\nMessage-ID: <m7@sender.test>"),
            "{head}"
        );
        assert!(head.contains("X-Load-Digest: ") && !head.contains("DKIM"), "{head}");
    }
}
