//! The same mails to the same sink: by the service and by every relay that is installed, in rounds.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use smtp::client::Envelopes;
use types::address::EmailAddress;

use super::bench::{Bench, Flush, Neighbours};
use super::exim::Exim;
use super::haraka::Haraka;
use super::opensmtpd::OpenSmtpd;
use super::postfix::Postfix;
use super::relay::{Mails, Relay, Running, Signed, Stage};
use super::sample::Sample;
use super::signing_key::DOMAIN;
use super::staffetta::{Pace, Service, Start, recipient};
use crate::books::Books;
use crate::inject::{Injection, inject};
use crate::ledger::{Kind, Tag};
use crate::process::Group;
use crate::service::{Dkim, Route};
use crate::sink::{Settings, Sink};
use crate::slow_flush::{Flushes, Preload};

/// How long the sink may see nothing new before a run has failed.
const STALL: Duration = Duration::from_secs(30);
/// Mails of the short run that counts flushes, sent one after the other.
const COUNTED: u32 = 50;

/// Who delivers.
pub(super) enum Contender {
    /// The service, asked by orders: it decides, renders and signs.
    Orders,
    /// The service, given the content.
    Messages,
    /// A peer.
    Relay(Box<dyn Relay>),
}

impl Contender {
    /// Returns all, the service first; those that do not sign last.
    pub(super) fn all() -> Vec<Self> {
        let relays: [Box<dyn Relay>; 7] = [
            Box::new(Postfix(Signed::Rsa)),
            Box::new(Exim(Signed::Rsa)),
            Box::new(Haraka(Signed::Rsa)),
            Box::new(Postfix(Signed::No)),
            Box::new(Exim(Signed::No)),
            Box::new(Haraka(Signed::No)),
            Box::new(OpenSmtpd),
        ];
        let relays = relays.into_iter().map(Self::Relay);
        [Self::Orders, Self::Messages].into_iter().chain(relays).collect()
    }

    /// Returns its name in tables.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Orders => "Staffetta, orders",
            Self::Messages => "Staffetta, plain messages",
            Self::Relay(relay) => relay.name(),
        }
    }

    /// Returns its version, as far as it has one of its own. Err: why it cannot take part.
    pub(super) fn version(&self, tools: &Path) -> Result<String, String> {
        match self {
            Self::Orders | Self::Messages => Ok(String::new()),
            Self::Relay(relay) => relay.version(tools),
        }
    }

    fn signed(&self) -> Signed {
        match self {
            Self::Orders | Self::Messages => Signed::Rsa,
            Self::Relay(relay) => relay.signed(),
        }
    }

    fn remark(&self) -> &'static str {
        match self {
            Self::Orders => "takes an order over HTTP; decides, renders, signs, delivers",
            Self::Messages => "takes the content over HTTP; signs, delivers",
            Self::Relay(relay) => relay.remark(),
        }
    }

    fn mails(&self) -> Mails {
        match self {
            Self::Orders | Self::Messages => Mails {
                warm_up: 1000,
                measured: 12_000,
                a_second: 2000.0,
                sessions_max: usize::MAX,
            },
            Self::Relay(relay) => relay.mails(),
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Orders => Kind::Order,
            Self::Messages | Self::Relay(_) => Kind::Message,
        }
    }
}

/// What one contender did in all rounds.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) signed: Signed,
    pub(super) remark: &'static str,
    /// Flushes for each mail, when they come one at a time.
    pub(super) flushes_each: Option<f64>,
    pub(super) as_it_is: Vec<Run>,
    pub(super) slower: Vec<Run>,
    /// What went wrong, if anything did; the row has no figures of that run then.
    pub(super) faults: Vec<String>,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) round: u32,
    pub(super) mails: u32,
    /// From the first injection to the last mail in the sink.
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) pss_bytes: u64,
    /// Of one mail in the sink, on average.
    pub(super) bytes: f64,
    pub(super) flushes: Option<Flushes>,
    /// Share of the machine that something else used.
    pub(super) others: f64,
}

