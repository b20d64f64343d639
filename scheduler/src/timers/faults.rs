//! Timers whose work failed, and timers that are stale.

use policy::workflow::{AGAIN_AFTER, Broke};
use store::StateError;
use store::state::Timer;
use types::event::SetAside;
use types::id::ShopNumber;

use crate::turn::Turn;

/// Whether a timer whose work failed may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tries {
    /// It may: it was tried this often before, and had no effect.
    Made(u32),
    /// It may not: it had an effect, which must not be repeated.
    Effective,
}

impl Tries {
    /// Returns how many tries were made; for an effective one, as many as may be made.
    fn count(self) -> usize {
        match self {
            Self::Made(tries) => usize::try_from(tries).unwrap_or(usize::MAX),
            Self::Effective => AGAIN_AFTER.len(),
        }
    }
}

/// Puts a timer off whose work failed. After the last try it is set aside.
pub(crate) fn broke(
    turn: &mut Turn<'_>,
    timer: Timer,
    shop: Option<ShopNumber>,
    fault: &str,
    tries: Tries,
) -> Result<(), StateError> {
    if let Some(wait) = AGAIN_AFTER.get(tries.count()) {
        tracing::warn!(owner = ?timer.owner, fault, "a timer could not be worked on");
        let now = turn.context.now();
        turn.desks.timers.put_off(timer.key(), now + *wait);
        return Ok(());
    }
    let aside = SetAside {
        shop,
        object: timer.owner,
        due: Some(timer.due),
        fault: Broke::at(None, fault).fault,
        tries: u32::try_from(tries.count()).unwrap_or(u32::MAX).saturating_add(1),
    };
    turn.set_aside(timer.partition, aside)
}

/// Deals with a timer whose owner cannot be read. A damaged row stays damaged: its timer is put off, and set aside in the end. After any
/// other fault the store has failed and the process restarts; it then finds the timer again.
pub(crate) fn unreadable(turn: &mut Turn<'_>, timer: Timer, error: &StateError, tries: Tries) {
    if let StateError::Malformed(fault) = error
        && let Err(error) = broke(turn, timer, None, fault, tries)
    {
        tracing::error!(owner = ?timer.owner, %error, "a timer could not be set aside");
    }
}

/// Deletes a timer that is stale: its owner has gone on, or is gone.
pub(crate) fn drop_stale(turn: &mut Turn<'_>, timer: Timer) {
    turn.context.metrics.automation.stale(timer.class);
    turn.desks.timers.surfaced(timer.partition, timer.owner, timer.due);
}
