//! What a service answers, written for people at a terminal.

use std::fmt::Write;

use serde_json::Value;
use types::time::Timestamp;

/// Writes the story of an order or message: the decision with its reasons and offers, then each event.
pub fn tell(story: &Value) -> String {
    let mut out = String::new();
    let accepted = text(story, "accepted_at");
    let what = story.get("order_id").and_then(Value::as_str).map_or_else(
        || format!("message {}", text(story, "id")),
        |order| format!("order {order}"),
    );
    line(
        &mut out,
        format_args!(
            "{what} of shop {}, accepted {accepted} as {}",
            text(story, "shop"),
            text(story, "id")
        ),
    );
    if let Some(decision) = story.get("decision") {
        decided(&mut out, decision);
    }
    for message in items(story, "messages") {
        let waiting = message
            .get("waiting")
            .and_then(Value::as_str)
            .map_or_else(String::new, |why| format!(": {why}"));
        line(
            &mut out,
            format_args!(
                "message {} is {} after {} attempt(s){waiting}",
                text(message, "id"),
                text(message, "state"),
                number(message, "attempts")
            ),
        );
    }
    for event in events(story) {
        line(
            &mut out,
            format_args!(
                "  {:>9}  {:<17} {}",
                since(&accepted, &event.time),
                event.kind,
                event.detail
            ),
        );
    }
    out
}

fn decided(out: &mut String, decision: &Value) {
    line(out, format_args!("decision: {}", text(decision, "verdict")));
    for reason in items(decision, "reasons") {
        line(
            out,
            format_args!("  because {}: {}", text(reason, "code"), text(reason, "text")),
        );
    }
    for offer in items(decision, "offers") {
        let price = offer.get("price").map_or_else(String::new, |price| {
            format!("{} {}", number(price, "amount"), text(price, "currency"))
        });
        let explored = if offer.get("explored").and_then(Value::as_bool) == Some(true) {
            ", to explore"
        } else {
            ""
        };
        line(
            out,
            format_args!(
                "  offers {}: a lead costs {price} (minor units), expected value {} millionths, propensity {} millionths{explored}",
                text(offer, "campaign"),
                number(offer, "expected_value"),
                number(offer, "propensity"),
            ),
        );
    }
}

/// One event of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The event's id.
    pub id: String,
    /// When, RFC 3339.
    pub time: String,
    /// What kind of thing.
    pub kind: String,
    /// The same for people.
    pub detail: String,
}

/// Returns the events of a story, in order.
pub fn events(story: &Value) -> Vec<Told> {
    items(story, "events")
        .iter()
        .map(|event| Told {
            id: text(event, "id"),
            time: text(event, "time"),
            kind: text(event, "kind"),
            detail: text(event, "detail"),
        })
        .collect()
}

/// Returns the time from one RFC 3339 moment to another, for people.
pub fn since(start: &str, end: &str) -> String {
    match (start.parse::<Timestamp>(), end.parse::<Timestamp>()) {
        (Ok(start), Ok(end)) => {
            let wait = end.since(start);
            if wait.as_secs() < 10 {
                format!("+{} ms", wait.as_millis())
            } else {
                format!("+{} s", wait.as_secs())
            }
        }
        _ => end.to_owned(),
    }
}

/// Writes the sites as a table.
pub fn sites(sites: &Value) -> String {
    let mut out = String::new();
    line(
        &mut out,
        format_args!(
            "{:<40} {:>9} {:>9} {:>9}  {}",
            "site", "ready", "deferred", "sessions", "state"
        ),
    );
    for site in sites
        .as_array()
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .chain(items(sites, "sites"))
    {
        line(
            &mut out,
            format_args!(
                "{:<40} {:>9} {:>9} {:>9}  {}",
                text(site, "site"),
                number(site, "ready"),
                number(site, "deferred"),
                number(site, "sessions"),
                text(site, "state")
            ),
        );
    }
    out
}

/// Writes statistics as a table: what each row is for, then its counts that are not zero; the totals last.
pub fn stats(stats: &Value) -> String {
    const NAMES: [&str; 7] = [
        "time",
        "shop",
        "stream",
        "template",
        "provider",
        "campaign",
        "publisher",
    ];
    let mut out = String::new();
    line(
        &mut out,
        format_args!("from {} to {}", text(stats, "from"), text(stats, "to")),
    );
    let counted = |counts: Option<&Value>| {
        let counts = counts.and_then(Value::as_object).into_iter().flatten();
        let counts = counts.filter(|(_, count)| count.as_u64() != Some(0));
        let counts: Vec<_> = counts.map(|(measure, count)| format!("{measure} {count}")).collect();
        counts.join(", ")
    };
    for row in items(stats, "rows") {
        let named = NAMES.iter().filter_map(|name| row.get(name)?.as_str());
        let named: Vec<_> = named
            .map(|name| if name.is_empty() { "(built-in)" } else { name })
            .collect();
        line(
            &mut out,
            format_args!("{:<40} {}", named.join(" "), counted(row.get("counts"))),
        );
    }
    line(
        &mut out,
        format_args!("{:<40} {}", "in all", counted(stats.get("totals"))),
    );
    out
}

/// Writes how other rules compare with the verdicts that were given.
pub fn verdicts(told: &Value) -> String {
    let mut out = String::new();
    let given = format!("{} hits of {} mails", number(told, "hits"), number(told, "mails"));
    line(
        &mut out,
        format_args!(
            "rules {} over {given}; {} mails differ",
            number(told, "rules"),
            number(told, "mails_differ")
        ),
    );
    line(&mut out, format_args!("{:<14} {:>9} {:>9}", "class", "given", "tried"));
    for (class, counted) in told.get("classes").and_then(Value::as_object).into_iter().flatten() {
        let (given, tried) = (number(counted, "given"), number(counted, "tried"));
        line(&mut out, format_args!("{class:<14} {given:>9} {tried:>9}"));
    }
    for mail in items(told, "differences") {
        for hit in items(mail, "hits") {
            let reasons = |key: &str| {
                let reasons: Vec<_> = items(hit, key).iter().filter_map(Value::as_str).collect();
                if reasons.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", reasons.join(", "))
                }
            };
            line(
                &mut out,
                format_args!(
                    "message {} {}: {}{} would be {}{}",
                    text(mail, "message"),
                    text(hit, "at"),
                    text(hit, "given"),
                    reasons("given_reasons"),
                    text(hit, "tried"),
                    reasons("tried_reasons")
                ),
            );
        }
    }
    out
}

pub(crate) fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("writing to a string cannot fail");
}

pub(crate) fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(crate) fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

pub(crate) fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refused_order_tells_its_reasons_in_order() {
        let story = json!({
            "id": "aaaaaaaaaaaaaaaa", "order_id": "7", "shop": "s", "accepted_at": "2026-11-21T20:15:00.000Z",
            "decision": { "verdict": "refuse", "reasons": [{ "code": "late", "text": "Too late." }], "offers": [] },
            "messages": [],
            "events": [{ "id": "b", "time": "2026-11-21T20:15:00.012Z", "kind": "message.refused", "detail": "Nothing is sent." }],
        });
        let told = tell(&story);
        assert!(told.contains("because late: Too late."), "{told}");
        assert!(told.contains("+12 ms"), "{told}");
    }
}