impl Run {
    pub(super) fn per_second(&self) -> f64 {
        f64::from(self.mails) / self.seconds
    }

    pub(super) fn cpu_per_thousand(&self) -> f64 {
        self.cpu_seconds * 1000.0 / f64::from(self.mails)
    }

    /// Returns flushes for each mail, where they were counted.
    #[expect(clippy::cast_precision_loss, reason = "counts here stay far below 2^52")]
    pub(super) fn flushes_each(&self) -> Option<f64> {
        Some(self.flushes?.count as f64 / f64::from(self.mails))
    }
}

/// Returns how long it will take, roughly.
pub(super) fn estimate(bench: &Bench, contenders: &[Contender]) -> Duration {
    let one: f64 = contenders
        .iter()
        .map(|contender| {
            let mails = mails(bench, contender);
            // Node runs cold at first, and the service starts, is furnished and ends, as do the others.
            3.0 + f64::from(mails.warm_up + mails.measured) / mails.a_second
        })
        .sum();
    let counted: f64 = contenders
        .iter()
        .map(|contender| 4.0 + f64::from(COUNTED) / contender.mails().a_second.min(20.0))
        .sum();
    Duration::from_secs_f64(counted + f64::from(bench.rounds) * one * 2.2)
}

/// Runs everything, in rounds: each contender once as it is and once slower, then all again, so that a machine that drifts
/// drifts for all alike.
pub(super) fn run(bench: &Bench, contenders: &[Contender], sample: &Sample, tell: &dyn Fn(&str)) -> Vec<Row> {
    let mut rows: Vec<Row> = contenders
        .iter()
        .map(|contender| counted(bench, contender, sample, tell))
        .collect();
    for round in 1..=bench.rounds {
        for (contender, row) in contenders.iter().zip(&mut rows) {
            for flush in [Flush::AsItIs, Flush::Slower] {
                let how = if flush == Flush::Slower { ", flushes slower" } else { "" };
                tell(&format!(
                    "delivery, round {round} of {}: {}{how}",
                    bench.rounds, row.name
                ));
                match measure(bench, contender, mails(bench, contender), flush, sample) {
                    Ok(run) if flush == Flush::AsItIs => row.as_it_is.push(Run { round, ..run }),
                    Ok(run) => row.slower.push(Run { round, ..run }),
                    Err(error) => row.faults.push(format!("round {round}{how}: {error:#}")),
                }
            }
        }
    }
    rows
}

/// Begins a row, with the short run that counts flushes.
fn counted(bench: &Bench, contender: &Contender, sample: &Sample, tell: &dyn Fn(&str)) -> Row {
    tell(&format!("delivery, flushes of {}", contender.name()));
    let one_by_one = Bench {
        sessions: 1,
        connections: 1,
        ..bench.clone()
    };
    let mails = Mails {
        warm_up: 10,
        measured: COUNTED,
        ..contender.mails()
    };
    let (flushes_each, fault) = match measure(&one_by_one, contender, mails, Flush::Counted, sample) {
        Ok(run) => (run.flushes_each(), None),
        Err(error) => (None, Some(format!("counting flushes: {error:#}"))),
    };
    Row {
        name: contender.name(),
        signed: contender.signed(),
        remark: contender.remark(),
        flushes_each,
        as_it_is: Vec::new(),
        slower: Vec::new(),
        faults: fault.into_iter().collect(),
    }
}

fn mails(bench: &Bench, contender: &Contender) -> Mails {
    let mails = contender.mails();
    Mails {
        warm_up: bench.scaled(mails.warm_up, 10),
        measured: bench.scaled(mails.measured, 40),
        ..mails
    }
}

