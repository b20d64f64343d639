//! Reads what strace wrote: one line a call, or two when calls of other threads came in between.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A finished call.
#[derive(Debug)]
pub struct Call {
    pub name: String,
    pub args: Vec<String>,
    pub result: u64,
    /// What the result's descriptor points to, if it is one.
    pub path: Option<PathBuf>,
    /// The lines at which it began and ended: two calls overlap if their spans do.
    pub began: usize,
    pub ended: usize,
}

/// Returns the calls that succeeded, in the order in which they ended; but closing a descriptor has happened when it begins.
///
/// The system frees the number first and returns later: meanwhile another thread may be given the same number for another
/// file, which the end of this call must not take away.
pub fn read(path: &Path) -> Vec<Call> {
    let text = fs::read_to_string(path).unwrap();
    let mut open: HashMap<&str, (usize, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (line, text) in text.lines().enumerate() {
        let Some((pid, rest)) = text.split_once(char::is_whitespace) else {
            continue;
        };
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            let begun = begun.trim_end();
            if begun.starts_with("close(") {
                calls.extend(call(&format!("{begun}) = 0"), line, line));
            }
            open.insert(pid, (line, begun.to_owned()));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (began, head) = open.remove(pid).unwrap();
            let (_, end) = resumed.split_once(" resumed>").unwrap();
            if !head.starts_with("close(") {
                calls.extend(call(&format!("{head}{end}"), began, line));
            }
        } else {
            calls.extend(call(rest, line, line));
        }
    }
    calls
}

fn call(text: &str, began: usize, ended: usize) -> Option<Call> {
    let (call, result) = text.rsplit_once(" = ")?;
    let (name, args) = call.trim_end().strip_suffix(')')?.split_once('(')?;
    // A failed call's result is negative.
    let number: String = result.chars().take_while(char::is_ascii_digit).collect();
    Some(Call {
        name: name.to_owned(),
        args: split(args),
        result: number.parse().ok()?,
        path: annotated(result),
        began,
        ended,
    })
}

/// Splits arguments at commas outside of strings and brackets. Strings are all hexadecimal, so they hold no quote.
fn split(args: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth, mut quoted) = (Vec::new(), String::new(), 0, false);
    for c in args.chars() {
        match c {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(std::mem::take(&mut part).trim().to_owned());
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part.trim().to_owned());
    parts
}

/// Returns the path that strace put behind a descriptor.
pub fn annotated(text: &str) -> Option<PathBuf> {
    let (_, path) = text.split_once('<')?;
    let bytes = unescape(path.rsplit_once('>')?.0);
    Some(PathBuf::from(String::from_utf8(bytes).unwrap()))
}

/// Returns the number of a descriptor.
pub fn descriptor(text: &str) -> u64 {
    text.split('<').next().unwrap().parse().unwrap_or(u64::MAX)
}

/// Returns the bytes of the strings in an argument, one after the other.
pub fn bytes(text: &str) -> Vec<u8> {
    assert!(!text.contains("\"..."), "strace cut a string short");
    text.split('"').skip(1).step_by(2).flat_map(unescape).collect()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if let [b'\\', b'x', high, low, tail @ ..] = rest {
            let digit = |b: u8| (b as char).to_digit(16).unwrap() as u8;
            bytes.push(digit(*high) << 4 | digit(*low));
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}
