//! The report of a run, from what was measured.

use std::time::Duration;

use crate::judge::{self, Judgement};
use crate::machine;
use crate::meter::{Measure, Meter};
use crate::report::{Ceiling, Chart, ChartKind, Figure, Latency, Report, Series, Table, quantity};
use crate::sample::{Sample, float};

use super::Outcome;

/// Percentiles of the plots over time.
const OVER_TIME: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)];
/// What ends in a mail.
const DELIVERED: [Measure; 3] = [Measure::OrderDelivered, Measure::MessageDelivered, Measure::TimerFired];
/// The pacer sleeps exactly to some tens of microseconds; so late, it did not get its core.
const BEHIND_WARNED_FROM: Duration = Duration::from_millis(10);
/// From this share of all cores on, other work makes the figures doubtful.
const OTHER_LOAD_WARNED_FROM: f64 = 0.05;

/// Puts everything together.
pub(super) fn report(outcome: &Outcome, began_at: &str) -> anyhow::Result<Report> {
    let faults = faults(outcome);
    let mut charts: Vec<Chart> = measured(outcome)
        .map(|(measure, meter)| over_time(*measure, meter))
        .collect();
    charts.push(throughput(outcome));
    charts.extend(outcome.samples.charts());
    let ceilings = ceilings(outcome);
    Ok(Report {
        title: outcome.scenario.title.clone(),
        about: outcome.scenario.about.clone(),
        began_at: began_at.to_owned(),
        seconds: outcome.seconds,
        versions: vec![("staffetta".to_owned(), outcome.version.clone())],
        machine: machine::read(&outcome.folder, outcome.limits.syncs, other_load(outcome))?,
        intact: Some(faults.is_empty()),
        verdict: verdict(&faults, &outcome.judgements),
        warnings: warnings(outcome, &ceilings),
        figures: figures(outcome),
        ceilings,
        latencies: measured(outcome)
            .map(|(measure, meter)| latency(*measure, meter))
            .collect(),
        charts,
        marks: outcome.kills.marks(),
        tables: tables(outcome),
        method: method(outcome),
        scenario: outcome.scenario.text.clone(),
    })
}

/// Says what was lost, sent twice or damaged, and what nobody can vouch for.
fn faults(outcome: &Outcome) -> Vec<String> {
    let mut faults: Vec<String> = outcome.ended.iter().cloned().collect();
    faults.extend(outcome.judgements.iter().filter_map(Judgement::fault));
    let tally = &outcome.tally;
    for (count, what) in [
        (tally.dkim_failed, "DKIM signatures are not good"),
        (
            tally.unproven,
            "mails came without a signature or a digest, so nothing says that they are whole",
        ),
        (tally.strangers, "mails came that nobody had asked for"),
    ] {
        if count > 0 {
            faults.push(format!("{count} {what}"));
        }
    }
    faults
}

/// Words the finding. Nothing lost is not everything delivered: what the service still has is said in the same breath.
fn verdict(faults: &[String], judgements: &[Judgement]) -> String {
    let held: usize = judgements.iter().map(Judgement::accounted_for).sum();
    match (faults, held) {
        ([], 0) => String::new(),
        ([], held) => format!(
            "Nothing lost, nothing sent twice; {} did not come in time, and the service accounts for them",
            quantity(count(held), "")
        ),
        (faults, _) => faults.join("; "),
    }
}

/// Returns the percentiles of a measure.
fn latency(measure: Measure, meter: &Meter) -> Latency {
    let micros = &meter.micros;
    let at = |quantile| float(micros.value_at_quantile(quantile)) / 1000.0;
    Latency {
        name: measure.as_str().to_owned(),
        count: micros.len(),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: float(micros.max()) / 1000.0,
        distribution: micros
            .iter_quantiles(5)
            .map(|step| (step.percentile(), float(step.value_iterated_to()) / 1000.0))
            .collect(),
    }
}

