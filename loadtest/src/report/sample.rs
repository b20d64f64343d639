//! A report as a run of a minute leaves it, killed in the middle, and a comparison beside it: for the tests alone.

use super::{Ceiling, Chart, ChartKind, Figure, Latency, Machine, Mark, Report, Series, Table};

const SECONDS: u32 = 120;
const KILLED_AT: f64 = 60.0;
const BACK_AT: f64 = 60.9;

/// Returns it. The same each time.
pub(super) fn sample() -> Report {
    Report {
        title: "A TV spot".to_owned(),
        about: "Orders come steadily, then ten times as many within two seconds as a spot is shown; halfway the service is \
                killed with kill -9 and started again."
            .to_owned(),
        began_at: "2026-11-20T21:04:37Z".to_owned(),
        seconds: 147.3,
        versions: pairs(&[("Staffetta", "0.1.0 (53b70f4)"), ("Rust", "1.95.0"), ("Redis", "7.0.15")]),
        machine: Machine {
            processor: "Xeon, 2.6 GHz, AVX-512 (virtual)".to_owned(),
            cores: 2,
            memory_mib: 24_103,
            kernel: "6.18.5".to_owned(),
            disk: "ext4 on /dev/vda1".to_owned(),
            sync_ms: Some((0.412_345_678_9, 1.87)),
            other_load: Some(0.031_234),
        },
        intact: Some(true),
        verdict: String::new(),
        warnings: vec![
            "The sink came within 74 % of what it can do alone: the figures of delivery are a lower bound.".to_owned(),
            "Other work took 3 % of the machine.".to_owned(),
        ],
        figures: figures(),
        ceilings: vec![
            ceiling("requests/s into a null server", 31_042.7, 4_346.0),
            ceiling("mails/s into the sink alone", 5_870.2, 4_346.0),
        ],
        latencies: vec![
            latency("order: POST to 202", 62_400, 1.9, 3.4),
            latency("order: POST to the receiver's 250", 62_398, 4.2, 4.1),
            latency("click: redirect answered", 9_120, 0.21, 2.2),
            latency("wait over to the receiver's 250", 812, 6.4, 2.6),
        ],
        charts: charts(),
        marks: vec![mark(10.0, "spot"), mark(KILLED_AT, "kill -9"), mark(BACK_AT, "back, nothing replayed twice")],
        tables: tables(),
        method: vec![
            "Every request has a moment at which it is due, fixed before the run. Its latency counts from that moment, whoever \
             was late: if the service stands still for a second, the requests of that second are late too."
                .to_owned(),
            "Each mail carries its own number and the digest of its body; the sink checks both, and after the run the account \
             of what was to come is closed against what came."
                .to_owned(),
        ],
        scenario: "title = \"A TV spot\"\nseconds = 120\n\n[service]\nkill_at_seconds = [60]\n\n[[load]]\nsend = \"orders\"\nrate = \
                   430.0\ncurve = { shape = \"spike\", at_seconds = 10, times = 10.0, rise_seconds = 2, fall_seconds = 15 }\n"
            .to_owned(),
    }
}

fn figures() -> Vec<Figure> {
    vec![
        figure("orders lost", 0.0, "", "of 62,400 accepted", Some(true)),
        figure("mails sent twice", 0.0, "", "of 62,398 delivered once", Some(true)),
        figure(
            "order to receiver, p99",
            38.271_828_182_8,
            "ms",
            "p50 4.2 ms, kill included in the max",
            None,
        ),
        figure("busiest second", 4_346.0, "/s", "430/s on average", None),
        figure(
            "CPU of the service",
            0.391_234_5,
            "CPU-s per 1,000",
            "orders, workers and tracking",
            None,
        ),
        figure("memory, most", 312.640_625, "MiB", "PSS of all its processes", None),
        figure("back after kill -9", 874.0, "ms", "until the first 202", Some(true)),
        figure(
            "bodies damaged, DKIM wrong",
            0.0,
            "",
            "624 signatures checked",
            Some(true),
        ),
    ]
}

