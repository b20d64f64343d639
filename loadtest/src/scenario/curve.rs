//! When requests are due: a rate over time, and its integral, which the n-th request is due at the moment of reaching.
//!
//! ```text
//!  steady ────────   ramp    ╱   spike   ╱╲__    batch   │
//!                         ╱           __╱    ╲____       │ all at once
//! ```
//!
//! Moments are computed from the integral, each for itself, so that no error adds up and a schedule is the same in every run.

use serde::Deserialize;

/// How the rate goes over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Curve {
    /// Stays.
    #[default]
    Steady,
    /// Goes evenly to another rate until the end.
    Ramp {
        /// That rate.
        to: f64,
    },
    /// Rises within seconds and falls off exponentially, as after a spot on TV.
    Spike {
        /// When it begins to rise.
        at_seconds: f64,
        /// The highest rate, as a multiple of the rate before.
        times: f64,
        /// From the rate before to the highest.
        rise_seconds: f64,
        /// The time constant: after so long 37 % of what was on top is left.
        fall_seconds: f64,
    },
    /// So many at one moment, and nothing else.
    Batch {
        /// When.
        at_seconds: f64,
        /// How many.
        count: u32,
    },
}

/// The moments at which a load's requests are due: those of the warm-up, then those that count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arrivals {
    rate: f64,
    curve: Curve,
    seconds: f64,
    warm_up: u32,
    measured: u32,
    warm_up_seconds: f64,
    /// How long before their moment a batch's requests are sent, one after the other. 0: at their moment.
    ahead_seconds: f64,
}

/// Which share of the time ahead of a batch its requests are spread over, so that the last is answered in time.
const AHEAD_SHARE: f64 = 0.8;

impl Arrivals {
    /// The arrivals of `seconds` at `rate` a second, bent by a curve, behind a warm-up at the first rate.
    pub(crate) fn new(rate: f64, curve: Curve, seconds: u32, warm_up_seconds: u32) -> Self {
        let mut arrivals = Self {
            rate,
            curve,
            seconds: f64::from(seconds),
            warm_up: 0,
            measured: 0,
            warm_up_seconds: f64::from(warm_up_seconds),
            ahead_seconds: 0.0,
        };
        (arrivals.warm_up, arrivals.measured) = match curve {
            Curve::Batch { count, .. } => (0, count),
            _ => (
                whole(rate * arrivals.warm_up_seconds),
                whole(arrivals.integral(arrivals.seconds)),
            ),
        };
        arrivals
    }

    /// The same, where a batch stands for what its requests cause `seconds` later: they go out evenly in the time before.
    pub(crate) fn ahead(self, seconds: u32) -> Self {
        Self {
            ahead_seconds: f64::from(seconds),
            ..self
        }
    }

    /// Returns how many there are, warm-up included.
    pub(crate) fn count(&self) -> u32 {
        self.warm_up.saturating_add(self.measured)
    }

    /// Returns how many of them, the first ones, are of the warm-up.
    #[cfg(test)]
    pub(crate) fn warm_up(&self) -> u32 {
        self.warm_up
    }

    /// Returns when a request is due, in seconds since the load began; before 0 in the warm-up. The first is number 0.
    pub(crate) fn due(&self, number: u32) -> f64 {
        if number < self.warm_up {
            // The last one as far before the load's first as they are from each other.
            return f64::from(number) / self.rate - f64::from(self.warm_up) / self.rate;
        }
        let number = f64::from(number - self.warm_up);
        match self.curve {
            Curve::Batch { at_seconds, count } => {
                let passed = AHEAD_SHARE * number / f64::from(count.max(1));
                at_seconds - self.ahead_seconds * (1.0 - passed)
            }
            _ => self.reached(number),
        }
    }

    /// Returns when what a request causes `wait_seconds` later is due: for a batch, all of it at its moment.
    pub(crate) fn caused(&self, number: u32, wait_seconds: u32) -> f64 {
        match self.curve {
            Curve::Batch { at_seconds, .. } if self.ahead_seconds > 0.0 => at_seconds,
            _ => self.due(number) + f64::from(wait_seconds),
        }
    }

