//! The queues in simulated time, without sockets.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;
use types::address::EmailAddress;
use types::event::FailureClass;
use types::id::PartitionId;
use types::order::Stream;

use super::*;

const START: Timestamp = Timestamp::from_millis(1_795_000_000_000);

fn queue() -> Queue {
    Queue::new(
        Limits {
            connections: 20,
            per_connection: 100,
            per_second: None,
            window: 8,
        },
        1 << 20,
    )
}

fn mail(id: u64, domain: &str, life: Duration) -> Ready {
    Ready {
        message: MessageId::from_raw(id),
        partition: PartitionId::CATALOGUE,
        recipient_domain: domain.into(),
        reverse_path: None,
        recipient: EmailAddress::try_from(format!("r@{domain}").as_str()).unwrap(),
        bytes: Bytes::from_static(b"Subject: x\r\n\r\nx\r\n"),
        stream: Stream::Transactional,
        expires: START + life,
        accepted_at: START,
        attempts: 0,
        doubted: false,
    }
}

fn route(site: &str) -> Route {
    Route {
        site: site.into(),
        target: Target::Fixed(site.into(), 25),
        ttl: Duration::from_hours(1),
    }
}

/// Answers all look-ups with one site; returns the sites that sessions were wanted for.
fn carry_out(queue: &mut Queue, site: &str, now: Timestamp) -> Vec<SiteId> {
    let mut opened = Vec::new();
    loop {
        let effects = queue.take_effects();
        if effects.is_empty() {
            return opened;
        }
        for effect in effects {
            match effect {
                Effect::Resolve(id, name) => queue.resolved(id, &name, Ok(route(site)), now, 0),
                Effect::Open(site) => opened.push(site),
                Effect::Wake(_) | Effect::Keep => {}
            }
        }
    }
}

#[test]
fn idle_domains_and_sites_are_forgotten_and_busy_ones_are_not() {
    let mut queue = queue();
    queue.push(mail(1, "waits.example", Duration::from_hours(9)), START);
    carry_out(&mut queue, "mx.waits.example", START);
    let notify = Arc::new(Notify::new());
    for id in 2..200_000_u64 {
        queue.push(mail(id, &format!("d{id}.example"), Duration::from_hours(9)), START);
        let site = carry_out(&mut queue, &format!("mx{id}.example"), START)[0];
        queue.site(site).unwrap().opened();
        let Turn::Work(taken) = queue.at(site).take(&notify, 8, 0, true, START) else {
            panic!("work")
        };
        queue.settle(taken[0].slot, Settled::Over, START);
        queue.at(site).session_closed(&notify, false, START);
    }
    assert!(
        queue.domains.iter().count() <= domains::DOMAINS_KEPT + 1,
        "{} domains",
        queue.domains.iter().count()
    );
    assert!(
        queue.sites.iter().count() <= domains::DOMAINS_KEPT + 1,
        "{} sites",
        queue.sites.iter().count()
    );
    assert!(
        queue
            .view()
            .why(MessageId::from_raw(1))
            .unwrap()
            .contains("mx.waits.example")
    );
    assert_eq!(queue.view().counts(), (1, 0));
}

#[test]
fn a_look_up_of_a_forgotten_domain_changes_no_other() {
    let mut queue = queue();
    queue.push(mail(1, "one.example", Duration::from_hours(9)), START);
    let Some(Effect::Resolve(id, _)) = queue.take_effects().into_iter().next() else {
        panic!("a look-up")
    };
    queue.resolved(id, "other.example", Ok(route("mx.other.example")), START, 0);
    assert!(
        queue
            .view()
            .why(MessageId::from_raw(1))
            .unwrap()
            .contains("DNS is being asked")
    );
}

#[test]
fn a_dead_site_waits_longer_each_time_and_is_probed_by_one_session() {
    let mut queue = queue();
    for id in 1..=10_000 {
        queue.push(mail(id, "dead.example", Duration::from_hours(24)), START);
    }
    let mut now = START;
    let mut opened = carry_out(&mut queue, "mx.dead.example", now);
    assert!(
        (1..=4).contains(&opened.len()),
        "an unproven site is met with few sessions: {opened:?}"
    );
    let mut waits = Vec::new();
    for _ in 0..9 {
        for site in opened.drain(..) {
            queue
                .at(site)
                .open_failed(FailureClass::Network, "refused", Duration::ZERO, now, 1 << 31);
        }
        let (ended, next) = queue.keep(now);
        assert!(ended.len() <= 1000, "work for one failure is bounded");
        waits.push(next.since(now).as_secs());
        now = next;
        queue.keep(now);
        opened = carry_out(&mut queue, "mx.dead.example", now);
        assert_eq!(opened.len(), 1, "after {waits:?}");
    }
    assert!(
        waits.is_sorted() && waits[0] >= 9 && waits[8] <= 15 * 60 * 115 / 100,
        "{waits:?}"
    );
    let (queued, in_flight) = queue.view().counts();
    assert_eq!((queued, in_flight), (10_000, 0));
}

