//! What a withdrawal reaches of the mails already decided, and that folding twice changes nothing.

mod fixture;

use fixture::{OTHER, OWN, Person};
use policy::PersonState;
use policy::person::{Purpose, after_outcome};
use types::event::{AttemptEnded, FailureClass, Outcome, SuppressionCause};
use types::id::{Attempt, MessageId, PersonKey};
use types::text::Line;

/// Tells a past whose lines starting with "mail" are mails; returns the person and the mails.
fn person(past: &[&str]) -> (Person, Vec<MessageId>) {
    let mut person = Person::default();
    let mut mails = Vec::new();
    for line in past {
        person.tell(line);
        if line.starts_with("mail") {
            mails.push(person.last_mail());
        }
    }
    (person, mails)
}

#[test]
fn unsubscribing_from_a_shop_reaches_its_offers_and_the_tracking_of_all_its_mails() {
    let (mut person, mails) = person(&["mail 4h", "mail transactional 3h", "mail other 2h"]);
    let withdrawal = person.tell("unsubscribe own 1h");
    assert_eq!(withdrawal.sending, mails[..1]);
    assert_eq!(withdrawal.tracking, mails[..2]);
    assert_eq!(person.state.withdrawn().collect::<Vec<_>>(), mails[..2]);
}

#[test]
fn leaving_the_network_reaches_every_shop() {
    let (mut person, mails) = person(&["mail 4h", "mail transactional 3h", "mail other 2h"]);
    let withdrawal = person.tell("unsubscribe network 1h");
    assert_eq!(withdrawal.sending, [mails[0], mails[2]]);
    assert_eq!(withdrawal.tracking, mails);
}

#[test]
fn a_withdrawal_reaches_mails_from_before_the_clock_was_set_back() {
    for withdrawal in ["unsubscribe own 2h", "unsubscribe network 2h", "order tracking no 2h"] {
        let (mut person, mails) = person(&["mail 1h"]);
        person.tell(withdrawal);
        assert!(!person.state.may_record(OWN, mails[0]), "{withdrawal}");
    }
}

#[test]
fn refusing_tracking_leaves_mails_in_the_queue() {
    let (mut person, mails) = person(&["mail 2h"]);
    let withdrawal = person.tell("order tracking no 1h");
    assert!(withdrawal.sending.is_empty());
    assert_eq!(withdrawal.tracking, mails);
}

#[test]
fn refusing_marketing_takes_offers_out_of_the_queue() {
    let (mut person, mails) = person(&["mail 3h", "mail transactional 2h"]);
    let withdrawal = person.tell("order marketing no 1h");
    assert_eq!(withdrawal.sending, mails[..1]);
    assert!(withdrawal.tracking.is_empty());
}

#[test]
fn a_refusal_that_was_overtaken_withdraws_nothing() {
    let (mut person, _) = person(&["order marketing yes@1h 1h", "mail 30m"]);
    let withdrawal = person.tell("order marketing no@2h 10m");
    assert!(withdrawal.sending.is_empty());
}

#[test]
fn a_withdrawal_covers_mails_made_before_we_learned_of_it() {
    let (mut person, mails) = person(&["mail 1h"]);
    person.tell("order tracking no@2h 30m");
    assert!(!person.state.may_record(OWN, mails[0]));
    person.tell("mail 20m");
    assert!(person.state.may_record(OWN, person.last_mail()));
    assert!(person.state.may_record(OTHER, mails[0]));
}

#[test]
fn consent_given_again_does_not_reopen_old_mails() {
    let (mut person, mails) = person(&["mail 3h", "unsubscribe own 2h"]);
    person.tell("order tracking yes@1h 1h");
    assert!(!person.state.may_record(OWN, mails[0]));
}

#[test]
fn a_hard_bounce_takes_everything_out_of_the_queue() {
    let (mut person, mails) = person(&["mail 4h", "mail transactional 3h", "mail other 2h"]);
    let withdrawal = person.tell("suppress network both hard_bounce 1h");
    assert_eq!(withdrawal.sending, mails);
    assert!(withdrawal.tracking.is_empty());
    assert!(person.tell("release network both 30m").sending.is_empty());
}

#[test]
fn stopping_tracking_reaches_the_shops_mails_and_leaves_the_queue_alone() {
    let (mut person, mails) = person(&["mail 4h", "mail transactional 3h", "mail other 2h"]);
    let withdrawal = person.tell("stop own 1h");
    assert!(withdrawal.sending.is_empty());
    assert_eq!(withdrawal.tracking, mails[..2]);
    assert!(!person.state.may_record(OWN, mails[0]) && person.state.may_record(OTHER, mails[2]));
    assert_eq!(person.tell("resume own 30m"), policy::person::Withdrawal::default());
    assert!(
        !person.state.may_record(OWN, mails[0]),
        "offers are welcome again, being followed is not"
    );
}