/// Starts a contender, warms it up, has it deliver, and checks that every mail came once and whole.
pub(super) fn measure(
    bench: &Bench,
    contender: &Contender,
    mails: Mails,
    flush: Flush,
    sample: &Sample,
) -> anyhow::Result<Run> {
    let folder = bench.folder()?;
    let preload = bench.preload(flush, folder.path())?;
    let sessions = bench.sessions.min(mails.sessions_max);
    let total = mails.warm_up + mails.measured;
    let kind = contender.kind();
    let counts = Kind::ALL.map(|each| if each == kind { total } else { 0 });
    let books = Books::new(counts, Instant::now());
    let sink = Sink::start(&Settings::default(), books.clone())?;
    sink.trust(std::slice::from_ref(&bench.key.record))?;
    let started = Started::start(bench, contender, folder.path(), &sink, preload.as_ref())?;
    started.send(bench, sessions, 0..mails.warm_up, &books, sample)?;
    wait_for(&sink, mails.warm_up)?;
    let read = || preload.as_ref().map(Preload::flushes).transpose();
    let group = started.group();
    let (bytes_before, flushes_before, neighbours) = (sink.tally().bytes, read()?, Neighbours::watch(group)?);
    let (cpu, began) = (group.cpu()?, Instant::now());
    started.send(bench, sessions, mails.warm_up..total, &books, sample)?;
    let ended = wait_for(&sink, total)?;
    let cpu_seconds = group.cpu()?.seconds() - cpu.seconds();
    let flushed = read()?.zip(flushes_before).map(|(now, before)| now.since(before));
    let (others, pss_bytes) = (neighbours.share(group)?, group.pss_bytes());
    // What came twice comes a little later.
    std::thread::sleep(Duration::from_millis(50));
    check(&sink, &books, kind, total, contender.signed())?;
    if let Some(now) = read()? {
        bit(now, flushed.unwrap_or_default(), flush, bench.delay)?;
    }
    let tally = sink.tally();
    #[expect(clippy::cast_precision_loss, reason = "bytes here stay far below 2^52")]
    Ok(Run {
        round: 0,
        mails: mails.measured,
        seconds: ended.duration_since(began).as_secs_f64(),
        cpu_seconds,
        pss_bytes,
        bytes: (tally.bytes - bytes_before) as f64 / f64::from(mails.measured),
        flushes: flushed,
        others,
    })
}

/// A contender that runs.
enum Started {
    Orders(Box<Service>),
    Messages(Box<Service>),
    Relay(Running),
}

impl Started {
    fn start(
        bench: &Bench,
        contender: &Contender,
        folder: &Path,
        sink: &Sink,
        preload: Option<&Preload>,
    ) -> anyhow::Result<Self> {
        let service = || -> anyhow::Result<Box<Service>> {
            let service = Service::start(Start {
                binary: &bench.binary,
                folder: folder.to_owned(),
                route: sink.route(),
                dkim: Dkim::Rsa,
                settings: toml::Table::new(),
                preload,
            })?;
            sink.trust(service.staffetta.dkim_records())?;
            Ok(Box::new(service))
        };
        match contender {
            Contender::Orders => Ok(Self::Orders(service()?)),
            Contender::Messages => Ok(Self::Messages(service()?)),
            Contender::Relay(relay) => {
                let Route::Host(sink) = sink.route() else {
                    bail!("a relay needs one host to deliver to");
                };
                let stage = Stage {
                    folder,
                    tools: &bench.tools,
                    sink,
                    pem: &bench.key.pem,
                    preload,
                };
                let running = relay.start(&stage);
                Ok(Self::Relay(
                    running.with_context(|| format!("starting {}", relay.name()))?,
                ))
            }
        }
    }

    fn group(&self) -> &Group {
        match self {
            Self::Orders(service) | Self::Messages(service) => service.group(),
            Self::Relay(running) => &running.group,
        }
    }

