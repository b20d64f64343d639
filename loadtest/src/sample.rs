//! What the service and its machine do while a run goes on, read every second: queues, syncs and times from `/metrics`, CPU and
//! memory from the kernel.

use std::time::{Duration, Instant};

use crate::machine;
use crate::process::Cpu;
use crate::report::{Chart, ChartKind, Series};
use crate::service::{Staffetta, metric};

/// One moment.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) taken: Instant,
    /// Seconds since the run began; negative in the warm-up.
    pub(crate) at: f64,
    pub(crate) cpu: Cpu,
    pub(crate) rss_bytes: f64,
    /// Seconds of CPU that everything on the machine has used.
    pub(crate) machine_seconds: f64,
    /// Seconds of CPU that this process has used: generator, sink and all.
    pub(crate) ours_seconds: f64,
    /// None: it did not answer, as while it is down, or it was not asked.
    pub(crate) told: Option<Told>,
}

/// What `/metrics` told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    pub(crate) queued: f64,
    pub(crate) ready: f64,
    pub(crate) deferred: f64,
    pub(crate) in_flight: f64,
    pub(crate) sessions: f64,
    pub(crate) timers_window: f64,
    pub(crate) state_lag: f64,
    pub(crate) commits: f64,
    pub(crate) commit_seconds: f64,
    pub(crate) synced_bytes: f64,
    pub(crate) dropped_hits: f64,
    /// What reading it took.
    pub(crate) scrape: Duration,
    pub(crate) scrape_bytes: usize,
}

impl Told {
    /// Reads the text of `/metrics`.
    pub(crate) fn read(text: &str, scrape: Duration) -> Self {
        let sum = |name| metric(text, name, "");
        Self {
            queued: sum("mta_queued_messages"),
            ready: sum("mta_ready_messages"),
            deferred: sum("mta_deferred_messages"),
            in_flight: sum("mta_in_flight_messages"),
            sessions: sum("mta_sessions"),
            timers_window: sum("scheduler_timers_window"),
            state_lag: sum("store_state_lag_records"),
            commits: sum("store_commit_seconds_count"),
            commit_seconds: sum("store_commit_seconds_sum"),
            synced_bytes: sum("store_journal_synced_bytes_total") + sum("store_spool_synced_bytes_total"),
            dropped_hits: metric(text, "tracker_events_total", "fate=\"dropped\""),
            scrape,
            scrape_bytes: text.len(),
        }
    }
}

/// All moments of a run.
#[derive(Debug)]
pub(crate) struct Samples {
    began: Instant,
    rows: Vec<Sample>,
    cpu: Counted,
}

/// CPU of a service that is killed and started again. Control groups keep what ended processes have used; `/proc` forgets it.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// Of processes that are gone.
    before: Cpu,
    /// As last told.
    last: Cpu,
}

impl Counted {
    /// Returns all that was used, now that the kernel tells `told`.
    fn count(&mut self, told: Cpu) -> Cpu {
        let sum = |one: Cpu, other: Cpu| Cpu {
            user: one.user + other.user,
            system: one.system + other.system,
        };
        if told.user + told.system < self.last.user + self.last.system {
            self.before = sum(self.before, self.last);
        }
        self.last = told;
        sum(self.before, told)
    }
}

impl Samples {
    /// Begins; moments are told from `began`.
    pub(crate) fn new(began: Instant) -> Self {
        Self {
            began,
            rows: Vec::new(),
            cpu: Counted::default(),
        }
    }

    /// Counts the CPU used so far; returns all of it.
    pub(crate) fn count_cpu(&mut self, service: &Staffetta) -> anyhow::Result<Cpu> {
        Ok(self.cpu.count(service.group().cpu()?))
    }

    /// Notes this moment; `scrape` says whether `/metrics` is read.
    pub(crate) async fn note(&mut self, service: &Staffetta, scrape: bool) -> anyhow::Result<&Sample> {
        let now = Instant::now();
        let mut sample = Sample {
            taken: now,
            at: now.saturating_duration_since(self.began).as_secs_f64()
                - self.began.saturating_duration_since(now).as_secs_f64(),
            cpu: self.count_cpu(service)?,
            rss_bytes: float(service.group().rss_bytes()),
            machine_seconds: machine::busy_seconds()?,
            ours_seconds: crate::process::own_cpu().seconds(),
            told: None,
        };
        if scrape && let Ok(text) = service.metrics().await {
            sample.told = Some(Told::read(&text, now.elapsed()));
        }
        self.rows.push(sample);
        Ok(self.rows.last().expect("one was pushed"))
    }

    /// Returns the moments so far.
    pub(crate) fn rows(&self) -> &[Sample] {
        &self.rows
    }

    /// Returns the last moment, and the one before it.
    pub(crate) fn last_two(&self) -> Option<(&Sample, &Sample)> {
        match self.rows.as_slice() {
            [.., before, last] => Some((before, last)),
            _ => None,
        }
    }

