//! `loadtest run`: one scenario, from an empty folder to a report.
//!
//! The sink, the generator and this loop each have a thread of their own; the service is a process of its own, whose CPU alone is
//! counted. In order: the ceilings of generator and sink, the service started and furnished, mails prepared whose links are followed
//! later, the load with its kills, the wait for what is outstanding, the judgement on each mail, the report.

mod kills;
mod tell;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;

use crate::books::Books;
use crate::generate::{self, Generation, Target};
use crate::ledger::Kind;
use crate::meter::{Measure, Meter};
use crate::process::Accounting;
use crate::progress::{Moment, Progress};
use crate::sample::{Samples, float};
use crate::scenario::Scenario;
use crate::service::{self, Setup, Staffetta};
use crate::sink::{self, Sink};
use crate::slow_flush::{Preload, SlowFlush};
use crate::{interrupt, judge, limits, report};

/// Between two looks at everything.
const TICK: Duration = Duration::from_millis(100);
/// Between the start of the generator and the first request, so that its threads are there.
const LEAD: Duration = Duration::from_millis(200);
/// For how long no mail must have come until a run is over before its time.
const QUIET: Duration = Duration::from_secs(1);
/// Between two samples where `/metrics` is not read.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The scenario, a TOML file: docs/loadtest.md.
    scenario: PathBuf,
    /// Where report.html and report.json are written.
    #[arg(long, default_value = "loadtest-report")]
    report: PathBuf,
    /// The service's program; left out, `staffetta` beside this one.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where the service's data is kept meanwhile; use the disk that matters. /tmp may be memory.
    #[arg(long, default_value = "/var/tmp")]
    folder: PathBuf,
}

/// Everything that a run holds while it goes on.
struct Run {
    scenario: Scenario,
    books: Books,
    sink: Sink,
    service: Staffetta,
    preload: Option<Preload>,
    samples: Samples,
    progress: Progress,
    kills: kills::Kills,
    /// What had been asked, answered and taken at the last look.
    looked: [u64; 3],
}

/// What was measured, for the report.
struct Outcome {
    scenario: Scenario,
    /// Each measure, copied once: an hour of slices is large.
    meters: [(Measure, Meter); Measure::ALL.len()],
    samples: Samples,
    tally: sink::Tally,
    generated: generate::Outcome,
    judgements: Vec<judge::Judgement>,
    kills: kills::Kills,
    /// How the service ended, if it did so by itself, and when.
    ended: Option<String>,
    limits: Limits,
    /// By how much a flush was slower on average, if it was to be.
    slower: Option<Duration>,
    /// From the run's first second to the end of what was outstanding.
    seconds: f64,
    sink_cpu: Duration,
    accounting: Accounting,
    version: String,
    folder: PathBuf,
}

/// What the machine, the generator and the sink can do by themselves.
struct Limits {
    syncs: limits::Syncs,
    requests_per_second: f64,
    mails_per_second: f64,
}

/// Runs a scenario, writes its report, and says whether nothing was lost, sent twice or damaged.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let scenario = Scenario::read(&arguments.scenario)?;
    let scratch = tempfile::tempdir_in(&arguments.folder)?;
    interrupt::heed(
        scratch.path().to_owned(),
        "interrupted: the service was ended, and there is no report",
    )?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began_at = generate::wall_now();
    let title: String = scenario.title.chars().filter(|letter| !letter.is_control()).collect();
    eprintln!("{title}: what the generator and the sink can do alone");
    let limits = Limits {
        syncs: limits::syncs(scratch.path(), 200)?,
        requests_per_second: generate::ceiling()?,
        mails_per_second: sink::ceiling()?,
    };
    let outcome = runtime.block_on(async {
        let run = Run::start(scenario, arguments, scratch.path()).await?;
        run.drive(limits, scratch.path()).await
    })?;
    let report = tell::report(&outcome, &began_at.to_string())?;
    let paths = report::write(&report, &arguments.report)?;
    println!("{}", report::text(&report));
    println!("{}", paths.html.display());
    Ok(report.intact.unwrap_or(true))
}

impl Run {
    /// Starts sink and service.
    async fn start(scenario: Scenario, arguments: &Arguments, scratch: &Path) -> anyhow::Result<Self> {
        let books = Books::waiting(scenario.counts());
        let sink = Sink::start(&scenario.sink, books.clone()).context("starting the sink")?;
        let delay = Duration::from_millis(scenario.service.slow_flush_ms.into());
        let preload = (!delay.is_zero())
            .then(|| SlowFlush::compile(scratch)?.preload(scratch, delay))
            .transpose()?;
        let binary = service::binary(arguments.binary.as_deref())?;
        let service = Staffetta::start(Setup {
            binary,
            folder: scratch.join("service"),
            route: sink.route(),
            dkim: scenario.service.dkim,
            settings: scenario.service.settings.clone(),
            environment: preload.as_ref().map(Preload::environment).unwrap_or_default(),
        })
        .await?;
        sink.trust(service.dkim_records())?;
        Ok(Self {
            progress: Progress::new(scenario.seconds.into()),
            samples: Samples::new(Instant::now()),
            kills: kills::Kills::new(&scenario.service.kill_at_seconds),
            looked: [0; 3],
            scenario,
            books,
            sink,
            service,
            preload,
        })
    }

