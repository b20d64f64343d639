//! Waits that end: the service's workflows beside a sorted set in Redis, both durable, at one rate.
//!
//! They do not do the same. Redis keeps a member and a score and gives it back; the service takes an event over HTTP, writes it down,
//! keeps the contact and where it stands in its workflow, waits, and goes on from there, durably each time. Redis is the least
//! that a timer of one's own could be built on.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use serde_json::json;
use tempfile::TempDir;

use super::bench::{Bench, Flush};
use super::redis::Redis;
use super::requests::{Connections, Requests, ask, expect_status};
use super::staffetta::{Service, Start};
use crate::books::Books;
use crate::process::Group;
use crate::service::Dkim;
use crate::sink::{Settings, Sink};
use crate::slow_flush::{Flushes, Preload};

/// Armed in one request, or in one pipeline.
pub(super) const BATCH: u32 = 32;
/// Timers armed a second.
pub(super) const RATE: f64 = 1600.0;
/// From arming to firing, in Redis; what a timer costs there does not depend on it.
pub(super) const WAIT: Duration = Duration::from_secs(3);
/// In the service: waits are of whole minutes.
const OUR_WAIT: Duration = Duration::from_mins(1);
const COUNT: u32 = 16_000;
/// How long what is due may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// One run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) flush: Flush,
    pub(super) cpu_per_thousand: f64,
    pub(super) late_mean_ms: f64,
    /// At most this much, for 99 of 100.
    pub(super) late_p99_ms: f64,
    pub(super) flushes: Flushes,
    pub(super) timers: u32,
    pub(super) rss_bytes: u64,
}

impl Run {
    /// Returns flushes for each timer.
    #[expect(clippy::cast_precision_loss, reason = "counts here stay far below 2^52")]
    pub(super) fn flushes_each(&self) -> f64 {
        self.flushes.count as f64 / f64::from(self.timers)
    }
}

/// What both did.
#[derive(Debug, Default)]
pub(super) struct Timers {
    pub(super) ours: Vec<Run>,
    pub(super) theirs: Vec<Run>,
    pub(super) redis: String,
}

/// Returns how long it will take, roughly.
pub(super) fn estimate(bench: &Bench) -> Duration {
    let arming = f64::from(bench.scaled(COUNT, 320)) / RATE;
    Duration::from_secs_f64(f64::from(bench.rounds) * (OUR_WAIT.as_secs_f64() + 2.0 * arming + 4.0))
}

/// Runs both in every round, with flushes counted and with slower ones. Err also: Redis is not installed.
pub(super) fn run(bench: &Bench, tell: &dyn Fn(&str)) -> anyhow::Result<Timers> {
    let mut timers = Timers {
        redis: Redis::version().map_err(anyhow::Error::msg)?,
        ..Timers::default()
    };
    // Whole batches.
    let count = bench.scaled(COUNT, 320) / BATCH * BATCH;
    for round in 1..=bench.rounds {
        let work = |flush| Work {
            flush,
            delay: bench.delay,
            count,
        };
        let flushes = [Flush::Counted, Flush::Slower];
        tell(&format!(
            "timers, round {round} of {}: the service's are armed, and wait a minute",
            bench.rounds
        ));
        let armed = flushes.map(|flush| Armed::arm(bench, work(flush)));
        tell(&format!("timers, round {round} of {}: Redis", bench.rounds));
        for flush in flushes {
            timers.theirs.push(theirs(bench, work(flush))?);
        }
        tell(&format!(
            "timers, round {round} of {}: the service's fire",
            bench.rounds
        ));
        for armed in armed {
            timers.ours.push(armed?.fire()?);
        }
    }
    Ok(timers)
}

/// What is read before a run.
#[derive(Clone, Copy, Debug)]
struct Meter {
    cpu: f64,
    flushes: Flushes,
}

impl Meter {
    fn start(group: &Group, preload: &Preload) -> anyhow::Result<Self> {
        Ok(Self {
            cpu: group.cpu()?.seconds(),
            flushes: preload.flushes()?,
        })
    }

