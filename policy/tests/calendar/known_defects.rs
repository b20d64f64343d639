//! What other senders got wrong, each as the case that shows it.

use std::time::Duration;

use policy::calendar::{add_wait, is_allowed, ready_at, resolve};
use types::calendar::Rule;

use super::{check, check_none, rules, time, zone};

const NIGHT: &str = r#"{"quiet":{"from":"22:00","to":"08:00"}}"#;
const WORKDAYS: &str = r#"{"except":{"weekdays":["sat","sun"]}}"#;
const WORKDAYS_AT_NINE: &str = r#"{"send_at":"09:00","except":{"weekdays":["sat","sun"]}}"#;

#[test]
fn kumomta_skips_the_day_if_a_windows_start_or_end_falls_into_a_gap_or_fold() {
    // Open from 02:30 (skipped on that day) to 18:00, which is: quiet from 18:00 to 02:30.
    let start_in_gap = r#"{"quiet":{"from":"18:00","to":"02:30"}}"#;
    check(
        "Europe/Rome",
        start_in_gap,
        "2026-03-28T20:00:00+01:00",
        "2026-03-29T03:00:00+02:00",
        &[Rule::Quiet],
    );
    // Open from 02:30 (twice on that day): from its first occurrence on, and not in the second 02:00 to 02:30.
    check(
        "Europe/Rome",
        start_in_gap,
        "2026-10-24T20:00:00+02:00",
        "2026-10-25T02:30:00+02:00",
        &[Rule::Quiet],
    );
    check(
        "Europe/Rome",
        start_in_gap,
        "2026-10-25T02:10:00+01:00",
        "2026-10-25T02:30:00+01:00",
        &[Rule::Quiet],
    );
    // Open until 02:30, which is skipped, or comes twice.
    let end_in_gap = r#"{"quiet":{"from":"02:30","to":"10:00"}}"#;
    check(
        "Europe/Rome",
        end_in_gap,
        "2026-03-29T01:59:00+01:00",
        "2026-03-29T01:59:00+01:00",
        &[],
    );
    check(
        "Europe/Rome",
        end_in_gap,
        "2026-10-25T02:29:59+02:00",
        "2026-10-25T02:29:59+02:00",
        &[],
    );
    check(
        "Europe/Rome",
        end_in_gap,
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:00:00+01:00",
        &[Rule::Quiet],
    );
}

#[test]
fn kumomta_never_opens_a_window_whose_end_is_before_its_start() {
    // Open from 20:00 to 06:00.
    let day = r#"{"quiet":{"from":"06:00","to":"20:00"}}"#;
    check(
        "Europe/Rome",
        day,
        "2026-11-20T12:00:00+01:00",
        "2026-11-20T20:00:00+01:00",
        &[Rule::Quiet],
    );
    check(
        "Europe/Rome",
        day,
        "2026-11-20T23:00:00+01:00",
        "2026-11-20T23:00:00+01:00",
        &[],
    );
    check(
        "Europe/Rome",
        day,
        "2026-11-21T05:59:59+01:00",
        "2026-11-21T05:59:59+01:00",
        &[],
    );
}

#[test]
fn mautic_turns_a_night_into_a_day_by_swapping_start_and_stop() {
    check(
        "Europe/Rome",
        NIGHT,
        "2026-11-20T23:10:00+01:00",
        "2026-11-21T08:00:00+01:00",
        &[Rule::Quiet],
    );
    check(
        "Europe/Rome",
        NIGHT,
        "2026-11-20T12:00:00+01:00",
        "2026-11-20T12:00:00+01:00",
        &[],
    );
}

#[test]
fn mautic_tests_the_weekday_in_the_systems_zone_when_no_hour_is_set() {
    // Friday in UTC, Saturday in Auckland; and the other way round in Honolulu.
    check(
        "Pacific/Auckland",
        WORKDAYS,
        "2026-11-20T12:00:00Z",
        "2026-11-23T00:00:00+13:00",
        &[Rule::ExceptWeekday],
    );
    check(
        "Pacific/Honolulu",
        WORKDAYS,
        "2026-11-21T05:00:00Z",
        "2026-11-21T05:00:00Z",
        &[],
    );
}

