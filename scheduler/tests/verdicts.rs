//! Verdicts on opens and clicks, and the leads that hang on them, on a clock that is set.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state expectations")]

mod fixture;

use std::time::Duration;

use fixture::{ADVERTISER, CAMPAIGN, ELSEWHERE, Node, PUBLISHER, SECOND_PUBLISHER, Sent, furnished};
use store::intake::SubmitError;
use types::event::{
    AgentClass, Clicked, Event, EvidenceGrade, HitClass, Landed, LandingVia, LeadOutcome, LeadRefusal, LeadVerdict,
    Preference, PreferenceChanged, Round, Visit, VoidReason,
};
use types::tally::Measure;
use types::time::{Clock, Timestamp};

/// When the first verdict on a hit is due, and when the last.
const PROVISIONAL: Duration = Duration::from_mins(2);
const FINAL: Duration = Duration::from_mins(28);

/// Returns each verdict on a mail's hits, in the order given.
async fn verdicts(node: &Node, sent: &Sent) -> Vec<(Round, HitClass)> {
    let history = node.history(sent).await;
    let judged = history.into_iter().filter_map(|event| match event {
        Event::Judged(judged) => Some(judged.hits),
        _ => None,
    });
    judged.flatten().map(|hit| (hit.round, hit.class)).collect()
}

