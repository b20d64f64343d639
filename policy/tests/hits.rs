//! What a mail's hits are taken for: the profiles of `cases/hits.toml`, and what holds of any hits in any order.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod fixture;
mod mailbox;

use std::collections::BTreeMap;
use std::time::Duration;

use mailbox::{Act, Counted, Mailbox, delivered_at};
use policy::hits::{FINAL_AFTER, HITS_MAX, Hit, LANDINGS_MAX, MailState, Recorded, Rules};
use proptest::prelude::*;
use serde::Deserialize;
use types::event::{AgentClass, HitClass, HitKind, HitVerdict, LandingVia, Round, Visit};
use types::id::{CampaignNumber, EventId};
use types::network::Network;
use types::tally::Measure;
use types::time::Timestamp;

/// One profile of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    offers: u8,
    #[serde(default)]
    test: bool,
    /// Opens and clicks.
    qualified: [u16; 2],
    hits: Vec<String>,
}

#[test]
fn profiles_are_judged_as_the_table_says() {
    let cases: Vec<Case> = fixture::table("hits.toml");
    assert!(cases.len() >= 30);
    for case in cases {
        let mut acts = Vec::new();
        let mut expected = BTreeMap::new();
        for (number, line) in case.hits.iter().enumerate() {
            let (hit, says) = line.split_once(" = ").expect("a hit and its class");
            let hit = read_hit(hit, number as u64 + 1, &mut acts);
            expected.insert(hit.id, says.to_owned());
            acts.push(Act::Hit(hit));
        }
        let mailbox = Mailbox::run(case.offers, case.test, acts);
        let told: BTreeMap<_, _> = mailbox.told.iter().map(|(id, verdict)| (*id, verdict)).collect();
        for (id, says) in expected {
            let verdict = told.get(&id).expect("every hit is judged");
            let reasons: Vec<_> = verdict.reasons.iter().map(|reason| reason.as_str()).collect();
            let told = format!("{} {}", verdict.class.as_str(), reasons.join(","));
            assert_eq!(told.trim_end(), says, "{}: {id:?}", case.name);
            assert_eq!(verdict.round, Round::Final, "{}", case.name);
        }
        let counts = mailbox.mail.counts();
        let uncounted = |verdict: &&&HitVerdict| matches!(verdict.class, HitClass::Prefetch | HitClass::Test);
        let counted = told.len() - told.values().filter(uncounted).count();
        assert_eq!(
            usize::from(counts.opens[0] + counts.clicks[0]),
            counted,
            "{}",
            case.name
        );
        assert!(!case.test || counts.landings == 0, "{}", case.name);
        assert_eq!([counts.opens[2], counts.clicks[2]], case.qualified, "{}", case.name);
    }
}

/// Reads "5m click1 home lands+2s"; a landing is added to the acts.
fn read_hit(text: &str, number: u64, acts: &mut Vec<Act>) -> Hit {
    let mut words = text.split(' ');
    let mut word = || words.next().expect("when, what and where");
    let at = after_delivery(word());
    let what = word();
    let place = what.strip_prefix("click").map(|place| place.parse().unwrap());
    let mut hit = mailbox::hit(number, at, place, Some(network(word())));
    for word in words {
        match word {
            "program" => hit.agent = AgentClass::Machine,
            "nothing" => hit.agent = AgentClass::Unknown,
            "proxy" => hit.agent = AgentClass::Proxy,
            "apple" => hit.agent = AgentClass::ApplePrivacy,
            "gmail" => hit.agent = AgentClass::GmailProxy,
            "head" => hit.visit = Visit::Head,
            "prefetch" => hit.visit = Visit::Prefetch,
            "suspect" => hit.suspect = true,
            "untrusted" => hit.untrusted = true,
            lands => {
                let lands = lands.strip_prefix("lands+").expect("no other word");
                let (wait, via) = match lands.split_once(":image") {
                    Some((wait, _)) => (wait, LandingVia::Image),
                    None => (lands, LandingVia::Snippet),
                };
                let at = at + types::setting::duration(wait).unwrap();
                acts.push(Act::Landing(mailbox::landing(number + 1_000, at, &hit, via, None)));
            }
        }
    }
    hit
}

