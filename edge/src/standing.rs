//! Where a contact stands, written for people at a terminal.

use std::fmt::Write;

use serde_json::Value;

use crate::story::{events, items, line, number, text};

/// Writes a contact's timeline: who, where in each workflow, carts, what comes next, what was not sent, and the events, newest first.
pub fn tell(timeline: &Value) -> String {
    let mut out = String::new();
    if let Some(contact) = timeline.get("contact") {
        about(&mut out, contact);
    }
    for workflow in items(timeline, "workflows") {
        standing(&mut out, workflow);
    }
    for standing in items(timeline, "carts") {
        cart(&mut out, standing);
    }
    for coming in items(timeline, "coming") {
        line(&mut out, format_args!("next: {} {}", when(coming), what(coming)));
    }
    for suppressed in items(timeline, "suppressed") {
        line(
            &mut out,
            format_args!("not sent: {} {}", text(suppressed, "at"), what(suppressed)),
        );
        for reason in items(suppressed, "reasons") {
            line(
                &mut out,
                format_args!("  because {}: {}", text(reason, "code"), text(reason, "text")),
            );
        }
    }
    for event in events(timeline) {
        line(
            &mut out,
            format_args!("  {}  {:<18} {}", event.time, event.kind, event.detail),
        );
    }
    if timeline.get("next_events").is_some() {
        line(&mut out, format_args!("  and earlier ones"));
    }
    out
}

fn about(out: &mut String, contact: &Value) {
    let name = contact
        .get("name")
        .and_then(Value::as_str)
        .map_or_else(String::new, |name| format!(" ({name})"));
    let zone = contact
        .get("time_zone")
        .and_then(Value::as_str)
        .map_or_else(String::new, |zone| format!(", {zone}"));
    line(
        out,
        format_args!(
            "contact {}{name}{zone}, since {}",
            text(contact, "email"),
            text(contact, "created_at")
        ),
    );
    for (field, value) in contact.get("fields").and_then(Value::as_object).into_iter().flatten() {
        line(out, format_args!("  {field}: {value}"));
    }
    let groups: Vec<&str> = items(contact, "groups").iter().filter_map(Value::as_str).collect();
    if !groups.is_empty() {
        line(out, format_args!("  in {}", groups.join(", ")));
    }
    for (channel, said) in contact.get("consent").and_then(Value::as_object).into_iter().flatten() {
        let granted = said.get("granted").and_then(Value::as_bool) == Some(true);
        let granted = if granted { "granted" } else { "refused" };
        let source = said
            .get("source")
            .and_then(Value::as_str)
            .map_or_else(String::new, |source| format!(", collected by {source}"));
        line(
            out,
            format_args!(
                "  {channel}: {granted} at {}, told by {}{source}",
                text(said, "at"),
                text(said, "told_by")
            ),
        );
    }
    if let Some(activity) = contact.get("activity") {
        line(out, format_args!("  {} order(s)", number(activity, "orders")));
    }
}

fn standing(out: &mut String, workflow: &Value) {
    let left = workflow
        .get("left_at")
        .and_then(Value::as_str)
        .map_or_else(String::new, |at| {
            format!(", left {at} ({})", text(workflow, "left_because"))
        });
    line(
        out,
        format_args!(
            "workflow {}: entered {} time(s){left}",
            text(workflow, "workflow"),
            number(workflow, "entries")
        ),
    );
    for instance in items(workflow, "inside") {
        line(
            out,
            format_args!(
                "  {} since {}, version {}",
                text(instance, "detail"),
                text(instance, "since"),
                number(instance, "version")
            ),
        );
        if instance.get("due").is_some() {
            line(
                out,
                format_args!("    goes on {} {}", when(instance), text(instance, "zone")),
            );
        }
        let rules: Vec<&str> = items(instance, "rules").iter().filter_map(Value::as_str).collect();
        if !rules.is_empty() {
            line(out, format_args!("    not before, by {}", rules.join(", ")));
        }
        for sent in items(instance, "sent") {
            line(
                out,
                format_args!(
                    "    sent by {} at {}: message {}",
                    text(sent, "step"),
                    text(sent, "at"),
                    text(sent, "message")
                ),
            );
        }
    }
}

