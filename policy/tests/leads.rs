//! Which landings are leads, and why others are not.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod fixture;
mod mailbox;

use std::time::Duration;

use fixture::{OTHER, OWN};
use mailbox::{Act, Mailbox, delivered_at};
use policy::hits::{ClickSeen, Landing};
use policy::leads::{CLICK_AFTER_MAIL, EarlierVisit, LANDING_AFTER_CLICK, LeadFacts, decide};
use types::event::{EvidenceGrade, HitClass, LandingVia, LeadOutcome, LeadRefusal, LeadVerdict, Round, VoidReason};
use types::id::{LeadId, VisitorKey};
use types::network::Network;

const VISITOR: VisitorKey = VisitorKey::from_bytes([9; 16]);

/// A snippet's report, a minute after a click that was made an hour after the mail.
fn landing() -> Landing {
    let clicked_at = delivered_at() + Duration::from_hours(1);
    let click = mailbox::hit(1, clicked_at, Some(0), None);
    mailbox::landing(
        2,
        clicked_at + Duration::from_mins(1),
        &click,
        LandingVia::Snippet,
        None,
    )
}

/// Facts that make a lead.
fn facts(landing: &Landing) -> LeadFacts<'_> {
    LeadFacts {
        landing,
        click: Some(ClickSeen {
            at: delivered_at() + Duration::from_hours(1),
            class: HitClass::Human,
            round: Round::Provisional,
        }),
        mailed_at: delivered_at(),
        offer_ends_at: None,
        publisher: OWN,
        advertiser: OTHER,
        visitor: VISITOR,
        price: Some(toml::from_str("amount = 90\ncurrency = 'EUR'").unwrap()),
        withdrawn: false,
        visit: None,
    }
}

