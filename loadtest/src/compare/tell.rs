//! The comparison's report: tables of medians and spreads, bars, and the same as Markdown.

mod delivery;

use std::fmt::Write as _;

use super::Found;
use super::bench::{Bench, Flush};
use super::method::METHOD;
use super::spread::{Spread, figure};
use super::timers::{self, Timers};
use super::tracking::{self, Shape, Tracking};
use crate::limits::{Signatures, Syncs};
use crate::machine;
use crate::report::{Ceiling, Figure, Report, Table};

/// What the machine can do alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alone {
    pub(super) syncs: Syncs,
    pub(super) signatures: Signatures,
    pub(super) mails_per_second: f64,
    pub(super) requests_per_second: f64,
}

/// Other load from which on rates are not to be believed.
const OTHERS_MAX: f64 = 0.05;

/// Makes the report.
pub(super) fn report(bench: &Bench, found: &Found, alone: &Alone) -> anyhow::Result<Report> {
    let others = others(found);
    let mut report = Report {
        title: "Comparison".to_owned(),
        about: format!(
            "Staffetta beside the peers that are installed, the same work for each, {} rounds; figures are medians (least–most).",
            bench.rounds
        ),
        versions: found.versions.clone(),
        machine: machine::read(&bench.scratch, alone.syncs, others.map(|spread| spread.median))?,
        method: METHOD.map(str::to_owned).to_vec(),
        ..Report::default()
    };
    if !found.delivery.is_empty() {
        delivery::tell(bench, found, alone, &mut report);
    }
    if let Some(tracking) = &found.tracking {
        tracking_table(tracking, &mut report);
    }
    if let Some(timers) = &found.timers {
        timers_table(timers, &mut report);
    }
    if !found.scraping.is_empty() {
        scraping_table(found, &mut report);
    }
    report.ceilings.push(Ceiling {
        name: "requests/s of the comparison's HTTP client into a server that does nothing".to_owned(),
        per_second: alone.requests_per_second,
        reached_per_second: answered_at_most(found),
    });
    report.tables.push(limits_table(alone));
    if !found.missing.is_empty() {
        let rows = found.missing.iter().map(|(who, why)| vec![who.clone(), why.clone()]);
        report.tables.push(table(
            "Not there",
            "What was not measured, and why.",
            &["", "why"],
            rows,
        ));
    }
    report.warnings = warnings(found, others);
    report
        .warnings
        .extend(report.ceilings.iter().filter_map(Ceiling::warning));
    Ok(report)
}

fn table(title: &str, about: &str, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    Table {
        title: title.to_owned(),
        about: about.to_owned(),
        columns: columns.iter().map(|&column| column.to_owned()).collect(),
        rows: rows.into_iter().collect(),
    }
}

fn written(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".to_owned(), |spread| spread.to_string())
}

fn spread<R>(runs: &[R], of: impl Fn(&R) -> f64) -> Option<Spread> {
    Spread::of(runs.iter().map(of))
}

fn tracking_table(tracking: &Tracking, report: &mut Report) {
    let mut rows = Vec::new();
    for flush in [Flush::AsItIs, Flush::Slower] {
        for shape in Shape::ALL {
            let of = |runs: &[tracking::Run]| -> Vec<tracking::Run> {
                runs.iter()
                    .filter(|run| run.shape == shape && run.flush == flush)
                    .copied()
                    .collect()
            };
            let (ours, theirs) = (of(&tracking.ours), of(&tracking.theirs));
            let pairs = ours
                .iter()
                .zip(&theirs)
                .map(|(ours, theirs)| (ours.cpu.to_append, theirs.cpu.to_append));
            let ratio = Spread::of_ratios(pairs);
            if flush == Flush::AsItIs
                && let Some(ratio) = ratio
            {
                report.figures.push(Figure {
                    name: format!("CPU for a {}", shape.as_str()),
                    value: ratio.median,
                    unit: "×".to_owned(),
                    beside: format!("that of nginx; {}–{}", figure(ratio.least), figure(ratio.most)),
                    good: None,
                });
            }
            let how = if flush == Flush::Slower { ", flushes slower" } else { "" };
            rows.push(vec![
                format!("{}{how}", shape.as_str()),
                written(spread(&ours, |run| run.cpu.to_append)),
                written(spread(&theirs, |run| run.cpu.to_append)),
                written(ratio),
                written(spread(&ours, |run| run.cpu.beyond)),
                written(spread(&ours, |run| run.per_second)),
                written(spread(&theirs, |run| run.per_second)),
                written(spread(&ours, |run| run.p99_ms)),
                written(spread(&theirs, |run| run.p99_ms)),
                figure(ours.iter().map(|run| run.dropped).sum()),
            ]);
        }
    }
    let columns = [
        "",
        "CPU-s per million, to the append",
        "of nginx",
        "ratio",
        "and beyond it",
        "answers/s",
        "of nginx",
        "answered within, p99, ms",
        "of nginx",
        "hits dropped",
    ];
    let about = "Real links of delivered mails, recorded durably, beside nginx `return 302` and `empty_gif` with its log. \
                 Hits dropped: answered, and not recorded, since runners folded slower than hits came.";
    report.tables.push(table("Tracking", about, &columns, rows));
}

