//! What the report tells of delivery.

use super::super::Found;
use super::super::bench::Bench;
use super::super::delivery::{Row, Run};
use super::super::relay::Signed;
use super::super::spread::{Spread, figure};
use super::{Alone, spread, table, written};
use crate::report::{Ceiling, Chart, ChartKind, Figure, Report, Series};

/// Returns the ratios of two rows' figures in the rounds that both have.
fn ratios(ours: &[Run], theirs: &[Run], of: impl Fn(&Run) -> f64) -> Option<Spread> {
    let pairs = ours
        .iter()
        .filter_map(|run| Some((run, theirs.iter().find(|other| other.round == run.round)?)));
    Spread::of_ratios(pairs.map(|(ours, theirs)| (of(ours), of(theirs))))
}

/// Adds tables, figures, bars and the ceiling.
pub(super) fn tell(bench: &Bench, found: &Found, alone: &Alone, report: &mut Report) {
    let rows = &found.delivery;
    report.intact = Some(rows.iter().all(|row| row.faults.is_empty()));
    if rows.iter().any(|row| !row.faults.is_empty()) {
        "Some runs failed: see the warnings".clone_into(&mut report.verdict);
    }
    let ours = rows.first();
    let about = format!(
        "One mail of {} bytes to one recipient, RSA-2048 where it is signed. Flushes a mail: one mail after the other; below 1, it is not durable.",
        found.sample_bytes
    );
    let columns = [
        "",
        "signs",
        "flushes a mail",
        "mails/s",
        "CPU-s per 1,000",
        "CPU against orders",
        "PSS MiB",
        "bytes delivered",
    ];
    let plain = rows.iter().map(|row| {
        let last = row.as_it_is.last();
        #[expect(clippy::cast_precision_loss, reason = "bytes here stay far below 2^52")]
        let mib = |bytes: u64| figure(bytes as f64 / f64::from(1 << 20));
        vec![
            row.name.to_owned(),
            if row.signed == Signed::Rsa { "RSA-2048" } else { "no" }.to_owned(),
            row.flushes_each.map_or_else(|| "–".to_owned(), figure),
            written(spread(&row.as_it_is, Run::per_second)),
            written(spread(&row.as_it_is, Run::cpu_per_thousand)),
            written(ours.and_then(|ours| ratios(&row.as_it_is, &ours.as_it_is, Run::cpu_per_thousand))),
            last.map_or_else(|| "–".to_owned(), |run| mib(run.pss_bytes)),
            last.map_or_else(|| "–".to_owned(), |run| figure(run.bytes)),
        ]
    });
    report.tables.push(table("Delivery", &about, &columns, plain));
    let slow_title = format!("Delivery, every flush {} ms slower", bench.delay.as_millis());
    let columns = [
        "",
        "mails/s",
        "rate against as it is",
        "CPU-s per 1,000",
        "flushes a mail",
        "slower by, ms",
    ];
    let slow = rows.iter().map(|row| {
        let each = Spread::of(row.slower.iter().filter_map(Run::flushes_each));
        let delays = row
            .slower
            .iter()
            .filter_map(|run| Some(run.flushes?.delay_each()?.as_secs_f64() * 1000.0));
        vec![
            row.name.to_owned(),
            written(spread(&row.slower, Run::per_second)),
            written(ratios(&row.slower, &row.as_it_is, Run::per_second)),
            written(spread(&row.slower, Run::cpu_per_thousand)),
            written(each),
            // Whoever never flushes cannot be slowed.
            Spread::of(delays).map_or_else(|| "never flushed".to_owned(), |spread| spread.to_string()),
        ]
    });
    let about = "Flushes a mail: under this load, where one flush may serve many mails.";
    report.tables.push(table(&slow_title, about, &columns, slow));
    let remarks = rows.iter().filter(|row| !row.remark.is_empty());
    let remarks = remarks.map(|row| vec![row.name.to_owned(), row.remark.to_owned()]);
    report
        .tables
        .push(table("Who delivers", "", &["", "what to know of it"], remarks));
    report
        .charts
        .push(bars("CPU for 1,000 mails", "CPU-s", rows, Run::cpu_per_thousand));
    report.charts.push(bars("Mails a second", "/s", rows, Run::per_second));
    let busiest = rows
        .iter()
        .flat_map(|row| &row.as_it_is)
        .map(Run::per_second)
        .fold(0.0, f64::max);
    report.ceilings.push(Ceiling {
        name: "mails/s of injector and sink alone".to_owned(),
        per_second: alone.mails_per_second,
        reached_per_second: busiest,
    });
    for row in rows.iter().skip(1).filter(|row| row.signed == Signed::Rsa) {
        let ratio = ours.and_then(|ours| ratios(&row.as_it_is, &ours.as_it_is, Run::cpu_per_thousand));
        if let Some(ratio) = ratio {
            report.figures.push(Figure {
                name: format!("CPU of {} for a mail", row.name),
                value: ratio.median,
                unit: "×".to_owned(),
                beside: format!(
                    "that of Staffetta by orders; {}–{}",
                    figure(ratio.least),
                    figure(ratio.most)
                ),
                good: None,
            });
        }
    }
}

/// Bars of all contenders, as they are and with slow flushes.
fn bars(title: &str, unit: &str, rows: &[Row], of: fn(&Run) -> f64) -> Chart {
    let series = |name: &str, runs: &dyn Fn(&Row) -> Option<Spread>| {
        let spreads: Vec<_> = rows.iter().map(runs).collect();
        Series {
            name: name.to_owned(),
            values: spreads
                .iter()
                .map(|spread| spread.map(|spread| spread.median))
                .collect(),
            spread: spreads
                .iter()
                .map(|spread| spread.map_or((0.0, 0.0), |spread| (spread.least, spread.most)))
                .collect(),
        }
    };
    Chart {
        group: "Delivery".to_owned(),
        title: title.to_owned(),
        unit: unit.to_owned(),
        kind: ChartKind::Bars,
        x: (0_u32..).map(f64::from).take(rows.len()).collect(),
        labels: rows.iter().map(|row| row.name.to_owned()).collect(),
        series: vec![
            series("as it is", &|row| spread(&row.as_it_is, of)),
            series("every flush slower", &|row| spread(&row.slower, of)),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(round: u32, cpu_seconds: f64) -> Run {
        Run {
            round,
            mails: 1000,
            seconds: 2.0,
            cpu_seconds,
            pss_bytes: 0,
            bytes: 0.0,
            flushes: None,
            others: 0.0,
        }
    }

    #[test]
    fn ratios_are_of_the_same_round_even_if_one_is_missing() {
        let ours = [run(1, 1.0), run(2, 10.0), run(3, 1.0)];
        let theirs = [run(2, 20.0), run(3, 4.0)];
        let ratio = ratios(&theirs, &ours, Run::cpu_per_thousand).unwrap();
        assert_eq!((ratio.least, ratio.most), (2.0, 4.0));
        assert_eq!(ratios(&theirs, &[], Run::cpu_per_thousand), None);
    }
}
