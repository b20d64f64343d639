//! What it costs to be watched: the service's instructions for a message with `/metrics` read every second, and with nobody reading.
//!
//! Instructions, not seconds: the effect is far below what a shared machine's clock can show.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::bench::Bench;
use super::staffetta::{Pace, Service, Start};
use crate::books::Books;
use crate::http::{self, Connection};
use crate::ledger::Kind;
use crate::process::installed;
use crate::service::Dkim;
use crate::sink::{Settings, Sink};

const ORDERS: u32 = 20_000;
const WARM_UP: u32 = 1000;
const EVERY: Duration = Duration::from_secs(1);

/// One pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    /// Instructions for a message.
    pub(super) scraped: f64,
    pub(super) alone: f64,
    /// How often `/metrics` was read.
    pub(super) scrapes: u32,
    pub(super) scrape_bytes: usize,
}

/// Returns how long it will take, roughly.
pub(super) fn estimate(bench: &Bench) -> Duration {
    Duration::from_secs_f64(f64::from(bench.rounds) * 2.0 * (3.0 + f64::from(bench.scaled(ORDERS, 500)) / 2000.0))
}

/// Runs the pairs, each in the other order than the one before. Err also: this machine counts no instructions.
pub(super) fn run(bench: &Bench, tell: &dyn Fn(&str)) -> anyhow::Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    for round in 1..=bench.rounds {
        tell(&format!("scraping, round {round} of {}", bench.rounds));
        let (mut scraped, mut alone) = (None, None);
        for watched in [round % 2 == 1, round % 2 == 0] {
            let run = measure(bench, watched)?;
            *(if watched { &mut scraped } else { &mut alone }) = Some(run);
        }
        let (scraped, alone) = scraped.zip(alone).context("a pair has two runs")?;
        pairs.push(Pair {
            scraped: scraped.instructions,
            alone: alone.instructions,
            scrapes: scraped.scrapes,
            scrape_bytes: scraped.scrape_bytes,
        });
    }
    Ok(pairs)
}

struct Run {
    instructions: f64,
    scrapes: u32,
    scrape_bytes: usize,
}

fn measure(bench: &Bench, watched: bool) -> anyhow::Result<Run> {
    let (folder, orders) = (bench.folder()?, bench.scaled(ORDERS, 500));
    let books = Books::new([WARM_UP + orders, 0, 0, 0], Instant::now());
    let sink = Sink::start(&Settings::default(), books.clone())?;
    let service = Service::start(Start {
        binary: &bench.binary,
        folder: folder.path().to_owned(),
        route: sink.route(),
        dkim: Dkim::Rsa,
        settings: toml::Table::new(),
        preload: None,
    })?;
    let pace = Pace {
        at_once: bench.connections,
        rate: None,
    };
    let all_came = |count: u32| -> anyhow::Result<()> {
        let end = Instant::now() + Duration::from_mins(1);
        while sink.mails() < u64::from(count) {
            if Instant::now() > end {
                bail!("only {} of {count} mails came", sink.mails());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    };
    service.orders(Kind::Order, 0..WARM_UP, pace, &books.ledger)?;
    all_came(WARM_UP)?;
    service.rest()?;
    let counter = Counter::start(service.staffetta.pid(), folder.path())?;
    let done = AtomicBool::new(false);
    let read = std::thread::scope(|scope| {
        let reader = watched.then(|| scope.spawn(|| scrape(&service, &done)));
        let sent = service
            .orders(Kind::Order, WARM_UP..WARM_UP + orders, pace, &books.ledger)
            .and_then(|_| all_came(WARM_UP + orders));
        done.store(true, Ordering::Release);
        let seen = reader.map(|reader| reader.join().map_err(|_| anyhow::anyhow!("the scraper broke")));
        sent?;
        seen.transpose()?.transpose()
    })?;
    service.rest()?;
    let (scrapes, scrape_bytes) = read.unwrap_or_default();
    Ok(Run {
        instructions: counter.stop()? / f64::from(orders),
        scrapes,
        scrape_bytes,
    })
}

/// Reads `/metrics` every second until it is done; returns how often, and how long the last answer was.
fn scrape(service: &Service, done: &AtomicBool) -> anyhow::Result<(u32, usize)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = service.staffetta.addresses().admin;
    let key = format!("authorization: Bearer {}\r\n", service.staffetta.operator_key());
    let request = http::request("GET", "/metrics", &address.to_string(), &key, b"");
    runtime.block_on(async {
        let mut connection = Connection::open(address).await?;
        let (mut scrapes, mut bytes, mut next) = (0, 0, Instant::now());
        while !done.load(Ordering::Acquire) {
            if Instant::now() >= next {
                let answer = connection.exchange(&request).await?;
                if answer.status != 200 {
                    bail!("/metrics answered {}", answer.status);
                }
                (scrapes, bytes, next) = (scrapes + 1, answer.body.len(), next + EVERY);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok((scrapes, bytes))
    })
}

/// `perf stat` on a process.
struct Counter {
    child: Child,
    output: std::path::PathBuf,
}

impl Counter {
    /// Starts to count. Err: perf is not installed.
    fn start(pid: u32, folder: &Path) -> anyhow::Result<Self> {
        let perf = installed("perf").context("perf is not installed")?;
        let output = folder.join("perf.csv");
        let child = Command::new(perf)
            .args(["stat", "-x", ",", "-e", "instructions:u,instructions:k", "-o"])
            .arg(&output)
            .args(["-p", &pid.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting perf")?;
        // It says nothing when it begins; a moment is lost for all runs alike, while the service rests.
        std::thread::sleep(Duration::from_millis(300));
        Ok(Self { child, output })
    }

    /// Stops and returns the instructions of user and kernel. Err: this machine counts none.
    fn stop(mut self) -> anyhow::Result<f64> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("perf's id")?;
        kill_process(pid, Signal::INT)?;
        self.child.wait()?;
        instructions(&fs::read_to_string(&self.output)?)
    }
}

/// Reads what perf counted.
fn instructions(text: &str) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    let mut lines = 0;
    for line in text.lines().filter(|line| line.contains("instructions")) {
        let count = line.split(',').next().unwrap_or_default();
        let Ok(count) = count.parse::<f64>() else {
            bail!("perf counts no instructions here: {count}");
        };
        (sum, lines) = (sum + count, lines + 1);
    }
    if lines == 0 {
        bail!("perf counted nothing: {text}");
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_of_user_and_kernel_are_added_and_what_is_not_counted_is_told() {
        let text = "# started\n\n286472,,instructions:u,11343183,100.00,,\n862274,,instructions:k,11343183,100.00,,\n";
        assert!((instructions(text).unwrap() - 1_148_746.0).abs() < 0.5);
        let refused = instructions("<not supported>,,instructions:u,0,100.00,,\n").unwrap_err();
        assert!(refused.to_string().contains("<not supported>"), "{refused}");
        assert!(instructions("").is_err());
    }
}
