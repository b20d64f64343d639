//! Kills of the service in the middle of a run, and its way back.

use std::time::{Duration, Instant};

use crate::report::Mark;
use crate::service::Staffetta;

/// Those that are to come, and those that came.
#[derive(Debug)]
pub(crate) struct Kills {
    /// Seconds since the run began, the last first.
    coming: Vec<u32>,
    came: Vec<Kill>,
    back: Option<Instant>,
}

/// One kill.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kill {
    /// Seconds since the run began.
    pub(crate) at: f64,
    /// Until it was ready again, recovery included.
    pub(crate) away: Duration,
}

impl Kills {
    /// Kills at these seconds of the run.
    pub(crate) fn new(at_seconds: &[u32]) -> Self {
        let mut coming = at_seconds.to_vec();
        coming.sort_unstable_by_key(|at| std::cmp::Reverse(*at));
        Self {
            coming,
            came: Vec::new(),
            back: None,
        }
    }

    /// Returns the second of the next kill, if it is due.
    pub(crate) fn due(&self, now: Instant, began: Instant) -> Option<u32> {
        let next = *self.coming.last()?;
        (now >= began + Duration::from_secs(next.into())).then_some(next)
    }

    /// Kills the service (`kill -9`), starts it again on its data, and returns how long it was away.
    pub(crate) fn kill(&mut self, service: &mut Staffetta, began: Instant) -> anyhow::Result<Duration> {
        self.coming.pop();
        let at = began.elapsed().as_secs_f64();
        let killed = Instant::now();
        service.kill()?;
        service.start_again()?;
        let away = killed.elapsed();
        self.came.push(Kill { at, away });
        self.back = Some(Instant::now());
        Ok(away)
    }

    /// Returns how long the service was away at most. None: it was not killed.
    pub(crate) fn away_max(&self) -> Option<Duration> {
        self.came.iter().map(|kill| kill.away).max()
    }

    /// Returns how many there were.
    pub(crate) fn count(&self) -> usize {
        self.came.len()
    }

    /// Returns when the service was last ready again after a kill.
    pub(crate) fn back(&self) -> Option<Instant> {
        self.back
    }

    /// Returns them as marks for plots.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        let marks = self.came.iter().flat_map(|kill| {
            let back = kill.at + kill.away.as_secs_f64();
            [
                Mark {
                    at: kill.at,
                    what: "killed".to_owned(),
                },
                Mark {
                    at: back,
                    what: "ready again".to_owned(),
                },
            ]
        });
        marks.collect()
    }
}
