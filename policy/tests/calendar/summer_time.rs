//! The changes of the clocks of 2026 that differ in kind.

use types::calendar::{Rule, Unit, Wait};

use super::{check, time, zone};

const NIGHT: &str = r#"{"quiet":{"from":"22:00","to":"08:00"}}"#;

#[test]
fn rome_skips_an_hour_on_29_march() {
    let at_half_past_two = r#"{"send_at":"02:30"}"#;
    check(
        "Europe/Rome",
        at_half_past_two,
        "2026-03-28T12:00:00+01:00",
        "2026-03-29T03:30:00+02:00",
        &[Rule::SendAt],
    );
    // It came at 03:30, so the next one is tomorrow's.
    check(
        "Europe/Rome",
        at_half_past_two,
        "2026-03-29T03:30:01+02:00",
        "2026-03-30T02:30:00+02:00",
        &[Rule::SendAt],
    );
    check(
        "Europe/Rome",
        NIGHT,
        "2026-03-29T01:59:59+01:00",
        "2026-03-29T08:00:00+02:00",
        &[Rule::Quiet],
    );
    // An end that is skipped comes as the clocks jump over it; a window that is skipped whole is none.
    let until_half_past_two = r#"{"quiet":{"from":"22:00","to":"02:30"}}"#;
    check(
        "Europe/Rome",
        until_half_past_two,
        "2026-03-29T01:00:00+01:00",
        "2026-03-29T03:00:00+02:00",
        &[Rule::Quiet],
    );
    let skipped = r#"{"quiet":{"from":"02:00","to":"03:00"}}"#;
    check(
        "Europe/Rome",
        skipped,
        "2026-03-29T01:59:59+01:00",
        "2026-03-29T01:59:59+01:00",
        &[],
    );
    check(
        "Europe/Rome",
        skipped,
        "2026-03-29T03:00:00+02:00",
        "2026-03-29T03:00:00+02:00",
        &[],
    );
    // A start that is skipped: what is left of the window is quiet.
    let from_half_past_two = r#"{"quiet":{"from":"02:30","to":"04:00"}}"#;
    check(
        "Europe/Rome",
        from_half_past_two,
        "2026-03-29T03:00:00+02:00",
        "2026-03-29T04:00:00+02:00",
        &[Rule::Quiet],
    );
}

#[test]
fn rome_repeats_an_hour_on_25_october() {
    let at_half_past_two = r#"{"send_at":"02:30"}"#;
    check(
        "Europe/Rome",
        at_half_past_two,
        "2026-10-24T12:00:00+02:00",
        "2026-10-25T02:30:00+02:00",
        &[Rule::SendAt],
    );
    // The second copy is not another occurrence.
    check(
        "Europe/Rome",
        at_half_past_two,
        "2026-10-25T02:30:01+02:00",
        "2026-10-26T02:30:00+01:00",
        &[Rule::SendAt],
    );
    check(
        "Europe/Rome",
        NIGHT,
        "2026-10-24T22:00:00+02:00",
        "2026-10-25T08:00:00+01:00",
        &[Rule::Quiet],
    );
    // Both copies of the hour are quiet.
    let hour = r#"{"quiet":{"from":"02:00","to":"03:00"}}"#;
    check(
        "Europe/Rome",
        hour,
        "2026-10-25T02:10:00+02:00",
        "2026-10-25T03:00:00+01:00",
        &[Rule::Quiet],
    );
    check(
        "Europe/Rome",
        hour,
        "2026-10-25T02:10:00+01:00",
        "2026-10-25T03:00:00+01:00",
        &[Rule::Quiet],
    );
}

#[test]
fn new_york_changes_on_8_march_and_1_november() {
    let morning = r#"{"send_at":"09:00"}"#;
    check(
        "America/New_York",
        morning,
        "2026-03-07T09:00:01-05:00",
        "2026-03-08T09:00:00-04:00",
        &[Rule::SendAt],
    );
    check(
        "America/New_York",
        morning,
        "2026-10-31T09:00:01-04:00",
        "2026-11-01T09:00:00-05:00",
        &[Rule::SendAt],
    );
    check(
        "America/New_York",
        NIGHT,
        "2026-10-31T23:00:00-04:00",
        "2026-11-01T08:00:00-05:00",
        &[Rule::Quiet],
    );
}

#[test]
fn lord_howe_changes_by_half_an_hour_on_5_april_and_4_october() {
    let quarter_past_two = r#"{"send_at":"02:15"}"#;
    check(
        "Australia/Lord_Howe",
        quarter_past_two,
        "2026-10-03T12:00:00+10:30",
        "2026-10-04T02:45:00+11:00",
        &[Rule::SendAt],
    );
    let quarter_to_two = r#"{"send_at":"01:45"}"#;
    check(
        "Australia/Lord_Howe",
        quarter_to_two,
        "2026-04-04T12:00:00+11:00",
        "2026-04-05T01:45:00+11:00",
        &[Rule::SendAt],
    );
    check(
        "Australia/Lord_Howe",
        quarter_to_two,
        "2026-04-05T01:45:01+11:00",
        "2026-04-06T01:45:00+10:30",
        &[Rule::SendAt],
    );
}

