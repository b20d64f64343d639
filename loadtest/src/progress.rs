//! What a run tells while it goes on: one block of lines that is drawn anew on a terminal, a plain line every five seconds elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between plain lines where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// One second of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moment {
    /// Seconds since the run began; negative in the warm-up.
    pub(crate) at: f64,
    pub(crate) asked_per_second: f64,
    pub(crate) answered_per_second: f64,
    pub(crate) mails_per_second: f64,
    /// Requests that were due and have no answer yet.
    pub(crate) in_flight: u64,
    /// Requests that failed for good.
    pub(crate) failed: u64,
    /// What was measured in the last whole second: name, p50 and p99 in milliseconds.
    pub(crate) latencies: Vec<(&'static str, f64, f64)>,
    pub(crate) queued: Option<f64>,
    pub(crate) cores: f64,
    pub(crate) rss_mib: f64,
}

/// The display.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    seconds: f64,
    told: Instant,
}

impl Progress {
    /// Begins to show a run of so many seconds.
    pub(crate) fn new(seconds: f64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:32.cyan/white.dim} {prefix}\n{msg}")
                .expect("the template is a constant of the right form")
                .progress_chars("━━─");
            ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr_with_hz(4)).with_style(style)
        });
        Self {
            bar,
            seconds,
            told: Instant::now(),
        }
    }

    /// Tells what is going on beside the figures: a phase, a kill.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    /// Shows a moment.
    pub(crate) fn show(&mut self, moment: &Moment) {
        let Some(bar) = &self.bar else {
            if self.told.elapsed() >= PLAIN_EVERY {
                self.told = Instant::now();
                // Not "-0".
                eprintln!("{:6.0} s  {}", moment.at.round() + 0.0, lines(moment).join("  "));
            }
            return;
        };
        let share = (moment.at / self.seconds).clamp(0.0, 1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1000")]
        bar.set_position((share * 1000.0) as u64);
        let place = match moment.at {
            at if at < 0.0 => format!("warming up, {:.0} s to go", -at),
            at if at > self.seconds => format!("waiting for what is outstanding, {:.0} s", at - self.seconds),
            at => format!("{at:.0} of {:.0} s", self.seconds),
        };
        bar.set_prefix(place);
        bar.set_message(lines(moment).join("\n"));
    }

    /// Ends the display; what was shown last is wiped.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn lines(moment: &Moment) -> Vec<String> {
    let mut lines = vec![
        format!(
            "asked {:.0}/s, answered {:.0}/s, {} under way, {} failed",
            moment.asked_per_second, moment.answered_per_second, moment.in_flight, moment.failed
        ),
        format!(
            "mails {:.0}/s, queued {}, {:.2} cores, {:.0} MiB",
            moment.mails_per_second,
            moment
                .queued
                .map_or_else(|| "unknown".to_owned(), |queued| format!("{queued:.0}")),
            moment.cores,
            moment.rss_mib
        ),
    ];
    lines.extend(
        moment
            .latencies
            .iter()
            .map(|(name, p50, p99)| format!("{name}: p50 {p50:.1} ms, p99 {p99:.1} ms")),
    );
    lines
}