    /// Returns how many are due until `t`, as a real number.
    fn integral(&self, t: f64) -> f64 {
        let rate = self.rate;
        match self.curve {
            Curve::Steady => rate * t,
            Curve::Ramp { to } => rate * t + (to - rate) * t * t / (2.0 * self.seconds),
            Curve::Spike {
                at_seconds,
                times,
                rise_seconds,
                fall_seconds,
            } => {
                let rising = (t - at_seconds).clamp(0.0, rise_seconds);
                let falling = (t - at_seconds - rise_seconds).max(0.0);
                let risen = if rise_seconds > 0.0 {
                    rising * rising / (2.0 * rise_seconds)
                } else {
                    0.0
                };
                let fallen = -fall_seconds * (-falling / fall_seconds).exp_m1();
                rate * (t + (times - 1.0) * (risen + fallen))
            }
            Curve::Batch { at_seconds, count } => {
                if t < at_seconds {
                    0.0
                } else {
                    f64::from(count)
                }
            }
        }
    }

    /// Returns when the integral reaches `number`.
    fn reached(&self, number: f64) -> f64 {
        let rate = self.rate;
        match self.curve {
            Curve::Steady | Curve::Batch { .. } => number / rate,
            // The root of the quadratic that stays exact when the ramp is nearly flat.
            Curve::Ramp { to } => {
                let bend = 2.0 * (to - rate) / self.seconds;
                let root = (rate * rate + bend * number).max(0.0).sqrt();
                if number > 0.0 {
                    2.0 * number / (rate + root)
                } else {
                    0.0
                }
            }
            Curve::Spike { .. } => self.halved(number),
        }
    }

    /// Finds the moment by halving: the integral only ever rises. 64 halvings of an hour are far below a nanosecond.
    fn halved(&self, number: f64) -> f64 {
        let (mut low, mut high) = (0.0, self.seconds);
        for _ in 0..64 {
            let middle = f64::midpoint(low, high);
            if self.integral(middle) < number {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

/// Counts the whole numbers from 0 below `integral`; a rounding error above one is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded by the checks of scenarios, and saturates"
)]
fn whole(integral: f64) -> u32 {
    (integral - 1e-6).ceil().max(0.0) as u32
}

#[cfg(test)]
#[allow(
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "small counts, and moments that are stated exactly"
)]
mod tests {
    use super::*;

    fn dues(arrivals: &Arrivals) -> Vec<f64> {
        let dues: Vec<f64> = (0..arrivals.count()).map(|number| arrivals.due(number)).collect();
        assert!(dues.windows(2).all(|pair| pair[0] <= pair[1]), "{arrivals:?} goes back");
        dues
    }

    fn within(dues: &[f64], from: f64, to: f64) -> usize {
        dues.iter().filter(|due| (from..to).contains(*due)).count()
    }

    #[test]
    fn steady_is_even_and_its_warm_up_is_before_zero() {
        let arrivals = Arrivals::new(50.0, Curve::Steady, 60, 5);
        let dues = dues(&arrivals);
        assert_eq!((arrivals.warm_up(), arrivals.count()), (250, 3250));
        assert!(
            (dues[0] + 5.0).abs() < 1e-9 && dues[249] < 0.0,
            "{} {}",
            dues[0],
            dues[249]
        );
        assert!(dues[250].abs() < 1e-9 && (dues[251] - 0.02).abs() < 1e-9);
        assert!((dues[3249] - 59.98).abs() < 1e-9);
        for second in 0..60_u32 {
            let from = f64::from(second) - 1e-9;
            assert_eq!(within(&dues, from, from + 1.0), 50, "second {second}");
        }
    }

    #[test]
    fn a_rate_below_one_has_few_and_a_fraction_counts() {
        assert_eq!(Arrivals::new(0.5, Curve::Steady, 10, 0).count(), 5);
        assert_eq!(Arrivals::new(0.35, Curve::Steady, 10, 0).count(), 4);
        assert_eq!(dues(&Arrivals::new(0.5, Curve::Steady, 10, 0))[1], 2.0);
    }

