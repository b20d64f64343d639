//! A report as one HTML page that loads nothing: style, script, the plotting library and the data stand in it.
//!
//! What the page says is laid out here, numbers written as people read them, so that figures, tables and bars need no script;
//! only lines over time and percentiles are drawn by one, from the same data.

use anyhow::Context;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;

use super::bars::{Bars, bars};
use super::number::{THIN, beside_title, count, digits, parts, percentage, thin, written};
use super::{Ceiling, Chart, ChartKind, Latency, Machine, Mark, Report, Table};

const PAGE: &str = include_str!("report.html");
const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");
// uPlot 1.6.32 as it comes from npm.
const UPLOT_SCRIPT: &str = include_str!("uplot/uPlot.iife.min.js");
const UPLOT_STYLE: &str = include_str!("uplot/uPlot.min.css");
const UPLOT_LICENSE: &str = include_str!("uplot/LICENSE");

/// Returns a report's page.
pub(super) fn page(report: &Report) -> anyhow::Result<String> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates
        .add_template("report.html", PAGE)
        .context("reading the page's template")?;
    let template = templates
        .get_template("report.html")
        .context("reading the page's template")?;
    let (finding, good) = report.finding();
    let plots = Plots {
        charts: report
            .charts
            .iter()
            .filter(|chart| chart.kind != ChartKind::Bars)
            .collect(),
        marks: &report.marks,
        latencies: report
            .latencies
            .iter()
            .filter(|latency| !latency.distribution.is_empty())
            .collect(),
    };
    let json = super::rounded(&plots)?.to_string();
    template
        .render(context! {
            style => Value::from_safe_string(format!("{UPLOT_STYLE}\n{STYLE}")),
            script => Value::from_safe_string(format!("/*\n{UPLOT_LICENSE}*/\n{UPLOT_SCRIPT}\n{SCRIPT}")),
            // A `<` could end the element that holds the data.
            data => Value::from_safe_string(json.replace('<', "\\u003c")),
            ..Value::from(Serde(View {
                title: &report.title,
                about: thin(&report.about),
                finding: thin(&finding),
                good: good.map_or("", |good| if good { "good" } else { "bad" }),
                began_at: &report.began_at,
                began: moment(&report.began_at),
                lasted: written(report.seconds, "s", THIN),
                versions: &report.versions,
                machine: machine(&report.machine),
                warnings: report.warnings.iter().map(|warning| thin(warning)).collect(),
                figures: tiles(report),
                ceilings: report.ceilings.iter().map(Limit::of).collect(),
                latencies: report.latencies.iter().map(Percentiles::of).collect(),
                percentile_plot: !plots.latencies.is_empty(),
                groups: groups(&report.charts),
                marks: report.marks.iter().map(|mark| (clock(mark.at), mark.what.as_str())).collect(),
                tables: report.tables.iter().map(Grid::of).collect(),
                method: report.method.iter().map(|paragraph| thin(paragraph)).collect(),
                scenario: &report.scenario,
            }))
        })
        .context("writing the page")
}

/// What the template shows.
#[derive(Serialize)]
struct View<'a> {
    title: &'a str,
    about: String,
    finding: String,
    good: &'static str,
    began_at: &'a str,
    began: String,
    lasted: String,
    versions: &'a [(String, String)],
    machine: Vec<(&'static str, String)>,
    warnings: Vec<String>,
    figures: Vec<Tile>,
    ceilings: Vec<Limit>,
    latencies: Vec<Percentiles>,
    percentile_plot: bool,
    groups: Vec<Group>,
    marks: Vec<(String, &'a str)>,
    tables: Vec<Grid<'a>>,
    method: Vec<String>,
    scenario: &'a str,
}

/// What the script draws.
#[derive(Serialize)]
struct Plots<'a> {
    charts: Vec<&'a Chart>,
    marks: &'a [Mark],
    latencies: Vec<&'a Latency>,
}

/// A headline figure.
#[derive(Serialize)]
struct Tile {
    name: String,
    number: String,
    unit: String,
    beside: String,
    good: &'static str,
}

fn tiles(report: &Report) -> Vec<Tile> {
    let tile = |figure: &super::Figure| {
        let (number, unit) = parts(figure.value, &figure.unit, THIN);
        Tile {
            name: figure.name.clone(),
            number,
            unit: thin(&unit),
            beside: thin(&figure.beside),
            good: match figure.good {
                Some(true) => "good",
                Some(false) => "bad",
                None => "",
            },
        }
    };
    report.figures.iter().map(tile).collect()
}

/// A ceiling, and how much of it the run took.
#[derive(Serialize)]
struct Limit {
    name: String,
    alone: String,
    reached: String,
    share: String,
    percent: String,
    near: bool,
}

impl Limit {
    fn of(ceiling: &Ceiling) -> Self {
        let share = ceiling.share() * 100.0;
        Self {
            name: ceiling.name.clone(),
            alone: written(ceiling.per_second, "/s", THIN),
            reached: written(ceiling.reached_per_second, "/s", THIN),
            share: percentage(ceiling.share(), THIN),
            percent: format!(
                "{:.1}%",
                if share.is_finite() {
                    share.clamp(0.0, 100.0)
                } else {
                    0.0
                }
            ),
            near: ceiling.is_near(),
        }
    }
}

