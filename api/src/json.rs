//! Strict JSON: bodies are read into the typed structs of `types`, and every refusal names the field.
//!
//! serde does most of it: unknown fields, wrong types and texts that are not addresses, ids or times are refused by
//! the types themselves. What serde lets through is caught before by one pass over the bytes: nesting deeper than
//! [`DEPTH_MAX`], and the same key twice in one object, which different readers would understand differently.
//!
//! The good path parses once, without tracking where it is. Only a refused body is parsed a second time, with
//! `serde_path_to_error`, to find the place.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::problem::{Fault, Kind, Problem};

/// How deep arrays and objects may be nested. The deepest document of the API has six levels.
pub(crate) const DEPTH_MAX: usize = 32;

/// Reads a body into a `T`.
///
/// Answers 400 when it is no JSON, nests too deeply or has a key twice, and 422 when it is JSON, but no `T`.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    scan(body)?;
    read(body)
}

/// Reads JSON that was scanned already, as a part of a larger body.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(error) if error.is_data() => Err(locate::<T>(body)),
        Err(error) => Err(Problem::new(Kind::Malformed, format!("the body is not JSON: {error}"))),
    }
}

/// Parses again, slower, to say where the fault is.
fn locate<T: DeserializeOwned>(body: &[u8]) -> Problem {
    let mut reader = serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => {
            let known = pointer(error.path());
            let inner = error.into_inner();
            let pointer = known.unwrap_or_else(|| pointer_at(body, inner.line(), inner.column()));
            let text = inner.to_string();
            let place = format!(" at line {} column {}", inner.line(), inner.column());
            let fault = text.strip_suffix(&place).unwrap_or(&text);
            Problem::invalid(vec![blame(pointer, fault)])
        }
        // A fault that only the first reading sees would be one of serde's; the refusal stands.
        Ok(_) => Problem::invalid(vec![Fault::new("", "does not fit")]),
    }
}

/// Points at a missing or unknown member itself where serde's path ends at the object around it.
///
/// The words are serde's; should they change, the fault is still told, at the object.
fn blame(mut pointer: String, fault: &str) -> Fault {
    for (start, words) in [
        ("missing field `", "is missing"),
        ("unknown field `", "is not a field here"),
        ("unknown variant `", ""),
    ] {
        let Some((name, _)) = fault.strip_prefix(start).and_then(|rest| rest.split_once('`')) else {
            continue;
        };
        if words.is_empty() {
            return Fault::new(pointer, format!("is {fault}"));
        }
        let token = escape(name);
        if !pointer.ends_with(&format!("/{token}")) || words == "is missing" {
            pointer = format!("{pointer}/{token}");
        }
        return Fault::new(pointer, words);
    }
    let words = match fault
        .strip_prefix("invalid type: ")
        .or_else(|| fault.strip_prefix("invalid value: "))
    {
        Some(rest) => format!("is {rest}"),
        None if fault.starts_with("not ") => format!("is {fault}"),
        None => fault.to_owned(),
    };
    Fault::new(pointer, words)
}

/// Writes serde's path as a JSON pointer (RFC 6901). `None` if a step has no name: keys that are enums have none.
fn pointer(path: &Path) -> Option<String> {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => push(&mut pointer, &index.to_string()),
            Segment::Map { key } => push(&mut pointer, key),
            Segment::Enum { variant } => push(&mut pointer, variant),
            Segment::Unknown => return None,
        }
    }
    Some(pointer)
}

/// Writes where a line and column (both from 1) of JSON are, as a JSON pointer.
fn pointer_at(body: &[u8], line: usize, column: usize) -> String {
    let before = body.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1));
    let offset = before.map(<[u8]>::len).sum::<usize>() + column;
    match walk(body.get(..offset).unwrap_or(body)) {
        Ok((stack, keys)) => place(&stack, &keys),
        Err(_) => String::new(),
    }
}

/// Lengthens a pointer by one step.
fn push(pointer: &mut String, step: &str) {
    pointer.push('/');
    pointer.push_str(&escape(step));
}