fn cart(out: &mut String, standing: &Value) {
    let Some(cart) = standing.get("cart") else { return };
    let state = cart.get("ordered").map_or_else(
        || "open".to_owned(),
        |ordered| format!("ordered, {}", text(ordered, "recovery")),
    );
    line(out, format_args!("cart {}: {state}", text(cart, "id")));
    for decision in items(standing, "decisions") {
        line(
            out,
            format_args!("  {} {}", text(decision, "at"), text(decision, "detail")),
        );
    }
}

/// When something is due, by the clocks of its zone if they are known.
fn when(coming: &Value) -> String {
    let local = text(coming, "due_local");
    if local.is_empty() { text(coming, "due") } else { local }
}

fn what(coming: &Value) -> String {
    let mut out = String::new();
    for (name, key) in [
        ("workflow", "workflow"),
        ("step", "step"),
        ("cart", "cart"),
        ("reminder", "reminder"),
    ] {
        let value = text(coming, key);
        if !value.is_empty() {
            let gap = if out.is_empty() { "" } else { ", " };
            write!(out, "{gap}{name} {value}").expect("writing to a string cannot fail");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_timeline_reads_from_who_to_what_happened() {
        let timeline = json!({
            "contact": {
                "email": "mario@example.it", "name": "Mario", "created_at": "2026-11-20T10:00:00.000Z", "fields": {"age": 7.0},
                "groups": ["news", "vip"], "activity": {"orders": 2},
                "consent": {"email": {"granted": true, "at": "2026-11-20T10:00:00.000Z", "told_by": "api", "source": "form"}},
            },
            "workflows": [{"workflow": "welcome", "entries": 1, "inside": [{
                "detail": "It waits at step hello for a moment at which mails may go.", "since": "2026-11-21T22:00:00.000Z", "version": 1,
                "due": "2026-11-22T07:00:00.000Z", "due_local": "2026-11-22T08:00:00+01:00", "zone": "Europe/Rome",
                "rules": ["quiet"], "sent": [],
            }]}],
            "carts": [{"cart": {"id": "7"}, "decisions": [{"at": "2026-11-21T20:00:00.000Z", "detail": "Off."}]}],
            "coming": [{"due": "2026-11-22T07:00:00.000Z", "due_local": "2026-11-22T08:00:00+01:00", "workflow": "welcome", "step": "hello"}],
            "suppressed": [{"at": "2026-11-21T20:00:00.000Z", "cart": "7", "reminder": "first",
                "reasons": [{"code": "off", "text": "Reminders are switched off."}]}],
            "events": [{"id": "x", "time": "2026-11-21T22:00:00.000Z", "kind": "workflow_entered", "detail": "The contact entered."}],
        });
        let expected = "\
contact mario@example.it (Mario), since 2026-11-20T10:00:00.000Z
  age: 7.0
  in news, vip
  email: granted at 2026-11-20T10:00:00.000Z, told by api, collected by form
  2 order(s)
workflow welcome: entered 1 time(s)
  It waits at step hello for a moment at which mails may go. since 2026-11-21T22:00:00.000Z, version 1
    goes on 2026-11-22T08:00:00+01:00 Europe/Rome
    not before, by quiet
cart 7: open
  2026-11-21T20:00:00.000Z Off.
next: 2026-11-22T08:00:00+01:00 workflow welcome, step hello
not sent: 2026-11-21T20:00:00.000Z cart 7, reminder first
  because off: Reminders are switched off.
  2026-11-21T22:00:00.000Z  workflow_entered   The contact entered.
";
        assert_eq!(tell(&timeline), expected);
    }
}
