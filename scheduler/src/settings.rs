//! The runners' settings. They have no section of their own: the binary takes them from `[policy]` and `[delivery]`.

use std::sync::Arc;
use std::time::Duration;

/// What the runners go by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The rules of policy.
    pub policy: policy::Settings,
    /// What a doubtful offer is: held, or tried once more.
    pub in_doubt: InDoubt,
    /// What opens and clicks are judged by.
    pub rules: Arc<policy::hits::Rules>,
    /// How late a doubtful message is tried once more: longer than a receiver needs to finish what it began.
    pub in_doubt_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: policy::Settings::default(),
            in_doubt: InDoubt::default(),
            rules: Arc::new(policy::hits::Rules::builtin()),
            in_doubt_wait: Duration::from_mins(15),
        }
    }
}

/// What happens to offers whose final dot may have been taken (RFC 1047).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InDoubt {
    /// They are held: better not sent than sent twice.
    #[default]
    Hold,
    /// They are tried once more, late, with the same `Message-ID`.
    Retry,
}
