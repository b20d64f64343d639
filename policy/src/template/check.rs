//! The check that a shop's template passes before it is kept.

use minijinja::machinery::{Token, tokenize};
use types::catalogue::{TemplateKind, TemplateSource};

use super::context::{Context, SAMPLE_RESTORE, SAMPLE_UNSUBSCRIBE};
use super::depth::Depth;
use super::engine::{caught, fault_at, parts, plain_fault};
use super::{Part, Rendered, TEXT_BYTES_MAX, Template, TemplateFault};

/// What one part of a source may come to.
const SOURCE_BYTES_MAX: usize = 128 * 1024;

/// The tags that templates may use. None of them captures output or defines something that can call itself.
const TAGS: [&str; 9] = ["if", "elif", "else", "endif", "for", "endfor", "set", "with", "endwith"];

/// Checks a template: it parses, uses nothing that is refused, and renders with sample data in every variation.
///
/// An offer template must also show the unsubscribe link (`unsubscribe_url`) in its HTML and in its text, whatever the
/// order holds; a cart's template, in the same way, the link to the cart (`cart.url`).
pub fn check(kind: TemplateKind, source: &TemplateSource) -> Result<(), TemplateFault> {
    for (part, text) in parts(source) {
        if text.len() > SOURCE_BYTES_MAX {
            return Err(plain_fault(part, format!("longer than {SOURCE_BYTES_MAX} bytes")));
        }
    }
    let template = Template::compile(source)?;
    let mut rendered = Rendered::default();
    for sample in Context::samples(kind) {
        template.render(&sample, &mut rendered)?;
        if rendered.subject.is_empty() {
            return Err(plain_fault(Part::Subject, "is empty with sample data".to_owned()));
        }
        let must = match kind {
            TemplateKind::Offer => (
                SAMPLE_UNSUBSCRIBE,
                "unsubscribe link: offers must, as {{ unsubscribe_url }}",
            ),
            TemplateKind::Cart => (SAMPLE_RESTORE, "link to the cart: reminders must, as {{ cart.url }}"),
            TemplateKind::Message => continue,
        };
        for (part, output) in [(Part::Html, &rendered.html), (Part::Text, &rendered.text)] {
            if !output.contains(must.0) {
                return Err(plain_fault(part, format!("does not show the {}", must.1)));
            }
        }
    }
    Ok(())
}

/// Checks that a message template renders with these variables, everything else being sample data.
///
/// For the moment a plain send is accepted: what a template needs and the caller forgot is told then, and not by a mail
/// that fails.
pub fn check_vars<'a>(
    template: &Template,
    vars: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), TemplateFault> {
    template.render(&Context::sample_message(vars), &mut Rendered::default())
}

/// Refuses what a shop's template may not use, and what goes too deep, by the engine's own lexer.
pub(super) fn restrict(source: &TemplateSource) -> Result<(), TemplateFault> {
    for (part, text) in parts(source) {
        caught(part, || restrict_part(part, text))?;
    }
    Ok(())
}

fn restrict_part(part: Part, source: &str) -> Result<(), TemplateFault> {
    let mut previous = Before::Nothing;
    // Whether each open parenthesis is a call's, whether this is a `for`, and whether it still names its variables.
    let mut calls = Vec::new();
    let (mut in_for, mut names_of_for) = (false, false);
    let mut depth = Depth::default();
    // What the lexer itself refuses is reported, better, by the compiler.
    for (token, span) in tokenize(source, false, minijinja::syntax::SyntaxConfig::default()).map_while(Result::ok) {
        let refused = match &token {
            Token::Plus | Token::Tilde | Token::Mul | Token::Pow | Token::Mod => {
                Some("operators that build texts or grow numbers are not available: put texts side by side")
            }
            Token::BraceOpen => Some("maps cannot be built in a template"),
            Token::BracketOpen if previous != Before::Operand => Some("lists cannot be built in a template"),
            Token::Comma if !(names_of_for || calls.last() == Some(&true)) => {
                Some("lists cannot be built in a template")
            }
            Token::Ident(name) if previous == Before::BlockStart && !TAGS.contains(name) => {
                Some("this tag is not available: if, for, set and with are")
            }
            Token::Ident("recursive") if in_for && previous == Before::Operand => Some("loops cannot call themselves"),
            _ => None,
        };
        let refused = refused.map(str::to_owned).or_else(|| too_long(&token));
        if let Some(message) = refused.or_else(|| depth.take(&token)) {
            let line = usize::from(span.start_line);
            let offset = usize::try_from(span.start_offset).ok();
            return Err(fault_at(part, source, line, offset, message));
        }
        match &token {
            Token::ParenOpen => calls.push(previous == Before::Operand),
            Token::ParenClose => drop(calls.pop()),
            Token::Ident("for") if previous == Before::BlockStart => (in_for, names_of_for) = (true, true),
            Token::Ident("in") => names_of_for = false,
            Token::BlockEnd => (in_for, names_of_for) = (false, false),
            _ => {}
        }
        previous = match token {
            Token::BlockStart => Before::BlockStart,
            // These words stand before an operand and are none.
            Token::Ident("in" | "is" | "not" | "and" | "or" | "if" | "else" | "elif" | "for") => Before::Nothing,
            Token::Ident(_) | Token::ParenClose | Token::BracketClose | Token::Str(_) | Token::String(_) => {
                Before::Operand
            }
            _ => Before::Nothing,
        };
    }
    Ok(())
}

/// Refuses a text between quotes that is longer than texts may grow.
fn too_long(token: &Token<'_>) -> Option<String> {
    let bytes = match token {
        Token::Str(text) => text.len(),
        Token::String(text) => text.len(),
        _ => 0,
    };
    (bytes > TEXT_BYTES_MAX).then(|| format!("a text between quotes is longer than {TEXT_BYTES_MAX} bytes"))
}

/// What the token before was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    BlockStart,
    Operand,
}