#[test]
fn mautic_ignores_seconds_when_it_asks_what_is_due() {
    check(
        "Europe/Rome",
        NIGHT,
        "2026-11-20T21:59:59.999+01:00",
        "2026-11-20T21:59:59.999+01:00",
        &[],
    );
    check(
        "Europe/Rome",
        NIGHT,
        "2026-11-20T22:00:00+01:00",
        "2026-11-21T08:00:00+01:00",
        &[Rule::Quiet],
    );
    check(
        "Europe/Rome",
        r#"{"send_at":"09:00"}"#,
        "2026-11-20T09:00:00.001+01:00",
        "2026-11-21T09:00:00+01:00",
        &[Rule::SendAt],
    );
}

#[test]
fn mautic_loses_the_send_hour_when_the_weekday_moves() {
    check(
        "Europe/Rome",
        WORKDAYS_AT_NINE,
        "2026-11-20T10:00:00+01:00",
        "2026-11-23T09:00:00+01:00",
        &[Rule::SendAt, Rule::ExceptWeekday],
    );
    check(
        "Europe/Rome",
        WORKDAYS_AT_NINE,
        "2026-11-21T09:00:00+01:00",
        "2026-11-23T09:00:00+01:00",
        &[Rule::ExceptWeekday, Rule::SendAt],
    );
    // Over the change of the clocks, too.
    check(
        "Europe/Rome",
        WORKDAYS_AT_NINE,
        "2026-03-27T10:00:00+01:00",
        "2026-03-30T09:00:00+02:00",
        &[Rule::SendAt, Rule::ExceptWeekday],
    );
}

#[test]
fn mautic_reschedules_by_the_hour_around_the_change_of_the_clocks() {
    let rome = zone("Europe/Rome");
    for written in [
        NIGHT,
        WORKDAYS_AT_NINE,
        r#"{"send_at":"02:30"}"#,
        r#"{"quiet":{"from":"02:15","to":"02:45"}}"#,
    ] {
        let rules = rules(written);
        for start in ["2026-03-28T23:00:00Z", "2026-10-24T22:00:00Z"] {
            for minute in 0..6 * 60 {
                let ready = time(start) + Duration::from_mins(minute);
                let at = resolve(ready, &rules, &rome, &rome).at().unwrap();
                assert_eq!(
                    resolve(at, &rules, &rome, &rome).at(),
                    Some(at),
                    "{written}, ready {ready}"
                );
            }
        }
    }
}

#[test]
fn mautic_sends_again_what_a_day_restriction_had_moved() {
    // Ready on Friday evening and looked at again on each day after: it is the same one instant.
    let rome = zone("Europe/Rome");
    let rules = rules(WORKDAYS_AT_NINE);
    for looked in [
        "2026-11-20T20:00:00+01:00",
        "2026-11-21T09:00:00+01:00",
        "2026-11-22T23:59:59+01:00",
        "2026-11-23T09:00:00+01:00",
    ] {
        assert_eq!(
            resolve(time(looked), &rules, &rome, &rome).at(),
            Some(time("2026-11-23T09:00:00+01:00"))
        );
    }
}

#[test]
fn dittofeed_tests_the_weekday_in_utc() {
    // Friday 20:00 in Los Angeles is Saturday in UTC, and Sunday 20:00 is Monday.
    check(
        "America/Los_Angeles",
        WORKDAYS,
        "2026-11-20T20:00:00-08:00",
        "2026-11-20T20:00:00-08:00",
        &[],
    );
    check(
        "America/Los_Angeles",
        WORKDAYS,
        "2026-11-22T20:00:00-08:00",
        "2026-11-23T00:00:00-08:00",
        &[Rule::ExceptWeekday],
    );
}

#[test]
fn dittofeed_is_an_hour_off_over_a_change_since_it_takes_the_offset_of_now() {
    check(
        "Europe/Rome",
        r#"{"send_at":"09:00"}"#,
        "2026-03-28T20:00:00+01:00",
        "2026-03-29T07:00:00Z",
        &[Rule::SendAt],
    );
    check(
        "Europe/Rome",
        r#"{"send_at":"09:00"}"#,
        "2026-10-24T20:00:00+02:00",
        "2026-10-25T08:00:00Z",
        &[Rule::SendAt],
    );
}

