//! Values in the settings file that carry units: durations (`"15m"`) and sizes (`"64MiB"`).

use std::ops::RangeInclusive;
use std::time::Duration;

/// Reads a duration: a whole number with one of `ms`, `s`, `m`, `h`, `d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let scale = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            return Err(format!(
                "`{text}` is not a duration such as \"250ms\", \"15m\" or \"24h\""
            ));
        }
    };
    scaled(number, scale)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is not a duration that can be counted"))
}

/// Reads a size in bytes: a whole number with one of `B`, `KiB`, `MiB`, `GiB`, `TiB`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let scale = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(format!("`{text}` is not a size such as \"512KiB\" or \"64MiB\"")),
    };
    scaled(number, scale).ok_or_else(|| format!("`{text}` is not a size that can be counted"))
}

/// Reads the duration of setting `key` if it was written; a fault is added to `faults` and the default stands in.
pub fn duration_or(key: &str, written: Option<&str>, default: Duration, faults: &mut Vec<String>) -> Duration {
    or(key, written.map(duration), default, faults)
}

/// As [`duration_or`]; a duration outside `range` is a fault, too.
pub fn duration_in(
    key: &str,
    written: Option<&str>,
    default: Duration,
    range: RangeInclusive<Duration>,
    faults: &mut Vec<String>,
) -> Duration {
    let value = duration_or(key, written, default, faults);
    if !range.contains(&value) {
        let (start, end) = range.into_inner();
        faults.push(format!("{key}: {value:?} is not in {start:?} to {end:?}"));
    }
    value
}

/// Reads the size of setting `key` if it was written; a fault is added to `faults` and the default stands in.
pub fn bytes_or(key: &str, written: Option<&str>, default: u64, faults: &mut Vec<String>) -> u64 {
    or(key, written.map(bytes), default, faults)
}

fn or<T>(key: &str, read: Option<Result<T, String>>, default: T, faults: &mut Vec<String>) -> T {
    match read {
        None => default,
        Some(Ok(value)) => value,
        Some(Err(fault)) => {
            faults.push(format!("{key}: {fault}"));
            default
        }
    }
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn scaled(number: &str, scale: u64) -> Option<u64> {
    number.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_asked_for() {
        assert_eq!(duration("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        for bad in [
            "",
            "15",
            "m",
            "1.5h",
            "-1s",
            "99999999999999999999s",
            "99999999999999999d",
        ] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
        assert!(bytes("64MB").is_err());
    }

    #[test]
    fn a_duration_stays_in_its_range() {
        let range = Duration::from_secs(1)..=Duration::from_mins(1);
        for (written, count) in [("1s", 0), ("1m", 0), ("999ms", 1), ("61s", 1), ("x", 1)] {
            let mut faults = Vec::new();
            duration_in("a", Some(written), Duration::from_secs(2), range.clone(), &mut faults);
            assert_eq!(faults.len(), count, "{written}: {faults:?}");
        }
    }

    #[test]
    fn a_fault_names_its_key() {
        let mut faults = Vec::new();
        assert_eq!(
            duration_or("a.b", Some("x"), Duration::from_secs(1), &mut faults),
            Duration::from_secs(1)
        );
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("a.b: "));
    }
}