#[test]
fn age_is_enforced_everywhere_within_bounded_turns() {
    let mut queue = queue();
    for id in 1..=300_000 {
        let life = Duration::from_mins(if id % 3 == 0 { 600 } else { 10 });
        queue.push(mail(id, &format!("d{}.example", id % 7), life), START);
    }
    carry_out(&mut queue, "mx.example", START);
    assert!(queue.sites.iter().count() == 1 && queue.change_site("mx.example", START, Site::suspend));
    let mut now = START + Duration::from_mins(11);
    let (mut expired, mut turns) = (0, 0);
    while expired < 200_000 {
        let (ended, _) = queue.keep(now);
        assert!(ended.iter().all(|(.., ended)| ended.outcome == Outcome::Expired));
        assert!(ended.len() <= 2048, "{} in one turn", ended.len());
        expired += ended.len();
        now = now + Duration::from_millis(200);
        turns += 1;
        assert!(
            turns <= 600,
            "a round takes about a minute; after {turns} turns {expired} had expired"
        );
    }
    assert_eq!(queue.view().counts().0, 100_000);
    let (kept, kept_bytes) = queue.messages.fresh_mut().size();
    assert!(kept <= 100_000 && kept_bytes <= 1 << 20);
}

#[test]
fn a_domain_that_moves_takes_its_list_along() {
    let mut queue = queue();
    for id in 1..=1000 {
        queue.push(mail(id, "moves.example", Duration::from_hours(24)), START);
    }
    let sites = carry_out(&mut queue, "old.example", START);
    for site in sites {
        queue
            .at(site)
            .open_failed(FailureClass::Network, "refused", Duration::ZERO, START, 0);
    }
    let later = START + Duration::from_mins(1);
    queue.keep(later);
    let opened = carry_out(&mut queue, "new.example", later);
    let new = *opened.last().unwrap();
    assert_eq!(&*queue.site(new).unwrap().endpoint().2, "new.example");
    queue.site(new).unwrap().opened();
    let notify = Arc::new(Notify::new());
    let Turn::Work(taken) = queue.at(new).take(&notify, 8, 0, true, later) else {
        panic!("work")
    };
    assert_eq!(taken[0].message, MessageId::from_raw(1));
}

/// Lets a new session at a site take what is ready.
fn taken(queue: &mut Queue, site: SiteId, now: Timestamp) -> Vec<Taken> {
    match queue.at(site).take(&Arc::new(Notify::new()), 8, 0, false, now) {
        Turn::Work(taken) => taken,
        Turn::Wait | Turn::Close => Vec::new(),
    }
}

#[test]
fn what_waits_while_its_site_is_held_is_told_from_what_comes_later() {
    let mut queue = queue();
    queue.push(mail(1, "slow.example", Duration::from_hours(9)), START);
    let site = carry_out(&mut queue, "mx.slow.example", START)[0];
    queue
        .at(site)
        .open_failed(FailureClass::Network, "refused", Duration::ZERO, START, 0);
    let (_, back) = queue.keep(START);
    let back = back + Duration::from_secs(1);
    queue.keep(back);
    queue.push(
        Ready {
            accepted_at: back,
            ..mail(2, "slow.example", Duration::from_hours(9))
        },
        back,
    );
    carry_out(&mut queue, "mx.slow.example", back);
    let taken = taken(&mut queue, site, back);
    let held: Vec<_> = taken.iter().map(|taken| (taken.attempts, taken.held)).collect();
    assert_eq!(held, [(0, true), (0, false)]);
}

#[test]
fn what_waited_at_a_site_that_was_held_was_held_though_its_domain_moves() {
    let mut queue = queue();
    queue.push(mail(1, "slow.example", Duration::from_hours(9)), START);
    let site = carry_out(&mut queue, "mx.slow.example", START)[0];
    queue
        .at(site)
        .open_failed(FailureClass::Network, "refused", Duration::ZERO, START, 0);
    queue.keep(START);
    let name = "slow.example";
    let id = queue.domains.find(name).unwrap();
    let later = START + Duration::from_secs(1);
    queue.resolved(id, name, Ok(route("mx.other.example")), later, 0);
    let moved = carry_out(&mut queue, "mx.other.example", later)[0];
    assert_ne!(moved, site);
    let taken = taken(&mut queue, moved, later);
    assert_eq!(taken.iter().map(|taken| taken.held).collect::<Vec<_>>(), [true]);
}

#[test]
fn ends_are_told_under_the_receivers_provider() {
    let mut queue = queue();
    queue.push(mail(1, "gmail.com", Duration::from_hours(9)), START);
    queue.push(mail(2, "shop.example", Duration::from_hours(9)), START);
    queue.push(mail(3, "nowhere.example", Duration::from_hours(9)), START);
    for effect in queue.take_effects() {
        if let Effect::Resolve(id, name) = effect
            && &*name == "shop.example"
        {
            queue.resolved(
                id,
                &name,
                Ok(route("shop-example.mail.protection.outlook.com")),
                START,
                0,
            );
        }
    }
    for id in 1..=3 {
        queue.withdraw(MessageId::from_raw(id));
    }
    let (ended, _) = queue.keep(START);
    let providers: Vec<_> = ended.iter().map(|(_, provider, _)| provider.as_str()).collect();
    assert_eq!(providers, ["google", "microsoft", "other"]);
}

