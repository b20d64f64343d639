//! Templates: compiled, checked and rendered without any I/O.
//!
//! A [`Template`] is one [`TemplateSource`] compiled: subject, HTML and text in one language. The built-in mails
//! ([`Template::offer`], [`Template::cart`]) and the templates that shops put take the same way and see the same variables, listed in
//! [`context`].
//!
//! # What a shop's template may do
//!
//! It is written by somebody we do not know, and runs on the threads that sign everybody's mail. So:
//!
//! - What it inserts into HTML is escaped (`& < > " '`), always: there is no `safe` filter and no `autoescape` tag.
//! - It reads its variables and nothing else: no files, no includes, and of functions only `track`. Reading a variable that does not exist
//!   is an error, so a typo is found when the template is put and not when a mail goes out.
//! - It cannot run or grow without end: every instruction burns fuel, filters read a bounded number of bytes in time linear
//!   in them, the output stops at [`OUTPUT_BYTES_MAX`], and
//!   whatever could double a value again and again (`~`, `+`, `*`, lists, captured blocks) is not in the language here.
//!   Texts are put side by side instead.
//! - It cannot use up the stack of its thread: how long a tag is and how deep it goes is bounded before it is parsed, and
//!   what works with templates does so on a stack of [`STACK_BYTES`](crate::STACK_BYTES).
//! - Should it make the engine panic all the same, that is a fault of the template like any other.
//!
//! [`check()`] tells all that when a template is put, with the line at fault; nothing is left to find out later except a
//! message that lacks a variable.

mod builtin;
mod cart;
mod check;
mod color;
pub mod context;
mod date;
mod depth;
mod engine;
mod language;
mod money;
mod track;

use std::fmt;

use minijinja::Environment;
use types::catalogue::TemplateSource;
use types::locale::Language;

pub use cart::CartView;
pub use check::{check, check_vars};
use context::Context;
pub use depth::{BLOCKS_MAX, NESTING_MAX, TAG_TOKENS_MAX, WRAPS_MAX};
pub use track::Track;

/// What one part of a mail may come to: more, and rendering fails.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// How many instructions one part may run: some hundred times what the built-in offer needs, a millisecond.
const FUEL: u64 = 50_000;

/// What one text may come to inside a template, written there or grown by `replace` or `join`.
///
/// A slice of a text, and `in`, read all of it for one instruction, and the engine has no place to count that. So what a
/// part can cost at worst is its fuel times this.
const TEXT_BYTES_MAX: usize = 32 * 1024;

/// How many bytes the filters of one part may read and write: thirty-two times what the part may come to.
const FILTERED_BYTES_MAX: usize = 32 * OUTPUT_BYTES_MAX;

/// A part of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The subject, one line.
    Subject,
    /// The HTML part.
    Html,
    /// The plain-text part.
    Text,
}

impl Part {
    /// Returns the name of the field in a [`TemplateSource`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Html => "html",
            Self::Text => "text",
        }
    }
}

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateFault {
    /// In which part.
    pub part: Part,
    /// In which line, from 1, where one can be named.
    pub line: Option<usize>,
    /// In which column of the line, in characters from 1, where one can be named.
    pub column: Option<usize>,
    /// What is wrong, for the template's author.
    pub message: String,
    /// The line itself, at most 200 characters of it.
    pub source_line: Option<String>,
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.part.as_str())?;
        if let Some(line) = self.line {
            write!(f, " line {line}")?;
        }
        if let Some(column) = self.column {
            write!(f, " column {column}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.source_line {
            Some(source) => write!(f, ": `{}`", source.trim()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TemplateFault {}

/// A mail's three parts as a template made them. Kept and handed in again, its buffers are used again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The subject: one line, blanks collapsed, no control characters.
    pub subject: String,
    /// The HTML part.
    pub html: String,
    /// The plain-text part.
    pub text: String,
}

/// A compiled template: subject, HTML and text in one language.
pub struct Template {
    engine: Environment<'static>,
}

impl Template {
    /// Returns the built-in offer mail in a language.
    ///
    /// # Panics
    ///
    /// Never outside this crate's own tests: what is built in is compiled by them in every language.
    pub fn offer(language: Language) -> Self {
        let source = builtin::offer(language);
        let engine = engine::compile(&source).expect("the built-in offer compiles: a test compiles all of them");
        Self { engine }
    }

    /// Returns the built-in reminder of a cart in a language, for the first and the second.
    ///
    /// # Panics
    ///
    /// Never outside this crate's own tests: what is built in is compiled by them in every language.
    pub fn cart(language: Language) -> Self {
        let source = builtin::cart(language);
        let engine = engine::compile(&source).expect("the built-in reminder compiles: a test compiles all of them");
        Self { engine }
    }

    /// Compiles a template, on a stack of [`STACK_BYTES`](crate::STACK_BYTES). A source that passed [`check()`] compiles.
    ///
    /// One that was kept before a bound was there, and passes it, is a fault like any other.
    pub fn compile(source: &TemplateSource) -> Result<Self, TemplateFault> {
        check::restrict(source)?;
        let engine = engine::compile(source)?;
        Ok(Self { engine })
    }

    /// Renders the three parts into `out`, which is cleared first.
    ///
    /// Fails if a variable is missing, or the fuel or the space for output is used up.
    pub fn render(&self, context: &Context, out: &mut Rendered) -> Result<(), TemplateFault> {
        engine::render(&self.engine, Part::Subject, context, &mut out.subject)?;
        engine::render(&self.engine, Part::Html, context, &mut out.html)?;
        engine::render(&self.engine, Part::Text, context, &mut out.text)?;
        engine::one_line(&mut out.subject);
        Ok(())
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").finish_non_exhaustive()
    }
}
