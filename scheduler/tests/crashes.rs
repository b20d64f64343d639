//! A crash after each record of a lead's way: what was lost is done again, what was not is not done twice.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state expectations")]

mod fixture;

use std::sync::Arc;
use std::time::Duration;

use fixture::{Node, PUBLISHER, SetClock, copy, furnished, start_at};
use store::Record;
use types::event::{Event, LeadOutcome, LeadVerdict};
use types::time::Clock;

/// When the first verdict on a hit is due, and when the last.
const PROVISIONAL: Duration = Duration::from_mins(2);
const FINAL: Duration = Duration::from_mins(28);

/// Returns whether an event comes from outside; all others are what the runners make of it.
const fn is_told(event: &Event) -> bool {
    matches!(
        event,
        Event::OrderAccepted(_) | Event::AttemptEnded(_) | Event::Opened(_) | Event::Clicked(_) | Event::Landed(_)
    )
}

async fn check_lead(node: &Node, after: usize) {
    let leads = node.leads().await;
    let [lead] = &leads[..] else {
        panic!("{} leads after a crash behind record {after}", leads.len())
    };
    assert_eq!(lead.outcome, Some(LeadOutcome::Confirmed), "after record {after}");
    let records = node.records().await;
    let claimed = |record: &&Record| matches!(&record.event, Event::LeadDecided(decided) if matches!(decided.verdict, LeadVerdict::Claimed(_)));
    assert_eq!(records.iter().filter(claimed).count(), 1, "after record {after}");
    let settled = |record: &&Record| matches!(record.event, Event::LeadSettled(_));
    assert_eq!(records.iter().filter(settled).count(), 1, "after record {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_record_was_the_last_there_is_one_lead_and_the_same_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (base, whole) = (folder.path().join("base"), folder.path().join("whole"));
    let node = furnished(&base).await;
    let furniture = node.records().await.len();
    node.stop().await;

    copy(&base, &whole);
    let node = start_at(&whole, Arc::default()).await;
    let sent = node.delivered(PUBLISHER, "mario@example.it").await;
    node.submit(sent.partition, sent.opened()).await;
    node.visit(&sent).await;
    node.after(PROVISIONAL).await;
    node.after(FINAL).await;
    check_lead(&node, usize::MAX).await;
    let (expected, records) = (node.cells().await, node.records().await.split_off(furniture));
    let end = Arc::clone(&node.clock);
    node.stop().await;
    assert!(records.len() >= 9, "{}", records.len());

    // Order and decision are in one turn, and a decision that is made again names another mail: the cut comes after it.
    let decided = records
        .iter()
        .position(|record| matches!(record.event, Event::Decided(_)));
    for kept in decided.unwrap() + 1..=records.len() {
        let crashed = folder.path().join(format!("after-{kept}"));
        copy(&base, &crashed);
        let (before, lost) = records.split_at(kept);
        let clock: Arc<SetClock> = Arc::default();
        let node = start_at(&crashed, Arc::clone(&clock)).await;
        node.append_records(before).await;
        node.stop().await;

        clock.set(before.last().unwrap().wall);
        let node = start_at(&crashed, Arc::clone(&clock)).await;
        for record in lost.iter().filter(|record| is_told(&record.event)) {
            clock.set(record.wall);
            node.tick().await;
            node.submit(record.partition, record.event.clone()).await;
        }
        // Whoever reported the landing got no answer, and says it again.
        let landed = records
            .iter()
            .find(|record| matches!(record.event, Event::Landed(_)))
            .unwrap();
        clock.reach(landed.wall);
        node.submit(landed.partition, landed.event.clone()).await;
        for record in lost.iter().filter(|record| !is_told(&record.event)) {
            clock.reach(record.wall);
            node.tick().await;
        }
        clock.reach(end.now());
        node.tick().await;
        check_lead(&node, kept).await;
        assert_eq!(node.cells().await, expected, "after record {kept}");
        node.stop().await;
    }
}