fn over_time(measure: Measure, meter: &Meter) -> Chart {
    let series = OVER_TIME.map(|(name, quantile)| Series {
        name: name.to_owned(),
        values: meter
            .slices
            .iter()
            .map(|slice| Some(float(slice.as_ref()?.micros.value_at_quantile(quantile)) / 1000.0))
            .collect(),
        spread: Vec::new(),
    });
    Chart {
        group: "Latency over time".to_owned(),
        title: measure.as_str().to_owned(),
        unit: "ms".to_owned(),
        kind: ChartKind::TimeLog,
        x: seconds(meter.slices.len()),
        labels: Vec::new(),
        series: series.into(),
    }
}

/// What was answered and delivered in each second.
fn throughput(outcome: &Outcome) -> Chart {
    let length = measured(outcome)
        .map(|(_, meter)| meter.slices.len())
        .max()
        .unwrap_or(0);
    let series = measured(outcome).map(|(measure, meter)| Series {
        name: measure.as_str().to_owned(),
        values: (0..length)
            .map(|second| {
                let slice = meter.slices.get(second).and_then(Option::as_ref);
                Some(slice.map_or(0.0, |slice| float(slice.micros.len())))
            })
            .collect(),
        spread: Vec::new(),
    });
    Chart {
        group: "Throughput".to_owned(),
        title: "Answered and delivered, each second".to_owned(),
        unit: "/s".to_owned(),
        kind: ChartKind::Time,
        x: seconds(length),
        labels: Vec::new(),
        series: series.collect(),
    }
}

fn seconds(length: usize) -> Vec<f64> {
    (0_u32..).take(length).map(f64::from).collect()
}

fn figures(outcome: &Outcome) -> Vec<Figure> {
    let mut figures = Vec::new();
    let acknowledged: u64 = outcome
        .judgements
        .iter()
        .map(|judgement| judgement.account.acknowledged)
        .sum();
    let lost: usize = outcome.judgements.iter().map(Judgement::lost).sum();
    let twice: usize = outcome
        .judgements
        .iter()
        .map(|judgement| judgement.account.twice.len())
        .sum();
    figures.push(Figure {
        good: Some(lost == 0),
        ..figure(
            "mails lost",
            count(lost),
            "",
            format!("of {} acknowledged", quantity(float(acknowledged), "")),
        )
    });
    figures.push(Figure {
        good: Some(twice == 0),
        ..figure(
            "sent twice",
            count(twice),
            "",
            format!("of {} taken", quantity(float(outcome.tally.mails), "")),
        )
    });
    for (measure, meter) in delivered(outcome) {
        let latency = latency(*measure, meter);
        let beside = format!(
            "p50 {}, p99.9 {}",
            quantity(latency.p50, "ms"),
            quantity(latency.p999, "ms")
        );
        figures.push(figure(&format!("{}, p99", latency.name), latency.p99, "ms", beside));
    }
    let mails: f64 = delivered(outcome).map(|(_, meter)| float(meter.micros.len())).sum();
    let rows = outcome.samples.between(0.0, f64::INFINITY);
    if mails > 0.0 {
        let busiest = format!("{} in the busiest second", quantity(busiest(outcome), ""));
        let while_they_came = delivered(outcome).map(|(_, meter)| meter.slices.len()).max();
        let seconds = count(while_they_came.unwrap_or(1).max(1));
        figures.push(figure("mails delivered", mails / seconds, "/s", busiest));
        let spent = cpu_between(rows);
        let beside = format!(
            "all that it did in the run; {:.2} cores on average",
            spent / outcome.seconds
        );
        figures.push(figure(
            "processor time a thousand mails",
            spent * 1000.0 / mails,
            "CPU-s",
            beside,
        ));
    }
    figures.extend(of_the_service(outcome, rows));
    figures
}

fn figure(name: &str, value: f64, unit: &str, beside: String) -> Figure {
    Figure {
        name: name.to_owned(),
        value,
        unit: unit.to_owned(),
        beside,
        good: None,
    }
}