    /// Returns the moments between two, in seconds since the run began.
    pub(crate) fn between(&self, from: f64, to: f64) -> &[Sample] {
        let first = self.rows.partition_point(|sample| sample.at < from);
        let last = self.rows.partition_point(|sample| sample.at <= to);
        self.rows.get(first..last).unwrap_or_default()
    }

    /// Returns the plots of all this.
    pub(crate) fn charts(&self) -> Vec<Chart> {
        let rows = self.between(0.0, f64::INFINITY);
        let x: Vec<f64> = rows.iter().map(|sample| sample.at).collect();
        let chart = |group: &str, title: &str, unit: &str, series: Vec<Series>| Chart {
            group: group.to_owned(),
            title: title.to_owned(),
            unit: unit.to_owned(),
            kind: ChartKind::Time,
            x: x.clone(),
            labels: Vec::new(),
            series,
        };
        let told =
            |name: &str, read: fn(&Told) -> f64| line(name, rows.iter().map(|sample| sample.told.as_ref().map(read)));
        let rate = |name: &str, read: fn(&Sample) -> Option<f64>| {
            let pairs = rows.iter().zip(rows.iter().skip(1));
            let rates = pairs.map(|(before, after)| {
                // A restarted process counts from nothing.
                let gone = read(after)? - read(before)?;
                (gone >= 0.0).then(|| gone / (after.at - before.at))
            });
            line(name, std::iter::once(None).chain(rates))
        };
        let mean_commit = {
            let pairs = rows.iter().zip(rows.iter().skip(1));
            let means = pairs.map(|(before, after)| {
                let (before, after) = (before.told.as_ref()?, after.told.as_ref()?);
                let rounds = after.commits - before.commits;
                (rounds > 0.0).then(|| (after.commit_seconds - before.commit_seconds) * 1000.0 / rounds)
            });
            line("mean of a round", std::iter::once(None).chain(means))
        };
        vec![
            chart(
                "Queue",
                "Mails in the queues",
                "",
                vec![
                    told("queued", |told| told.queued),
                    told("ready", |told| told.ready),
                    told("deferred", |told| told.deferred),
                    told("in flight", |told| told.in_flight),
                ],
            ),
            chart(
                "Queue",
                "Open sessions with receivers",
                "",
                vec![told("sessions", |told| told.sessions)],
            ),
            chart(
                "Queue",
                "Timers in memory, due within ten minutes",
                "",
                vec![told("timers", |told| told.timers_window)],
            ),
            chart(
                "Queue",
                "Records that state does not have yet",
                "",
                vec![told("state lag", |told| told.state_lag)],
            ),
            chart(
                "Processor and memory",
                "Processor time of the service",
                "cores",
                vec![
                    rate("user", |sample| Some(sample.cpu.user.as_secs_f64())),
                    rate("system", |sample| Some(sample.cpu.system.as_secs_f64())),
                    rate("everything on the machine", |sample| Some(sample.machine_seconds)),
                ],
            ),
            chart(
                "Processor and memory",
                "Resident memory of the service",
                "MiB",
                vec![line(
                    "RSS",
                    rows.iter()
                        .map(|sample| (sample.rss_bytes > 0.0).then(|| sample.rss_bytes / f64::from(1 << 20))),
                )],
            ),
            chart(
                "Disk",
                "Commit rounds, a sync of journal and spool each",
                "/s",
                vec![rate("rounds", |sample| Some(sample.told.as_ref()?.commits))],
            ),
            chart("Disk", "Duration of a commit round", "ms", vec![mean_commit]),
            chart(
                "Disk",
                "Bytes synced",
                "MiB/s",
                vec![rate("journal and spool", |sample| {
                    Some(sample.told.as_ref()?.synced_bytes / f64::from(1 << 20))
                })],
            ),
        ]
    }
}

fn line(name: &str, values: impl Iterator<Item = Option<f64>>) -> Series {
    Series {
        name: name.to_owned(),
        values: values.collect(),
        spread: Vec::new(),
    }
}

/// Returns a count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "counts here stay far below 2^52")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_of_a_killed_service_is_not_forgotten() {
        let cpu = |millis| Cpu {
            user: Duration::from_millis(millis),
            system: Duration::ZERO,
        };
        let mut counted = Counted::default();
        let sums: Vec<u128> = [100, 250, 40, 90]
            .map(|told| counted.count(cpu(told)).user.as_millis())
            .into();
        assert_eq!(sums, [100, 250, 290, 340]);
    }

    #[test]
    fn metrics_are_read_by_name_and_the_machine_is_busy() {
        let text = "store_commit_seconds_count 4\nstore_commit_seconds_sum 0.5\nmta_ready_messages{provider=\"google\"} 2\n\
                    mta_ready_messages{provider=\"other\"} 3\n";
        let told = Told::read(text, Duration::from_millis(2));
        assert!((told.commits - 4.0).abs() < 1e-9 && (told.ready - 5.0).abs() < 1e-9);
        assert!(machine::busy_seconds().unwrap() > 0.0);
    }
}
