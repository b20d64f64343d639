//! The `Date` of answers, formatted once a second.

use std::sync::Arc;

use arc_swap::ArcSwap;
use types::time::Timestamp;

/// The last second's date.
pub(crate) struct Date(ArcSwap<Formatted>);

#[derive(Default)]
struct Formatted {
    second: u64,
    line: String,
}

impl Date {
    pub(crate) fn new() -> Self {
        Self(ArcSwap::default())
    }

    /// Appends the header line of the moment.
    pub(crate) fn write(&self, now: Timestamp, out: &mut Vec<u8>) {
        let second = now.as_millis() / 1000;
        let formatted = self.0.load();
        if formatted.second == second {
            out.extend_from_slice(formatted.line.as_bytes());
            return;
        }
        // Several may do this at once in a new second; the work is the same.
        let formatted = Formatted {
            second,
            line: line(now),
        };
        out.extend_from_slice(formatted.line.as_bytes());
        self.0.store(Arc::new(formatted));
    }
}

/// Writes a date as HTTP wants it (RFC 9110 §5.6.7): like that of mail, but for the zone's name.
fn line(now: Timestamp) -> String {
    let date = now.rfc5322();
    let date = date.rsplit_once(' ').map_or(date.as_str(), |(date, _zone)| date);
    // Days of one digit are padded here, and are not there.
    let (weekday, day) = date.split_once(", ").unwrap_or(("", date));
    format!("date: {weekday}, {day:0>20} GMT\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_that_of_http() {
        for (at, expected) in [
            ("2026-11-22T12:00:07Z", "date: Sun, 22 Nov 2026 12:00:07 GMT\r\n"),
            ("2026-11-01T00:00:00Z", "date: Sun, 01 Nov 2026 00:00:00 GMT\r\n"),
        ] {
            let mut out = Vec::new();
            let date = Date::new();
            date.write(at.parse().expect("a moment"), &mut out);
            date.write(at.parse().expect("a moment"), &mut out);
            assert_eq!(String::from_utf8(out).expect("text"), expected.repeat(2));
        }
    }
}
