//! From source to syntax tree, by the `cel` crate's parser. Its evaluator is not used: it has no notion of a missing value that is not
//! an error, and it copies what it reads.

use cel::common::ast::{IdedExpr, SourceInfo};
use cel::parser::{ParseError, Parser};

use super::{FilterFault, SOURCE_CHARS_MAX};

/// How deep parentheses, lists and calls may be nested.
const NESTING_MAX: u16 = 24;

/// How often the parser starts again after a fault, to find the next.
const RECOVERIES_MAX: u32 = 8;

/// A syntax tree, and where its parts are in the source.
pub(super) struct Parsed {
    /// Where each character begins, in bytes.
    starts: Vec<usize>,
    pub(super) root: IdedExpr,
    places: SourceInfo,
}

impl Parsed {
    /// Returns where a part begins, in characters.
    pub(super) fn place(&self, id: u64) -> Option<usize> {
        let (start, _) = self.places.offset_for(id)?;
        // The parser counts bytes.
        let start = usize::try_from(start).ok()?;
        Some(self.starts.partition_point(|at| *at < start))
    }
}

/// Parses a source.
pub(super) fn parse(source: &str) -> Result<Parsed, Vec<FilterFault>> {
    if source.chars().count() > SOURCE_CHARS_MAX {
        return Err(vec![FilterFault {
            offset: None,
            fault: format!("longer than {SOURCE_CHARS_MAX} characters"),
        }]);
    }
    if source.trim().is_empty() {
        return Err(vec![FilterFault {
            offset: None,
            fault: "empty".to_owned(),
        }]);
    }
    let parser = Parser::new()
        .max_recursion_depth(NESTING_MAX)
        .error_recovery_limit(RECOVERIES_MAX)
        .enable_ident_escape_syntax(true);
    match parser.parse_with_source_info(source) {
        Ok((root, places)) => Ok(Parsed {
            starts: source.char_indices().map(|(at, _)| at).collect(),
            root,
            places,
        }),
        Err(errors) => Err(errors.errors.iter().map(|error| fault(error, source)).collect()),
    }
}

fn fault(error: &ParseError, source: &str) -> FilterFault {
    // What the parser's macros complain of has its column in bytes, the rest in characters.
    let in_bytes = IN_BYTES.iter().any(|message| error.msg.contains(message));
    FilterFault {
        offset: offset(error.pos, source, in_bytes),
        fault: reword(&error.msg),
    }
}

const HAS: &str = "has() macro";
const SIMPLE_NAME: &str = "argument must be a simple name";
const IN_BYTES: [&str; 2] = [HAS, SIMPLE_NAME];

/// Turns a line and a column, both from 1, into characters from the start. What concerns no line concerns the whole.
fn offset((line, column): (isize, isize), source: &str, in_bytes: bool) -> Option<usize> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.saturating_sub(1);
    let mut lines = source.split_inclusive('\n');
    let before: usize = lines.by_ref().take(line).map(|line| line.chars().count()).sum();
    let column = if in_bytes {
        let bytes = lines.next().unwrap_or_default().char_indices();
        bytes.take_while(|(at, _)| *at < column).count()
    } else {
        column
    };
    Some(before.saturating_add(column).min(source.chars().count()))
}

/// Says in our words what the parser says in those of its grammar. What is new to us stays as it is.
fn reword(message: &str) -> String {
    let quoted = || message.split('\'').nth(1).unwrap_or_default();
    if message.contains("Recursion limit") {
        return format!("nested deeper than {NESTING_MAX}");
    }
    if message.contains(HAS) {
        return "has() takes a name with a dot, such as has(fields.city)".to_owned();
    }
    if message.contains(SIMPLE_NAME) {
        return "going through a list is not possible; ask with `in`".to_owned();
    }
    if message.starts_with("error recovery attempt limit exceeded") {
        return "too many faults to read on".to_owned();
    }
    if message.starts_with("invalid string literal") || message.starts_with("invalid bytes literal") {
        return "the text has an escape that stands for nothing".to_owned();
    }
    if message.starts_with("invalid int literal")
        || message.starts_with("invalid uint literal")
        || message.starts_with("invalid double literal")
    {
        return "the number is out of range".to_owned();
    }
    if message.starts_with("Incomplete") {
        return "something is missing here".to_owned();
    }
    let Some(message) = message.strip_prefix("Syntax error: ") else {
        return message.to_owned();
    };
    if message.starts_with("mismatched input '<EOF>'") || message.starts_with("no viable alternative at input '<EOF>'")
    {
        return "something is missing at the end".to_owned();
    }
    if let Some(text) = message.strip_prefix("token recognition error at: '") {
        return format!("`{}` cannot be read here", text.strip_suffix('\'').unwrap_or(text));
    }
    if message.starts_with("missing ") {
        return format!("`{}` is missing here", quoted());
    }
    let unexpected = ["mismatched input", "extraneous input", "no viable alternative"];
    if unexpected.iter().any(|start| message.starts_with(start)) {
        return format!("`{}` is not expected here", quoted());
    }
    message.to_owned()
}
