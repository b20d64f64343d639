//! Properties of the resolver, with a search that looks at every minute as the judge.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use policy::calendar::{ResolvedZone, add_wait, is_allowed, resolve, spread};
use proptest::prelude::*;
use types::calendar::{Active, CivilDate, Except, MonthDay, Quiet, Rule, SendRules, TimeOfDay, Unit, Wait, Weekday};
use types::time::Timestamp;

/// Zones whose clocks do something of their own, with the local midnight before a change.
const CHANGES: [(&str, &str); 15] = [
    ("Europe/Rome", "2026-03-29"),
    ("Europe/Rome", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Africa/Cairo", "2026-04-24"),
    ("Africa/Cairo", "2026-10-30"),
    ("Asia/Beirut", "2026-03-29"),
    ("Asia/Beirut", "2026-10-25"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Africa/Casablanca", "2026-03-22"),
    ("America/Sao_Paulo", "2026-10-18"),
    ("Pacific/Apia", "2011-12-30"),
    ("UTC+05:30", "2026-12-31"),
];

/// How long the search looks: longer than any span that the generated rules can forbid.
const MINUTES: u64 = 12 * 24 * 60;

#[derive(Clone, Debug)]
struct Case {
    zone: ResolvedZone,
    account_zone: ResolvedZone,
    rules: SendRules,
    ready: Timestamp,
}

impl Case {
    fn resolve(&self, ready: Timestamp) -> Option<Timestamp> {
        resolve(ready, &self.rules, &self.zone, &self.account_zone).at()
    }

    /// The earliest of the ready moment and the minutes after it that the rules, read off the clocks, allow.
    fn search(&self) -> Option<Timestamp> {
        let next_minute = |at: Timestamp| Timestamp::from_millis((at.as_millis() / 60_000 + 1) * 60_000);
        let minutes = std::iter::successors(Some(self.ready), |at| Some(next_minute(*at)));
        let wall = Wall::of(&self.zone);
        // Without `send_at` each minute counts; with it, those to which a day's clock time comes, past quiet hours.
        let set_for = self.rules.send_at.map(|send_at| self.days_instants(send_at, &wall));
        minutes
            .take(usize::try_from(MINUTES).unwrap())
            .find(|at| set_for.as_ref().is_none_or(|set_for| set_for.contains(at)) && self.allows(*at, &wall))
    }

    fn days_instants(&self, send_at: TimeOfDay, wall: &Wall) -> Vec<Timestamp> {
        let shown = wall.shows(self.ready).date();
        let time = jiff::civil::time(
            i8::try_from(send_at.hour()).unwrap(),
            i8::try_from(send_at.minute()).unwrap(),
            0,
            0,
        );
        let days = (-3..15).map(|n| shown.checked_add(jiff::Span::new().days(n)).unwrap());
        days.map(|day| {
            let zoned = wall.0.to_ambiguous_zoned(day.to_datetime(time)).compatible().unwrap();
            let mut at = Timestamp::from_millis(u64::try_from(zoned.timestamp().as_millisecond()).unwrap());
            while is_quiet(wall.shows(at), self.rules.quiet) {
                at = at + Duration::from_mins(1);
            }
            at
        })
        .collect()
    }

    fn allows(&self, at: Timestamp, wall: &Wall) -> bool {
        let shows = wall.shows(at);
        let date = CivilDate::try_from(shows.date()).unwrap();
        let except = &self.rules.except;
        let excepted = except.dates.contains(&date)
            || except.yearly.contains(&date.month_day())
            || except.weekdays.contains(&Weekday::of(date));
        let account_date = CivilDate::try_from(Wall::of(&self.account_zone).shows(at).date()).unwrap();
        let active = self.rules.active.unwrap_or_default();
        !excepted
            && !is_quiet(shows, self.rules.quiet)
            && active.from.is_none_or(|from| account_date >= from)
            && active.to.is_none_or(|to| account_date < to)
    }
}

/// A zone's clocks, through another door than the resolver's.
struct Wall(TimeZone);

impl Wall {
    fn of(zone: &ResolvedZone) -> Self {
        let zone = zone.zone();
        Self(match zone.fixed_minutes() {
            Some(minutes) => TimeZone::fixed(jiff::tz::Offset::from_seconds(i32::from(minutes) * 60).unwrap()),
            None => jiff::tz::TimeZoneDatabase::bundled().get(&zone.to_string()).unwrap(),
        })
    }

    fn shows(&self, at: Timestamp) -> DateTime {
        let at = jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).unwrap()).unwrap();
        at.to_zoned(self.0.clone()).datetime()
    }
}

fn is_quiet(shows: DateTime, quiet: Option<Quiet>) -> bool {
    let Some(Quiet { from, to }) = quiet else { return false };
    // Round the clock from `from`: how far is it to now, and how far to the end?
    let minutes = |hour: i32, minute: i32| hour * 60 + minute;
    let of = |time: TimeOfDay| minutes(time.hour().into(), time.minute().into());
    let now = minutes(shows.hour().into(), shows.minute().into());
    (now - of(from)).rem_euclid(1440) < (of(to) - of(from)).rem_euclid(1440)
}

fn time_of_day() -> impl Strategy<Value = TimeOfDay> {
    // More often in the small hours, in which clocks are changed.
    let hour = prop_oneof![3 => 0_u8..5, 1 => 0_u8..24, 1 => Just(23)];
    (hour, 0_u8..4).prop_map(|(hour, quarter)| TimeOfDay::new(hour, quarter * 15).unwrap())
}