    #[test]
    fn a_ramp_goes_from_rate_to_rate() {
        for (from, to) in [(100.0, 900.0), (900.0, 100.0), (0.001, 1000.0), (300.0, 300.0)] {
            let arrivals = Arrivals::new(from, Curve::Ramp { to }, 20, 0);
            let dues = dues(&arrivals);
            assert_eq!(dues.len(), super::whole((from + to) * 10.0) as usize);
            assert!(dues[dues.len() - 1] < 20.0);
            for (begin, end) in [(0.0, 1.0), (9.5, 10.5), (19.0, 20.0)] {
                let rate = from + (to - from) * (begin + end) / 40.0;
                let count = within(&dues, begin, end) as f64;
                assert!((count - rate).abs() <= 1.0, "{count} at {begin} s of {from} to {to}");
            }
            for (number, due) in dues.iter().enumerate() {
                assert!((arrivals.integral(*due) - number as f64).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_spike_peaks_at_the_right_moment_and_falls_by_its_constant() {
        let spike = Curve::Spike {
            at_seconds: 10.0,
            times: 10.0,
            rise_seconds: 2.0,
            fall_seconds: 15.0,
        };
        let arrivals = Arrivals::new(100.0, spike, 60, 3);
        let dues = dues(&arrivals);
        assert_eq!(arrivals.warm_up(), 300);
        assert_eq!(within(&dues, 0.0, 10.0 - 1e-9), 1000);
        let in_tenth = |tenth: i32| within(&dues, f64::from(tenth) / 10.0, f64::from(tenth + 1) / 10.0);
        let peak = (0..600).max_by_key(|tenth| in_tenth(*tenth)).unwrap();
        assert!((118..=122).contains(&peak), "the peak is at {peak} tenths of a second");
        assert!((96..=100).contains(&in_tenth(119)), "{}", in_tenth(119));
        // One constant later: 100 + 900 / e a second.
        let fallen = within(&dues, 26.5, 27.5) as f64;
        assert!((fallen - (100.0 + 900.0 / std::f64::consts::E)).abs() < 3.0, "{fallen}");
        // In all: the rate, half of the rise, the whole fall but its cut-off end.
        let whole = 100.0 * 60.0 + 900.0 * (1.0 + 15.0 * (1.0 - (-48.0_f64 / 15.0).exp()));
        assert!(
            (dues.len() as f64 - 300.0 - whole).abs() <= 1.0,
            "{} {whole}",
            dues.len()
        );
    }

    #[test]
    fn a_spike_may_rise_at_once() {
        let spike = Curve::Spike {
            at_seconds: 1.0,
            times: 5.0,
            rise_seconds: 0.0,
            fall_seconds: 1.0,
        };
        let dues = dues(&Arrivals::new(1000.0, spike, 3, 0));
        assert_eq!(within(&dues, 0.0, 1.0 - 1e-9), 1000);
        let first = within(&dues, 1.0, 1.01);
        assert!((49..=50).contains(&first), "{first}");
    }

    #[test]
    fn a_batch_is_due_at_once_and_what_it_waits_for_is_sent_ahead() {
        let batch = Curve::Batch {
            at_seconds: 8.0,
            count: 1000,
        };
        let arrivals = Arrivals::new(0.0, batch, 20, 5);
        assert_eq!((arrivals.warm_up(), arrivals.count()), (0, 1000));
        assert!(dues(&arrivals).iter().all(|due| *due == 8.0));
        let ahead = arrivals.ahead(5);
        let dues = dues(&ahead);
        assert!(
            (dues[0] - 3.0).abs() < 1e-9 && dues[999] < 7.001 && dues[999] > 6.9,
            "{}",
            dues[999]
        );
        assert!((0..1000).all(|number| ahead.caused(number, 5) == 8.0));
        let steady = Arrivals::new(10.0, Curve::Steady, 20, 0);
        assert!((steady.caused(3, 5) - 5.3).abs() < 1e-9);
    }
}