    /// Drives the load and closes the books.
    async fn drive(mut self, limits: Limits, folder: &Path) -> anyhow::Result<Outcome> {
        let target = Target {
            addresses: self.service.addresses(),
            key: self.service.shop_key().to_owned(),
        };
        generate::prepare(&self.scenario, &target, &self.books)?;
        let scenario = &self.scenario;
        let began = Instant::now() + LEAD + Duration::from_secs(scenario.warm_up_seconds.into());
        let ends = began + Duration::from_secs(scenario.seconds.into());
        let mut patience = ends + Duration::from_secs(scenario.settle_seconds.into());
        self.books.meters.begin(began);
        self.samples = Samples::new(began);
        self.samples.note(&self.service, true).await?;
        let generation = generate::start(scenario, &target, &self.books, &self.sink.links())?;
        let mut quiet = (Instant::now(), 0);
        let mut ended = None;
        loop {
            let now = Instant::now();
            if let Some(how) = self.service.ended()? {
                let at = began.elapsed().as_secs_f64();
                ended = Some(format!(
                    "the service ended by itself {at:.1} s after the load began: {how}"
                ));
                generation.halt();
                break;
            }
            if let Some(at) = self.kills.due(now, began) {
                self.progress.say(&format!("{at} s: killing the service"));
                // What it has used until now goes with it where the kernel does not keep it.
                self.samples.count_cpu(&self.service)?;
                let away = self.kills.kill(&mut self.service, began)?;
                self.progress
                    .say(&format!("it is ready again after {:.2} s", away.as_secs_f64()));
                // What waited for the service has as long to come as without the kill.
                patience += away;
            }
            self.look(&generation, began).await?;
            // A second copy comes behind the first.
            if quiet.1 != self.sink.mails() {
                quiet = (now, self.sink.mails());
            }
            let is_quiet = now >= quiet.0.max(self.kills.back().unwrap_or(began)) + QUIET;
            let settled = now >= ends && generation.is_finished() && is_quiet && self.outstanding() == 0;
            if settled || now >= patience {
                break;
            }
            tokio::time::sleep(TICK).await;
        }
        self.close(generation, ended, limits, began, folder).await
    }

    /// Ends generator and progress, and asks what became of what did not come.
    async fn close(
        mut self,
        generation: Generation,
        ended: Option<String>,
        limits: Limits,
        began: Instant,
        folder: &Path,
    ) -> anyhow::Result<Outcome> {
        let seconds = began.elapsed().as_secs_f64();
        self.samples.note(&self.service, true).await?;
        self.progress.finish();
        let generated = generation.finish()?;
        let recipient = |tag| generate::recipient(&self.scenario, tag);
        let judgements = judge::judge(&self.service, &self.books.ledger, recipient).await;
        let outcome = Outcome {
            tally: self.sink.tally(),
            sink_cpu: self.sink.cpu(),
            slower: match &self.preload {
                Some(preload) => preload.flushes()?.delay_each(),
                None => None,
            },
            folder: folder.to_owned(),
            accounting: self.service.group().accounting(),
            version: self.service.version()?,
            meters: Measure::ALL.map(|measure| (measure, self.books.meters.read(measure))),
            scenario: self.scenario,
            samples: self.samples,
            generated,
            judgements,
            kills: self.kills,
            ended,
            limits,
            seconds,
        };
        self.service.stop()?;
        Ok(outcome)
    }

    /// Returns how many mails were acknowledged and neither came nor were refused.
    fn outstanding(&self) -> usize {
        Kind::ALL
            .into_iter()
            .map(|kind| self.books.ledger.outstanding(kind))
            .sum()
    }

    /// Samples when it is time to, and shows how it goes.
    async fn look(&mut self, generation: &Generation, began: Instant) -> anyhow::Result<()> {
        let scrape_every = Duration::from_millis(self.scenario.service.scrape_every_ms.into());
        let scrapes = !scrape_every.is_zero();
        let every = if scrapes { scrape_every } else { SAMPLE_EVERY };
        let due = self
            .samples
            .rows()
            .last()
            // One at second 0, from where on CPU is counted.
            .is_none_or(|last| last.taken.elapsed() >= every || (last.at < 0.0 && began <= Instant::now()));
        if !due {
            return Ok(());
        }
        self.samples.note(&self.service, scrapes).await?;
        let Some((before, last)) = self.samples.last_two() else {
            return Ok(());
        };
        let progress = generation.progress();
        let now = [progress.asked, progress.answered, self.sink.mails()];
        let gone = last.at - before.at;
        let [asked, answered, mails] = std::array::from_fn(|index| {
            let grown = now.get(index).unwrap_or(&0) - self.looked.get(index).unwrap_or(&0);
            float(grown) / gone
        });
        let moment = Moment {
            at: last.at,
            asked_per_second: asked,
            answered_per_second: answered,
            mails_per_second: mails,
            in_flight: progress.in_flight,
            failed: progress.failed,
            latencies: self.latencies(began),
            queued: last.told.as_ref().map(|told| told.queued),
            cores: (last.cpu.seconds() - before.cpu.seconds()) / gone,
            rss_mib: last.rss_bytes / f64::from(1 << 20),
        };
        self.looked = now;
        self.progress.show(&moment);
        Ok(())
    }

    /// Returns p50 and p99 of the last whole second of each measure.
    fn latencies(&self, began: Instant) -> Vec<(&'static str, f64, f64)> {
        let second = began
            .elapsed()
            .as_secs()
            .checked_sub(1)
            .and_then(|second| usize::try_from(second).ok());
        let Some(second) = second else {
            return Vec::new();
        };
        let slices = Measure::ALL.into_iter().filter_map(|measure| {
            let slice = self.books.meters.slice(measure, second)?;
            let at = |quantile| float(slice.micros.value_at_quantile(quantile)) / 1000.0;
            Some((measure.as_str(), at(0.5), at(0.99)))
        });
        slices.collect()
    }
}