fn charts() -> Vec<Chart> {
    let time = |group: &str, title: &str, unit: &str, series: Vec<Series>| Chart {
        group: group.to_owned(),
        title: title.to_owned(),
        unit: unit.to_owned(),
        kind: if unit == "ms" {
            ChartKind::TimeLog
        } else {
            ChartKind::Time
        },
        x: (0..SECONDS).map(f64::from).collect(),
        labels: Vec::new(),
        series,
    };
    let latency = |title: &str, series| time("Latency over time", title, "ms", series);
    let mut charts = vec![
        latency(
            "Order: POST to the receiver's 250",
            percentiles(1, [3.9, 8.1, 19.0, 41.0]),
        ),
        latency("Click: redirect answered", percentiles(5, [0.21, 0.34, 0.9, 2.1])),
        latency("Order: POST to 202", percentiles(9, [1.9, 2.8, 6.0, 11.0])),
    ];
    let asked = vec![over("asked", 13, rate), over("delivered", 14, delivered)];
    charts.push(time("Throughput", "Requests asked and mails delivered", "/s", asked));
    let queued = vec![
        over("ready", 15, |at| rate(at) * 0.006 * slow(at)),
        over("waiting for another try", 16, |at| 40.0 + at),
    ];
    charts.push(time("Queue", "Mails in the queue", "", queued));
    let open = over("open", 17, |at| 4.0 + rate(at) / 300.0);
    charts.push(time("Queue", "Connections to the sink", "", vec![open]));
    let cores = vec![
        over("service", 18, |at| 0.18 + rate(at) / 4200.0),
        over("sink", 19, |at| 0.05 + rate(at) / 11_000.0),
        over("generator", 20, |at| 0.04 + rate(at) / 14_000.0),
    ];
    charts.push(time("Processor and memory", "Processor", "cores", cores));
    let resident = |at: f64| 160.0 + 1.4 * if at < KILLED_AT { 30.0 + at } else { at - KILLED_AT };
    charts.push(time(
        "Processor and memory",
        "Memory of the service (RSS)",
        "MiB",
        vec![over("RSS", 21, resident)],
    ));
    let syncs = vec![
        over("journal", 22, |at| 60.0 + rate(at) / 20.0),
        over("spool", 23, |at| 20.0 + rate(at) / 90.0),
    ];
    charts.push(time("Disk", "Syncs", "/s", syncs));
    charts.push(time(
        "Disk",
        "Bytes written",
        "MiB/s",
        vec![over("all", 24, |at| rate(at) / 400.0)],
    ));
    charts.extend(comparisons());
    charts
}

/// Orders a second: a spot is shown after ten seconds.
fn rate(at: f64) -> f64 {
    let spike = match at {
        at if at < 10.0 => 0.0,
        at if at < 12.0 => (at - 10.0) / 2.0,
        at => (-(at - 12.0) / 6.0).exp(),
    };
    430.0 * (1.0 + 9.0 * spike)
}

fn delivered(at: f64) -> f64 {
    match at {
        at if (60.0..61.0).contains(&at) => 0.0,
        at if (61.0..63.0).contains(&at) => 640.0,
        at => rate(at - 0.4),
    }
}

/// By how much everything is slower than on a quiet day.
fn slow(at: f64) -> f64 {
    if (KILLED_AT..KILLED_AT + 3.0).contains(&at) {
        60.0 * (KILLED_AT + 3.2 - at)
    } else {
        1.0 + rate(at) / 2500.0
    }
}

fn percentiles(seed: u32, quiet: [f64; 4]) -> Vec<Series> {
    let names = ["p50", "p90", "p99", "p99.9"].iter().zip(quiet).zip(seed..);
    let lines = names.map(|((name, quiet), seed)| over(name, seed, |at| quiet * slow(at).powf(0.8)));
    lines.collect()
}

fn comparisons() -> [Chart; 2] {
    let processor = [
        [(0.41, 0.40, 0.43), (0.44, 0.42, 0.49)],
        [(2.18, 1.80, 2.50), (2.75, 2.61, 2.94)],
        [(4.54, 4.05, 4.94), (5.02, 4.71, 5.60)],
        [(1.12, 0.96, 1.25), (1.20, 1.11, 1.31)],
        [(2.50, 2.33, 2.69), (3.47, 3.20, 3.71)],
    ];
    let mails = [
        [(2_870.0, 2_610.0, 3_040.0)],
        [(800.0, 720.0, 861.0)],
        [(390.0, 341.0, 402.0)],
        [(16.0, 15.2, 16.4)],
        [(475.0, 431.0, 502.0)],
    ];
    let runs = ["plain", "every flush 2 ms slower"];
    [
        bars("CPU of one thousand mails", "CPU-s per 1,000", &runs, &processor),
        bars("Mails a second, all on one machine", "/s", &["plain"], &mails),
    ]
}

