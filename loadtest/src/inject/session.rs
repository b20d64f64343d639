//! One connection of the injector, made again whenever it ends before the work does.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use smtp::body::Body;
use smtp::client::{Client, End, Envelopes, Event, Proof, Settings, Timeouts, Tls};
use tokio::net::TcpStream;

use super::{Job, Next, PATIENCE, RETRY_FIRST, Work};

/// What one read takes at most; replies are short.
const READ_BYTES: usize = 4096;

/// Nothing holds a final dot back here: the mail is in memory, and its sender remembers it.
struct Free(u64);

impl Proof for Free {
    fn key(&self) -> u64 {
        self.0
    }
}

/// Sends mails until there are none.
pub(super) async fn run(address: SocketAddr, work: &RefCell<Work<'_>>) -> anyhow::Result<()> {
    let mut reached = Instant::now();
    loop {
        let next = work.borrow_mut().next(Instant::now());
        let first = match next {
            Next::End => return Ok(()),
            Next::Wait(until) => {
                tokio::time::sleep_until(until.into()).await;
                continue;
            }
            Next::Send(job) => job,
        };
        match TcpStream::connect(address).await {
            Ok(stream) => {
                reached = Instant::now();
                converse(stream, first, work).await?;
            }
            Err(error) if reached.elapsed() > PATIENCE => return Err(error).context("connecting"),
            Err(_) => {
                work.borrow_mut().put_back(first, Instant::now());
                tokio::time::sleep(RETRY_FIRST).await;
            }
        }
    }
}

/// Sends mails over one connection until it or the work ends.
async fn converse(stream: TcpStream, first: Job, work: &RefCell<Work<'_>>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let settings = Settings {
        helo: "injector.load.test".to_owned(),
        tls: Tls::Never,
        timeouts: Timeouts {
            dot: PATIENCE,
            ..Timeouts::default()
        },
        envelopes: work.borrow().injection.envelopes,
    };
    let mut client = Client::<Free>::new(settings, Instant::now());
    let mut sending = Sending::default();
    sending.push(first, &mut client, work)?;
    let mut buffer = [0; READ_BYTES];
    loop {
        sending.settle(&mut client, work);
        if client.is_closed() {
            sending.settle(&mut client, work);
            return Ok(());
        }
        let wakes = sending.fill(&mut client, work)?;
        write(&stream, &mut client);
        let wakes = [wakes, client.next_deadline()].into_iter().flatten().min();
        let wakes = wakes.unwrap_or_else(|| Instant::now() + PATIENCE);
        tokio::select! {
            readable = stream.readable() => match readable.and_then(|()| stream.try_read(&mut buffer)) {
                Ok(count) if count > 0 => client.receive(buffer.get(..count).unwrap_or_default(), Instant::now()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => client.connection_lost(),
            },
            // What failed to be written shows when it is read.
            _ = stream.writable(), if !client.output().is_empty() => {}
            () = tokio::time::sleep_until(wakes.into()) => client.on_deadline(Instant::now()),
        }
    }
}

fn write(stream: &TcpStream, client: &mut Client<Free>) {
    while !client.output().is_empty() {
        match stream.try_write(client.output()) {
            Ok(count) => client.wrote(count, Instant::now()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => return client.connection_lost(),
        }
    }
}

/// The mails of one connection.
#[derive(Default)]
struct Sending {
    jobs: VecDeque<(u64, Job)>,
    next_key: u64,
}

impl Sending {
    fn push(&mut self, job: Job, client: &mut Client<Free>, work: &RefCell<Work<'_>>) -> anyhow::Result<()> {
        let work = work.borrow();
        let to = (work.injection.recipient)(job.tag);
        let mail = (work.injection.mail)(job.tag, &to);
        let body = Body::try_from(Bytes::from(mail)).with_context(|| format!("the mail of {}", job.tag))?;
        let key = self.next_key;
        self.next_key += 1;
        self.jobs.push_back((key, job));
        let now = Instant::now();
        client.push(key, Some(&work.injection.from), &to, body, now);
        client.finish_data(Free(key), now);
        Ok(())
    }

    /// Takes up mails, and returns when to look for more. With nothing left to do, the session is ended.
    fn fill(&mut self, client: &mut Client<Free>, work: &RefCell<Work<'_>>) -> anyhow::Result<Option<Instant>> {
        // The mail whose answer is waited for, and perhaps the one that leaves with its final dot.
        let ahead = match work.borrow().injection.envelopes {
            Envelopes::Ahead => 2,
            Envelopes::InTurn => 1,
        };
        while client.pending() < ahead {
            let now = Instant::now();
            let next = work.borrow_mut().next(now);
            match next {
                Next::Send(job) => self.push(job, client, work)?,
                Next::Wait(until) => return Ok(Some(until)),
                Next::End => {
                    client.quit(now);
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// Notes what came of mails.
    fn settle(&mut self, client: &mut Client<Free>, work: &RefCell<Work<'_>>) {
        while let Some(event) = client.poll_event() {
            let Event::Ended { key, end } = event else { continue };
            let Some(place) = self.jobs.iter().position(|(own, _)| *own == key) else {
                continue;
            };
            let Some((_, job)) = self.jobs.remove(place) else {
                continue;
            };
            let (now, mut work) = (Instant::now(), work.borrow_mut());
            match end {
                End::Accepted(_) => work.accept(job, now),
                End::Refused { at, reply } if reply.is_temporary() => {
                    work.note(format!("{} {reply}", at.as_str()));
                    work.put_back(job, now);
                }
                End::Refused { at, reply } => work.refuse(format!("{} {reply}", at.as_str())),
                End::Unsuitable(cause) => work.refuse(cause.to_string()),
                End::Interrupted { .. } => work.put_back(job, now),
                End::InDoubt => {
                    work.injected.in_doubt += 1;
                    work.put_back(job, now);
                }
            }
        }
    }
}
