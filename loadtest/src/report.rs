//! What a run or a comparison found, as data: one document, written as JSON for programs and as one HTML page for people.
//!
//! Whoever measures fills in a [`Report`]; nothing here measures. Every number stands in it once, with its unit, and the page shows
//! nothing that is not in the JSON.

mod bars;
#[cfg(test)]
mod in_a_real_browser;
mod number;
mod page;
#[cfg(test)]
mod sample;
mod text;

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use text::text;

/// One run, or one comparison.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Report {
    /// The scenario's name.
    pub(crate) title: String,
    /// What it is about, in a sentence or two.
    pub(crate) about: String,
    /// When it began, RFC 3339.
    pub(crate) began_at: String,
    /// How long it took, in seconds.
    pub(crate) seconds: f64,
    /// The versions of what was measured.
    pub(crate) versions: Vec<(String, String)>,
    /// What it ran on.
    pub(crate) machine: Machine,
    /// Whether nothing was lost, sent twice or damaged. None: nothing of the kind was checked.
    pub(crate) intact: Option<bool>,
    /// The finding in one sentence, where it is not `intact`'s: what was lost, how a comparison ended. Empty: worded from `intact`.
    #[serde(default)]
    pub(crate) verdict: String,
    /// What a reader must know before believing the figures: the generator near its ceiling, other work on the machine.
    pub(crate) warnings: Vec<String>,
    /// The figures that matter most, shown first.
    pub(crate) figures: Vec<Figure>,
    /// What the generator and the sink can do alone on this machine, and how much of it the run took.
    pub(crate) ceilings: Vec<Ceiling>,
    /// Percentiles of each measure over the whole run.
    pub(crate) latencies: Vec<Latency>,
    /// Plots, in groups.
    pub(crate) charts: Vec<Chart>,
    /// What happened when, shown in every plot over time: a kill, a restart.
    pub(crate) marks: Vec<Mark>,
    /// Everything else that is a table.
    pub(crate) tables: Vec<Table>,
    /// How it was measured, in paragraphs, so that another can object.
    pub(crate) method: Vec<String>,
    /// The scenario as it was read, to run it again.
    pub(crate) scenario: String,
}

/// What a run ran on.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    /// The file system that holds the data, and its device.
    pub(crate) disk: String,
    /// Small writes with fdatasync on it, p50 and p99 in milliseconds.
    pub(crate) sync_ms: Option<(f64, f64)>,
    /// The share of all cores that something else used meanwhile.
    pub(crate) other_load: Option<f64>,
}

/// One number.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Figure {
    /// What it is: `messages/s`, `orders lost`.
    pub(crate) name: String,
    /// Not a number where nothing was measured; JSON has null for it.
    #[serde(deserialize_with = "number_or_null")]
    pub(crate) value: f64,
    /// `/s`, `ms`, `MiB`, `CPU-s per 1,000`; empty for a count.
    pub(crate) unit: String,
    /// What stands beside it: a limit, a spread, a peer.
    pub(crate) beside: String,
    /// Whether it is as it should be. None: nothing says how it should be.
    pub(crate) good: Option<bool>,
}

/// What one part of the generator can do alone.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Ceiling {
    /// `requests/s into a null server`, `mails/s into the sink alone`.
    pub(crate) name: String,
    pub(crate) per_second: f64,
    /// What the run reached in its busiest second.
    pub(crate) reached_per_second: f64,
}

impl Ceiling {
    /// The share of a ceiling from which on a run says more of its generator than of what it drives.
    pub(crate) const WARNED_FROM: f64 = 0.7;

    /// Returns how much of it the run took.
    pub(crate) fn share(&self) -> f64 {
        self.reached_per_second / self.per_second
    }

    /// Says that the run was so near to it that the figures are in doubt. None: it was not.
    pub(crate) fn warning(&self) -> Option<String> {
        self.is_near().then(|| {
            format!(
                "{:.0} % of the ceiling of {} {}: the figures say as much of the measuring as of what is measured",
                self.share() * 100.0,
                quantity(self.per_second, ""),
                self.name
            )
        })
    }

    /// Returns whether that is so much that the figures are in doubt.
    pub(crate) fn is_near(&self) -> bool {
        self.share() >= Self::WARNED_FROM
    }
}

/// Percentiles of one measure, in milliseconds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Latency {
    pub(crate) name: String,
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    /// The whole distribution: percentile and milliseconds, rising.
    pub(crate) distribution: Vec<(f64, f64)>,
}

/// One plot.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Chart {
    /// The heading it stands under: `Latency`, `Throughput`, `Queue`, `Processor and memory`, `Disk`.
    pub(crate) group: String,
    pub(crate) title: String,
    /// Of the values.
    pub(crate) unit: String,
    pub(crate) kind: ChartKind,
    /// Seconds since the run began, or the categories' positions 0, 1, 2, ….
    pub(crate) x: Vec<f64>,
    /// Names of the categories, for bars.
    pub(crate) labels: Vec<String>,
    pub(crate) series: Vec<Series>,
}