#[test]
fn a_site_whose_sessions_serve_nothing_waits_longer_each_time_though_each_is_established() {
    let mut queue = queue();
    for id in 1..=100 {
        queue.push(mail(id, "odd.example", Duration::from_hours(24)), START);
    }
    let mut now = START;
    let mut opened = carry_out(&mut queue, "mx.odd.example", now);
    let mut waits = Vec::new();
    for _ in 0..9 {
        let sessions: Vec<_> = opened.drain(..).map(|site| (site, Arc::new(Notify::new()))).collect();
        for (site, _) in &sessions {
            queue.site(*site).unwrap().opened();
        }
        for (site, notify) in &sessions {
            queue
                .at(*site)
                .session_failed(FailureClass::Protocol, "one reply too many", now, 1 << 31);
            queue.at(*site).session_closed(notify, true, now);
        }
        let more = carry_out(&mut queue, "mx.odd.example", now);
        assert!(more.is_empty(), "after {waits:?}");
        let (ended, next) = queue.keep(now);
        assert_eq!(ended.len(), TOLD_MAX, "some owners are told why");
        waits.push(next.since(now).as_secs());
        now = next;
        queue.keep(now);
        opened = carry_out(&mut queue, "mx.odd.example", now);
        assert_eq!(opened.len(), 1, "after {waits:?}");
    }
    assert!(waits.is_sorted() && waits[0] >= 9 && waits[8] >= 14 * 60, "{waits:?}");
    // One message that is served ends the row.
    queue.site(opened[0]).unwrap().opened();
    queue.at(opened[0]).served(now);
    assert!(!carry_out(&mut queue, "mx.odd.example", now).is_empty());
    queue
        .at(opened[0])
        .throttle(FailureClass::Protocol, "again", Duration::ZERO, now, 1 << 31);
    let (_, next) = queue.keep(now);
    assert!(next.since(now) <= Duration::from_secs(12), "{:?}", next.since(now));
}

#[test]
fn while_another_session_is_established_only_new_ones_wait() {
    let mut queue = queue();
    for id in 1..=100 {
        queue.push(mail(id, "busy.example", Duration::from_hours(24)), START);
    }
    let site = carry_out(&mut queue, "mx.busy.example", START)[0];
    queue.site(site).unwrap().opened();
    let working = Arc::new(Notify::new());
    let Turn::Work(first) = queue.at(site).take(&working, 8, 0, true, START) else {
        panic!("work")
    };
    // More is waiting: further sessions are opened, and end without having served anything.
    queue.at(site).served(START);
    let failing = carry_out(&mut queue, "mx.busy.example", START);
    assert!(!failing.is_empty());
    for site in failing {
        queue.site(site).unwrap().opened();
        queue.at(site).session_failed(FailureClass::Network, "closed", START, 0);
        queue.at(site).session_closed(&Arc::new(Notify::new()), true, START);
    }
    let more = carry_out(&mut queue, "mx.busy.example", START);
    assert!(more.is_empty(), "none is opened for a while");
    for taken in first {
        queue.settle(taken.slot, Settled::Over, START);
    }
    let Turn::Work(second) = queue.at(site).take(&working, 8, 0, false, START) else {
        panic!("the other one works on")
    };
    assert_eq!(second.len(), 8);
    let more = carry_out(&mut queue, "mx.busy.example", START);
    assert!(more.is_empty());
    let (ended, next) = queue.keep(START);
    assert!(ended.is_empty(), "nobody waits for it: {ended:?}");
    queue.keep(next);
    assert!(!carry_out(&mut queue, "mx.busy.example", next).is_empty());
}

#[test]
fn doubts_and_interruptions_stay_with_their_message() {
    let mut queue = queue();
    queue.push(mail(1, "one.example", Duration::from_hours(24)), START);
    let site = carry_out(&mut queue, "mx.one.example", START)[0];
    queue.site(site).unwrap().opened();
    let mut seen = Vec::new();
    let mut now = START;
    let ways = [
        Settled::Interrupted,
        Settled::Again,
        Settled::Interrupted,
        Settled::OnceMore(START + Duration::from_mins(15)),
        Settled::Later(START + Duration::from_mins(20)),
        Settled::Over,
    ];
    for settled in ways {
        let taken = taken(&mut queue, site, now);
        let taken = taken.first().expect("the message");
        seen.push((taken.attempts, taken.doubted, taken.interrupted));
        queue.settle(taken.slot, settled, now);
        if let Settled::OnceMore(due) | Settled::Later(due) = settled {
            now = due;
            queue.keep(now);
        }
        carry_out(&mut queue, "mx.one.example", now);
    }
    // As it was taken, before each way of settling.
    let expected = [
        (0, false, 0),
        (0, false, 1),
        (0, false, 1),
        (0, false, 2),
        (1, true, 0),
        (2, true, 0),
    ];
    assert_eq!(seen, expected);
}
