//! One connection to the sink.

use std::net::IpAddr;
use std::time::Instant;

use smtp::server::{Answer, Event, Server, Settings};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::conduct::{Site, Visit};
use super::intake::Intake;
use super::profile::Reply;

/// What one read takes at most.
const READ_BYTES: usize = 64 << 10;

/// Takes mails until the client goes. Without a site it grants everything at once; with one it does as that provider.
pub(super) async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    client: IpAddr,
    site: Option<&Site>,
    intake: &Intake,
) -> std::io::Result<()> {
    intake.note_session();
    let mut host = Host {
        client,
        site,
        visit: None,
        intake,
        from: String::new(),
        messages: 0,
        hangs_up: false,
    };
    let mut server = Server::new(site.map_or_else(Settings::default, settings));
    let mut buffer = vec![0; READ_BYTES];
    loop {
        while let Some(event) = server.poll_event() {
            let answer = match event {
                Event::Message(envelope, mail) => {
                    if let (Some(site), Some(to)) = (site, envelope.to.first()) {
                        // What was answered before must not wait with this.
                        flush(&mut stream, &mut server).await?;
                        tokio::time::sleep(site.latency(to)).await;
                    }
                    // Whether or not the client learns of it: from here on the receiver has the mail (RFC 1047).
                    intake.take(&envelope, &mail, Instant::now());
                    host.count_message();
                    Answer::Default
                }
                event => host.answer(event),
            };
            server.answer(answer);
            if host.hangs_up {
                break;
            }
        }
        flush(&mut stream, &mut server).await?;
        if host.hangs_up {
            return hang_up(stream, &mut buffer).await;
        }
        if server.is_closing() {
            return Ok(());
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        server.receive(buffer.get(..count).unwrap_or_default());
    }
}

fn settings(site: &Site) -> Settings {
    Settings {
        hostname: site.profile.hostname.clone(),
        size_max: site.profile.size_max_mib << 20,
        pipelining: site.profile.pipelining,
        ..Settings::default()
    }
}

async fn flush(stream: &mut (impl AsyncWrite + Unpin), server: &mut Server) -> std::io::Result<()> {
    let length = server.output().len();
    stream.write_all(server.output()).await?;
    server.wrote(length);
    Ok(())
}

/// Closes without a word, but so that the last reply arrives: what the client still sends is read, or its kernel would be told that
/// the connection broke.
async fn hang_up(mut stream: impl AsyncRead + AsyncWrite + Unpin, buffer: &mut [u8]) -> std::io::Result<()> {
    stream.shutdown().await?;
    let rest = async { while matches!(stream.read(buffer).await, Ok(count) if count > 0) {} };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), rest).await;
    Ok(())
}

/// What a host knows of one connection.
struct Host<'a> {
    client: IpAddr,
    site: Option<&'a Site>,
    visit: Option<Visit<'a>>,
    intake: &'a Intake,
    from: String,
    messages: u32,
    hangs_up: bool,
}

impl Host<'_> {
    /// Answers anything but a message.
    fn answer(&mut self, event: Event) -> Answer {
        let Some(site) = self.site else { return Answer::Default };
        match event {
            Event::Connected => match site.enter(self.client) {
                Ok(visit) => {
                    self.visit = Some(visit);
                    Answer::Line(220, site.profile.banner.clone())
                }
                Err(reply) => self.refuse(site, reply, None),
            },
            Event::Mail(from) => match &site.profile.messages.reply {
                Some(reply) if self.messages >= site.profile.messages.max => self.refuse(site, reply, None),
                _ => {
                    self.from = from;
                    Answer::Default
                }
            },
            Event::Rcpt(to) => match site.refusal(self.client, &self.from, &to, Instant::now()) {
                Some(reply) => self.refuse(site, reply, Some(&to)),
                None => Answer::Default,
            },
            _ => Answer::Default,
        }
    }

    fn refuse(&self, site: &Site, reply: &Reply, recipient: Option<&str>) -> Answer {
        self.intake.refuse(site.name, reply.code, recipient);
        Answer::Line(reply.code, reply.text.clone())
    }

    fn count_message(&mut self) {
        self.messages += 1;
        self.hangs_up = self.site.is_some_and(|site| {
            let limit = &site.profile.messages;
            limit.reply.is_none() && self.messages >= limit.max
        });
    }
}
