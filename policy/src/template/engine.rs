//! minijinja, set up so that a stranger's template can be run.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use minijinja::value::{Kwargs, StringInput, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, filters, tests};
use types::catalogue::TemplateSource;

use super::context::Context;
use super::{FILTERED_BYTES_MAX, FUEL, OUTPUT_BYTES_MAX, Part, TEXT_BYTES_MAX, TemplateFault};

/// Compiles the three parts of a source into one environment, each under its part's name.
pub(super) fn compile(source: &TemplateSource) -> Result<Environment<'static>, TemplateFault> {
    let mut engine = environment();
    for (part, text) in parts(source) {
        caught(part, || {
            engine
                .add_template_owned(part.as_str(), text.to_owned())
                .map_err(|error| fault(part, text, &error))
        })?;
    }
    Ok(engine)
}

/// Has the engine work on a part. Its panic, which some odd call of a template may bring about, is a fault of the template.
///
/// Nothing of the engine outlives it: an environment that was half made is dropped, and rendering keeps nothing there.
pub(super) fn caught<T>(part: Part, work: impl FnOnce() -> Result<T, TemplateFault>) -> Result<T, TemplateFault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(plain_fault(part, "the engine panicked".to_owned())))
}

/// Returns the parts of a source with their names.
pub(super) fn parts(source: &TemplateSource) -> [(Part, &str); 3] {
    [
        (Part::Subject, source.subject.as_str()),
        (Part::Html, source.html.as_str()),
        (Part::Text, source.text.as_str()),
    ]
}

/// Renders one part into `out`, which is cleared first.
pub(super) fn render(
    engine: &Environment<'static>,
    part: Part,
    context: &Context,
    out: &mut String,
) -> Result<(), TemplateFault> {
    caught(part, || render_part(engine, part, context, out))
}

fn render_part(
    engine: &Environment<'static>,
    part: Part,
    context: &Context,
    out: &mut String,
) -> Result<(), TemplateFault> {
    out.clear();
    let template = engine
        .get_template(part.as_str())
        .expect("compile adds every part under its name");
    // The engine writes through `io::Write`, so the text passes as bytes and is checked once on its way back.
    let mut bounded = Bounded {
        bytes: std::mem::take(out).into_bytes(),
    };
    let rendered = template.render_captured_to(context.value().clone(), &mut bounded);
    *out = String::from_utf8(bounded.bytes).map_err(|_| plain_fault(part, "the output is not UTF-8".to_owned()))?;
    match rendered {
        Ok(_) => Ok(()),
        Err(error) => Err(fault(part, template.source(), &error)),
    }
}

/// Makes a rendered subject one line: runs of blanks and control characters become one space.
pub(super) fn one_line(subject: &mut String) {
    let blank = |c: char| c.is_whitespace() || c.is_control();
    let clean = subject.trim() == subject
        && !subject.as_bytes().windows(2).any(|pair| matches!(pair, [b' ', b' ']))
        && !subject.chars().any(|c| c != ' ' && blank(c));
    if !clean {
        *subject = subject
            .split(blank)
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
    }
}

fn environment() -> Environment<'static> {
    let mut engine = Environment::empty();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_debug(true);
    engine.set_fuel(Some(FUEL));
    engine.set_recursion_limit(50);
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    engine.set_formatter(format);

    engine.add_filter("capitalize", capitalize);
    engine.add_filter("count", length);
    engine.add_filter("d", filters::default);
    engine.add_filter("default", filters::default);
    engine.add_filter("first", filters::first);
    engine.add_filter("int", int);
    engine.add_filter("join", join);
    engine.add_filter("last", filters::last);
    engine.add_filter("length", length);
    engine.add_filter("lower", lower);
    engine.add_filter("replace", replace);
    engine.add_filter("round", filters::round);
    engine.add_filter("title", title);
    engine.add_filter("trim", trim);
    engine.add_filter("upper", upper);

    engine.add_test("defined", tests::is_defined);
    engine.add_test("undefined", tests::is_undefined);
    engine.add_test("none", tests::is_none);
    engine.add_test("odd", tests::is_odd);
    engine.add_test("even", tests::is_even);
    engine.add_test("divisibleby", is_divisible);
    engine.add_test("startingwith", tests::is_startingwith);
    engine.add_test("endingwith", tests::is_endingwith);
    engine
}