    fn stop(
        self,
        group: &Group,
        preload: &Preload,
        work: Work,
        (late_mean_ms, late_p99_ms): (f64, f64),
    ) -> anyhow::Result<Run> {
        let cpu = group.cpu()?.seconds() - self.cpu;
        let all = preload.flushes()?;
        let flushes = all.since(self.flushes);
        super::delivery::bit(all, flushes, work.flush, work.delay)?;
        Ok(Run {
            flush: work.flush,
            cpu_per_thousand: cpu * 1000.0 / f64::from(work.count),
            late_mean_ms,
            late_p99_ms,
            flushes,
            timers: work.count,
            rss_bytes: group.rss_bytes(),
        })
    }
}

/// What one run does.
#[derive(Clone, Copy, Debug)]
struct Work {
    flush: Flush,
    delay: Duration,
    count: u32,
}

/// The service with timers that are armed and not due yet.
struct Armed {
    work: Work,
    service: Service,
    preload: Preload,
    meter: Meter,
    due: Instant,
    _folder: TempDir,
    _sink: Sink,
}

impl Armed {
    fn arm(bench: &Bench, work: Work) -> anyhow::Result<Self> {
        let folder = bench.folder()?;
        let preload = bench
            .preload(work.flush, folder.path())?
            .context("flushes are counted")?;
        let sink = Sink::start(&Settings::default(), Books::new([0; 4], Instant::now()))?;
        let service = Service::start(Start {
            binary: &bench.binary,
            folder: folder.path().to_owned(),
            route: sink.route(),
            dkim: Dkim::Ed25519,
            settings: toml::Table::new(),
            preload: Some(&preload),
        })?;
        let workflow = json!({
            "name": "Waits", "start": { "on": "event", "name": "armed" },
            "steps": [{ "do": "wait", "id": "wait", "for": "1m" }, { "do": "exit", "id": "done" }],
        });
        service.api("PUT", "/v1/workflows/waits?shop=publisher", &workflow)?;
        service.api(
            "PUT",
            "/v1/workflows/waits/state?shop=publisher",
            &json!({ "state": "on" }),
        )?;
        let meter = Meter::start(service.group(), &preload)?;
        report(bench, &service, work.count)?;
        Ok(Self {
            work,
            service,
            preload,
            meter,
            due: Instant::now() + OUR_WAIT,
            _folder: folder,
            _sink: sink,
        })
    }

