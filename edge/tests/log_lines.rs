//! Lines of the log have each key once: the text of an event is its `message`, so that no field of its own may be called so.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

use std::path::Path;

const PARTS: [&str; 11] = [
    "api",
    "edge",
    "loadtest",
    "mta",
    "policy",
    "projection",
    "scheduler",
    "smtp",
    "store",
    "tracker",
    "types",
];
const MACROS: [&str; 5] = ["trace!(", "debug!(", "info!(", "warn!(", "error!("];

#[test]
fn no_field_of_a_log_line_is_called_as_its_text() {
    let (mut events, mut faults) = (0, Vec::new());
    for part in PARTS {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(part).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if entry.extension().is_some_and(|extension| extension == "rs") {
                    let code = std::fs::read_to_string(&entry).unwrap();
                    for told in logged(&code) {
                        events += 1;
                        if fields(told).any(|field| field == "message") {
                            faults.push(format!("{}: {told}", entry.display()));
                        }
                    }
                }
            }
        }
    }
    assert!(events > 50, "{events}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_field_of_that_name_is_found() {
    let found = |code: &str| logged(code).any(|told| fields(told).any(|field| field == "message"));
    for code in [
        r#"tracing::warn!(?message, %cause, "not recorded")"#,
        r#"tracing::warn!(%cause, message, "not recorded")"#,
        r#"tracing::error!(message = ?taken.message, "unread (at all)")"#,
        "error!(\n    %cause,\n    ?message,\n    \"never\"\n)",
    ] {
        assert!(found(code), "{code}");
    }
    for code in [
        r#"tracing::warn!(mail = ?taken.message, "the message, and more")"#,
        r#"tracing::warn!(why = f(a, message), "one")"#,
    ] {
        assert!(!found(code), "{code}");
    }
}

/// Returns what stands between the parentheses of each event that is logged.
fn logged(code: &str) -> impl Iterator<Item = &str> {
    let begins = MACROS.iter().flat_map(|name| code.match_indices(name));
    begins.map(|(at, name)| {
        let rest = &code[at + name.len()..];
        let (mut depth, mut quoted, mut escaped) = (1, false, false);
        let end = rest.find(|letter: char| {
            match letter {
                '"' if !escaped => quoted = !quoted,
                '(' if !quoted => depth += 1,
                ')' if !quoted => depth -= 1,
                _ => {}
            }
            escaped = letter == '\\' && !escaped;
            depth == 0
        });
        &rest[..end.unwrap()]
    })
}

/// Returns the names of an event's fields, told with or without a value; its text and its arguments are none of ours.
fn fields(told: &str) -> impl Iterator<Item = &str> {
    let (mut depth, mut quoted) = (0, false);
    let parts = told.split(move |letter: char| {
        match letter {
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0 && !quoted
    });
    parts.map(|part| part.split('=').next().unwrap().trim().trim_start_matches(['?', '%']))
}
