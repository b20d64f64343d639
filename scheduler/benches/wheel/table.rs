//! The figures of all rounds, as a table, and what is asked of them.

use super::figures::Figures;

/// Bytes that a timer of the wheel may take in memory, beside what its owner keeps about it.
const BYTES_MAX: f64 = 16.0;

/// A peer and its rounds.
pub struct Row {
    pub peer: &'static str,
    rounds: Vec<Figures>,
}

impl Row {
    pub fn new(peer: &'static str) -> Self {
        Self {
            peer,
            rounds: Vec::new(),
        }
    }

    pub fn add(&mut self, figures: Option<Figures>) {
        self.rounds.extend(figures);
    }

    fn ours(&self) -> bool {
        self.peer.starts_with("wheel")
    }

    fn median(&self, figure: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        let mut values: Vec<_> = self.rounds.iter().filter_map(figure).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}

type Figure = fn(&Figures) -> Option<f64>;

const COLUMNS: [(&str, Figure); 4] = [
    ("insert ns", |figures| Some(figures.insert)),
    ("cancel ns", |figures| figures.cancel),
    ("fire ns", |figures| Some(figures.fire)),
    ("bytes", |figures| Some(figures.bytes)),
];

/// Prints medians, ratios of ours to the best peer, and whether the wheel's memory is within its limit.
pub fn print(rows: &[Row], timers: usize) {
    println!("\n{timers} timers (Redis: a tenth), medians per timer\n");
    line("", |(name, _)| Some(name.to_owned()));
    for row in rows {
        line(row.peer, |(_, figure)| Some(format!("{:.1}", row.median(figure)?)));
    }
    println!();
    for row in rows.iter().filter(|row| row.ours()) {
        for (name, among) in [("best peer", Among::All), ("best that cancels", Among::Cancelling)] {
            line(&format!("{} : {name}", row.peer), |(_, figure)| {
                Some(format!("×{:.2}", row.median(figure)? / best(rows, &among, figure)?))
            });
        }
    }
    println!();
    for (row, payload) in rows.iter().filter(|row| row.ours()).zip([8.0, 0.0]) {
        if let Some(bytes) = row.median(|figures| Some(figures.bytes)) {
            println!(
                "{}: {bytes:.2} bytes, {:.2} without the value",
                row.peer,
                bytes - payload
            );
            // A wheel of few timers has slots with blocks that are mostly empty.
            assert!(
                bytes - payload <= BYTES_MAX || timers < 5_000_000,
                "more than {BYTES_MAX} bytes per timer"
            );
        }
    }
}

/// Peers that are compared with.
enum Among {
    All,
    Cancelling,
}

/// Returns the lowest median of the peers that are not ours.
fn best(rows: &[Row], among: &Among, figure: Figure) -> Option<f64> {
    rows.iter()
        .filter(|row| !row.ours())
        .filter(|row| match among {
            Among::All => true,
            Among::Cancelling => row.median(|figures| figures.cancel).is_some(),
        })
        .filter_map(|row| row.median(figure))
        .min_by(f64::total_cmp)
}

fn line(name: &str, cell: impl Fn((&'static str, Figure)) -> Option<String>) {
    print!("{name:<46}");
    for column in COLUMNS {
        print!("{:>12}", cell(column).unwrap_or_else(|| "–".to_owned()));
    }
    println!();
}
