//! Filters of contacts: expressions of the Common Expression Language (CEL) that are checked when they are saved and cost little when
//! they are asked. `docs/formats/filters.md` tells what may be written.

mod call;
mod check;
mod evaluate;
mod facts;
mod literal;
mod names;
mod node;
mod parse;
mod schema;
mod steps;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

pub use facts::{Activity, Cause, Consents, Facts, Orders};
pub use schema::{Schema, Scope};
pub use steps::{STEPS_MAX, Steps};

/// The longest source, in characters.
pub const SOURCE_CHARS_MAX: usize = 2_000;

/// How many faults of one source are told.
const FAULTS_MAX: usize = 100;

/// A compiled filter; cheap to clone.
#[derive(Clone, Debug)]
pub struct Filter(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    source: Box<str>,
    root: node::Node,
    parts: usize,
}

/// One thing that is wrong with a filter's source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterFault {
    /// Where it begins, in characters from the start of the source; `None` if it is about the whole.
    pub offset: Option<usize>,
    /// What is wrong, for whoever wrote it.
    pub fault: String,
}

/// Why a filter cannot be answered: it was compiled for other facts than these, or would cost too much. Missing values are no reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A field holds a value of another type than it had when the filter was compiled.
    #[error("`{variable}` is not a {expected}")]
    WrongType {
        /// What was read.
        variable: String,
        /// What it was when the filter was compiled.
        expected: &'static str,
    },
    /// The filter reads `order` or `event`, and none was given.
    #[error("there is no {0} to look at")]
    NoCause(&'static str),
    /// It would cost more steps than were left of the budget.
    #[error("the filters that one event asks cost more than {0} steps")]
    Spent(u64),
}

impl Filter {
    /// Compiles a source: parses it and checks every name and type. `Err` has every fault, in the order of their places, 100 at most; it
    /// is never empty.
    pub fn compile(source: &str, schema: &Schema, scope: Scope) -> Result<Self, Vec<FilterFault>> {
        let reading = || parse::parse(source).and_then(|parsed| check::check(&parsed, schema, scope));
        // The parser is a library's, and runs on the runner that others' mail goes through: its panic is a fault of the filter.
        let compiled = catch_unwind(AssertUnwindSafe(reading)).unwrap_or_else(|_| {
            Err(vec![FilterFault {
                offset: None,
                fault: "cannot be read, by a fault of ours".to_owned(),
            }])
        });
        match compiled {
            Ok(root) => Ok(Self(Arc::new(Compiled {
                source: source.into(),
                parts: root.parts(),
                root,
            }))),
            Err(mut faults) => {
                faults.sort_by_key(|fault| fault.offset);
                faults.dedup();
                faults.truncate(FAULTS_MAX);
                Err(faults)
            }
        }
    }

    /// Tells whether the contact satisfies the filter.
    pub fn matches(&self, facts: &Facts<'_>) -> Result<bool, FilterError> {
        self.matches_within(facts, &Steps::of(u64::MAX))
    }

    /// Tells whether the contact satisfies the filter, if the answer costs no more than is left of `steps`.
    pub fn matches_within(&self, facts: &Facts<'_>, steps: &Steps) -> Result<bool, FilterError> {
        evaluate::holds(&self.0.root, facts, steps)
    }

    /// Returns how many names, values and operations it is made of.
    pub fn parts(&self) -> usize {
        self.0.parts
    }

    /// Returns the source as it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }
}