fn case() -> impl Strategy<Value = Case> {
    let except = (
        any::<[bool; 5]>(),
        0_i64..4,
        prop::sample::subsequence(Weekday::ALL.to_vec(), 0..=5),
    );
    let quiet = prop::option::of((time_of_day(), time_of_day()));
    let active = prop::option::of((-3_i64..4, 1_i64..8));
    let account = prop::sample::select(vec!["UTC", "Europe/Rome", "Pacific/Kiritimati", "America/New_York"]);
    (
        prop::sample::select(CHANGES.to_vec()),
        account,
        -40 * 3600_i64..40 * 3600,
        prop::option::weighted(0.4, time_of_day()),
        quiet,
        active,
        except,
        prop::option::of(1_u32..600),
    )
        .prop_map(
            |((name, day), account, seconds, send_at, quiet, active, except, spread)| {
                let day: jiff::civil::Date = day.parse().unwrap();
                let date = |n: i64| CivilDate::try_from(day.checked_add(jiff::Span::new().days(n)).unwrap()).unwrap();
                let zone = super::zone(name);
                let midnight = policy::calendar::local_day_start(date(0), &zone).as_millis();
                let (which, moved, weekdays) = except;
                let dates = (-1..4).zip(which).filter(|(_, taken)| *taken).map(|(n, _)| date(n));
                Case {
                    account_zone: super::zone(account),
                    rules: SendRules {
                        send_at,
                        quiet: quiet.map(|(from, to)| Quiet { from, to }),
                        active: active.map(|(from, days)| Active {
                            from: Some(date(from)),
                            to: Some(date(from + days)),
                        }),
                        except: Except {
                            dates: dates.collect(),
                            yearly: (moved > 0)
                                .then(|| date(moved).month_day())
                                .into_iter()
                                .collect::<Vec<MonthDay>>(),
                            weekdays,
                        },
                        spread: spread.map(|minutes| Wait::new(minutes, Unit::Minutes).unwrap()),
                    },
                    ready: Timestamp::from_millis(midnight.checked_add_signed(seconds * 1000).unwrap()),
                    zone,
                }
            },
        )
}

proptest! {
    #[test]
    fn the_earliest_allowed_instant_is_found(case in case()) {
        prop_assert_eq!(case.resolve(case.ready), case.search());
    }

    #[test]
    fn no_message_leaves_in_a_forbidden_window(case in case()) {
        if let Some(at) = case.resolve(case.ready) {
            prop_assert!(at >= case.ready);
            prop_assert!(case.allows(at, &Wall::of(&case.zone)));
            prop_assert_eq!(is_allowed(at, &case.rules, &case.zone, &case.account_zone), Ok(()));
        }
    }

    #[test]
    fn the_check_before_sending_reads_the_same_clocks(case in case(), seconds in 0_u64..400_000) {
        let at = case.ready + Duration::from_secs(seconds);
        let allowed = is_allowed(at, &case.rules, &case.zone, &case.account_zone);
        prop_assert_eq!(allowed.is_ok(), case.allows(at, &Wall::of(&case.zone)), "{:?}", allowed);
    }

    #[test]
    fn a_resolved_instant_stays(case in case()) {
        if let Some(at) = case.resolve(case.ready) {
            let again = resolve(at, &case.rules, &case.zone, &case.account_zone);
            prop_assert_eq!(again.at(), Some(at));
            prop_assert_eq!(again.trace(), &[] as &[Rule]);
        }
    }

    #[test]
    fn who_is_ready_earlier_never_leaves_later(case in case(), seconds in 0_u64..200_000) {
        let later = case.resolve(case.ready + Duration::from_secs(seconds));
        if let Some(later) = later {
            prop_assert!(case.resolve(case.ready).is_some_and(|at| at <= later));
        }
    }

    #[test]
    fn a_trace_tells_of_a_move_and_nothing_else(case in case()) {
        let slot = resolve(case.ready, &case.rules, &case.zone, &case.account_zone);
        prop_assert_eq!(slot.trace().is_empty(), slot.at() == Some(case.ready), "{:?}", slot);
    }

    #[test]
    fn a_spread_message_leaves_soon_and_allowed(case in case(), mut keys in any::<[u64; 8]>()) {
        keys[0] = u64::MAX;
        let Some(at) = case.resolve(case.ready) else { return Ok(()) };
        let mut spread_at: Vec<(u64, Timestamp)> = keys
            .map(|key| (key, spread(at, key, &case.rules, &case.zone, &case.account_zone)))
            .to_vec();
        let room = case.rules.spread.map_or(0, |wait| wait.nominal_seconds() * 1000).max(1);
        for (_, moved) in &spread_at {
            prop_assert!(*moved >= at && moved.as_millis() < at.as_millis() + room);
            prop_assert_eq!(is_allowed(*moved, &case.rules, &case.zone, &case.account_zone), Ok(()));
        }
        spread_at.sort_unstable();
        prop_assert!(spread_at.is_sorted_by_key(|(_, moved)| *moved));
    }

    #[test]
    fn who_began_to_wait_earlier_is_overtaken_by_a_change_of_the_clocks_at_most(
        case in case(), days in 0_u32..40, seconds in 0_u64..200_000,
    ) {
        let wait = Wait::new(days, Unit::Days).unwrap();
        let ends = |base| add_wait(base, &wait, &case.zone);
        let (first, second) = (ends(case.ready), ends(case.ready + Duration::from_secs(seconds)));
        // Two that wait from the copies of an hour wait for the same clock time, and one that waits for a skipped time
        // is moved on past one that waits for the time after it: both by the length of the change. Samoa skipped a day.
        let change = if case.zone.zone().iana_name() == Some("Pacific/Apia") { 24 } else { 1 };
        prop_assert!(first <= second + Duration::from_hours(change), "{} {}", first, second);
        prop_assert!(first >= case.ready);
    }
}