/// How a plot is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChartKind {
    /// Lines over seconds.
    Time,
    /// Lines over seconds, values on a logarithmic axis: latencies.
    TimeLog,
    /// A bar for each category and series, with its spread.
    Bars,
}

/// One line of a plot, or one bar of each category.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// One for each x; None where there is nothing.
    pub(crate) values: Vec<Option<f64>>,
    /// Least and most of each, for bars; empty otherwise.
    pub(crate) spread: Vec<(f64, f64)>,
}

/// A moment worth a line in the plots.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Mark {
    /// Seconds since the run began.
    pub(crate) at: f64,
    pub(crate) what: String,
}

/// A table.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) columns: Vec<String>,
    /// Texts, each row as long as `columns`.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns which columns hold numbers and stand to the right: all their cells begin with a digit or a sign, or are empty.
    fn right_aligned(&self) -> Vec<bool> {
        let is_digit = |letter: char| letter.is_ascii_digit();
        let is_number = |cell: &String| {
            let mut words = cell.split_whitespace();
            let bare = words
                .next()
                .map(|word| word.trim_start_matches(['−', '-', '+', '–', '<', '>', '≤', '≥', '~']));
            // `421 4.7.1` is a reply, `0.41 (0.40–0.43)` and `12.3 ms` are numbers.
            bare.is_none_or(|bare| bare.starts_with(is_digit) || bare.is_empty())
                && !words.any(|word| word.starts_with(is_digit))
        };
        let columns = 0..self.columns.len();
        let cells = |column: usize| self.rows.iter().filter_map(move |row| row.get(column));
        let holds_numbers = |column| cells(column).all(is_number) && cells(column).any(|cell| !cell.is_empty());
        columns.map(holds_numbers).collect()
    }
}

impl Report {
    /// Returns the finding in one sentence, and whether it is good.
    fn finding(&self) -> (String, Option<bool>) {
        let worded = match self.intact {
            Some(true) => "Nothing lost, nothing sent twice".to_owned(),
            Some(false) => {
                let wrong = self.figures.iter().filter(|figure| figure.good == Some(false));
                let wrong: Vec<String> = wrong
                    .map(|figure| format!("{} {}", number::written(figure.value, &figure.unit, ','), figure.name))
                    .collect();
                if wrong.is_empty() {
                    "Mails were lost, sent twice or damaged".to_owned()
                } else {
                    format!("Not intact: {}", wrong.join(", "))
                }
            }
            None => String::new(),
        };
        let text = if self.verdict.is_empty() {
            worded
        } else {
            self.verdict.clone()
        };
        (text, self.intact)
    }
}

/// Writes a value with the unit that fits it, for tables and sentences: 12,300 `ms` are `12.3 s`.
pub(crate) fn quantity(value: f64, unit: &str) -> String {
    number::written(value, unit, ',')
}

/// Where a report was written.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) html: PathBuf,
    pub(crate) json: PathBuf,
}

/// Writes `report.html` and `report.json` into a folder, which is made if it is not there.
pub(crate) fn write(report: &Report, folder: &Path) -> anyhow::Result<Paths> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let paths = Paths {
        html: folder.join("report.html"),
        json: folder.join("report.json"),
    };
    let file = File::create(&paths.json).with_context(|| format!("creating {}", paths.json.display()))?;
    let mut json = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut json, &rounded(report)?).context("writing the report as JSON")?;
    json.write_all(b"\n")
        .and_then(|()| json.flush())
        .context("writing the report as JSON")?;
    write_page(report, &paths.html)?;
    Ok(paths)
}

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A `report.json`; its page is written beside it, under the same name.
    file: PathBuf,
}

/// Writes a stored report's page again, and prints its text.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let file = File::open(&arguments.file).with_context(|| format!("opening {}", arguments.file.display()))?;
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(file));
    let report: Report = serde_path_to_error::deserialize(&mut json)
        .with_context(|| format!("reading {} as a report", arguments.file.display()))?;
    let html = arguments.file.with_extension("html");
    write_page(&report, &html)?;
    print!("{}", text(&report));
    println!("\nwritten to {}", html.display());
    Ok(())
}

fn write_page(report: &Report, path: &Path) -> anyhow::Result<()> {
    std::fs::write(path, page::page(report)?).with_context(|| format!("writing {}", path.display()))
}

/// Returns the JSON of something with nine digits to a number: more mean nothing, and these are read again as they were.
fn rounded(measured: &impl Serialize) -> anyhow::Result<Value> {
    fn round(value: &mut Value) {
        match value {
            Value::Number(number) if number.is_f64() => {
                let digits = number.as_f64().map(|number| format!("{number:.8e}"));
                if let Some(rounded) = digits.and_then(|digits| digits.parse::<f64>().ok()) {
                    *value = Value::from(rounded);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(round),
            Value::Object(values) => values.values_mut().for_each(round),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(measured).context("writing the report as JSON")?;
    round(&mut value);
    Ok(value)
}

fn number_or_null<'de, D: serde::Deserializer<'de>>(json: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(json)?.unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests;
