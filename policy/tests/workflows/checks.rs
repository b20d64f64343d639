//! Faults of definitions, each told at its place.

use policy::workflow::Completeness;
use serde_json::{Value, json};

use crate::world::faults;

fn with(path: &str, value: Value) -> Value {
    let mut json = json!({
        "name": "Test", "start": { "on": "subscription" },
        "steps": [
            { "do": "send", "id": "one", "template": "hello" },
            { "do": "wait", "id": "wait", "for": "1d" },
            { "do": "branch", "id": "fork", "if": "fields.points > 1", "else": "two" },
            { "do": "send", "id": "two", "template": "second" },
        ],
    });
    let (parent, key) = path.rsplit_once('/').unwrap();
    let parent = json.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(list) => list.insert(key.parse().unwrap(), value),
        parent => parent[key] = value,
    }
    json
}

/// Puts a value into a good definition and expects exactly these faults: places, and what they must say.
fn check(path: &str, value: Value, expected: &[(&str, &str)]) {
    let found = faults(&with(path, value.clone()), Completeness::Complete);
    let places: Vec<_> = found.iter().map(|fault| fault.path.as_str()).collect();
    let wanted: Vec<_> = expected.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, wanted, "{path} {value}: {found:#?}");
    for (fault, (_, says)) in found.iter().zip(expected) {
        assert!(fault.fault.contains(says), "{fault:?} does not say {says:?}");
    }
}

#[test]
fn a_good_definition_has_no_fault() {
    check("/name", json!("Test"), &[]);
    check("/steps/4", json!({ "do": "exit", "id": "out" }), &[]);
    check("/steps/2/then", json!("end"), &[]);
}

#[test]
fn unknown_names_are_told() {
    check(
        "/start",
        json!({ "on": "date", "field": "nope" }),
        &[("/start/field", "no field `nope`")],
    );
    check(
        "/start",
        json!({ "on": "date", "field": "city" }),
        &[("/start/field", "`city` is a text")],
    );
    check(
        "/start",
        json!({ "on": "group", "group": "nope" }),
        &[("/start/group", "no group `nope`")],
    );
    check(
        "/start",
        json!({ "on": "activity", "activity": "opened", "of": { "template": "nope" } }),
        &[("/start/of/template", "no template `nope`")],
    );
    check(
        "/steps/0/template",
        json!("nope"),
        &[("/steps/0/template", "no template `nope`")],
    );
    check(
        "/who",
        json!({ "groups": ["readers", "nope"] }),
        &[("/who/groups/1", "no group `nope`")],
    );
    check(
        "/zone_field",
        json!("points"),
        &[("/zone_field", "`points` is a number, a text is needed")],
    );
    check("/at_end", json!({ "copy": "nope" }), &[("/at_end/copy", "no group")]);
    check(
        "/on_exit",
        json!({ "move": { "from": "nope", "to": "nope" } }),
        &[
            ("/on_exit/move/from", "no group"),
            ("/on_exit/move/to", "no group"),
            ("/on_exit/move/to", "comes from"),
        ],
    );
    check(
        "/steps/1",
        json!({ "do": "group", "id": "g", "change": { "leave": "nope" } }),
        &[("/steps/1/change/leave", "no group")],
    );
}

#[test]
fn filters_are_checked_with_the_character_and_the_names_they_may_use() {
    check("/goal", json!("fields.nope > 1"), &[("/goal", "at character 0")]);
    check(
        "/exit",
        json!({ "if": "orders.count >" }),
        &[("/exit/if", "at character")],
    );
    check("/steps/2/if", json!("order.total > 1"), &[("/steps/2/if", "`order`")]);
    check(
        "/who",
        json!({ "filters": ["consent.email", "1 +"] }),
        &[("/who/filters/1", "")],
    );
    check("/who", json!({ "not_filters": ["1 +"] }), &[("/who/not_filters/0", "")]);
    check("/start", json!({ "on": "order", "if": "order.total > 1" }), &[]);
    check(
        "/start",
        json!({ "on": "order", "if": "event.name == \"x\"" }),
        &[("/start/if", "`event`")],
    );
    check(
        "/start",
        json!({ "on": "event", "name": "x", "if": "event.name == \"x\"" }),
        &[],
    );
    check(
        "/start",
        json!({ "on": "condition", "if": "order.total > 1" }),
        &[("/start/if", "`order`")],
    );
}

#[test]
fn ids_are_used_once_and_jumps_lead_forward() {
    check(
        "/steps/4",
        json!({ "do": "send", "id": "one", "template": "hello" }),
        &[("/steps/4/id", "`one`")],
    );
    check(
        "/steps/4",
        json!({ "do": "exit", "id": "end" }),
        &[("/steps/4/id", "`end`")],
    );
    check("/steps/2/else", json!("nope"), &[("/steps/2/else", "no step `nope`")]);
    check("/steps/2/else", json!("one"), &[("/steps/2/else", "not a later step")]);
    check("/steps/2/then", json!("fork"), &[("/steps/2/then", "not a later step")]);
}

