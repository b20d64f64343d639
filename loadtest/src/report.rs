//! What a run or a comparison found, as data: one document, written as JSON for programs and as one HTML page for people.
//!
//! Whoever measures fills in a [`Report`]; nothing here measures. Every number stands in it once, with its unit, and the page shows
//! nothing that is not in the JSON.

use serde::Serialize;

/// One run, or one comparison.
#[derive(Clone, Debug, Default, Serialize)]
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
#[derive(Clone, Debug, Default, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// What it is: `messages/s`, `orders lost`.
    pub(crate) name: String,
    pub(crate) value: f64,
    /// `/s`, `ms`, `MiB`, `CPU-s per 1,000`; empty for a count.
    pub(crate) unit: String,
    /// What stands beside it: a limit, a spread, a peer.
    pub(crate) beside: String,
    /// Whether it is as it should be. None: nothing says how it should be.
    pub(crate) good: Option<bool>,
}

/// What one part of the generator can do alone.
#[derive(Clone, Debug, Serialize)]
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
}

/// Percentiles of one measure, in milliseconds.
#[derive(Clone, Debug, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// One for each x; None where there is nothing.
    pub(crate) values: Vec<Option<f64>>,
    /// Least and most of each, for bars; empty otherwise.
    pub(crate) spread: Vec<(f64, f64)>,
}

/// A moment worth a line in the plots.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Mark {
    /// Seconds since the run began.
    pub(crate) at: f64,
    pub(crate) what: String,
}

/// A table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) columns: Vec<String>,
    /// Texts, each row as long as `columns`.
    pub(crate) rows: Vec<Vec<String>>,
}
