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
    pub(super) root: IdedExpr,
    places: SourceInfo,
}

impl Parsed {
    /// Returns where a part begins, in characters.
    pub(super) fn place(&self, id: u64) -> Option<usize> {
        let (start, _) = self.places.offset_for(id)?;
        usize::try_from(start).ok()
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
        Ok((root, places)) => Ok(Parsed { root, places }),
        Err(errors) => Err(errors.errors.iter().map(|error| fault(error, source)).collect()),
    }
}

fn fault(error: &ParseError, source: &str) -> FilterFault {
    FilterFault {
        offset: offset(error.pos, source),
        fault: reword(&error.msg),
    }
}

/// Turns a line and a column, both from 1, into characters from the start.
fn offset((line, column): (isize, isize), source: &str) -> Option<usize> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.saturating_sub(1);
    let before: usize = source
        .split_inclusive('\n')
        .take(line)
        .map(|line| line.chars().count())
        .sum();
    Some(before.saturating_add(column).min(source.chars().count()))
}

/// Says in our words what the parser says in those of its grammar. What is new to us stays as it is.
fn reword(message: &str) -> String {
    let quoted = |text: &str| text.split('\'').nth(1).unwrap_or_default().to_owned();
    if message.contains("Recursion limit") {
        return format!("nested deeper than {NESTING_MAX}");
    }
    if message.contains("has() macro") {
        return "has() takes a name with a dot, such as has(fields.city)".to_owned();
    }
    let Some(message) = message.strip_prefix("Syntax error: ") else {
        return message.to_owned();
    };
    if message.contains("'<EOF>'") && !message.starts_with("extraneous") {
        return "something is missing at the end".to_owned();
    }
    if message.starts_with("mismatched input") || message.starts_with("extraneous input") {
        return format!("`{}` is not expected here", quoted(message));
    }
    if message.starts_with("token recognition error") {
        return format!("`{}` cannot be read here", quoted(message));
    }
    if let Some(rest) = message.strip_prefix("missing ") {
        return format!("missing {rest}");
    }
    format!("not understood here: {message}")
}