#[test]
fn waits_are_about_mails_sent_before() {
    let wait = |extra: Value| {
        let mut wait = json!({ "do": "wait", "id": "w", "for": "1d" });
        for (key, value) in extra.as_object().unwrap() {
            wait[key] = value.clone();
        }
        wait
    };
    check(
        "/steps/1",
        wait(json!({ "after": "engagement", "of": "one", "else": "two" })),
        &[],
    );
    check(
        "/steps/1",
        wait(json!({ "after": "engagement", "of": "two" })),
        &[("/steps/1/of", "no send step `two` comes before")],
    );
    check(
        "/steps/3",
        wait(json!({ "after": "send", "of": "fork" })),
        &[("/steps/3/of", "no send step `fork`")],
    );
    check(
        "/steps/0",
        wait(json!({ "after": "send" })),
        &[("/steps/0/after", "no send step")],
    );
    check(
        "/steps/1",
        wait(json!({ "of": "one" })),
        &[("/steps/1/of", "say `after`")],
    );
    check(
        "/steps/1",
        wait(json!({ "limit": "3d" })),
        &[("/steps/1/limit", "engagement")],
    );
    check(
        "/steps/1",
        wait(json!({ "else": "two" })),
        &[("/steps/1/else", "one way")],
    );
}

#[test]
fn send_at_and_waits_of_hours_exclude_each_other() {
    let mut json = with("/send", json!({ "send_at": "09:00" }));
    json["start"] = json!({ "on": "subscription", "after": "2h" });
    json["steps"][1] = json!({ "do": "wait", "id": "wait", "for": "90m", "after": "engagement", "limit": "5h" });
    let found = faults(&json, Completeness::Complete);
    let places: Vec<_> = found.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(places, ["/start/after", "/steps/1/for", "/steps/1/limit"]);
    json["start"] = json!({ "on": "cart_abandoned", "after": "2h" });
    json["steps"][1] = json!({ "do": "wait", "id": "wait", "for": "2x24h" });
    let found = faults(&json, Completeness::Complete);
    assert_eq!(found[0].path, "/start/after");
    assert_eq!(found.len(), 1);
}

#[test]
fn limits_are_told_with_what_was_given_and_what_is_taken() {
    let steps: Vec<_> = (0..65)
        .map(|n| json!({ "do": "exit", "id": format!("s{n}") }))
        .collect();
    check("/steps", json!(steps), &[("/steps", "65 steps, at most 64")]);
    let groups = vec!["readers"; 65];
    check(
        "/who",
        json!({ "groups": groups }),
        &[("/who/groups", "65 groups, at most 64")],
    );
    let filters = vec!["consent.email"; 17];
    check(
        "/who",
        json!({ "filters": filters }),
        &[("/who/filters", "17 filters, at most 16")],
    );
    check(
        "/start",
        json!({ "on": "date", "field": "renewal", "days": 367 }),
        &[("/start/days", "367")],
    );
    check(
        "/start",
        json!({ "on": "cart_abandoned", "after": "49h" }),
        &[("/start/after", "48 hours")],
    );
    check("/late_after", json!("0h"), &[("/late_after", "")]);
    // Longer waits than 400 days cannot even be written.
    let long = with("/steps/1/for", json!("401d"));
    let read: Result<types::workflow::WorkflowSpec, _> = serde_json::from_value(long);
    assert!(read.unwrap_err().to_string().contains("longer than 400 days"));
}

#[test]
fn all_filters_of_a_workflow_together_are_bounded_wherever_they_stand() {
    // Ten comparisons: 39 names, values and operations.
    let filter = ["orders.count > 1"; 10].join(" || ");
    let branch = |n: usize| json!({ "do": "branch", "id": format!("b{n}"), "if": filter, "else": "end" });
    let branches: Vec<_> = (0..51).map(branch).collect();
    // 51 of them are 1,989.
    check("/steps", json!(branches), &[]);
    let mut dear = with("/steps", json!(branches));
    dear["who"] = json!({ "filters": ["orders.count in [1, 2, 3, 4]", "orders.count > 1", "orders.count > 1", "1 +"] });
    dear["goal"] = json!("consent.email");
    let found = faults(&dear, Completeness::Complete);
    assert_eq!(found.len(), 1, "what comes after it is not read: {found:?}");
    assert_eq!(found[0].path, "/who/filters/2");
    assert!(
        found[0].fault.contains("2001 parts") && found[0].fault.contains("at most 2000"),
        "{found:?}"
    );
}

#[test]
fn no_single_filter_that_fits_its_length_has_too_many_parts() {
    for part in ["1<1||", "1==1||", "consent.sms||", "!consent.sms||", "-1<1||"] {
        let filter = part.repeat((policy::filter::SOURCE_CHARS_MAX - 3) / part.len()) + "1<1";
        check("/goal", json!(filter), &[]);
    }
    let list = format!("1 in [{}1]", "1,".repeat((policy::filter::SOURCE_CHARS_MAX - 8) / 2));
    check("/goal", json!(list), &[]);
}

#[test]
fn entries_by_key_need_a_start_that_has_one() {
    check("/entry", json!("per_key"), &[("/entry", "per_key")]);
    check("/entry", json!({ "every_days": 0 }), &[("/entry/every_days", "0")]);
    check(
        "/who",
        json!({ "groups": ["readers"], "not_groups": ["readers"] }),
        &[("/who/not_groups", "nobody")],
    );
}

#[test]
fn a_draft_may_be_without_steps_and_one_that_is_on_may_not() {
    let empty = with("/steps", json!([]));
    assert_eq!(faults(&empty, Completeness::Draft), []);
    assert_eq!(faults(&empty, Completeness::Complete)[0].path, "/steps");
}

#[test]
fn every_fault_is_told_at_once() {
    let mut json = with("/start", json!({ "on": "group", "group": "nope" }));
    json["steps"][0]["template"] = json!("nope");
    json["steps"][2]["else"] = json!("nope");
    json["goal"] = json!("nope");
    let found = faults(&json, Completeness::Complete);
    let places: Vec<_> = found.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(places, ["/start/group", "/steps/0/template", "/steps/2/else", "/goal"]);
}