fn after_delivery(text: &str) -> Timestamp {
    let duration = |text| types::setting::duration(text).unwrap();
    match text.strip_prefix('-') {
        Some(before) => delivered_at() - duration(before),
        None => delivered_at() + duration(text),
    }
}

fn network(name: &str) -> Network {
    let address = match name {
        "cloud" => "203.0.113.7",
        "cloud2" => "198.51.100.7",
        "cloud3" => "2001:db8:c3::7",
        "home" => "192.0.2.7",
        "mobile" => "2001:db8:1::7",
        "apple" => "17.58.9.7",
        "apple2" => "172.224.226.7",
        "google" => "66.249.93.7",
        "barracuda" => "64.235.150.7",
        other => panic!("no network {other}"),
    };
    Network::of(address.parse().unwrap())
}

/// Anything that may come in within an hour of delivery, some of it at the same moments.
fn acts() -> impl Strategy<Value = Vec<Act>> {
    let hit = (
        0..3600_u64,
        prop::option::of(0..3_u8),
        prop::option::weighted(0.9, 0..4_u8),
        prop::sample::select(vec![
            AgentClass::Client,
            AgentClass::Client,
            AgentClass::Machine,
            AgentClass::GmailProxy,
            AgentClass::ApplePrivacy,
            AgentClass::Unknown,
        ]),
        0..8_u8,
        prop::option::of(0..2_000_u64),
        any::<(bool, bool, Option<bool>)>(),
    );
    prop::collection::vec(hit, 0..40).prop_map(|hits| {
        let mut acts = Vec::new();
        for (number, (second, place, network, agent, how, lands, (proven, server, new))) in hits.into_iter().enumerate()
        {
            let number = number as u64 + 1;
            let at = delivered_at() + Duration::from_secs(second / 7 * 7);
            let network = network.map(|network| Network::V4([192, 0, network]));
            let mut hit = mailbox::hit(number, at, place, network);
            hit.agent = agent;
            match how {
                0 => hit.visit = Visit::Head,
                1 => hit.visit = Visit::Prefetch,
                2 => hit.suspect = true,
                3 => hit.untrusted = true,
                _ => {}
            }
            if let (Some(wait), Some(_)) = (lands, place) {
                let at = at + Duration::from_secs(wait);
                let via = match (proven, server) {
                    (false, _) => LandingVia::Image,
                    (true, false) => LandingVia::Snippet,
                    (true, true) => LandingVia::Server,
                };
                acts.push(Act::Landing(mailbox::landing(number + 1_000, at, &hit, via, new)));
            }
            acts.push(Act::Hit(hit));
        }
        acts
    })
}