/// Expects that what spoils the facts is the reason that is told.
fn check(expected: LeadRefusal, spoil: impl FnOnce(&mut LeadFacts<'_>, &mut Landing)) {
    let mut spoilt = landing();
    let base = landing();
    let mut facts = facts(&base);
    spoil(&mut facts, &mut spoilt);
    let facts = LeadFacts {
        landing: &spoilt,
        ..facts
    };
    assert_eq!(decide(&facts), LeadVerdict::Refused(expected));
}

fn class(facts: &mut LeadFacts<'_>, class: HitClass) {
    facts.click.as_mut().unwrap().class = class;
}

#[test]
fn a_first_visit_is_a_lead_at_the_frozen_price() {
    let landing = landing();
    let LeadVerdict::Claimed(claim) = decide(&facts(&landing)) else {
        panic!("nothing speaks against it");
    };
    assert_eq!(claim.lead, LeadId::new(OTHER, &VISITOR, 0));
    assert_eq!((claim.visitor, claim.generation), (VISITOR, 0));
    assert_eq!(claim.price.amount, 90);
    assert_eq!(claim.evidence, EvidenceGrade::History);
    assert_eq!(
        decide(&facts(&landing)),
        LeadVerdict::Claimed(claim),
        "the same facts, the same lead"
    );
}

#[test]
fn every_refusal_has_its_cause() {
    check(LeadRefusal::Withdrawn, |facts, _| facts.withdrawn = true);
    check(LeadRefusal::NoClick, |facts, _| facts.click = None);
    check(LeadRefusal::Test, |facts, _| class(facts, HitClass::Test));
    for machine in HitClass::ALL {
        if !matches!(machine, HitClass::Human | HitClass::Test) {
            check(LeadRefusal::Machine, |facts, _| class(facts, machine));
        }
    }
    check(LeadRefusal::Unproven, |_, landing| landing.proven = false);
    check(LeadRefusal::OwnShop, |facts, _| facts.advertiser = facts.publisher);
    check(LeadRefusal::OfferOver, |facts, _| facts.price = None);
    check(LeadRefusal::VisitedBefore, |facts, _| {
        facts.visit = Some(EarlierVisit {
            generation: 0,
            open: false,
        });
    });
    check(LeadRefusal::KnownToSite, |_, landing| landing.browser_new = Some(false));
    check(LeadRefusal::KnownToSite, |_, landing| landing.server_new = Some(false));
    check(LeadRefusal::KnownToSite, |_, landing| {
        (landing.browser_new, landing.server_new) = (Some(false), Some(true));
    });
}

#[test]
fn windows_end_to_the_millisecond() {
    let millisecond = Duration::from_millis(1);
    let clicked_at = delivered_at() + Duration::from_hours(1);
    check(LeadRefusal::OutOfWindow, |_, landing| {
        landing.at = clicked_at + LANDING_AFTER_CLICK + millisecond;
    });
    check(LeadRefusal::OfferOver, |facts, _| {
        facts.offer_ends_at = Some(clicked_at);
    });
    check(LeadRefusal::OfferOver, |facts, _| {
        facts.mailed_at = clicked_at - CLICK_AFTER_MAIL - millisecond;
    });
    let mut just = landing();
    just.at = clicked_at + LANDING_AFTER_CLICK;
    let facts = LeadFacts {
        offer_ends_at: Some(clicked_at + millisecond),
        mailed_at: clicked_at - CLICK_AFTER_MAIL,
        ..facts(&just)
    };
    assert!(matches!(decide(&facts), LeadVerdict::Claimed(_)));
}

#[test]
fn what_the_person_forbids_is_told_first_and_what_the_site_says_last() {
    check(LeadRefusal::Withdrawn, |facts, landing| {
        facts.withdrawn = true;
        facts.click = None;
        landing.browser_new = Some(false);
    });
    check(LeadRefusal::VisitedBefore, |facts, landing| {
        facts.visit = Some(EarlierVisit {
            generation: 3,
            open: false,
        });
        landing.browser_new = Some(false);
    });
}

#[test]
fn after_a_voided_lead_the_next_visit_is_a_lead_of_the_next_generation() {
    let landing = landing();
    let mut facts = facts(&landing);
    facts.visit = Some(EarlierVisit {
        generation: 1,
        open: true,
    });
    let LeadVerdict::Claimed(claim) = decide(&facts) else {
        panic!("the visit is open");
    };
    assert_eq!((claim.generation, claim.lead), (1, LeadId::new(OTHER, &VISITOR, 1)));
}

#[test]
fn the_grade_is_the_best_that_speaks_for_a_first_visit() {
    for (browser_new, server_new, grade) in [
        (None, None, EvidenceGrade::History),
        (Some(true), None, EvidenceGrade::HistoryAndBrowser),
        (None, Some(true), EvidenceGrade::HistoryAndServer),
        (Some(true), Some(true), EvidenceGrade::HistoryAndServer),
    ] {
        let mut landing = landing();
        (landing.browser_new, landing.server_new) = (browser_new, server_new);
        assert_eq!(landing.evidence(), Some(grade));
    }
}

/// A click at 5 minutes, with these reports of its landing at these seconds after it.
fn reported(reports: &[(u64, LandingVia, Option<bool>)]) -> Mailbox {
    let clicked_at = delivered_at() + Duration::from_mins(5);
    let click = mailbox::hit(1, clicked_at, Some(0), Some(Network::V4([192, 0, 2])));
    let mut acts = vec![Act::Hit(click.clone())];
    for (number, (second, via, new)) in (2..).zip(reports) {
        let at = clicked_at + Duration::from_secs(*second);
        acts.push(Act::Landing(mailbox::landing(number, at, &click, *via, *new)));
    }
    Mailbox::run(1, false, acts)
}

#[test]
fn later_reports_add_evidence_and_count_nothing() {
    let mailbox = reported(&[
        (2, LandingVia::Image, None),
        (3, LandingVia::Snippet, Some(true)),
        (60, LandingVia::Server, Some(true)),
    ]);
    assert_eq!(mailbox.mail.counts().landings, 1);
    assert_eq!((mailbox.confirmed, mailbox.mail.counts().leads), (1, 1));
    let landing = &mailbox.mail.landings()[0];
    assert_eq!(landing.evidence(), Some(EvidenceGrade::HistoryAndServer));
    assert_eq!(landing.id.raw(), 4, "the report that proves most");
}

#[test]
fn an_image_alone_is_no_lead_but_waits_for_something_better() {
    assert_eq!(reported(&[(2, LandingVia::Image, None)]).confirmed, 0);
    assert_eq!(
        reported(&[(2, LandingVia::Image, None), (600, LandingVia::Server, None)]).confirmed,
        1
    );
}

#[test]
fn a_site_that_knew_the_visitor_voids_the_pending_lead() {
    let mailbox = reported(&[(2, LandingVia::Snippet, None), (600, LandingVia::Server, Some(false))]);
    assert_eq!((mailbox.confirmed, mailbox.mail.counts().leads), (0, 0));
    assert_eq!(mailbox.settled, [LeadOutcome::Voided(VoidReason::KnownToSite)]);
}

#[test]
fn a_site_that_contradicts_itself_knew_the_visitor() {
    for (first, then) in [(true, false), (false, true)] {
        let mailbox = reported(&[
            (2, LandingVia::Server, Some(first)),
            (3, LandingVia::Server, Some(then)),
        ]);
        assert_eq!(mailbox.refused, [LeadRefusal::KnownToSite]);
    }
}

#[test]
fn a_site_that_says_so_after_the_lead_was_confirmed_changes_nothing_here() {
    let mailbox = reported(&[(2, LandingVia::Snippet, None), (2_000, LandingVia::Server, Some(false))]);
    assert_eq!(mailbox.settled, [LeadOutcome::Confirmed]);
}

#[test]
fn a_verdict_that_turns_voids_the_pending_lead() {
    // Claimed at the first look; a HEAD that was late in the lane then tells that the click was a program's.
    let clicked_at = delivered_at() + Duration::from_mins(5);
    let network = Some(Network::V4([192, 0, 2]));
    let click = mailbox::hit(10, clicked_at, Some(0), network);
    let mut head = mailbox::hit(9, clicked_at - Duration::from_secs(1), Some(0), network);
    head.visit = types::event::Visit::Head;
    let lands = mailbox::landing(
        11,
        clicked_at + Duration::from_secs(2),
        &click,
        LandingVia::Snippet,
        None,
    );
    let acts = vec![Act::Hit(click), Act::Landing(lands)];
    let mut mailbox = Mailbox::started(1, false);
    for act in acts {
        mailbox.take(act);
    }
    mailbox.look(clicked_at + Duration::from_mins(2));
    assert_eq!(mailbox.mail.counts().leads, 1);
    mailbox.take(Act::Hit(head));
    mailbox.finish();
    assert_eq!(mailbox.settled, [LeadOutcome::Voided(VoidReason::Machine)]);
    assert_eq!(mailbox.mail.counts().leads, 0);
}

#[test]
fn a_landing_whose_click_was_lost_is_refused_after_two_minutes() {
    let clicked_at = delivered_at() + Duration::from_mins(5);
    let click = mailbox::hit(1, clicked_at, Some(0), None);
    let lands = mailbox::landing(2, clicked_at, &click, LandingVia::Snippet, None);
    let mailbox = Mailbox::run(1, false, vec![Act::Landing(lands.clone())]);
    assert_eq!(mailbox.refused, [LeadRefusal::NoClick]);
    let mailbox = Mailbox::run(1, false, vec![Act::Landing(lands), Act::Hit(click)]);
    assert_eq!(
        (mailbox.confirmed, mailbox.refused.len()),
        (1, 0),
        "the click only came later"
    );
}
