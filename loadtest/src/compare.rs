//! `loadtest compare`: the service beside the peers that are installed, with the same work: delivery, tracking, timers, and what it
//! costs to be watched.
//!
//! Here is who takes part and in what order; each part measures for itself, [`tell`] makes the report, and docs/comparison.md says
//! how all of it is measured, so that another can object.

mod bench;
mod delivery;
mod exim;
mod haraka;
mod method;
mod nginx;
mod opensmtpd;
mod postfix;
mod redis;
mod relay;
mod requests;
mod sample;
mod scraping;
mod signing_key;
mod spread;
mod staffetta;
mod tell;
mod timers;
mod tracking;

use std::fs;
use std::io::IsTerminal as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use bench::Bench;
use delivery::Contender;
use signing_key::SigningKey;

use crate::slow_flush::SlowFlush;
use crate::{generate, interrupt, limits, process, report, service, sink};

/// One part of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Mails a second and CPU beside Postfix, Exim, Haraka and `OpenSMTPD`.
    Delivery,
    /// Clicks and pixels beside nginx.
    Tracking,
    /// Waits that end beside a sorted set in Redis.
    Timers,
    /// Instructions for a message with `/metrics` read every second and without.
    Scraping,
}

impl Part {
    const ALL: [Self; 4] = [Self::Delivery, Self::Tracking, Self::Timers, Self::Scraping];
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The parts to run; all, if left out.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// The peers of delivery that take part: postfix, exim, haraka, opensmtpd; all, if left out.
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// A try: one round of a tenth of the work, to see that it runs; the figures mean little.
    #[arg(long)]
    quick: bool,
    /// Mails, orders and requests of a run, times this.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Sessions over which relays get their mail.
    #[arg(long, default_value_t = 16)]
    sessions: usize,
    /// Connections over which the service gets its requests.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How much slower a flush is in the slow runs, in milliseconds.
    #[arg(long, default_value_t = 2)]
    slow_flush_ms: u64,
    /// Where report.html, report.json and compare.md are written.
    #[arg(long, default_value = "loadtest-comparison")]
    report: PathBuf,
    /// The service's program; left out, `staffetta` beside this one.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where loadtest/peers unpacked what it unpacks.
    #[arg(long, default_value = ".tools/peers")]
    tools: PathBuf,
    /// Where all servers keep their data meanwhile; use the disk that matters. Every user must be able to come there.
    #[arg(long, default_value = "/var/tmp")]
    folder: PathBuf,
}

/// Everything that was found.
#[derive(Default)]
struct Found {
    /// Who takes part, with a version.
    versions: Vec<(String, String)>,
    /// Who does not, and why.
    missing: Vec<(String, String)>,
    sample_bytes: usize,
    delivery: Vec<delivery::Row>,
    tracking: Option<tracking::Tracking>,
    timers: Option<timers::Timers>,
    scraping: Vec<scraping::Pair>,
    /// Parts that could have run and failed, and why.
    failed: Vec<(String, String)>,
}

impl Found {
    /// Notes why a part came to nothing: its peer is not there, or something failed, which is the comparison's own finding.
    fn note_failure(&mut self, part: &str, peer: &str, error: &anyhow::Error) {
        let entry = (part.to_owned(), format!("{error:#}"));
        if process::installed(peer).is_none() {
            self.missing.push(entry);
        } else {
            self.failed.push(entry);
        }
    }
}