proptest! {
    /// Judged as time goes by, or all at once from the journal, in any order of hits: the verdicts are the same.
    #[test]
    fn the_final_verdicts_do_not_depend_on_when_or_in_which_order((acts, shuffled) in acts().prop_flat_map(|acts| {
        (Just(acts.clone()), Just(acts).prop_shuffle())
    })) {
        let as_it_came = Mailbox::run(3, false, acts);
        let mut at_once = mailbox::mail(3, false);
        for act in shuffled {
            match act {
                Act::Hit(hit) => { at_once.record(hit); }
                Act::Landing(landing) => { at_once.land(landing); }
            }
        }
        let verdicts = at_once.judge(&Rules::builtin(), delivered_at() + Duration::from_hours(24));
        let verdicts: BTreeMap<_, _> = verdicts.into_iter().map(|verdict| (verdict.hit, verdict)).collect();
        prop_assert_eq!(&as_it_came.told, &verdicts);
    }

    /// Every count is what the final verdicts add up to, and none falls below zero on the way.
    #[test]
    fn counts_are_what_the_verdicts_say(acts in acts()) {
        let mailbox = Mailbox::run(3, false, acts.clone());
        let hits: Vec<&Hit> = acts.iter().filter_map(Act::hit).collect();
        let class = |hit: &Hit| mailbox.told[&hit.id].class;
        for kind in [HitKind::Open, HitKind::Click] {
            let of_kind = || hits.iter().filter(|hit| hit.kind == kind);
            let number = |is: fn(HitClass) -> bool| of_kind().map(|hit| i64::from(is(class(hit)))).sum::<i64>();
            let mut qualified: Vec<_> = of_kind().filter(|hit| class(hit).is_qualified()).map(|hit| hit.place).collect();
            qualified.sort_unstable();
            qualified.dedup();
            let [raw, machine, people, unique] = Counted::measures(kind);
            prop_assert_eq!(mailbox.counted.sum(raw), number(|class| class != HitClass::Prefetch));
            prop_assert_eq!(mailbox.counted.sum(machine), number(HitClass::is_machine));
            prop_assert_eq!(mailbox.counted.sum(people), number(HitClass::is_qualified));
            prop_assert_eq!(mailbox.counted.sum(unique), i64::try_from(qualified.len()).unwrap());
        }
        let counts = mailbox.mail.counts();
        prop_assert_eq!(i64::from(counts.opens[2]), mailbox.counted.sum(Measure::OpensQualified));
        prop_assert_eq!(i64::from(counts.clicks[1]), mailbox.counted.sum(Measure::ClicksMachine));
        prop_assert_eq!(i64::from(counts.landings), mailbox.counted.sum(Measure::Landings));
        prop_assert!(mailbox.counted.lowest() >= 0);
        prop_assert_eq!(usize::from(counts.leads), mailbox.confirmed);
    }

    /// Once all is judged, decided and settled nothing is due, and looking again changes nothing.
    #[test]
    fn nothing_is_left_to_do(acts in acts()) {
        let mailbox = Mailbox::run(3, false, acts);
        let mut mail = mailbox.mail.clone();
        let later = delivered_at() + Duration::from_hours(48);
        prop_assert_eq!(mail.due(), None);
        prop_assert_eq!(mail.judge(&Rules::builtin(), later), vec![]);
        prop_assert_eq!(mail.decidable(later), vec![]);
        prop_assert_eq!(mail.settleable(), vec![]);
        for judged in &mailbox.journal {
            mail.apply(judged);
        }
        prop_assert_eq!(mail.counts(), mailbox.mail.counts());
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// However many come, the row stays small, and what was counted stays counted.
    #[test]
    fn the_row_is_bounded(hits in 100..300_u64, networks in 1..4_u64) {
        let acts = (1..=hits).map(|number| {
            let at = delivered_at() + Duration::from_mins(2 * number);
            let network = Network::V4([192, 0, u8::try_from(number % networks).unwrap()]);
            Act::Hit(mailbox::hit(number, at, Some(0), Some(network)))
        });
        let mailbox = Mailbox::run(3, false, acts.collect());
        prop_assert!(mailbox.mail.hits().count() <= HITS_MAX);
        prop_assert!(mailbox.mail.encode().len() < 8 * 1024);
        prop_assert_eq!(mailbox.counted.sum(Measure::ClicksRaw), i64::try_from(hits).unwrap());
        prop_assert_eq!(mailbox.counted.sum(Measure::ClicksQualified), i64::try_from(hits).unwrap());
        prop_assert_eq!(mailbox.counted.by_hour(Measure::ClicksUnique), vec![1], "where the first click was, for ever");
    }
}

#[test]
fn a_flood_does_not_push_out_the_person_who_came_once() {
    let mut acts = Vec::new();
    let at = |second| delivered_at() + Duration::from_secs(second);
    let person = mailbox::hit(500, at(60), Some(1), Some(network("home")));
    acts.push(Act::Landing(mailbox::landing(
        501,
        at(900),
        &person,
        LandingVia::Snippet,
        None,
    )));
    for number in 0..400 {
        acts.push(Act::Hit(mailbox::hit(
            number,
            at(30 + number),
            Some(0),
            Some(network("cloud")),
        )));
    }
    acts.push(Act::Hit(person));
    let mailbox = Mailbox::run(3, false, acts);
    assert_eq!(mailbox.told[&EventId::from_raw(500)].class, HitClass::Human);
    assert_eq!(mailbox.confirmed, 1);
}

#[test]
fn a_click_is_kept_as_long_as_its_landing_is_open() {
    // Everybody in the office follows the link of a forwarded mail, while the server's word on the first of them is still out.
    let at = |second| delivered_at() + Duration::from_secs(second);
    let first = mailbox::hit(500, at(60), Some(0), Some(network("home")));
    let mut acts = vec![
        Act::Landing(mailbox::landing(501, at(61), &first, LandingVia::Image, None)),
        Act::Landing(mailbox::landing(502, at(1_200), &first, LandingVia::Server, None)),
        Act::Hit(first),
    ];
    for number in 0..200 {
        acts.push(Act::Hit(mailbox::hit(
            number,
            at(100 + number),
            Some(0),
            Some(network("home")),
        )));
    }
    let mailbox = Mailbox::run(3, false, acts);
    assert_eq!((mailbox.confirmed, mailbox.refused.len()), (1, 0));
}

#[test]
fn the_unique_count_stands_in_the_hour_of_the_first_hit_however_late_it_was_recorded() {
    let mut mail = mailbox::mail(1, false);
    let (early, late) = (after_delivery("10m"), after_delivery("3h"));
    mail.record(mailbox::hit(2, late, Some(0), None));
    mail.record(mailbox::hit(1, early, Some(0), None));
    let mut counted = Counted::default();
    let judged = mailbox::judged(mail.judge(&Rules::builtin(), late + FINAL_AFTER));
    for change in mail.apply(&judged) {
        counted.add(&change);
    }
    assert_eq!(counted.in_hour_of(early, Measure::ClicksUnique), 1);
    assert_eq!(counted.in_hour_of(late, Measure::ClicksUnique), 0);
}

#[test]
fn landings_are_bounded_and_counted_once_for_each_click() {
    let mut mail = mailbox::mail(3, false);
    let at = delivered_at() + Duration::from_mins(5);
    for number in 1..=100 {
        let hit = mailbox::hit(number, at, Some(0), None);
        let landing = mailbox::landing(number + 1_000, at, &hit, LandingVia::Snippet, None);
        let first = mail.land(landing.clone());
        assert_eq!(first.is_some(), number <= LANDINGS_MAX as u64);
        assert_eq!(mail.land(landing), None, "a second report counts nothing");
    }
    assert_eq!(mail.landings().len(), LANDINGS_MAX);
}

#[test]
fn a_verdict_that_turns_takes_the_unique_count_with_it() {
    // The person lands, late enough for the first look to take both hits for machines; the second look turns it.
    let at = delivered_at() + Duration::from_mins(58);
    let check = mailbox::hit(1, at, Some(0), Some(network("cloud")));
    let person = mailbox::hit(2, at + Duration::from_millis(200), Some(0), Some(network("home")));
    let lands = mailbox::landing(3, at + Duration::from_mins(10), &person, LandingVia::Server, Some(true));
    let mailbox = Mailbox::run(1, false, vec![Act::Hit(check), Act::Hit(person), Act::Landing(lands)]);
    let rounds: Vec<_> = mailbox
        .journal
        .iter()
        .flat_map(|judged| &judged.hits)
        .map(|verdict| (verdict.hit.raw(), verdict.class))
        .collect();
    let person_first = rounds.iter().find(|(hit, _)| *hit == 2).unwrap();
    assert_eq!(person_first.1, HitClass::Scanner);
    assert_eq!(mailbox.told[&EventId::from_raw(2)].class, HitClass::Human);
    assert_eq!(mailbox.counted.sum(Measure::ClicksMachine), 1);
    assert_eq!(mailbox.counted.sum(Measure::ClicksUnique), 1);
    assert_eq!(
        mailbox.confirmed, 1,
        "the landing turns the verdict, and the verdict claims the lead"
    );
}

#[test]
fn the_unique_count_moves_to_the_next_qualified_hit() {
    // Qualified at first sight; a HEAD that was late in the lane then tells the first one from the second.
    let rules = Rules::builtin();
    let mut mail = mailbox::mail(1, false);
    let at = delivered_at() + Duration::from_mins(50);
    let first = mailbox::hit(10, at, Some(0), Some(network("home")));
    let second = mailbox::hit(11, at + Duration::from_mins(40), Some(0), Some(network("home")));
    let mut head = mailbox::hit(9, at - Duration::from_secs(1), Some(0), Some(network("home")));
    head.visit = Visit::Head;
    mail.record(first);
    mail.record(second);
    let mut counted = Counted::default();
    let look = |mail: &mut MailState, counted: &mut Counted, now| {
        let judged = mailbox::judged(mail.judge(&rules, now));
        for change in mail.apply(&judged) {
            counted.add(&change);
        }
    };
    look(&mut mail, &mut counted, at + Duration::from_mins(3));
    let hours: Vec<_> = counted.by_hour(Measure::ClicksUnique);
    assert_eq!(hours, [1]);
    mail.record(head);
    look(&mut mail, &mut counted, at + Duration::from_hours(2));
    assert_eq!(
        counted.by_hour(Measure::ClicksUnique),
        [0, 1],
        "moved to the hour of the second"
    );
    assert_eq!(counted.by_hour(Measure::ClicksMachine), [1]);
}

#[test]
fn an_erased_mail_keeps_whose_it_is_and_nothing_else() {
    let mut mail = Mailbox::run(
        3,
        false,
        vec![Act::Hit(mailbox::hit(1, after_delivery("9m"), Some(0), None))],
    )
    .mail;
    let (person, shop) = (*mail.person(), mail.shop());
    mail.forget();
    let mut mail = MailState::decode(&mail.encode()).unwrap();
    assert_eq!((*mail.person(), mail.shop()), (person, shop));
    assert!(mail.is_forgotten() && mail.encode().len() < 32);
    let hit = mailbox::hit(2, after_delivery("10m"), Some(0), None);
    assert_eq!(
        mail.land(mailbox::landing(
            3,
            after_delivery("11m"),
            &hit,
            LandingVia::Snippet,
            None
        )),
        None
    );
    assert_eq!(mail.record(hit), Recorded::Ignored);
    assert_eq!((mail.due(), mail.counts()), (None, types::tally::MailCounts::default()));
}

#[test]
fn the_stored_form_takes_what_later_versions_add() {
    let mail = Mailbox::run(
        3,
        false,
        vec![Act::Hit(mailbox::hit(1, after_delivery("9m"), Some(0), None))],
    )
    .mail;
    let bytes = mail.encode();
    assert_eq!(MailState::decode(&bytes).unwrap(), mail);
    // The outer map with one entry more, under a key that nobody knows yet.
    let mut later = vec![bytes[0] + 1];
    later.extend_from_slice(&bytes[1..]);
    later.extend_from_slice(&[0x18, 99, 0x82, 1, 2]);
    assert_eq!(MailState::decode(&later).unwrap(), mail);
}

#[test]
fn other_rules_say_other_things_of_the_same_hits() {
    let text = include_str!("../rules/verdicts.toml").replace("click_seconds = 5", "click_seconds = 60");
    let (builtin, strict) = (Rules::builtin(), Rules::parse(&text).unwrap());
    let mut mail = mailbox::mail(1, false);
    mail.record(mailbox::hit(1, after_delivery("30s"), Some(0), None));
    let class = |rules: &Rules| mail.judge(rules, delivered_at() + FINAL_AFTER + FINAL_AFTER)[0].class;
    assert_eq!((class(&builtin), class(&strict)), (HitClass::Human, HitClass::Scanner));
}

#[test]
fn every_fault_of_rules_is_told() {
    let text = include_str!("../rules/verdicts.toml")
        .replace("click_seconds = 5", "click_seconds = 61")
        .replace("links = 3", "links = 1")
        .replace("150.70.0.0/16", "150.70.0.0/25");
    let faults = Rules::parse(&text).unwrap_err();
    assert_eq!(faults.0.len(), 3, "{faults}");
    assert!(Rules::parse("version = 1").is_err());
    assert!(Rules::parse(&format!("{text}\nunknown = 1")).is_err());
}

#[test]
fn the_first_delivery_stands() {
    let mut mail = mailbox::mail(1, false);
    mail.delivered(after_delivery("1h"), types::provider::Provider::Yahoo);
    assert_eq!(mail.delivered_at(), Some(delivered_at()));
}

#[test]
fn a_hit_is_recorded_once() {
    let mut mail = mailbox::mail(1, false);
    let hit = mailbox::hit(1, after_delivery("9m"), Some(0), None);
    let Recorded::Counted(change) = mail.record(hit.clone()) else {
        panic!("a plain click counts");
    };
    assert_eq!(change.campaign, Some(CampaignNumber(100)));
    assert_eq!(change.measures().collect::<Vec<_>>(), [(Measure::ClicksRaw, 1)]);
    assert_eq!(mail.record(hit), Recorded::Ignored);
}
