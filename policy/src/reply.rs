//! What a receiver's refusal means: whose fault, for how long, and whether everything else for it should wait too.
//!
//! The rules are data, `policy/rules/replies.toml`, looked through in order; the first that matches wins, and what none
//! matches goes by its code. Each rule carries replies of real receivers that it must catch, and a test plays them, so a
//! rule that cannot fire, or that an earlier one shadows, does not get in.

mod rule;
mod wait;

use std::sync::LazyLock;
use std::time::Duration;

use types::event::FailureClass;

pub use rule::{BadRules, Rules};
pub use wait::stated_wait;

/// At which step a receiver refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// The connection, by its greeting.
    Connect,
    /// EHLO, HELO or STARTTLS.
    Hello,
    /// MAIL FROM, or RSET before it.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The message itself, up to and with its final dot.
    Dot,
}

/// A refusal as it came: code 400 to 599.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// What was refused.
    pub at: At,
    /// The reply's code.
    pub code: u16,
    /// The enhanced status code (RFC 3463), if there was one.
    pub enhanced: Option<(u8, u16, u16)>,
    /// The text without codes.
    pub text: &'a str,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What stood in the way.
    pub class: FailureClass,
    /// Whether trying again makes sense.
    pub finality: Finality,
    /// Whom it concerns.
    pub hits: Hits,
    /// How long the receiver asks to wait, if it says so.
    pub wait: Option<Duration>,
}

/// Whether trying again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// It may be taken later.
    Temporary,
    /// It will never be taken: trying again is forbidden.
    Permanent,
}

/// Whom a refusal concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hits {
    /// This message alone.
    #[default]
    Message,
    /// Everything we send to this receiver: its site should wait.
    Site,
}

static SHIPPED: LazyLock<Rules> = LazyLock::new(|| {
    Rules::parse(include_str!("../rules/replies.toml")).expect("the shipped rules are read by a test of this crate")
});

/// Returns what a refusal means by the shipped rules.
pub fn classify(refused: &Refused<'_>) -> Verdict {
    SHIPPED.classify(refused).1
}

/// Returns the shipped rules.
pub fn shipped() -> &'static Rules {
    &SHIPPED
}