/// Compares, prints the tables and writes the report. Ok(false): a mail was lost, came twice or was damaged, or a run failed.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let began = Instant::now();
    let began_at = generate::wall_now();
    let tell = progress();
    let scratch = tempfile::Builder::new()
        .prefix("loadtest-compare.")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(&arguments.folder)
        .context("making a scratch folder")?;
    interrupt::heed(
        scratch.path().to_owned(),
        "interrupted: what was started is ended, nothing was written",
    )?;
    let bench = bench(arguments, scratch.path())?;
    let parts = if arguments.only.is_empty() {
        &Part::ALL[..]
    } else {
        &arguments.only
    };
    let mut found = Found::default();
    let contenders = if parts.contains(&Part::Delivery) {
        contenders(arguments, &bench, &mut found)?
    } else {
        Vec::new()
    };
    found
        .versions
        .insert(0, ("Staffetta".to_owned(), service::version(&bench.binary)?));
    let estimate = Duration::from_secs(30)
        + parts
            .iter()
            .map(|part| match part {
                Part::Delivery => delivery::estimate(&bench, &contenders),
                Part::Tracking => tracking::estimate(&bench),
                Part::Timers => timers::estimate(&bench),
                Part::Scraping => scraping::estimate(&bench),
            })
            .sum::<Duration>();
    eprintln!(
        "{} rounds of {parts:?} with {} contenders in delivery: about {} minutes",
        bench.rounds,
        contenders.len(),
        estimate.as_secs().div_ceil(60)
    );
    for (who, why) in &found.missing {
        eprintln!("not there: {who}: {why}");
    }
    tell("what this machine allows");
    let alone = tell::Alone {
        syncs: limits::syncs(scratch.path(), 300)?,
        signatures: limits::signatures()?,
        mails_per_second: sink::ceiling()?,
        requests_per_second: requests::ceiling()?,
    };
    for part in parts {
        match part {
            Part::Delivery => {
                let sample = bench.sample().context("taking the mail that all deliver")?;
                found.sample_bytes = sample.bytes();
                found.delivery = delivery::run(&bench, &contenders, &sample, &tell);
            }
            Part::Tracking => match tracking::run(&bench, &tell) {
                Ok(tracking) => {
                    found.versions.push(("nginx".to_owned(), tracking.nginx.clone()));
                    found.tracking = Some(tracking);
                }
                Err(error) => found.note_failure("tracking", "nginx", &error),
            },
            Part::Timers => match timers::run(&bench, &tell) {
                Ok(timers) => {
                    found.versions.push(("Redis".to_owned(), timers.redis.clone()));
                    found.timers = Some(timers);
                }
                Err(error) => found.note_failure("timers", "redis-server", &error),
            },
            Part::Scraping => match scraping::run(&bench, &tell) {
                Ok(pairs) => found.scraping = pairs,
                Err(error) => found.missing.push(("scraping".to_owned(), format!("{error:#}"))),
            },
        }
    }
    process::remove_groups();
    let mut told = tell::report(&bench, &found, &alone)?;
    told.began_at = began_at.to_string();
    told.seconds = began.elapsed().as_secs_f64();
    let paths = report::write(&told, &arguments.report)?;
    let markdown = arguments.report.join("compare.md");
    fs::write(&markdown, tell::markdown(&told))?;
    println!("{}", report::text(&told));
    println!("{}\n{}", paths.html.display(), markdown.display());
    Ok(
        told.intact.unwrap_or(true)
            && found.failed.is_empty()
            && found.delivery.iter().all(|row| row.faults.is_empty()),
    )
}

fn bench(arguments: &Arguments, scratch: &Path) -> anyhow::Result<Bench> {
    let binary = service::binary(arguments.binary.as_deref())?;
    if arguments.rounds == 0 || arguments.sessions == 0 || arguments.connections == 0 {
        bail!("rounds, sessions and connections are from 1 on");
    }
    let (rounds, scale) = if arguments.quick {
        (1, 0.1)
    } else {
        (arguments.rounds, arguments.scale)
    };
    Ok(Bench {
        binary: fs::canonicalize(&binary).with_context(|| format!("finding {}", binary.display()))?,
        tools: arguments.tools.clone(),
        scratch: scratch.to_owned(),
        rounds,
        scale,
        sessions: arguments.sessions,
        connections: arguments.connections,
        key: SigningKey::generate()?,
        slow_flush: SlowFlush::compile(scratch)?,
        delay: Duration::from_millis(arguments.slow_flush_ms),
    })
}

/// Returns who takes part in delivery, and notes who does not.
fn contenders(arguments: &Arguments, bench: &Bench, found: &mut Found) -> anyhow::Result<Vec<Contender>> {
    const KNOWN: [&str; 4] = ["postfix", "exim", "haraka", "opensmtpd"];
    if let Some(unknown) = arguments
        .peers
        .iter()
        .find(|name| !KNOWN.contains(&name.to_lowercase().as_str()))
    {
        bail!("there is no peer `{unknown}`: there are {}", KNOWN.join(", "));
    }
    let wanted = |contender: &Contender| {
        let name = contender.name().to_lowercase();
        arguments.peers.is_empty()
            || !matches!(contender, Contender::Relay(_))
            || arguments
                .peers
                .iter()
                .any(|peer| name.starts_with(&peer.to_lowercase()))
    };
    let mut here = Vec::new();
    for contender in Contender::all().into_iter().filter(wanted) {
        match contender.version(&bench.tools) {
            Ok(version) => {
                if !version.is_empty() {
                    found.versions.push((contender.name().to_owned(), version));
                }
                here.push(contender);
            }
            Err(why) => found.missing.push((contender.name().to_owned(), why)),
        }
    }
    Ok(here)
}

/// Tells what goes on: on a terminal in one line that moves on, elsewhere a line for each thing.
fn progress() -> impl Fn(&str) {
    let began = Instant::now();
    let terminal = std::io::stderr().is_terminal();
    move |what| {
        let seconds = began.elapsed().as_secs();
        let line = format!("{:02}:{:02} {what}", seconds / 60, seconds % 60);
        if terminal {
            eprint!("\r\x1b[K{line}");
        } else {
            eprintln!("{line}");
        }
    }
}

#[cfg(test)]
mod tests;