    /// Gives it mails and returns once all are accepted.
    fn send(
        &self,
        bench: &Bench,
        sessions: usize,
        numbers: Range<u32>,
        books: &Books,
        sample: &Sample,
    ) -> anyhow::Result<()> {
        let pace = Pace {
            at_once: bench.connections,
            rate: None,
        };
        match self {
            Self::Orders(service) => drop(service.orders(Kind::Order, numbers, pace, &books.ledger)?),
            Self::Messages(service) => drop(service.messages(numbers, pace, &books.ledger, sample)?),
            Self::Relay(running) => {
                let count = numbers.len();
                let mut tags = numbers.map(|number| Tag {
                    kind: Kind::Message,
                    number,
                });
                let from = EmailAddress::try_from(format!("offers@{DOMAIN}")).context("the sender's address")?;
                let injected = inject(
                    running.address,
                    Injection {
                        tags: &mut tags,
                        from,
                        recipient: &|tag| {
                            EmailAddress::try_from(recipient(tag))
                                .expect("a tag and one of our domains make an address")
                        },
                        mail: &|tag, to| sample.mail(tag, to),
                        sessions,
                        envelopes: Envelopes::InTurn,
                        rate: None,
                        ledger: &books.ledger,
                    },
                )?;
                if injected.accepted != u64::try_from(count)? {
                    bail!(
                        "{} of {count} mails were accepted: {:?}",
                        injected.accepted,
                        injected.replies
                    );
                }
            }
        }
        Ok(())
    }
}

/// Waits until the sink has so many mails, and returns when it had.
fn wait_for(sink: &Sink, mails: u32) -> anyhow::Result<Instant> {
    let (mut last, mut moved) = (0, Instant::now());
    loop {
        let now = sink.mails();
        if now >= u64::from(mails) {
            return Ok(Instant::now());
        }
        if now != last {
            (last, moved) = (now, Instant::now());
        } else if moved.elapsed() > STALL {
            bail!("only {now} of {mails} mails came");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Err: a mail is missing, came twice, came damaged, or was not signed as it should be.
fn check(sink: &Sink, books: &Books, kind: Kind, mails: u32, signed: Signed) -> anyhow::Result<()> {
    let (account, tally) = (books.ledger.account(kind), sink.tally());
    let all = u64::from(mails);
    if (account.asked, account.acknowledged, account.taken) != (all, all, all) || tally.mails != all {
        bail!(
            "of {all} mails {} were asked for, {} acknowledged, {} taken, in {} deliveries",
            account.asked,
            account.acknowledged,
            account.taken,
            tally.mails
        );
    }
    if !account.damaged.is_empty() || tally.damaged > 0 {
        bail!("{} mails came damaged: {tally:?}", account.damaged.len());
    }
    if signed == Signed::Rsa && (tally.body_hashes < all || tally.dkim_checked == 0) {
        bail!(
            "only {} of {all} mails are signed, {} checked",
            tally.body_hashes,
            tally.dkim_checked
        );
    }
    Ok(())
}

/// Err: the library was not loaded, or flushes were not slower, so the figure would be of something else.
pub(super) fn bit(all: Flushes, measured: Flushes, flush: Flush, delay: Duration) -> anyhow::Result<()> {
    if all.processes == 0 {
        bail!("the library that slows flushes was not loaded");
    }
    match measured.delay_each() {
        Some(each) if flush == Flush::Slower && each < delay => bail!("flushes were only {each:?} slower"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_run_proves_that_it_was_slow() {
        let flushes = |processes, count, millis| Flushes {
            processes,
            count,
            delayed: Duration::from_millis(millis),
        };
        let delay = Duration::from_millis(2);
        let check = |all, measured| bit(all, measured, Flush::Slower, delay);
        assert!(check(flushes(0, 0, 0), flushes(0, 0, 0)).is_err(), "never loaded");
        assert!(check(flushes(3, 9, 9), flushes(0, 5, 5)).is_err(), "too quick");
        assert!(check(flushes(3, 9, 19), flushes(0, 5, 10)).is_ok());
        assert!(
            check(flushes(3, 0, 0), flushes(0, 0, 0)).is_ok(),
            "never flushes, which the table tells"
        );
    }
}