/// Writes a key as a step of a JSON pointer (RFC 6901 §3).
pub(crate) fn escape(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) {
        Cow::Owned(key.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(key)
    }
}

/// One open array or object.
struct Open {
    /// Where its keys begin in the list of all open keys; `None` for an array.
    keys_from: Option<usize>,
    /// The running index of an array.
    index: usize,
}

/// Refuses what serde would let through: deep nesting and duplicate keys.
///
/// Knows no more JSON than it needs: strings, brackets, colons and commas. Bytes that are no JSON pass here and are
/// refused by the parser; in bytes that are JSON it sees exactly the structure that the parser sees.
pub(crate) fn scan(body: &[u8]) -> Result<(), Problem> {
    walk(body).map(|_| ())
}

/// Scans, and returns what is open at the end: the arrays and objects, and all keys of the objects so far.
fn walk(body: &[u8]) -> Result<(Vec<Open>, Vec<&[u8]>), Problem> {
    let mut stack: Vec<Open> = Vec::with_capacity(8);
    let mut keys: Vec<&[u8]> = Vec::with_capacity(32);
    let mut last_string: &[u8] = &[];
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let rest = body.get(at..).unwrap_or_default();
                let Some(length) = string_length(rest) else {
                    return Ok((stack, keys));
                };
                last_string = rest.get(..length).unwrap_or_default();
                at += length + 1;
            }
            b':' => keys.push(last_string),
            b'{' | b'[' => {
                if stack.len() == DEPTH_MAX {
                    let detail = format!("the body nests deeper than {DEPTH_MAX} levels");
                    return Err(Problem::new(Kind::Malformed, detail));
                }
                stack.push(Open {
                    keys_from: (byte == b'{').then_some(keys.len()),
                    index: 0,
                });
            }
            b',' => {
                if let Some(open) = stack.last_mut() {
                    open.index += 1;
                }
            }
            b'}' | b']' => {
                let Some(open) = stack.pop() else {
                    return Ok((stack, keys));
                };
                if let Some(from) = open.keys_from {
                    let twice = duplicate(keys.get(from..).unwrap_or_default());
                    keys.truncate(from);
                    if let Some(key) = twice {
                        let pointer = format!("{}/{}", place(&stack, &keys), escape(&key));
                        return Err(
                            Problem::new(Kind::Malformed, format!("the key {pointer} is there twice"))
                                .with(Fault::new(pointer, "is there twice")),
                        );
                    }
                }
            }
            _ => {}
        }
    }
    Ok((stack, keys))
}

/// Returns how many bytes a string has whose opening quote was just read, or `None` if it does not end.
fn string_length(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match rest.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Returns a key that is there twice, escapes resolved.
fn duplicate(keys: &[&[u8]]) -> Option<String> {
    if keys.len() < 2 {
        return None;
    }
    if keys.len() <= 16 && !keys.iter().any(|key| key.contains(&b'\\')) {
        let repeated = keys
            .iter()
            .enumerate()
            .find(|(index, key)| keys.iter().take(*index).any(|earlier| earlier == *key));
        return repeated.map(|(_, key)| String::from_utf8_lossy(key).into_owned());
    }
    let mut plain: Vec<Cow<'_, [u8]>> = keys.iter().map(|key| unescape(key)).collect();
    plain.sort_unstable();
    plain.windows(2).find_map(|pair| match pair {
        [one, two] if one == two => Some(String::from_utf8_lossy(one).into_owned()),
        _ => None,
    })
}

fn unescape(key: &[u8]) -> Cow<'_, [u8]> {
    if !key.contains(&b'\\') {
        return Cow::Borrowed(key);
    }
    let quoted = [b"\"", key, b"\""].concat();
    match serde_json::from_slice::<String>(&quoted) {
        Ok(text) => Cow::Owned(text.into_bytes()),
        // Not a JSON string: the parser refuses the body.
        Err(_) => Cow::Borrowed(key),
    }
}

