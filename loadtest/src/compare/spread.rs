//! Several measurements of one thing: their median, and how far they lie apart.

use std::fmt;

/// The median, the least and the most of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    /// Of these figures. None: there are none.
    pub(super) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (least, most) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let upper = *figures.get(middle)?;
        let median = if figures.len().is_multiple_of(2) {
            f64::midpoint(*figures.get(middle - 1)?, upper)
        } else {
            upper
        };
        Some(Self { median, least, most })
    }

    /// Of the ratios of pairs that were measured in the same round.
    pub(super) fn of_ratios(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        Self::of(pairs.into_iter().map(|(ours, theirs)| ours / theirs))
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, least, most } = *self;
        // One measurement, or all alike.
        if figure(least) == figure(most) {
            return f.write_str(&figure(median));
        }
        write!(f, "{} ({}–{})", figure(median), figure(least), figure(most))
    }
}

/// Writes a figure with three digits that count, thousands apart.
pub(super) fn figure(value: f64) -> String {
    let size = value.abs();
    if size >= 1000.0 {
        let mut unit = 10.0;
        while size >= unit * 1000.0 {
            unit *= 10.0;
        }
        // Three digits that count, and then zeros.
        let digits = format!("{:.0}", (size / unit).round() * unit);
        let mut grouped = String::from(if value < 0.0 { "-" } else { "" });
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        return grouped;
    }
    match size {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.least, spread.most), (2.0, 1.0, 3.0));
        assert!((Spread::of([4.0, 1.0]).unwrap().median - 2.5).abs() < 1e-9);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratios_are_of_pairs_and_not_of_medians() {
        // One round on a slow machine, one on a fast one: what is compared stays the same.
        let spread = Spread::of_ratios([(200.0, 100.0), (20.0, 10.0), (60.0, 20.0)]).unwrap();
        assert_eq!((spread.median, spread.least, spread.most), (2.0, 2.0, 3.0));
    }

    #[test]
    fn figures_keep_three_digits_that_count() {
        let written = [
            0.0,
            0.0123,
            0.456,
            1.234,
            45.67,
            456.7,
            1234.0,
            12_345.6,
            1_234_567.0,
            -1234.0,
        ]
        .map(figure);
        let wanted = [
            "0",
            "0.012",
            "0.46",
            "1.23",
            "45.7",
            "457",
            "1,230",
            "12,300",
            "1,230,000",
            "-1,230",
        ];
        assert_eq!(written, wanted);
        let spread = Spread::of([0.5, 0.7, 1.5]).unwrap();
        assert_eq!(spread.to_string(), "0.70 (0.50–1.50)");
        assert_eq!(Spread::of([0.5]).unwrap().to_string(), "0.50");
    }
}
