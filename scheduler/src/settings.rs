//! The runners' settings: as written and as meant.

use serde::Deserialize;

/// What the runners go by.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The rules of policy.
    pub policy: policy::Settings,
    /// What a doubtful offer is: held, or tried once more.
    pub in_doubt: InDoubt,
}

/// What happens to offers whose final dot may have been taken (RFC 1047).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InDoubt {
    /// They are held: better not sent than sent twice.
    #[default]
    Hold,
    /// They are tried once more, late, with the same `Message-ID`.
    Retry,
}
