//! Waits that receivers state in words.

use std::time::Duration;

/// The longest wait that a receiver's words can make us keep.
const WAIT_MAX: Duration = Duration::from_hours(6);

/// Returns the wait that a refusal's text asks for, such as `try again in 5 minutes` or `greylisted for 300 seconds`.
///
/// A number with a unit counts only behind a word that speaks of coming back, so `20 messages in 60 minutes` does not.
/// More than six hours is taken for six hours.
pub fn stated_wait(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    let words: Vec<&str> = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let mut asked = false;
    for (at, word) in words.iter().enumerate() {
        asked |= ["again", "retry", "wait", "later", "back"].contains(word)
            || word.starts_with("greylist")
            || word.starts_with("graylist");
        if !asked {
            continue;
        }
        let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, attached) = word.split_at(digits);
        let Ok(number) = number.parse::<u32>() else { continue };
        let unit = if attached.is_empty() {
            words.get(at + 1).copied().unwrap_or_default()
        } else {
            attached
        };
        let seconds = match unit {
            "s" | "sec" | "secs" | "second" | "seconds" => 1,
            "m" | "min" | "mins" | "minute" | "minutes" => 60,
            "h" | "hour" | "hours" => 3600,
            _ => continue,
        };
        return Some(Duration::from_secs(u64::from(number) * seconds).min(WAIT_MAX));
    }
    None
}