    /// Waits until all have fired.
    fn fire(self) -> anyhow::Result<Run> {
        // Not asked while it works: a scrape costs, too.
        std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
        let end = Instant::now() + PATIENCE;
        loop {
            let fired = self
                .service
                .metric("scheduler_timers_fired_total", "class=\"workflow\"")?;
            if fired >= f64::from(self.work.count) {
                break;
            }
            if Instant::now() > end {
                bail!("only {fired} of {} timers fired", self.work.count);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let late = Lateness::of(&self.service.metrics()?);
        self.meter.stop(
            self.service.group(),
            &self.preload,
            self.work,
            (late.mean_ms(), late.p99_ms()),
        )
    }
}

/// Reports events that arm a timer each, in batches at the rate.
fn report(bench: &Bench, service: &Service, count: u32) -> anyhow::Result<()> {
    let body = move |batch: usize| {
        let first = batch * usize::try_from(BATCH).unwrap_or_default();
        let events = (first..).take(usize::try_from(BATCH).unwrap_or_default());
        let events = events.map(|n| format!(r#"{{"id":"e{n}","email":"c{n}@a.load.test","name":"armed"}}"#));
        format!("[{}]", events.collect::<Vec<_>>().join(","))
    };
    ask(Requests {
        address: service.staffetta.addresses().api,
        connections: Connections::Kept,
        at_once: bench.connections.min(16),
        count: usize::try_from(count / BATCH)?,
        rate: Some(RATE / f64::from(BATCH)),
        make: service.request("/v1/events", body),
        hear: expect_status(207),
        patience: PATIENCE + Duration::from_secs_f64(f64::from(count) / RATE),
    })?;
    Ok(())
}

/// How late the service's timers fired, from its histogram.
#[derive(Debug, Default)]
struct Lateness {
    seconds: f64,
    /// Upper bound of a bucket in seconds, and timers at most that late.
    buckets: Vec<(f64, f64)>,
}

impl Lateness {
    const NAME: &'static str = "scheduler_timer_lateness_seconds";

    fn of(metrics: &str) -> Self {
        let lines = metrics.lines().filter(|line| line.contains("class=\"workflow\""));
        let mut lateness = Self::default();
        for line in lines.filter_map(|line| line.strip_prefix(Self::NAME)) {
            let value: f64 = line
                .rsplit(' ')
                .next()
                .and_then(|value| value.parse().ok())
                .unwrap_or_default();
            if line.starts_with("_sum") {
                lateness.seconds = value;
            } else if let Some((_, bound)) = line.split_once("le=\"") {
                let bound = bound.split('"').next().unwrap_or_default();
                lateness.buckets.push((bound.parse().unwrap_or(f64::INFINITY), value));
            }
        }
        lateness.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        lateness
    }

    fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    fn mean_ms(&self) -> f64 {
        self.seconds * 1000.0 / self.count().max(1.0)
    }

    /// Returns the bound of the bucket that holds the 99th of 100.
    fn p99_ms(&self) -> f64 {
        let wanted = self.count() * 0.99;
        let bucket = self.buckets.iter().find(|(_, count)| *count >= wanted);
        bucket.map_or(0.0, |(bound, _)| bound * 1000.0)
    }
}

fn theirs(bench: &Bench, work: Work) -> anyhow::Result<Run> {
    let folder = bench.folder()?;
    let preload = bench
        .preload(work.flush, folder.path())?
        .context("flushes are counted")?;
    let redis = Redis::start(folder.path(), &preload)?;
    let meter = Meter::start(&redis.group, &preload)?;
    let late = timed(&redis, work.count)?;
    #[expect(clippy::cast_precision_loss, reason = "microseconds here stay far below 2^52")]
    let p99 = late.value_at_quantile(0.99) as f64 / 1000.0;
    meter.stop(&redis.group, &preload, work, (late.mean() / 1000.0, p99))
}

/// Arms timers at the rate on one connection while another takes those that are due; returns their lateness in microseconds.
fn timed(redis: &Redis, count: u32) -> anyhow::Result<Histogram<u64>> {
    let (arming, firing) = (redis.connect()?, redis.connect()?);
    std::thread::scope(|scope| {
        let taken = scope.spawn(move || Redis::fire(firing, count, PATIENCE));
        Redis::arm(arming, count, BATCH, RATE, WAIT)?;
        taken.join().map_err(|_| anyhow::anyhow!("taking timers broke"))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_read_from_the_histogram() {
        let text = |a: u32, b: u32, sum: f64| {
            let n = Lateness::NAME;
            format!(
                "{n}_bucket{{class=\"cart\",le=\"0.005\"}} 9\n{n}_bucket{{class=\"workflow\",le=\"0.005\"}} {a}\n\
                 {n}_bucket{{class=\"workflow\",le=\"0.01\"}} {b}\n{n}_bucket{{class=\"workflow\",le=\"+Inf\"}} {b}\n\
                 {n}_sum{{class=\"workflow\"}} {sum}\n{n}_count{{class=\"workflow\"}} {b}\n"
            )
        };
        let late = Lateness::of(&text(100, 200, 1.5));
        assert!((late.count() - 200.0).abs() < 1e-9);
        assert!((late.mean_ms() - 7.5).abs() < 1e-9);
        assert!((late.p99_ms() - 10.0).abs() < 1e-9);
        assert!((Lateness::of(&text(200, 200, 1.0)).p99_ms() - 5.0).abs() < 1e-9);
    }
}