async fn check(node: &Node, counts: &[(Measure, u64)]) {
    for (measure, count) in counts {
        assert_eq!(node.count(PUBLISHER, *measure).await, *count, "{measure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_open_and_click_are_judged_twice_and_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    node.submit(sent.partition, sent.opened()).await;
    node.click(&sent, 0).await;
    node.tick().await;
    check(
        &node,
        &[
            (Measure::OpensRaw, 1),
            (Measure::ClicksRaw, 1),
            (Measure::ClicksQualified, 0),
        ],
    )
    .await;
    assert_eq!(verdicts(&node, &sent).await, []);

    node.after(PROVISIONAL).await;
    let human = [
        (Measure::OpensQualified, 1),
        (Measure::OpensUnique, 1),
        (Measure::ClicksQualified, 1),
        (Measure::ClicksUnique, 1),
    ];
    check(&node, &human).await;
    assert_eq!(verdicts(&node, &sent).await, [(Round::Provisional, HitClass::Human); 2]);
    node.tick().await;
    assert_eq!(verdicts(&node, &sent).await.len(), 2, "judged again before its time");

    node.after(FINAL).await;
    check(&node, &human).await;
    assert_eq!(verdicts(&node, &sent).await[2..], [(Round::Final, HitClass::Human); 2]);
    let now = node.clock.now();
    assert_eq!(
        node.store
            .state()
            .mails()
            .due(0..1025, Timestamp::default(), now + FINAL, 10)
            .unwrap(),
        []
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_that_follows_all_links_is_told_from_the_person_who_comes_later() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    for place in 0..3 {
        let click = node.store.journal().mint();
        let clicked = Clicked {
            network: Some(ELSEWHERE),
            ..sent.clicked(click, place)
        };
        node.submit(sent.partition, Event::Clicked(clicked)).await;
    }
    node.clock.advance(Duration::from_hours(1));
    node.visit(&sent).await;
    node.after(PROVISIONAL).await;
    node.after(FINAL).await;
    check(
        &node,
        &[
            (Measure::ClicksRaw, 4),
            (Measure::ClicksMachine, 3),
            (Measure::ClicksQualified, 1),
            (Measure::ClicksUnique, 1),
            (Measure::LeadsClaimed, 1),
            (Measure::LeadsConfirmed, 1),
        ],
    )
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_in_advance_is_kept_and_counted_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    let click = node.store.journal().mint();
    let clicked = Clicked {
        visit: Visit::Prefetch,
        ..sent.clicked(click, 0)
    };
    node.submit(sent.partition, Event::Clicked(clicked)).await;
    node.after(PROVISIONAL).await;
    check(
        &node,
        &[
            (Measure::ClicksRaw, 0),
            (Measure::ClicksMachine, 0),
            (Measure::ClicksUnique, 0),
        ],
    )
    .await;
    assert_eq!(verdicts(&node, &sent).await, [(Round::Final, HitClass::Prefetch)]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_visit_is_claimed_at_the_first_verdict_and_confirmed_at_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    let click = node.visit(&sent).await;
    assert_eq!(node.leads().await, []);

    node.after(PROVISIONAL).await;
    let [lead] = &node.leads().await[..] else {
        panic!("not one lead")
    };
    let LeadVerdict::Claimed(claim) = &lead.decided.verdict else {
        panic!("{lead:?}")
    };
    assert_eq!(
        (lead.decided.click, lead.decided.campaign, lead.outcome),
        (click, CAMPAIGN, None)
    );
    assert_eq!(
        (claim.price.amount, claim.evidence),
        (90, EvidenceGrade::HistoryAndBrowser)
    );
    let visit = node
        .store
        .state()
        .leads()
        .visit(sent.partition, &sent.person, ADVERTISER)
        .unwrap()
        .unwrap();
    assert_eq!(
        (visit.lead, visit.visitor, visit.open),
        (Some(claim.lead), claim.visitor, false)
    );

    let money = |outcome: &str| node.metric("scheduler_lead_amount_total", &format!("{outcome} EUR")).0;
    assert_eq!((money("claimed"), money("confirmed")), (90.0, 0.0));

    node.after(FINAL).await;
    let [lead] = &node.leads().await[..] else {
        panic!("not one lead")
    };
    assert_eq!(lead.outcome, Some(LeadOutcome::Confirmed));
    assert_eq!(
        (money("claimed"), money("confirmed"), money("voided")),
        (90.0, 90.0, 0.0)
    );
    assert_eq!(
        node.metric("scheduler_lead_lateness_seconds", ""),
        (1.0, 10.0),
        "it was due half an hour after its click, not after its landing"
    );
    check(
        &node,
        &[
            (Measure::Landings, 1),
            (Measure::LeadsClaimed, 1),
            (Measure::LeadsConfirmed, 1),
            (Measure::LeadsVoided, 0),
        ],
    )
    .await;
    let counts = node
        .store
        .state()
        .mails()
        .get(sent.partition, sent.message)
        .unwrap()
        .unwrap()
        .counts;
    assert_eq!((counts.clicks, counts.landings, counts.leads), ([1, 0, 1], 1, 1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_landing_that_comes_before_its_click_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    let click = node.store.journal().mint();
    node.land(&sent, sent.landed(click, sent.place())).await;
    node.submit(sent.partition, Event::Clicked(sent.clicked(click, sent.place())))
        .await;
    node.after(PROVISIONAL).await;
    assert_eq!(node.leads().await.len(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_is_counted_by_the_process_that_decides_and_not_again_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    node.visit(&sent).await;
    node.after(PROVISIONAL).await;
    let told = node.metric("scheduler_lead_amount_total", "claimed EUR");
    assert_eq!(told, (90.0, 0.0));
    let clock = std::sync::Arc::clone(&node.clock);
    node.stop().await;

    let node = fixture::start_at(folder.path(), clock).await;
    let money = |outcome: &str| node.metric("scheduler_lead_amount_total", &format!("{outcome} EUR")).0;
    node.after(Duration::from_secs(1)).await;
    assert_eq!(
        (money("claimed"), money("confirmed")),
        (0.0, 0.0),
        "a replay adds nothing"
    );
    node.after(FINAL).await;
    assert_eq!((money("claimed"), money("confirmed")), (0.0, 90.0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_runner_tells_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let node = fixture::start_with(folder.path(), std::sync::Arc::new(fixture::SetClock::default()), 3).await;
    for name in [
        "scheduler_runner_ticks_total",
        "scheduler_tracked_backlog",
        "scheduler_unapplied_values",
        "scheduler_judged_lag_seconds",
        "scheduler_timers_window",
        "scheduler_timers_overdue_seconds",
    ] {
        let families = node.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let runners: Vec<_> = family
            .get_metric()
            .iter()
            .map(|metric| metric.get_label()[0].value())
            .collect();
        assert_eq!(runners, ["0", "1", "2"], "{name}");
    }
    // The first tick is at once.
    for runner in ["0", "1", "2"] {
        while node.metric("scheduler_runner_ticks_total", runner).0 < 1.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_landing_without_a_click_is_no_lead() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    let click = node.store.journal().mint();
    node.land(&sent, sent.landed(click, sent.place())).await;
    node.after(PROVISIONAL).await;
    assert_eq!(
        node.leads_decided(&sent).await,
        [LeadVerdict::Refused(LeadRefusal::NoClick)]
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_replayed_a_thousand_times_makes_one_lead() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    for _ in 0..1_000 {
        let click = node.store.journal().mint();
        let clicked = Event::Clicked(sent.clicked(click, sent.place()));
        node.store.intake().tell(sent.partition, clicked).await.unwrap();
        node.clock.advance(Duration::from_secs(1));
    }
    node.tick().await;
    for _ in 0..5 {
        node.visit(&sent).await;
        node.land(&sent, sent.landed(node.store.journal().mint(), sent.place()))
            .await;
    }
    node.after(PROVISIONAL).await;
    node.after(FINAL).await;
    assert_eq!(node.leads().await.len(), 1);
    check(
        &node,
        &[
            (Measure::ClicksRaw, 1_005),
            (Measure::ClicksUnique, 1),
            (Measure::LeadsClaimed, 1),
        ],
    )
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_shops_mails_that_lead_to_one_site_make_one_lead() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let first = node.delivered(PUBLISHER, "mario@example.it").await;
    let second = node.delivered(SECOND_PUBLISHER, "mario@example.it").await;
    node.visit(&first).await;
    node.visit(&second).await;
    node.after(PROVISIONAL).await;
    node.after(FINAL).await;
    assert_eq!(node.leads().await.len(), 1);
    assert_eq!(
        node.leads_decided(&second).await,
        [LeadVerdict::Refused(LeadRefusal::VisitedBefore)]
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voided_lead_lets_the_next_first_visit_be_one_of_the_next_generation() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let first = node.delivered(PUBLISHER, "mario@example.it").await;
    let second = node.delivered(SECOND_PUBLISHER, "mario@example.it").await;
    let click = node.visit(&first).await;
    node.after(PROVISIONAL).await;
    let known = Landed {
        via: LandingVia::Server,
        new_visitor: Some(false),
        network: None,
        ..first.landed(click, first.place())
    };
    node.land(&first, known).await;
    let [voided] = &node.leads().await[..] else {
        panic!("not one lead")
    };
    assert_eq!(voided.outcome, Some(LeadOutcome::Voided(VoidReason::KnownToSite)));

    node.visit(&second).await;
    node.after(PROVISIONAL).await;
    node.after(FINAL).await;
    let leads = node.leads().await;
    let LeadVerdict::Claimed(claim) = &leads[0].decided.verdict else {
        panic!("{leads:?}")
    };
    assert_eq!(
        (leads.len(), claim.generation, leads[0].outcome),
        (2, 1, Some(LeadOutcome::Confirmed))
    );
    check(
        &node,
        &[
            (Measure::LeadsClaimed, 1),
            (Measure::LeadsVoided, 1),
            (Measure::LeadsConfirmed, 0),
        ],
    )
    .await;
    let counts = node
        .store
        .state()
        .mails()
        .get(first.partition, first.message)
        .unwrap()
        .unwrap()
        .counts;
    assert_eq!((counts.landings, counts.leads), (1, 0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_lead_is_voided_when_its_click_turns_out_to_be_a_machines() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    let click = node.visit(&sent).await;
    node.after(PROVISIONAL).await;
    assert_eq!(node.leads().await.len(), 1);
    // The same network had followed the other links as well; its clicks were told late.
    let began = node.clock.now();
    node.clock.set(click.time());
    for place in (0..3).filter(|place| *place != sent.place()) {
        node.click(&sent, place).await;
    }
    node.clock.set(began);
    node.after(FINAL).await;
    let [lead] = &node.leads().await[..] else {
        panic!("not one lead")
    };
    assert_eq!(lead.outcome, Some(LeadOutcome::Voided(VoidReason::Machine)));
    check(
        &node,
        &[
            (Measure::ClicksMachine, 3),
            (Measure::ClicksQualified, 0),
            (Measure::ClicksUnique, 0),
        ],
    )
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_whom_the_site_knows_is_no_lead_then_or_later() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let first = node.delivered(PUBLISHER, "mario@example.it").await;
    let second = node.delivered(SECOND_PUBLISHER, "mario@example.it").await;
    let click = node.click(&first, first.place()).await;
    let known = Landed {
        new_visitor: Some(false),
        ..first.landed(click, first.place())
    };
    node.land(&first, known).await;
    node.after(PROVISIONAL).await;
    node.visit(&second).await;
    node.after(PROVISIONAL).await;
    node.after(FINAL).await;
    assert_eq!(
        node.leads_decided(&first).await,
        [LeadVerdict::Refused(LeadRefusal::KnownToSite)]
    );
    assert_eq!(
        node.leads_decided(&second).await,
        [LeadVerdict::Refused(LeadRefusal::VisitedBefore)]
    );
    assert_eq!(node.leads().await, []);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_withdraws_between_click_and_verdict_makes_no_lead_and_nothing_more_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    let click = node.visit(&sent).await;
    let changed = PreferenceChanged {
        message: sent.message,
        shop: PUBLISHER,
        preference: Preference::StopTracking,
    };
    node.submit(sent.partition, Event::PreferenceChanged(changed)).await;
    assert!(node.withdrawals.contains(sent.message), "the tracker is not told");

    for event in [
        sent.opened(),
        Event::Clicked(sent.clicked(click, 0)),
        Event::Landed(Box::new(sent.landed(click, sent.place()))),
    ] {
        let refused = node.try_submit(sent.partition, event).await;
        assert!(matches!(refused, Err(SubmitError::Refused(_))), "{refused:?}");
    }
    node.after(PROVISIONAL).await;
    node.after(FINAL).await;
    assert_eq!(
        node.leads_decided(&sent).await,
        [LeadVerdict::Refused(LeadRefusal::Withdrawn)]
    );
    check(&node, &[(Measure::ClicksRaw, 1), (Measure::LeadsClaimed, 0)]).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_landing_names_a_campaign_that_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    let click = node.click(&sent, 0).await;
    let landed = Landed {
        campaign: types::id::CampaignNumber(99),
        ..sent.landed(click, 0)
    };
    let refused = node.try_submit(sent.partition, Event::Landed(Box::new(landed))).await;
    assert!(matches!(refused, Err(SubmitError::Refused(_))), "{refused:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_proves_a_landing_makes_a_lead() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    let click = node.click(&sent, sent.place()).await;
    let image = Landed {
        via: LandingVia::Image,
        new_visitor: None,
        agent: AgentClass::Unknown,
        ..sent.landed(click, sent.place())
    };
    node.land(&sent, image).await;
    node.after(PROVISIONAL).await;
    node.after(FINAL).await;
    assert_eq!(
        node.leads_decided(&sent).await,
        [LeadVerdict::Refused(LeadRefusal::Unproven)]
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_delays_verdicts_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let node = furnished(folder.path()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    node.visit(&sent).await;
    node.after(Duration::from_mins(1)).await;
    let before = node.clock.now();
    node.clock.set(before - Duration::from_hours(1));
    node.tick().await;
    let later = node.delivered(SECOND_PUBLISHER, "luigi@example.it").await;
    node.visit(&later).await;
    node.after(PROVISIONAL).await;
    assert_eq!(verdicts(&node, &later).await, [(Round::Provisional, HitClass::Human)]);
    assert_eq!(verdicts(&node, &sent).await, []);
    node.clock.set(before);
    node.after(PROVISIONAL).await;
    node.after(FINAL).await;
    assert_eq!(node.leads().await.len(), 2);
    for sent in [&sent, &later] {
        assert_eq!(
            verdicts(&node, sent).await.last(),
            Some(&(Round::Final, HitClass::Human))
        );
    }
    node.stop().await;
}
