//! Numbers as people read them: three digits that matter, thousands apart, a unit that fits.

/// The narrow space between thousands on the page, which does not break.
pub(super) const THIN: char = '\u{202f}';
/// What stands where there is no number.
const NOTHING: &str = "–";

/// Writes a value with the unit that fits it: 12,300 ms are 12.3 s.
pub(super) fn written(value: f64, unit: &str, thousands: char) -> String {
    let (number, unit) = parts(value, unit, thousands);
    joined(&number, &unit, thousands)
}

/// Writes a value and its unit apart.
pub(super) fn parts(value: f64, unit: &str, thousands: char) -> (String, String) {
    if !value.is_finite() {
        return (NOTHING.to_owned(), String::new());
    }
    let (factor, unit) = scale(value, unit);
    (digits(value * factor, thousands), unit)
}

/// Writes a share as a percentage, whole from ten on.
pub(super) fn percentage(share: f64, thousands: char) -> String {
    let percent = share * 100.0;
    written(if percent >= 10.0 { percent.round() } else { percent }, "%", thousands)
}

/// Puts a unit behind a number; on the page, so that a line does not end between them.
fn joined(number: &str, unit: &str, thousands: char) -> String {
    let space = if thousands == THIN { '\u{a0}' } else { ' ' };
    if unit.is_empty() || unit.starts_with('/') {
        format!("{number}{unit}")
    } else {
        format!("{number}{space}{unit}")
    }
}

/// Writes a unit as it stands beside a plot's title.
pub(super) fn beside_title(unit: &str) -> String {
    match unit.strip_suffix("/s") {
        Some("") => "per second".to_owned(),
        Some(each) => format!("{each} per second"),
        None => unit.to_owned(),
    }
}

/// Sets the thousands of a text apart as those of our own numbers on the page: `1,204` with a narrow space.
pub(super) fn thin(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let is_digit = |place: usize| letters.get(place).is_some_and(char::is_ascii_digit);
    let apart = |place: usize| {
        place > 0 && is_digit(place - 1) && (1..=3).all(|more| is_digit(place + more)) && !is_digit(place + 4)
    };
    let thinned = letters.iter().enumerate();
    thinned
        .map(|(place, letter)| if *letter == ',' && apart(place) { THIN } else { *letter })
        .collect()
}

/// Returns the unit that fits a value, and by what values are multiplied to be in it.
pub(super) fn scale(value: f64, unit: &str) -> (f64, String) {
    let size = value.abs();
    let (base, per) = unit.strip_suffix("/s").map_or((unit, ""), |base| (base, "/s"));
    let (factor, fitting) = match base {
        "µs" => duration(size / 1e6, 1e-6),
        "ms" => duration(size / 1e3, 1e-3),
        "s" => duration(size, 1.0),
        "B" | "bytes" => bytes(size, 1.0),
        "KiB" => bytes(size * 1024.0, 1024.0),
        "MiB" => bytes(size * 1024.0 * 1024.0, 1024.0 * 1024.0),
        "GiB" => bytes(size * 1024.0 * 1024.0 * 1024.0, 1024.0 * 1024.0 * 1024.0),
        _ => (1.0, base),
    };
    // Nothing is nothing in any unit; the one it was given in surprises least.
    if size > 0.0 && size.is_finite() {
        (factor, format!("{fitting}{per}"))
    } else {
        (1.0, unit.to_owned())
    }
}

fn duration(seconds: f64, given_in: f64) -> (f64, &'static str) {
    let (unit, name) = match seconds {
        seconds if seconds < 1e-4 => (1e-6, "µs"),
        seconds if seconds < 1.0 => (1e-3, "ms"),
        seconds if seconds < 600.0 => (1.0, "s"),
        seconds if seconds < 3.0 * 3600.0 => (60.0, "min"),
        _ => (3600.0, "h"),
    };
    (given_in / unit, name)
}

fn bytes(size: f64, given_in: f64) -> (f64, &'static str) {
    let units = [
        (1.0, "B"),
        (1024.0, "KiB"),
        (1_048_576.0, "MiB"),
        (1_073_741_824.0, "GiB"),
    ];
    let fitting = units.iter().rev().find(|(unit, _)| size >= *unit);
    let (unit, name) = fitting.copied().unwrap_or((1.0, "B"));
    (given_in / unit, name)
}

/// Writes a number to three digits, or whole from 100 on, its thousands apart.
pub(super) fn digits(value: f64, thousands: char) -> String {
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    let size = value.abs();
    let decimals = if size >= 100.0 || (value - value.round()).abs() < 1e-9 {
        0
    } else if size >= 10.0 {
        1
    } else if size >= 0.1 {
        2
    } else if size >= 0.01 {
        3
    } else {
        4
    };
    let plain = format!("{size:.decimals$}");
    let (whole, rest) = plain.find('.').map_or((plain.as_str(), ""), |dot| plain.split_at(dot));
    let mut written = String::with_capacity(plain.len() + 4);
    if value < 0.0 && plain.chars().any(|digit| ('1'..='9').contains(&digit)) {
        written.push('−');
    }
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            written.push(thousands);
        }
        written.push(digit);
    }
    written + rest
}

/// Returns a count as the number to be written.
#[expect(
    clippy::cast_precision_loss,
    reason = "only to be written to three digits, or whole below 2^53"
)]
pub(super) fn count(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_that_matter_and_a_unit_that_fits() {
        for (value, unit, expected) in [
            (0.0, "", "0"),
            (0.0, "ms", "0 ms"),
            (7.0, "", "7"),
            (1_234_567.0, "", "1,234,567"),
            (999.6, "/s", "1,000/s"),
            (4_321.987_654_321, "/s", "4,322/s"),
            (0.123_456_789, "CPU-s per 1,000", "0.12 CPU-s per 1,000"),
            (0.041, "%", "0.041 %"),
            (12.345_678, "ms", "12.3 ms"),
            (3.456, "ms", "3.46 ms"),
            (12_345.0, "ms", "12.3 s"),
            (0.05, "ms", "50 µs"),
            (0.4, "s", "400 ms"),
            (1_200.0, "s", "20 min"),
            (90_000.0, "s", "25 h"),
            (512.0, "MiB", "512 MiB"),
            (1_536.0, "MiB", "1.50 GiB"),
            (2_048.0, "KiB/s", "2 MiB/s"),
            (0.5, "MiB", "512 KiB"),
            (-12.5, "%", "−12.5 %"),
            (-0.000_001, "", "0.0000"),
            (f64::NAN, "ms", "–"),
        ] {
            assert_eq!(written(value, unit, ','), expected, "{value} {unit}");
        }
        assert_eq!(digits(31_000.0, THIN), "31\u{202f}000");
    }

    #[test]
    fn thousands_in_a_text_are_set_apart_and_lists_are_left() {
        assert_eq!(
            thin("of 1,204,000 asked, 3,5 and 10,2000"),
            "of 1\u{202f}204\u{202f}000 asked, 3,5 and 10,2000"
        );
    }
}