/// Writes a value: escaped in HTML, as it is elsewhere. Nothing for none; an error for what is no text.
///
/// minijinja's own escaping turns `/` into an entity too, which mail clients and link scanners trip over.
fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let html = state.name() == Part::Html.as_str();
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => Ok(()),
        ValueKind::Number | ValueKind::Bool => write_out(out, &value.to_string()),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            if html { escape(out, text) } else { write_out(out, text) }
        }
        kind => Err(invalid(format!(
            "a {kind} cannot be printed: print its fields, or loop over it"
        ))),
    }
}

fn escape(out: &mut Output, text: &str) -> Result<(), Error> {
    let mut rest = text;
    while let Some(at) = rest
        .bytes()
        .position(|b| matches!(b, b'&' | b'<' | b'>' | b'"' | b'\''))
    {
        let (plain, special) = rest.split_at(at);
        write_out(out, plain)?;
        let entity = match special.bytes().next() {
            Some(b'&') => "&amp;",
            Some(b'<') => "&lt;",
            Some(b'>') => "&gt;",
            Some(b'"') => "&quot;",
            _ => "&#39;",
        };
        write_out(out, entity)?;
        rest = special.get(1..).unwrap_or_default();
    }
    write_out(out, rest)
}

fn write_out(out: &mut Output, text: &str) -> Result<(), Error> {
    out.write_str(text).map_err(Error::from)
}

/// How many bytes the filters of one part have read and written.
///
/// Fuel counts instructions, and a filter is one, whatever its text: a loop of short instructions over a long text would
/// keep a thread for seconds.
#[derive(Default)]
struct Filtered(usize);