fn timers_table(timers: &Timers, report: &mut Report) {
    let row = |name: String, runs: &[timers::Run], flush: Flush| {
        let runs: Vec<_> = runs.iter().filter(|run| run.flush == flush).copied().collect();
        #[expect(clippy::cast_precision_loss, reason = "bytes here stay far below 2^52")]
        let rss = |run: &timers::Run| run.rss_bytes as f64 / f64::from(1 << 20);
        let how = if flush == Flush::Slower { ", flushes slower" } else { "" };
        vec![
            format!("{name}{how}"),
            written(spread(&runs, |run| run.cpu_per_thousand)),
            written(spread(&runs, |run| run.late_mean_ms)),
            written(spread(&runs, |run| run.late_p99_ms)),
            written(spread(&runs, timers::Run::flushes_each)),
            written(spread(&runs, rss)),
        ]
    };
    let rows = [Flush::Counted, Flush::Slower].into_iter().flat_map(|flush| {
        [
            row(
                "Staffetta: event, contact, workflow, wait".to_owned(),
                &timers.ours,
                flush,
            ),
            row("Redis: ZADD, ZPOPMIN".to_owned(), &timers.theirs, flush),
        ]
    });
    let about = format!(
        "{} timers a second, {} at once, both durable. Staffetta's include HTTP, the journal, the contact and its place in a workflow.",
        timers::RATE,
        timers::BATCH
    );
    let columns = [
        "",
        "CPU-s per 1,000",
        "late, mean ms",
        "late, p99 ms at most",
        "flushes a timer",
        "RSS MiB",
    ];
    report.tables.push(table("Timers", &about, &columns, rows));
}

fn scraping_table(found: &Found, report: &mut Report) {
    let ratio = Spread::of_ratios(found.scraping.iter().map(|pair| (pair.scraped, pair.alone)));
    let row = vec![
        written(spread(&found.scraping, |pair| pair.scraped)),
        written(spread(&found.scraping, |pair| pair.alone)),
        ratio.map_or_else(String::new, |ratio| {
            format!("{:.4} ({:.4}–{:.4})", ratio.median, ratio.least, ratio.most)
        }),
        written(spread(&found.scraping, |pair| f64::from(pair.scrapes))),
        found
            .scraping
            .last()
            .map_or_else(String::new, |pair| pair.scrape_bytes.to_string()),
    ];
    let columns = [
        "instructions a message, scraped",
        "not scraped",
        "ratio",
        "scrapes",
        "bytes of a scrape",
    ];
    let about = "/metrics read every second against not at all, in pairs.";
    report.tables.push(table("Scraping", about, &columns, [row]));
    if let Some(ratio) = ratio {
        report.figures.push(Figure {
            name: "instructions a message with /metrics read every second".to_owned(),
            value: ratio.median,
            unit: "×".to_owned(),
            beside: "those with nobody reading; at most 1.02".to_owned(),
            good: Some(ratio.median <= 1.02),
        });
    }
}

/// Returns the most requests that anybody answered in a second.
fn answered_at_most(found: &Found) -> f64 {
    let tracked = found
        .tracking
        .iter()
        .flat_map(|tracking| tracking.ours.iter().chain(&tracking.theirs));
    let posted = found.delivery.iter().take(2).flat_map(|row| &row.as_it_is);
    tracked
        .map(|run| run.per_second)
        .chain(posted.map(super::delivery::Run::per_second))
        .fold(0.0, f64::max)
}

