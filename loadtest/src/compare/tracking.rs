//! Clicks and pixels: the tracker beside nginx, which answers the same without knowing anything.
//!
//! Every request is of a token of its own mail, as far as the mails reach, and is recorded durably; nginx writes a line of its log.
//! Only the servers' CPU counts, ours by thread: what answers and appends is set beside nginx, folding and state are told apart.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::bench::{Bench, Flush, Neighbours};
use super::nginx::Nginx;
use super::requests::{Connections, Requests, ask, expect_status};
use super::staffetta::{Pace, Service, Start, Threads};
use crate::books::Books;
use crate::ledger::Kind;
use crate::process::Group;
use crate::service::{Dkim, TRACKING_HOST};
use crate::sink::{Links, Settings, Sink};
use crate::slow_flush::Preload;

/// Mails whose links are followed.
const MAILS: u32 = 4000;
const AGENT: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148";

/// What is asked for, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    PixelKept,
    RedirectKept,
    RedirectFreshTls,
}

impl Shape {
    pub(super) const ALL: [Self; 3] = [Self::PixelKept, Self::RedirectKept, Self::RedirectFreshTls];

    /// Returns its name in tables.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::PixelKept => "pixel, kept connection",
            Self::RedirectKept => "redirect, kept connection",
            Self::RedirectFreshTls => "redirect, fresh TLS 1.3",
        }
    }

    const fn count(self) -> u32 {
        match self {
            Self::PixelKept | Self::RedirectKept => 100_000,
            Self::RedirectFreshTls => 5000,
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::PixelKept => 200,
            Self::RedirectKept | Self::RedirectFreshTls => 302,
        }
    }
}

/// One run of one shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) shape: Shape,
    pub(super) flush: Flush,
    pub(super) per_second: f64,
    /// CPU-s for a million answers: to the answer (and the append), and beyond it.
    pub(super) cpu: Threads,
    pub(super) p99_ms: f64,
    /// Of the service: hits that it could not record.
    pub(super) dropped: f64,
    pub(super) others: f64,
}

/// What both did.
#[derive(Debug, Default)]
pub(super) struct Tracking {
    pub(super) ours: Vec<Run>,
    pub(super) theirs: Vec<Run>,
    pub(super) nginx: String,
}

/// Returns how long it will take, roughly.
pub(super) fn estimate(bench: &Bench) -> Duration {
    // The counts at some 20,000 answers a second, and 2,000 handshakes; and until the service rests.
    Duration::from_secs_f64(15.0 + f64::from(bench.rounds) * 4.0 * (13.0 * bench.scale + 2.0))
}

/// Runs every shape in every round, with each side as it is and with slower flushes. Err also: nginx is not installed.
pub(super) fn run(bench: &Bench, tell: &dyn Fn(&str)) -> anyhow::Result<Tracking> {
    let nginx = Nginx::version().map_err(anyhow::Error::msg)?;
    let certificate = Certificate::make(&bench.folder()?.keep())?;
    let mut sides = Vec::new();
    for flush in [Flush::AsItIs, Flush::Slower] {
        tell("tracking: mails whose links are followed");
        sides.push(Side::start(bench, &certificate, flush)?);
    }
    let mut tracking = Tracking {
        nginx,
        ..Tracking::default()
    };
    for side in &sides {
        for shape in Shape::ALL {
            side.ours(shape, 500)?;
        }
    }
    for round in 1..=bench.rounds {
        for shape in Shape::ALL {
            tell(&format!(
                "tracking, round {round} of {}: {}",
                bench.rounds,
                shape.as_str()
            ));
            for side in &sides {
                let count = bench.scaled(shape.count(), 500);
                tracking.ours.push(side.ours(shape, count)?);
                tracking.theirs.push(side.theirs(shape, count)?);
            }
        }
    }
    Ok(tracking)
}

/// A self-signed ECDSA certificate, for us and for nginx.
struct Certificate {
    /// A folder of certificates as the tracker wants it.
    folder: PathBuf,
    /// Chain and key in one file.
    both: PathBuf,
    chain: String,
}

impl Certificate {
    fn make(folder: &Path) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed([TRACKING_HOST.to_owned()]).context("making a certificate")?;
        let chain = made.cert.pem();
        let both = folder.join(format!("{TRACKING_HOST}.pem"));
        fs::write(&both, format!("{chain}{}", made.signing_key.serialize_pem()))?;
        Ok(Self {
            folder: folder.to_owned(),
            both,
            chain,
        })
    }
}

/// The service and nginx, with flushes of one kind.
struct Side {
    flush: Flush,
    service: Service,
    nginx: Nginx,
    links: Links,
    fresh: Connections,
    preload: [Option<Preload>; 2],
    _folders: [TempDir; 2],
    delay: Duration,
    _sink: Sink,
}