#[test]
fn cairo_and_beirut_have_days_without_midnight() {
    let friday = r#"{"except":{"dates":["2026-04-23"]}}"#;
    check(
        "Africa/Cairo",
        friday,
        "2026-04-23T12:00:00+02:00",
        "2026-04-24T01:00:00+03:00",
        &[Rule::ExceptDate],
    );
    let sunday = r#"{"except":{"weekdays":["sat"]}}"#;
    check(
        "Asia/Beirut",
        sunday,
        "2026-03-28T12:00:00+02:00",
        "2026-03-29T01:00:00+03:00",
        &[Rule::ExceptWeekday],
    );
    let midnight = r#"{"send_at":"00:00"}"#;
    check(
        "Africa/Cairo",
        midnight,
        "2026-04-23T12:00:00+02:00",
        "2026-04-24T01:00:00+03:00",
        &[Rule::SendAt],
    );
    check(
        "Asia/Beirut",
        midnight,
        "2026-03-28T12:00:00+02:00",
        "2026-03-29T01:00:00+03:00",
        &[Rule::SendAt],
    );
    let active = r#"{"active":{"from":"2026-04-24"}}"#;
    check(
        "Africa/Cairo",
        active,
        "2026-04-01T12:00:00+02:00",
        "2026-04-24T01:00:00+03:00",
        &[Rule::ActiveFrom],
    );
}

#[test]
fn casablanca_goes_back_for_ramadan_on_15_february_and_on_again_on_22_march() {
    let half_past_two = r#"{"send_at":"02:30"}"#;
    check(
        "Africa/Casablanca",
        half_past_two,
        "2026-02-14T12:00:00+01:00",
        "2026-02-15T02:30:00+01:00",
        &[Rule::SendAt],
    );
    check(
        "Africa/Casablanca",
        half_past_two,
        "2026-02-15T02:30:01+01:00",
        "2026-02-16T02:30:00+00:00",
        &[Rule::SendAt],
    );
    check(
        "Africa/Casablanca",
        half_past_two,
        "2026-03-21T12:00:00+00:00",
        "2026-03-22T03:30:00+01:00",
        &[Rule::SendAt],
    );
}

#[test]
fn sao_paulo_changes_no_more() {
    let midnight = r#"{"send_at":"00:00"}"#;
    check(
        "America/Sao_Paulo",
        midnight,
        "2026-10-17T12:00:00-03:00",
        "2026-10-18T00:00:00-03:00",
        &[Rule::SendAt],
    );
    check(
        "America/Sao_Paulo",
        midnight,
        "2026-02-14T12:00:00-03:00",
        "2026-02-15T00:00:00-03:00",
        &[Rule::SendAt],
    );
}

#[test]
fn a_day_on_the_calendar_is_not_24_hours_where_the_clocks_change() {
    let rome = zone("Europe/Rome");
    for (base, wait, over) in [
        (
            "2026-03-28T12:00:00+01:00",
            (1, Unit::Days),
            "2026-03-29T12:00:00+02:00",
        ),
        (
            "2026-03-28T12:00:00+01:00",
            (1, Unit::Blocks),
            "2026-03-29T13:00:00+02:00",
        ),
        (
            "2026-03-28T12:00:00+01:00",
            (24, Unit::Hours),
            "2026-03-29T13:00:00+02:00",
        ),
        (
            "2026-03-28T12:00:00+01:00",
            (1440, Unit::Minutes),
            "2026-03-29T13:00:00+02:00",
        ),
        (
            "2026-03-28T02:30:00+01:00",
            (1, Unit::Days),
            "2026-03-29T03:30:00+02:00",
        ),
        (
            "2026-10-24T02:30:00+02:00",
            (1, Unit::Days),
            "2026-10-25T02:30:00+02:00",
        ),
        // From the second copy of an hour: no day leaves it alone, a day finds the only one.
        (
            "2026-10-25T02:30:00+01:00",
            (0, Unit::Days),
            "2026-10-25T02:30:00+01:00",
        ),
        (
            "2026-10-25T02:30:00+01:00",
            (1, Unit::Days),
            "2026-10-26T02:30:00+01:00",
        ),
        // A late evening: the calendar turns before 24 hours have passed.
        (
            "2026-11-20T23:59:30+01:00",
            (3, Unit::Days),
            "2026-11-23T23:59:30+01:00",
        ),
        (
            "2028-02-28T10:00:00+01:00",
            (1, Unit::Days),
            "2028-02-29T10:00:00+01:00",
        ),
    ] {
        let wait = Wait::new(wait.0, wait.1).unwrap();
        assert_eq!(
            policy::calendar::add_wait(time(base), &wait, &rome),
            time(over),
            "{base} + {wait}"
        );
    }
}