fn limits_table(alone: &Alone) -> Table {
    let rows = [
        (
            "durable overwrite of 12 KiB, ms",
            format!("{} p50, {} p99", figure(alone.syncs.p50), figure(alone.syncs.p99)),
            "no durable acknowledgement comes sooner",
        ),
        (
            "RSA-2048 signature, ms of a core",
            figure(alone.signatures.rsa_2048),
            "the least CPU-s that DKIM costs for 1,000 mails",
        ),
        ("Ed25519 signature, ms of a core", figure(alone.signatures.ed25519), ""),
        (
            "injector and sink alone, mails/s",
            figure(alone.mails_per_second),
            "nobody between them can be faster",
        ),
        (
            "our HTTP client into a server that does nothing, requests/s",
            figure(alone.requests_per_second),
            "nobody can be seen to answer faster",
        ),
    ];
    let rows = rows
        .into_iter()
        .map(|(what, value, means)| vec![what.to_owned(), value, means.to_owned()]);
    table(
        "Limits",
        "What this machine allows, whoever works on it.",
        &["", "here", "what it bounds"],
        rows,
    )
}

/// Returns how much of the machine others used, over all runs that could tell.
fn others(found: &Found) -> Option<Spread> {
    let delivery = found
        .delivery
        .iter()
        .flat_map(|row| row.as_it_is.iter().chain(&row.slower))
        .map(|run| run.others);
    let tracking = found
        .tracking
        .iter()
        .flat_map(|tracking| tracking.ours.iter().chain(&tracking.theirs))
        .map(|run| run.others);
    Spread::of(delivery.chain(tracking))
}

fn warnings(found: &Found, others: Option<Spread>) -> Vec<String> {
    let mut warnings: Vec<String> = found
        .failed
        .iter()
        .map(|(part, why)| format!("{part} failed: {why}"))
        .collect();
    for row in &found.delivery {
        warnings.extend(row.faults.iter().map(|fault| format!("{}: {fault}", row.name)));
        if let Some(each) = row.flushes_each
            && each < 1.0
        {
            warnings.push(format!(
                "{} is not durable: {} flushes a mail when mails come one after the other",
                row.name,
                figure(each)
            ));
        }
    }
    if let Some(others) = others.filter(|others| others.most > OTHERS_MAX) {
        warnings.push(format!(
            "something else used {:.0} % of the machine in half of the runs, up to {:.0} %: rates are provisional, ratios less so",
            others.median * 100.0,
            others.most * 100.0
        ));
    }
    let group = crate::process::Group::new("accounting");
    if group.accounting() != crate::process::Accounting::ControlGroup {
        warnings.push(
            "CPU is summed over /proc, which misses processes that have ended: Exim's and Postfix's are too low"
                .to_owned(),
        );
    }
    let dropped: f64 = found
        .tracking
        .iter()
        .flat_map(|tracking| &tracking.ours)
        .map(|run| run.dropped)
        .sum();
    if dropped > 0.0 {
        warnings.push(format!(
            "{dropped} hits were answered and not recorded: the tracking figures are for less work"
        ));
    }
    warnings
}

/// Writes the tables as Markdown.
pub(super) fn markdown(report: &Report) -> String {
    let versions = report
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"));
    let machine = &report.machine;
    let mut text = format!(
        "{}, {} cores, Linux {}, {}. {}.\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.disk,
        versions.collect::<Vec<_>>().join("; ")
    );
    for table in &report.tables {
        let _ = write!(text, "\n### {}\n\n", table.title);
        if !table.about.is_empty() {
            let _ = write!(text, "{}\n\n", table.about);
        }
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        text.push_str(&line(&table.columns));
        let _ = writeln!(text, "|{}", "---|".repeat(table.columns.len()));
        for row in &table.rows {
            text.push_str(&line(row));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::delivery::Row;
    use super::super::relay::Signed;
    use super::*;

    #[test]
    fn a_row_that_failed_and_one_that_is_not_durable_are_told() {
        let row = |name, flushes_each, faults: &[&str]| Row {
            name,
            signed: Signed::No,
            remark: "",
            flushes_each,
            as_it_is: Vec::new(),
            slower: Vec::new(),
            faults: faults.iter().map(|&fault| fault.to_owned()).collect(),
        };
        let found = Found {
            delivery: vec![
                row("A", Some(1.0), &[]),
                row("B", Some(0.0), &[]),
                row("C", None, &["round 1: lost"]),
            ],
            ..Found::default()
        };
        let warnings = warnings(&found, None).join("\n");
        assert!(
            warnings.contains("B is not durable") && warnings.contains("C: round 1: lost"),
            "{warnings}"
        );
        assert!(!warnings.contains("A is"), "{warnings}");
    }

    #[test]
    fn tables_are_markdown() {
        let report = Report {
            tables: vec![table("T", "", &["", "x"], [vec!["a".to_owned(), "1".to_owned()]])],
            ..Report::default()
        };
        assert!(
            markdown(&report).ends_with("\n### T\n\n|  | x |\n|---|---|\n| a | 1 |\n"),
            "{}",
            markdown(&report)
        );
    }
}