#[test]
fn mautic_and_dittofeed_move_what_is_overdue_to_now() {
    let rome = zone("Europe/Rome");
    let (event, now) = (time("2026-11-01T10:00:00+01:00"), time("2026-11-20T10:00:00+01:00"));
    assert_eq!(ready_at(event, &"3d".parse().unwrap(), &rome, now), now);
    assert_eq!(
        add_wait(event, &"3d".parse().unwrap(), &rome),
        time("2026-11-04T10:00:00+01:00")
    );
    assert_eq!(
        ready_at(event, &"20d".parse().unwrap(), &rome, now),
        time("2026-11-21T10:00:00+01:00")
    );
}

#[test]
fn laudspeaker_keeps_a_fixed_offset_in_summer() {
    // 22:00 in Rome is 20:00 UTC in summer and 21:00 in winter.
    check(
        "Europe/Rome",
        NIGHT,
        "2026-07-01T19:59:59Z",
        "2026-07-01T19:59:59Z",
        &[],
    );
    check(
        "Europe/Rome",
        NIGHT,
        "2026-07-01T20:00:00Z",
        "2026-07-02T06:00:00Z",
        &[Rule::Quiet],
    );
    check(
        "Europe/Rome",
        NIGHT,
        "2026-12-01T20:59:59Z",
        "2026-12-01T20:59:59Z",
        &[],
    );
    check(
        "Europe/Rome",
        NIGHT,
        "2026-12-01T21:00:00Z",
        "2026-12-02T07:00:00Z",
        &[Rule::Quiet],
    );
}

#[test]
fn laudspeaker_lets_the_first_minute_of_the_quiet_hours_through() {
    let rome = zone("Europe/Rome");
    let allowed = |at: &str| is_allowed(time(at), &rules(NIGHT), &rome, &rome);
    assert_eq!(allowed("2026-11-20T22:00:00+01:00"), Err(Rule::Quiet));
    assert_eq!(allowed("2026-11-20T21:59:59.999+01:00"), Ok(()));
}

#[test]
fn aws_pinpoint_keeps_the_end_of_the_quiet_hours_quiet() {
    let rome = zone("Europe/Rome");
    let allowed = |at: &str| is_allowed(time(at), &rules(NIGHT), &rome, &rome);
    assert_eq!(allowed("2026-11-21T07:59:59.999+01:00"), Err(Rule::Quiet));
    assert_eq!(allowed("2026-11-21T08:00:00+01:00"), Ok(()));
}

#[test]
fn hours_that_begin_and_end_at_once_are_none_and_not_the_whole_day() {
    let none = r#"{"quiet":{"from":"08:00","to":"08:00"}}"#;
    check(
        "Europe/Rome",
        none,
        "2026-11-20T08:00:00+01:00",
        "2026-11-20T08:00:00+01:00",
        &[],
    );
    check(
        "Europe/Rome",
        none,
        "2026-11-20T20:00:00+01:00",
        "2026-11-20T20:00:00+01:00",
        &[],
    );
}

#[test]
fn without_rules_a_message_leaves_as_soon_as_possible() {
    check(
        "Europe/Rome",
        "{}",
        "2026-11-20T10:00:00.123Z",
        "2026-11-20T10:00:00.123Z",
        &[],
    );
}

#[test]
fn a_send_at_time_within_the_quiet_hours_leaves_at_their_end() {
    let both = r#"{"send_at":"23:00","quiet":{"from":"22:00","to":"08:00"}}"#;
    check(
        "Europe/Rome",
        both,
        "2026-11-20T10:00:00+01:00",
        "2026-11-21T08:00:00+01:00",
        &[Rule::SendAt, Rule::Quiet],
    );
    check(
        "Europe/Rome",
        both,
        "2026-11-20T23:30:00+01:00",
        "2026-11-21T08:00:00+01:00",
        &[Rule::Quiet],
    );
    let workdays = r#"{"send_at":"23:00","quiet":{"from":"22:00","to":"08:00"},"except":{"weekdays":["sat","sun"]}}"#;
    check(
        "Europe/Rome",
        workdays,
        "2026-11-20T10:00:00+01:00",
        "2026-11-23T08:00:00+01:00",
        &[Rule::SendAt, Rule::Quiet, Rule::ExceptWeekday],
    );
}