/// Memory, kills, flushes and scrapes.
fn of_the_service(outcome: &Outcome, rows: &[Sample]) -> Vec<Figure> {
    let mut figures = Vec::new();
    let peak = rows.iter().map(|sample| sample.rss_bytes).fold(0.0, f64::max) / f64::from(1 << 20);
    let ending = rows.last().map_or(0.0, |sample| sample.rss_bytes) / f64::from(1 << 20);
    figures.push(figure(
        "memory at its peak",
        peak,
        "MiB",
        format!("{} at the end", quantity(ending, "MiB")),
    ));
    if let Some(away) = outcome.kills.away_max() {
        let beside = format!("killed {} times; from the kill to ready again", outcome.kills.count());
        figures.push(figure("away after a kill, longest", away.as_secs_f64(), "s", beside));
    }
    if let Some(slower) = outcome.slower {
        let beside = "on average, by a preloaded library".to_owned();
        figures.push(figure(
            "each flush slower by",
            slower.as_secs_f64() * 1000.0,
            "ms",
            beside,
        ));
    }
    if let Some(scrape) = scrapes(rows) {
        figures.push(figure(
            "a scrape of the metrics, longest",
            scrape.0,
            "ms",
            quantity(scrape.1 / 1024.0, "KiB"),
        ));
    }
    figures
}

fn ceilings(outcome: &Outcome) -> Vec<Ceiling> {
    let ceiling = |name: &str, per_second, reached_per_second| Ceiling {
        name: name.to_owned(),
        per_second,
        reached_per_second,
    };
    vec![
        ceiling(
            "requests/s of the generator into a server that does nothing",
            outcome.limits.requests_per_second,
            float(outcome.generated.busiest_second),
        ),
        ceiling(
            "mails/s of the sink alone, each checked",
            outcome.limits.mails_per_second,
            busiest(outcome),
        ),
    ]
}

fn warnings(outcome: &Outcome, ceilings: &[Ceiling]) -> Vec<String> {
    let mut warnings: Vec<String> = ceilings.iter().filter_map(Ceiling::warning).collect();
    if let Some(share) = other_load(outcome).filter(|share| *share >= OTHER_LOAD_WARNED_FROM) {
        warnings.push(format!(
            "other work took {:.0} % of the machine meanwhile",
            share * 100.0
        ));
    }
    let behind = Duration::from_micros(outcome.generated.behind_micros.value_at_quantile(0.99));
    if behind > BEHIND_WARNED_FROM {
        let behind = behind.as_secs_f64() * 1000.0;
        warnings.push(format!(
            "one in a hundred requests was handed out {behind:.0} ms or more behind schedule: the generator did not get its core, \
             and latencies count that as the service's"
        ));
    }
    for load in outcome.generated.loads.iter().filter(|load| load.failed > 0) {
        let (failed, asked, send) = (load.failed, load.asked, load.send.as_str());
        let first = load.errors.first().map_or("", String::as_str);
        warnings.push(format!(
            "{failed} of {asked} {send} failed and are in no latency; the first: {first}"
        ));
    }
    let dropped = outcome
        .samples
        .rows()
        .iter()
        .rev()
        .find_map(|sample| Some(sample.told.as_ref()?.dropped_hits));
    if dropped.is_some_and(|dropped| dropped > 0.0) {
        warnings.push(format!(
            "{:.0} opens or clicks were dropped by the service",
            dropped.unwrap_or_default()
        ));
    }
    warnings
}

fn tables(outcome: &Outcome) -> Vec<Table> {
    let mut tables = judge::tables(&outcome.judgements, &outcome.tally);
    tables.push(generated(outcome));
    tables.extend(refused(outcome));
    tables
}