/// One measure's percentiles.
#[derive(Serialize)]
struct Percentiles {
    name: String,
    count: String,
    values: Vec<String>,
}

impl Percentiles {
    fn of(latency: &Latency) -> Self {
        let values = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
        Self {
            name: latency.name.clone(),
            count: digits(count(latency.count), THIN),
            values: values.map(|value| written(value, "ms", THIN)).to_vec(),
        }
    }
}

/// The charts under one heading, in the order in which they came.
#[derive(Serialize)]
struct Group {
    title: String,
    /// Whether its plots over time are the first of the page.
    first: bool,
    plots: Vec<Plot>,
    bars: Vec<Bars>,
}

/// A plot that the script draws, and what it says in words for whoever does not see it.
#[derive(Serialize)]
struct Plot {
    /// Its place among the plots' data.
    number: usize,
    title: String,
    unit: String,
    logarithmic: bool,
    /// Name, least, mean and most of each series.
    series: Vec<(String, [String; 3])>,
}

fn groups(charts: &[Chart]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut number = 0;
    for chart in charts {
        let place = groups
            .iter()
            .position(|group| group.title == chart.group)
            .unwrap_or_else(|| {
                groups.push(Group {
                    title: chart.group.clone(),
                    first: false,
                    plots: Vec::new(),
                    bars: Vec::new(),
                });
                groups.len() - 1
            });
        let Some(group) = groups.get_mut(place) else { continue };
        match chart.kind {
            ChartKind::Bars => group.bars.push(bars(chart)),
            ChartKind::Time | ChartKind::TimeLog => {
                group.first |= number == 0;
                group.plots.push(plot(chart, number));
                number += 1;
            }
        }
    }
    groups
}

fn plot(chart: &Chart, number: usize) -> Plot {
    let series = chart.series.iter().map(|series| {
        let (mut least, mut most, mut sum, mut values) = (f64::NAN, f64::NAN, 0.0, 0.0);
        for value in series.values.iter().flatten() {
            least = value.min(least);
            most = value.max(most);
            sum += value;
            values += 1.0;
        }
        let said = [least, sum / values, most].map(|value| written(value, &chart.unit, THIN));
        (series.name.clone(), said)
    });
    Plot {
        number,
        title: chart.title.clone(),
        unit: beside_title(&chart.unit),
        logarithmic: chart.kind == ChartKind::TimeLog,
        series: series.collect(),
    }
}

/// A table, and which of its columns hold numbers.
#[derive(Serialize)]
struct Grid<'a> {
    title: &'a str,
    about: String,
    columns: Vec<(String, bool)>,
    rows: Vec<Vec<(String, bool)>>,
}

impl<'a> Grid<'a> {
    fn of(table: &'a Table) -> Self {
        let right = table.right_aligned();
        let aligned = |cells: &[String]| -> Vec<(String, bool)> {
            let right = right.iter().copied().chain(std::iter::repeat(false));
            cells.iter().map(|cell| thin(cell)).zip(right).collect()
        };
        Self {
            title: &table.title,
            about: thin(&table.about),
            columns: aligned(&table.columns),
            rows: table.rows.iter().map(|row| aligned(row)).collect(),
        }
    }
}

/// What a run ran on, by name; what is not known is left out.
fn machine(machine: &Machine) -> Vec<(&'static str, String)> {
    let mut known = Vec::new();
    let mut say = |name, text: String| {
        if !text.is_empty() {
            known.push((name, text));
        }
    };
    say("Processor", machine.processor.clone());
    say(
        "Cores",
        if machine.cores == 0 {
            String::new()
        } else {
            machine.cores.to_string()
        },
    );
    let memory = if machine.memory_mib == 0 {
        String::new()
    } else {
        written(count(machine.memory_mib), "MiB", THIN)
    };
    say("Memory", memory);
    say("Kernel", machine.kernel.clone());
    say("Disk", machine.disk.clone());
    let sync = |(middle, high)| format!("p50 {}, p99 {}", written(middle, "ms", THIN), written(high, "ms", THIN));
    say("A small durable write", machine.sync_ms.map(sync).unwrap_or_default());
    let other = |share: f64| format!("{} of the cores", percentage(share, THIN));
    say(
        "Other work meanwhile",
        machine.other_load.map(other).unwrap_or_default(),
    );
    known
}

/// Writes a moment of RFC 3339 as people read it; anything else as it is.
fn moment(written: &str) -> String {
    match (
        written.get(..10),
        written.get(10..11),
        written.get(11..16),
        written.ends_with('Z'),
    ) {
        (Some(day), Some("T"), Some(time), true) => format!("{day}, {time} UTC"),
        _ => written.to_owned(),
    }
}

/// Writes seconds since the beginning as a clock does, tenths where they tell.
fn clock(seconds: f64) -> String {
    let minutes = (seconds / 60.0).floor();
    format!("{minutes:.0}:{:04.1}", seconds - minutes * 60.0)
}