#[test]
fn what_falls_after_the_active_days_is_dropped_and_not_moved() {
    let december = r#"{"active":{"from":"2026-12-01","to":"2027-01-01"}}"#;
    check(
        "Europe/Rome",
        december,
        "2026-11-20T10:00:00+01:00",
        "2026-12-01T00:00:00+01:00",
        &[Rule::ActiveFrom],
    );
    check(
        "Europe/Rome",
        december,
        "2026-12-31T23:59:59.999+01:00",
        "2026-12-31T23:59:59.999+01:00",
        &[],
    );
    check_none("Europe/Rome", december, "2027-01-01T00:00:00+01:00", &[Rule::ActiveTo]);
    let by_night = r#"{"active":{"to":"2027-01-01"},"quiet":{"from":"22:00","to":"08:00"}}"#;
    check_none(
        "Europe/Rome",
        by_night,
        "2026-12-31T22:00:00+01:00",
        &[Rule::Quiet, Rule::ActiveTo],
    );
    let at_nine = r#"{"active":{"to":"2027-01-01"},"send_at":"09:00"}"#;
    check_none(
        "Europe/Rome",
        at_nine,
        "2026-12-31T09:00:01+01:00",
        &[Rule::SendAt, Rule::ActiveTo],
    );
}

#[test]
fn active_days_are_the_accounts_and_not_the_recipients() {
    let (auckland, rome) = (zone("Pacific/Auckland"), zone("Europe/Rome"));
    let december = rules(r#"{"active":{"from":"2026-12-01","to":"2027-01-01"}}"#);
    let leaves = |ready| resolve(time(ready), &december, &auckland, &rome).at();
    assert_eq!(
        leaves("2026-12-01T00:00:00+13:00"),
        Some(time("2026-12-01T00:00:00+01:00"))
    );
    assert_eq!(
        leaves("2027-01-01T11:59:59+13:00"),
        Some(time("2027-01-01T11:59:59+13:00"))
    );
    assert_eq!(leaves("2027-01-01T12:00:00+13:00"), None);
}

#[test]
fn excepted_days_are_those_of_the_recipients_calendar() {
    let christmas =
        r#"{"except":{"dates":["2026-12-24"],"yearly":["12-25","12-26"]},"quiet":{"from":"22:00","to":"08:00"}}"#;
    check(
        "Pacific/Auckland",
        christmas,
        "2026-12-24T00:00:00+13:00",
        "2026-12-27T08:00:00+13:00",
        &[Rule::ExceptDate, Rule::ExceptYearly, Rule::Quiet],
    );
    check(
        "Pacific/Auckland",
        christmas,
        "2027-12-24T12:00:00+13:00",
        "2027-12-24T12:00:00+13:00",
        &[],
    );
    check(
        "Pacific/Auckland",
        christmas,
        "2027-12-25T12:00:00+13:00",
        "2027-12-27T08:00:00+13:00",
        &[Rule::ExceptYearly, Rule::Quiet],
    );
}

#[test]
fn nothing_within_400_days_is_no_slot() {
    // Only Sundays are left, and they are excepted from the first of 2026 to 7 November 2027.
    let sunday = |week: i32| jiff::civil::date(2026, 1, 4) + jiff::Span::new().weeks(week);
    let sundays: Vec<String> = (0..97)
        .map(|week| format!("\"{}\"", sunday(week).strftime("%m-%d")))
        .collect();
    let only_sundays =
        r#"{"except":{"yearly":[YEARLY],"weekdays":["mon","tue","wed","thu","fri","sat"]},"send_at":"09:00"}"#;
    let written = only_sundays.replace("YEARLY", &sundays.join(","));
    check_none(
        "Europe/Rome",
        &written,
        "2026-01-01T10:00:00+01:00",
        &[Rule::SendAt, Rule::ExceptWeekday, Rule::ExceptYearly, Rule::NoSlot],
    );
    check(
        "Europe/Rome",
        &written,
        "2026-12-01T10:00:00+01:00",
        "2027-11-14T09:00:00+01:00",
        &[Rule::SendAt, Rule::ExceptWeekday, Rule::ExceptYearly],
    );
}