/// Takes note that a filter reads or writes so many bytes.
fn filtered(state: &mut State<'_, '_>, bytes: usize) -> Result<(), Error> {
    let Filtered(all) = state.get_or_insert_extension(Filtered::default());
    *all = all.saturating_add(bytes);
    if *all > FILTERED_BYTES_MAX {
        return Err(invalid(format!(
            "runs too long: its filters read more than {FILTERED_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

fn capitalize(state: &mut State<'_, '_>, text: StringInput<'_>) -> Result<Value, Error> {
    filtered(state, text.as_str().len())?;
    Ok(filters::capitalize(text))
}

fn int(
    state: &mut State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    filtered(state, value.as_str().map_or(0, str::len))?;
    filters::int(state, value, default, base, kwargs)
}

fn length(state: &mut State<'_, '_>, value: &Value) -> Result<usize, Error> {
    filtered(state, value.as_str().map_or(0, str::len))?;
    filters::length(value)
}

fn lower(state: &mut State<'_, '_>, text: StringInput<'_>) -> Result<Value, Error> {
    filtered(state, text.as_str().len())?;
    Ok(filters::lower(text))
}

fn title(state: &mut State<'_, '_>, text: Cow<'_, str>) -> Result<String, Error> {
    filtered(state, text.len())?;
    Ok(filters::title(text))
}

fn upper(state: &mut State<'_, '_>, text: StringInput<'_>) -> Result<Value, Error> {
    filtered(state, text.as_str().len())?;
    Ok(filters::upper(text))
}

/// Takes blanks, or the characters given, off both ends. The engine's own looks through all of them at each character.
fn trim(state: &mut State<'_, '_>, text: StringInput<'_>, chars: Option<Cow<'_, str>>) -> Result<Value, Error> {
    filtered(state, text.as_str().len() + chars.as_deref().map_or(0, str::len))?;
    let Some(chars) = chars else {
        return Ok(filters::trim(text, None));
    };
    let chars: HashSet<char> = chars.chars().collect();
    let trimmed = text.as_str().trim_matches(|c| chars.contains(&c)).to_owned();
    Ok(text.preserve_safety(trimmed))
}

/// Joins texts and numbers, up to the bound of a text.
fn join(state: &mut State<'_, '_>, values: &Value, separator: Option<&str>) -> Result<String, Error> {
    let mut joined = String::new();
    for (index, value) in values.try_iter()?.enumerate() {
        if index > 0 {
            joined.push_str(separator.unwrap_or_default());
        }
        match value.kind() {
            ValueKind::String => joined.push_str(value.as_str().unwrap_or_default()),
            ValueKind::Number => joined.push_str(&value.to_string()),
            kind => return Err(invalid(format!("join takes texts and numbers, not a {kind}"))),
        }
        bounded(joined.len())?;
    }
    filtered(state, joined.len())?;
    Ok(joined)
}

/// Replaces every `from` by `to`, up to the bound of a text.
fn replace(state: &mut State<'_, '_>, text: &str, from: &str, to: &str) -> Result<String, Error> {
    filtered(state, text.len())?;
    let matches = text.matches(from).count();
    let kept = text.len() - matches * from.len();
    bounded(matches.saturating_mul(to.len()).saturating_add(kept))?;
    let replaced = text.replace(from, to);
    filtered(state, replaced.len())?;
    Ok(replaced)
}

/// Says whether a number is a multiple of another. The engine's own divides by zero, which panics.
fn is_divisible(value: i64, by: i64) -> bool {
    value.checked_rem(by) == Some(0)
}

fn bounded(bytes: usize) -> Result<(), Error> {
    if bytes > TEXT_BYTES_MAX {
        return Err(invalid(format!("the text grows past {TEXT_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn invalid(detail: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail)
}

/// Takes output up to the bound.
struct Bounded {
    bytes: Vec<u8>,
}

impl Write for Bounded {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + text.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::other(format!(
                "the output is longer than {OUTPUT_BYTES_MAX} bytes"
            )));
        }
        self.bytes.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a fault that names no place.
pub(super) fn plain_fault(part: Part, message: String) -> TemplateFault {
    TemplateFault {
        part,
        line: None,
        column: None,
        message,
        source_line: None,
    }
}

/// Makes a fault at a byte offset of the source.
pub(super) fn fault_at(part: Part, source: &str, line: usize, offset: Option<usize>, message: String) -> TemplateFault {
    let column = offset.and_then(|offset| source.get(..offset)).map(|before| {
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        before.get(line_start..).unwrap_or_default().chars().count() + 1
    });
    let source_line = source
        .lines()
        .nth(line.saturating_sub(1))
        .map(|line| line.chars().take(200).collect());
    TemplateFault {
        part,
        line: Some(line),
        column,
        message,
        source_line,
    }
}

/// Reads minijinja's error as a fault.
fn fault(part: Part, source: &str, error: &Error) -> TemplateFault {
    let mut message = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "runs too long".to_owned(),
        (ErrorKind::UndefinedError, None) => "a variable is not defined".to_owned(),
        (ErrorKind::UndefinedError, Some(detail)) => format!("a variable is not defined: {detail}"),
        (_, Some(detail)) => detail.to_owned(),
        (kind, None) => kind.to_string(),
    };
    if let Some(named) = error
        .range()
        .and_then(|range| source.get(range))
        .filter(|_| error.kind() == ErrorKind::UndefinedError)
    {
        message = format!("`{named}` is not defined");
    }
    if let Some(cause) = std::error::Error::source(error) {
        message = format!("{message}: {cause}");
    }
    match error.line() {
        Some(line) => fault_at(part, source, line, error.range().map(|range| range.start), message),
        None => plain_fault(part, message),
    }
}

#[cfg(test)]
mod trimming {
    use minijinja::context;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn characters_are_trimmed_as_one_by_one(text in "[ab .è]{0,20}", chars in "[ab.è]{0,4}") {
            let wanted: Vec<char> = chars.chars().collect();
            let expected = text.trim_matches(&wanted[..]).to_owned();
            let trimmed = environment().render_str("{{ text|trim(chars) }}", context! { text, chars });
            prop_assert_eq!(trimmed.unwrap(), expected);
        }
    }
}