fn bars<const SERIES: usize>(
    title: &str,
    unit: &str,
    names: &[&str; SERIES],
    values: &[[(f64, f64, f64); SERIES]],
) -> Chart {
    Chart {
        group: "Beside others".to_owned(),
        title: title.to_owned(),
        unit: unit.to_owned(),
        kind: ChartKind::Bars,
        x: (0..5).map(f64::from).collect(),
        labels: texts(&[
            "Staffetta",
            "Postfix 3.7.11",
            "Exim 4.96",
            "OpenSMTPD 6.8",
            "Haraka 3.3.4",
        ]),
        series: (names.iter().enumerate())
            .map(|(place, name)| Series {
                name: (*name).to_owned(),
                values: values.iter().map(|row| Some(row[place].0)).collect(),
                spread: values.iter().map(|row| (row[place].1, row[place].2)).collect(),
            })
            .collect(),
    }
}

fn tables() -> Vec<Table> {
    let table = |title: &str, about: &str, columns: &[&str], rows: &[&[&str]]| Table {
        title: title.to_owned(),
        about: about.to_owned(),
        columns: texts(columns),
        rows: rows.iter().map(|row| texts(row)).collect(),
    };
    vec![
        table(
            "Account",
            "Who was to get a mail, and who got one. Accepted is what the service answered with 202: from then on it is liable.",
            &[
                "of",
                "asked",
                "accepted",
                "due",
                "delivered once",
                "twice",
                "lost",
                "damaged",
            ],
            &[
                &["orders", "62,400", "62,400", "62,398", "62,398", "0", "0", "0"],
                &["messages", "5,000", "5,000", "5,000", "5,000", "0", "0", "0"],
                &["timers", "812", "812", "812", "812", "0", "0", "0"],
            ],
        ),
        table(
            "What the providers answered",
            "",
            &["provider", "reply", "times", "what it says"],
            &[
                &[
                    "gmail.com",
                    "421 4.7.28",
                    "1,204",
                    "unusual rate of unsolicited mail from this address",
                ],
                &["outlook.it", "451 4.7.650", "388", "temporarily rate limited"],
                &["libero.it", "452 4.2.2", "17", "mailbox full"],
            ],
        ),
    ]
}

fn over(name: &str, seed: u32, value: impl Fn(f64) -> f64) -> Series {
    let values = (0..SECONDS).map(|second| {
        let at = f64::from(second);
        // Nothing is measured in the second without a service.
        (name != "p50" || second != 60).then(|| value(at) * (0.88 + 0.24 * noise(seed, second)))
    });
    Series {
        name: name.to_owned(),
        values: values.collect(),
        spread: Vec::new(),
    }
}

/// Returns a number from 0 to 1 that looks drawn by lot.
fn noise(seed: u32, step: u32) -> f64 {
    let mixed = (seed.wrapping_mul(0x9E37_79B9) ^ step.wrapping_mul(0x85EB_CA6B)).wrapping_mul(0xC2B2_AE35);
    f64::from((mixed ^ (mixed >> 15)) % 1_000) / 1_000.0
}

/// A latency whose percentiles rise by `tail` with each nine.
fn latency(name: &str, count: u64, p50: f64, tail: f64) -> Latency {
    let at = |nines: f64| p50 * (1.0 + 0.35 * nines) * tail.powf((nines - 0.3).max(0.0) * 0.75);
    let nines: Vec<f64> = (0..=60)
        .map(|step| f64::from(step) / 12.0)
        .take_while(|nines| 10_f64.powf(*nines) < super::number::count(count))
        .collect();
    let last = super::number::count(count).log10();
    Latency {
        name: name.to_owned(),
        count,
        p50: at(0.301),
        p90: at(1.0),
        p99: at(2.0),
        p999: at(last.min(3.0)),
        max: at(last),
        distribution: nines
            .into_iter()
            .map(|nines| (100.0 * (1.0 - 10_f64.powf(-nines)), at(nines)))
            .chain([(100.0, at(last))])
            .collect(),
    }
}

fn figure(name: &str, value: f64, unit: &str, beside: &str, good: Option<bool>) -> Figure {
    Figure {
        name: name.to_owned(),
        value,
        unit: unit.to_owned(),
        beside: beside.to_owned(),
        good,
    }
}

fn ceiling(name: &str, per_second: f64, reached_per_second: f64) -> Ceiling {
    Ceiling {
        name: name.to_owned(),
        per_second,
        reached_per_second,
    }
}

fn mark(at: f64, what: &str) -> Mark {
    Mark {
        at,
        what: what.to_owned(),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