/// Writes where the innermost open array or object is, as a JSON pointer.
fn place(stack: &[Open], keys: &[&[u8]]) -> String {
    let mut pointer = String::new();
    for (level, open) in stack.iter().enumerate() {
        if open.keys_from.is_some() {
            // The key in force is the last one pushed before the next open object's keys begin.
            let inner = stack.iter().skip(level + 1).find_map(|inner| inner.keys_from);
            let end = inner.unwrap_or(keys.len());
            let key = end
                .checked_sub(1)
                .and_then(|last| keys.get(last))
                .copied()
                .unwrap_or_default();
            let text = String::from_utf8_lossy(key);
            push(&mut pointer, &text);
        } else {
            push(&mut pointer, &open.index.to_string());
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use types::order::Order;

    use super::*;

    fn order(customer: &str) -> String {
        format!(
            r#"{{"order_id":"1","placed_at":"2026-11-21T20:15:00Z","status":"confirmed","customer":{customer},
                "total":{{"amount":1,"currency":"EUR"}}}}"#
        )
    }

    fn check(body: &str, kind: Kind, field: &str, fault: &str) {
        let problem = parse::<Order>(body.as_bytes()).expect_err(body);
        assert_eq!(problem.kind(), kind, "{body}");
        let document = serde_json::to_value(problem.into_document()).unwrap();
        let (got_field, got_fault) = (&document["errors"][0]["field"], &document["errors"][0]["fault"]);
        assert_eq!(got_field, field, "{document}");
        assert!(
            got_fault.as_str().is_some_and(|text| text.contains(fault)),
            "{document}"
        );
    }

    #[test]
    fn refusals_point_at_the_field() {
        check(
            &order(r#"{"email":"mario"}"#),
            Kind::Invalid,
            "/customer/email",
            "local-part@domain",
        );
        check(&order("{}"), Kind::Invalid, "/customer/email", "is missing");
        check(
            &order(r#"{"email":"a@example.it","vip":true}"#),
            Kind::Invalid,
            "/customer/vip",
            "is not a field here",
        );
        check(&order("7"), Kind::Invalid, "/customer", "integer `7`");
        check(
            &order(r#"{"email":"a@example.it","email":"b@example.it"}"#),
            Kind::Malformed,
            "/customer/email",
            "twice",
        );
        check(
            &order(r#"{"email":"a@example.it","\u0065mail":"b@example.it"}"#),
            Kind::Malformed,
            "/customer/email",
            "twice",
        );
    }

    #[test]
    fn duplicates_are_found_at_every_level() {
        for (body, pointer) in [
            (r#"{"a":1,"a":2}"#, "/a"),
            (r#"[0,{"b":[{"c":1,"c":2}]}]"#, "/1/b/0/c"),
            (r#"{"x":{"p":1,"q":2},"y":{"z":1,"z":1}}"#, "/y/z"),
            (r#"{"x":1,"y":[[{"k":{}},{"a/b":1,"a/b":1}]]}"#, "/y/0/1/a~1b"),
        ] {
            let problem = scan(body.as_bytes()).expect_err(body);
            let document = serde_json::to_value(problem.into_document()).unwrap();
            assert_eq!(document["errors"][0]["field"], pointer, "{body}");
        }
        let many: Vec<String> = (0..5000).map(|n| format!("\"k{n}\":{{\"k\":1}}")).collect();
        assert!(scan(format!("{{{}}}", many.join(",")).as_bytes()).is_ok());
        assert!(scan(format!("{{{},\"k77\":1}}", many.join(",")).as_bytes()).is_err());
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(scan(&nested(DEPTH_MAX)).is_ok());
        assert!(scan(&nested(DEPTH_MAX + 1)).is_err());
        assert!(scan(&vec![b'['; 1 << 20]).is_err());
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for body in [
            "",
            "{",
            "nul",
            "{\"a\":}",
            "\u{feff}{}",
            "{\"order_id\":\"\\ud800\"}",
            "{} {}",
            "NaN",
        ] {
            let problem = parse::<Order>(body.as_bytes()).expect_err(body);
            assert!(matches!(problem.kind(), Kind::Malformed | Kind::Invalid), "{body}");
        }
        assert_eq!(
            parse::<Order>(b"{\"order_id\":\"\xff\"}").expect_err("bytes").kind(),
            Kind::Malformed
        );
    }
}
