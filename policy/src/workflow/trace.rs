//! What a record counts in the statistics of its workflow's steps.

use types::event::{Did, Leave, Moved, Place};
use types::tally::Measure;
use types::text::Slug;

use super::instance::Instance;

/// One count of a step's cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Which step; `None` is the way in.
    pub step: Option<Slug>,
    /// What is counted.
    pub measure: Measure,
    /// Why, by its stable code, for who left or was not sent something.
    pub reason: Option<&'static str>,
}

/// Returns what a record counts; `before` is its instance as it was, `None` if the record begins it.
///
/// A contact that comes to a step has reached it, and has passed the step before; one that comes to the end has passed the last step. A
/// contact that leaves early has left at the step where it stood, once without and once with the reason. So a contact that reached a step,
/// and neither passed it nor left, waits there. What is armed and never enters counts nowhere. Mails are counted by the events of their own.
pub fn counts(before: Option<&Instance>, moved: &Moved) -> Vec<Count> {
    let mut counts = Vec::new();
    let mut count = |step: Option<&Slug>, measure, reason| {
        counts.push(Count {
            step: step.cloned(),
            measure,
            reason,
        });
    };
    let mut is_inside = before.is_some_and(Instance::has_entered);
    let mut at = before.and_then(Instance::waits).and_then(|waits| waits.step.as_ref());
    for did in &moved.did {
        match did {
            Did::Entered => {
                is_inside = true;
                count(None, Measure::Reached, None);
            }
            Did::Reached { step } => {
                count(at, Measure::Passed, None);
                count(Some(step), Measure::Reached, None);
                at = Some(step);
            }
            Did::Suppressed { step, reason, .. } => count(Some(step), Measure::Suppressed, Some(reason.code())),
            _ => {}
        }
    }
    match moved.place {
        Place::Left(Leave::Finished) if is_inside => count(at, Measure::Passed, None),
        Place::Left(why) if is_inside => {
            count(at, Measure::Left, None);
            count(at, Measure::Left, Some(why.code()));
        }
        Place::Left(_) | Place::Waits(_) => {}
    }
    counts
}