impl Side {
    fn start(bench: &Bench, certificate: &Certificate, flush: Flush) -> anyhow::Result<Self> {
        let folders = [bench.folder()?, bench.folder()?];
        let [ours, theirs] = &folders;
        let preload = [bench.preload(flush, ours.path())?, bench.preload(flush, theirs.path())?];
        let [our_preload, their_preload] = &preload;
        let mails = bench.scaled(MAILS, 100);
        let books = Books::new([0, 0, 0, mails], Instant::now());
        let sink = Sink::start(&Settings::default(), books.clone())?;
        let settings = format!(
            "[listen]\ntracker_tls = \"127.0.0.1:{}\"\n[tracker]\ncertificates = \"{}\"\n",
            crate::process::free_port()?,
            certificate.folder.display()
        );
        let service = Service::start(Start {
            binary: &bench.binary,
            folder: ours.path().to_owned(),
            route: sink.route(),
            dkim: Dkim::Ed25519,
            settings: toml::from_str(&settings)?,
            preload: our_preload.as_ref(),
        })?;
        let pace = Pace {
            at_once: bench.connections,
            rate: None,
        };
        service.orders(Kind::Prepared, 0..mails, pace, &books.ledger)?;
        let links = sink.links();
        let end = Instant::now() + Duration::from_mins(2);
        while sink.mails() < u64::from(mails) {
            if Instant::now() > end {
                bail!("only {} of {mails} mails came", sink.mails());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let [opens, clicks] = links.counts();
        if opens == 0 || clicks == 0 {
            bail!("the mails hold {opens} pixels and {clicks} links");
        }
        Ok(Self {
            flush,
            service,
            nginx: Nginx::start(theirs.path(), &certificate.both, their_preload.as_ref())?,
            links,
            fresh: Connections::fresh_tls(&certificate.chain, TRACKING_HOST)?,
            preload,
            _folders: folders,
            delay: bench.delay,
            _sink: sink,
        })
    }

    /// Our answers; the CPU is read once everything is folded.
    fn ours(&self, shape: Shape, count: u32) -> anyhow::Result<Run> {
        let addresses = self.service.staffetta.addresses();
        let address = match shape {
            Shape::RedirectFreshTls => addresses.tracker_tls.context("the tracker has no TLS listener")?,
            _ => addresses.tracker,
        };
        let dropped = || self.service.metric("tracker_events_total", "fate=\"dropped\"");
        let (pid, dropped_before) = (self.service.staffetta.pid(), dropped()?);
        let before = Threads::of(pid)?;
        let (run, count) = self.run(shape, count, address, self.service.group(), self.preload.first())?;
        self.service.rest()?;
        Ok(Run {
            cpu: Threads::of(pid)?.per_million(before, count),
            dropped: dropped()? - dropped_before,
            ..run
        })
    }

    fn theirs(&self, shape: Shape, count: u32) -> anyhow::Result<Run> {
        let address = match shape {
            Shape::RedirectFreshTls => self.nginx.tls,
            _ => self.nginx.plain,
        };
        let group = &self.nginx.group;
        let before = group.cpu()?.seconds();
        let (run, _) = self.run(shape, count, address, group, self.preload.last())?;
        let cpu = Threads {
            to_append: (group.cpu()?.seconds() - before) * 1e6 / f64::from(count),
            beyond: 0.0,
        };
        Ok(Run { cpu, ..run })
    }

    fn run(
        &self,
        shape: Shape,
        count: u32,
        address: std::net::SocketAddr,
        group: &Group,
        preload: Option<&Option<Preload>>,
    ) -> anyhow::Result<(Run, usize)> {
        let links = self.links.clone();
        let close = if shape == Shape::RedirectFreshTls {
            "connection: close\r\n"
        } else {
            ""
        };
        let make = move |_| {
            let path = match shape {
                Shape::PixelKept => links.next_open(),
                Shape::RedirectKept | Shape::RedirectFreshTls => links.next_click(),
            };
            format!(
                "GET {} HTTP/1.1\r\nhost: {TRACKING_HOST}\r\nuser-agent: {AGENT}\r\naccept: */*\r\naccept-language: it-IT,it;q=0.9\r\n\
                 accept-encoding: gzip, deflate, br\r\n{close}\r\n",
                path.unwrap_or_default()
            )
            .into_bytes()
        };
        let preload = preload.and_then(Option::as_ref);
        let read = || preload.map(Preload::flushes).transpose();
        let (before, neighbours) = (read()?, Neighbours::watch(group)?);
        let count = usize::try_from(count)?;
        let answered = ask(Requests {
            address,
            connections: match shape {
                Shape::RedirectFreshTls => self.fresh.clone(),
                _ => Connections::Kept,
            },
            at_once: 32,
            count,
            rate: None,
            make: Arc::new(make),
            hear: expect_status(shape.status()),
            patience: Duration::from_mins(5),
        })?;
        let flushed = read()?.zip(before).map(|(now, before)| now.since(before));
        if let (Some(all), Some(measured)) = (read()?, flushed) {
            super::delivery::bit(all, measured, self.flush, self.delay)?;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "counts and microseconds here stay far below 2^52"
        )]
        let run = Run {
            shape,
            flush: self.flush,
            per_second: count as f64 / answered.seconds,
            cpu: Threads::default(),
            p99_ms: answered.micros.value_at_quantile(0.99) as f64 / 1000.0,
            dropped: 0.0,
            others: neighbours.share(group)?,
        };
        Ok((run, count))
    }
}
