//! A report for the terminal: the finding, the figures, the account and the ceilings, in aligned columns.

use std::fmt::Write as _;
use std::io::IsTerminal;

use super::number::{count, digits, percentage, written};
use super::{Report, Table};

/// Longer tables are cut here; the page has all of them.
const ROWS_MAX: usize = 24;

/// How a piece of text is shown on a terminal.
#[derive(Clone, Copy)]
enum Ink {
    Plain,
    Bold,
    Faint,
    Good,
    Bad,
    Warning,
}

/// Returns a report as text; with colours if standard output is a terminal that wants them (`NO_COLOR` is heeded).
pub(crate) fn text(report: &Report) -> String {
    let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
    Text {
        coloured,
        written: String::new(),
    }
    .of(report)
}

struct Text {
    coloured: bool,
    written: String,
}

impl Text {
    fn of(mut self, report: &Report) -> String {
        self.line(Ink::Bold, &report.title);
        if !report.about.is_empty() {
            self.line(Ink::Plain, &report.about);
        }
        let versions: Vec<String> = report
            .versions
            .iter()
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        let lasted = written(report.seconds, "s", ',');
        self.line(
            Ink::Faint,
            &format!("{}, {lasted}, {}", report.began_at, versions.join(", ")),
        );
        let (finding, good) = report.finding();
        if !finding.is_empty() {
            let ink = match good {
                Some(true) => Ink::Good,
                Some(false) => Ink::Bad,
                None => Ink::Bold,
            };
            self.written.push('\n');
            self.line(ink, &finding);
        }
        self.figures(report);
        self.latencies(report);
        for table in &report.tables {
            self.table(table);
        }
        self.ceilings(report);
        self.warnings(report);
        self.written
    }

    fn figures(&mut self, report: &Report) {
        if report.figures.is_empty() {
            return;
        }
        let cells = report.figures.iter().map(|figure| {
            let ink = if figure.good == Some(false) {
                Ink::Bad
            } else {
                Ink::Bold
            };
            vec![
                (Ink::Plain, figure.name.clone()),
                (ink, written(figure.value, &figure.unit, ',')),
                (Ink::Faint, figure.beside.clone()),
            ]
        });
        let cells = cells.collect();
        self.written.push('\n');
        self.columns(cells, &[false, true, false]);
    }

    fn latencies(&mut self, report: &Report) {
        if report.latencies.is_empty() {
            return;
        }
        let rows = report.latencies.iter().map(|latency| {
            let milliseconds = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max];
            let mut row = vec![latency.name.clone(), digits(count(latency.count), ',')];
            row.extend(milliseconds.map(|value| written(value, "ms", ',')));
            row
        });
        self.table(&Table {
            title: "Latency".to_owned(),
            about: String::new(),
            columns: ["", "count", "p50", "p90", "p99", "p99.9", "max"]
                .map(str::to_owned)
                .to_vec(),
            rows: rows.collect(),
        });
    }

    fn table(&mut self, table: &Table) {
        self.written.push('\n');
        self.line(Ink::Bold, &table.title);
        let right = table.right_aligned();
        let heads = table.columns.iter().map(|head| (Ink::Faint, head.clone())).collect();
        let shown = table.rows.iter().take(ROWS_MAX);
        let rows = shown.map(|row| row.iter().map(|cell| (Ink::Plain, cell.clone())).collect());
        let cells = std::iter::once(heads).chain(rows).collect();
        self.columns(cells, &right);
        if let Some(more) = table.rows.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
            self.line(Ink::Faint, &format!("  … {more} more on the page"));
        }
    }

    fn ceilings(&mut self, report: &Report) {
        if report.ceilings.is_empty() {
            return;
        }
        self.written.push('\n');
        self.line(Ink::Bold, "Ceilings of the measuring itself");
        let cells = report.ceilings.iter().map(|ceiling| {
            let near = if ceiling.is_near() { Ink::Warning } else { Ink::Plain };
            vec![
                (Ink::Plain, ceiling.name.clone()),
                (Ink::Plain, format!("{} alone", written(ceiling.per_second, "/s", ','))),
                (
                    Ink::Plain,
                    format!("{} in this run", written(ceiling.reached_per_second, "/s", ',')),
                ),
                (near, format!("{} of it", percentage(ceiling.share(), ','))),
            ]
        });
        let cells = cells.collect();
        self.columns(cells, &[false, true, true, true]);
    }

    fn warnings(&mut self, report: &Report) {
        for (number, warning) in report.warnings.iter().enumerate() {
            if number == 0 {
                self.written.push('\n');
            }
            self.line(Ink::Warning, &format!("warning: {warning}"));
        }
    }

    /// Writes rows in columns as wide as their widest cell.
    fn columns(&mut self, rows: Vec<Vec<(Ink, String)>>, right: &[bool]) {
        let mut widths: Vec<usize> = Vec::new();
        for row in &rows {
            for (place, (_, cell)) in row.iter().enumerate() {
                let width = cell.chars().count();
                match widths.get_mut(place) {
                    Some(widest) => *widest = width.max(*widest),
                    None => widths.push(width),
                }
            }
        }
        for row in rows {
            let mut blanks = 0;
            for (place, (ink, cell)) in row.iter().enumerate() {
                let missing = widths.get(place).map_or(0, |width| width - cell.chars().count());
                let right = right.get(place).copied().unwrap_or(false);
                let (before, after) = if right { (missing, 0) } else { (0, missing) };
                // What is blank at the end of a line is left out.
                if cell.is_empty() {
                    blanks += 2 + before + after;
                } else {
                    let _ = write!(self.written, "{:1$}", "", blanks + 2 + before);
                    self.piece(*ink, cell);
                    blanks = after;
                }
            }
            self.written.push('\n');
        }
    }

    fn line(&mut self, ink: Ink, text: &str) {
        self.piece(ink, text);
        self.written.push('\n');
    }

    fn piece(&mut self, ink: Ink, text: &str) {
        let code = match ink {
            Ink::Plain => "",
            Ink::Bold => "1",
            Ink::Faint => "2",
            Ink::Good => "1;32",
            Ink::Bad => "1;31",
            Ink::Warning => "33",
        };
        // What comes from elsewhere cannot steer the terminal.
        let clean: String = text
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        if self.coloured && !code.is_empty() {
            let _ = write!(self.written, "\u{1b}[{code}m{clean}\u{1b}[0m");
        } else {
            self.written.push_str(&clean);
        }
    }
}