#[test]
fn erasing_what_a_shop_knows_reaches_all_its_mails_and_forgets_them() {
    let past = [
        "order marketing yes@5h 5h",
        "mail 4h",
        "mail transactional 3h",
        "mail other 2h",
    ];
    let (mut person, mails) = person(&past);
    let withdrawal = person.tell("erase own 1h");
    assert_eq!(withdrawal.sending, mails[..2]);
    assert_eq!(withdrawal.tracking, mails[..2]);
    assert_eq!(person.state.said(OWN, Purpose::Marketing), None);
    let kept: Vec<_> = person.state.messages().iter().map(|sent| sent.message).collect();
    assert_eq!(kept, mails[2..]);
    assert!(!person.state.may_record(OWN, mails[0]) && person.state.may_record(OTHER, mails[2]));
}

#[test]
fn erasing_everything_keeps_what_protects_the_person_alone() {
    let past = [
        "mail 4h",
        "mail other 3h",
        "order tracking no 2h",
        "unsubscribe other 2h",
    ];
    let (mut person, mails) = person(&past);
    let before = person.state.encode().len();
    let withdrawal = person.tell("erase network 1h");
    assert_eq!((&withdrawal.sending, &withdrawal.tracking), (&mails, &mails));
    assert!(person.state.messages().is_empty());
    assert!(
        mails
            .iter()
            .all(|mail| !person.state.may_record(OWN, *mail) && !person.state.may_record(OTHER, *mail))
    );
    assert_eq!(person.state.suppressions().len(), 1);
    assert_eq!(
        person.state.refused_at(OWN, Purpose::Tracking),
        Some(fixture::ago("2h"))
    );
    assert!(person.state.encode().len() < before);
    assert!(!person.state.is_capped(
        &policy::settings::FrequencyCap {
            mails_max: 1,
            ..policy::Settings::default().frequency
        },
        fixture::now()
    ));
}

#[test]
fn what_was_folded_is_not_folded_again() {
    let past = [
        "mail 3h",
        "unsubscribe own 2h",
        "order marketing yes@1h 1h",
        "mail 30m",
        "failed 10m",
    ];
    let (told, _) = person(&past);
    let mut again = PersonState::decode(&told.state.encode()).expect("decodes");
    let (mut replayed, _) = person(&[]);
    std::mem::swap(&mut replayed.state, &mut again);
    for line in ["mail 3h", "unsubscribe own 2h", "order marketing yes@1h 1h"] {
        assert_eq!(replayed.tell(line), policy::person::Withdrawal::default());
    }
    assert_eq!(replayed.state, told.state);
    assert_eq!(told.state.applied(), 5);
}

#[test]
fn mails_older_than_their_links_are_forgotten() {
    let (person, mails) = person(&["mail 401d", "mail 399d", "mail 1h"]);
    let kept: Vec<_> = person.state.messages().iter().map(|sent| sent.message).collect();
    assert_eq!(kept, mails[1..]);
}

#[test]
fn the_evidence_of_consent_is_kept() {
    let (person, _) = person(&[
        "order marketing yes@3h 3h",
        "order marketing yes 1h",
        "order tracking no@2h 2h",
    ]);
    let marketing = person.state.said(OWN, Purpose::Marketing).expect("something was said");
    assert!(marketing.granted && marketing.asserted);
    assert_eq!(marketing.at, fixture::ago("1h"));
    let tracking = person.state.said(OWN, Purpose::Tracking).expect("something was said");
    assert!(!tracking.granted && !tracking.asserted);
    assert_eq!(tracking.text.as_deref(), Some("v3"));
    assert_eq!(tracking.source.as_deref(), Some("checkout"));
    assert_eq!(person.state.said(OWN, Purpose::Sharing), None);
    assert_eq!(person.state.said(OTHER, Purpose::Marketing), None);
}

#[test]
fn only_a_mailbox_that_does_not_exist_is_suppressed_by_an_outcome() {
    let ended = |outcome| AttemptEnded {
        message: MessageId::from_raw(1),
        attempt: Attempt(1),
        outcome,
        reply: Line::default(),
        peer: Line::default(),
        tls: None,
    };
    let person = PersonKey::from_bytes([3; 16]);
    for class in FailureClass::ALL {
        let change = after_outcome(person, &ended(Outcome::Failed { class }));
        let cause = change.and_then(|change| change.cause);
        let expected = (class == FailureClass::BadMailbox).then_some(SuppressionCause::HardBounce);
        assert_eq!(cause, expected, "{class:?}");
        let until = fixture::now();
        assert_eq!(after_outcome(person, &ended(Outcome::Deferred { until, class })), None);
    }
}