/// What each load asked and how it was answered.
fn generated(outcome: &Outcome) -> Table {
    let rows = outcome.generated.loads.iter().map(|load| {
        let by_status: Vec<String> = load
            .by_status
            .iter()
            .map(|(status, count)| format!("{count} × {status}"))
            .collect();
        vec![
            load.send.as_str().to_owned(),
            load.asked.to_string(),
            load.answered.to_string(),
            load.retried.to_string(),
            load.waited.to_string(),
            load.failed.to_string(),
            by_status.join(", "),
            load.errors.first().cloned().unwrap_or_default(),
        ]
    });
    Table {
        title: "Requests".to_owned(),
        about: "Each counts once, however often it was tried again after a broken connection, 429 or 503.".to_owned(),
        columns: [
            "load",
            "asked",
            "answered",
            "tried again",
            "waited for a connection",
            "failed",
            "answers",
            "first fault",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: rows.collect(),
    }
}

/// What the sink said no to, as the providers do.
fn refused(outcome: &Outcome) -> Option<Table> {
    let rows: Vec<Vec<String>> = outcome
        .tally
        .refused
        .iter()
        .map(|((provider, code), count)| vec![(*provider).to_owned(), code.to_string(), count.to_string()])
        .collect();
    (!rows.is_empty()).then(|| Table {
        title: "What the receivers refused".to_owned(),
        about: "4xx is for now, 5xx for good.".to_owned(),
        columns: ["provider", "code", "times"].map(str::to_owned).to_vec(),
        rows,
    })
}

fn method(outcome: &Outcome) -> Vec<String> {
    let mut method = vec![
        "Requests are due at moments that are fixed before the run, whatever is answered when (open loop). Each latency counts \
         from the moment its request was due, so a stall of the service shows in every request that had to wait behind it, \
         and none is left out."
            .to_owned(),
        "The sink answers each mail and checks it: asked for, not twice, body hash as signed or as sent, and the DKIM signature \
         whole of some. What was acknowledged and did not come is asked for at the service, one by one."
            .to_owned(),
        format!(
            "Generator and sink are threads of the load test and run on the same cores as the service. Processor time is that of the \
             service's process alone, counted by {}; sink and generator are not in it (the sink used {:.1} CPU-s).",
            outcome.accounting.as_str(),
            outcome.sink_cpu.as_secs_f64()
        ),
        "Queues, syncs and commit times are read from the service's own metrics; memory is its resident set.".to_owned(),
    ];
    if let Some(slower) = outcome.slower {
        method.push(format!(
            "Every flush of the service was slowed down, by {:.2} ms on average as measured in it.",
            slower.as_secs_f64() * 1000.0
        ));
    }
    method
}

/// Returns what was measured at all.
fn measured(outcome: &Outcome) -> impl Iterator<Item = &(Measure, Meter)> {
    outcome.meters.iter().filter(|(_, meter)| !meter.micros.is_empty())
}

/// Returns what was measured of mails that came.
fn delivered(outcome: &Outcome) -> impl Iterator<Item = &(Measure, Meter)> {
    measured(outcome).filter(|(measure, _)| DELIVERED.contains(measure))
}

/// Returns the most mails that came in one second.
fn busiest(outcome: &Outcome) -> f64 {
    let mut sums: Vec<u64> = Vec::new();
    for (_, meter) in delivered(outcome) {
        for (second, slice) in meter.slices.iter().enumerate() {
            if second >= sums.len() {
                sums.resize(second + 1, 0);
            }
            if let (Some(sum), Some(slice)) = (sums.get_mut(second), slice) {
                *sum += slice.micros.len();
            }
        }
    }
    float(sums.into_iter().max().unwrap_or(0))
}

fn cpu_between(rows: &[Sample]) -> f64 {
    match rows {
        [first, .., last] => last.cpu.seconds() - first.cpu.seconds(),
        _ => 0.0,
    }
}

/// Returns the longest scrape in milliseconds and the largest in bytes.
fn scrapes(rows: &[Sample]) -> Option<(f64, f64)> {
    let told = rows.iter().filter_map(|sample| sample.told.as_ref());
    told.map(|told| (told.scrape.as_secs_f64() * 1000.0, count(told.scrape_bytes)))
        .reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))
}

/// Returns the share of all cores that neither the service nor this process used.
fn other_load(outcome: &Outcome) -> Option<f64> {
    let rows = outcome.samples.between(0.0, f64::INFINITY);
    let (first, last) = (rows.first()?, rows.last()?);
    let all = (last.at - first.at) * count(std::thread::available_parallelism().ok()?.get());
    let ours = last.ours_seconds - first.ours_seconds + cpu_between(rows);
    let others = last.machine_seconds - first.machine_seconds - ours;
    (all > 0.0).then(|| (others / all).max(0.0))
}

/// Returns a length as a number to calculate with.
fn count(length: usize) -> f64 {
    float(u64::try_from(length).unwrap_or(u64::MAX))
}
