//! What leaves state by its age, and what stays: claimed names, histories, mails, and whom they are about.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests state expectations"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use common::{SetClock, append, partition, raw, scratch, settings, settle, turn};
use prometheus::Registry;
use store::state::{CellPut, ClaimPut, HistoryPut, LeadPut, MailPut, PersonPut, StoredMail, SuppressionPut, Visit};
use store::{Put, Settings, Store, SuppressionList};
use tempfile::TempDir;
use types::event::{Claim, Decided, Event, Opened, Plan, SuppressionCause, Tracking, Verdict};
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, PersonKey, PublicId, ShopNumber, Slot, VisitorKey};
use types::locale::Language;
use types::order::Stream;
use types::tally::{CellKey, Dimensions, Hour, MailCounts};
use types::time::{Clock, Timestamp};

const SHOP: ShopNumber = ShopNumber(1);
const DAY: Duration = Duration::from_hours(24);

fn open(dir: &TempDir, clock: &Arc<SetClock>) -> (Store, Registry) {
    let registry = Registry::new();
    let settings = Settings {
        checkpoint_interval: Duration::from_millis(2),
        ..settings(dir.path())
    };
    let clock: Arc<dyn Clock> = Arc::<SetClock>::clone(clock);
    (store::open(settings, clock, &registry).unwrap().0, registry)
}

/// Waits until the keeper has been in every partition: whatever was too old when this was called is gone.
fn sweep(registry: &Registry) {
    let rounds = || {
        let families = registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "store_keeper_rounds_total");
        family.unwrap().get_metric()[0].get_counter().get_value()
    };
    let before = rounds();
    // All partitions take 17 rounds; one may be under way.
    wait_for("the keeper", || rounds() > before + 18.0);
}

/// Writes these changes to state, and waits until they are there.
fn write(store: &Store, puts: Vec<Put>) {
    let mut turn = turn(append(store, 1));
    let position = turn.position;
    turn.puts = puts;
    store.state().submit(turn);
    settle(store).unwrap();
    wait_for("state", || store.state().applied(partition(0)) >= position);
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn later(clock: &SetClock, time: Duration) {
    clock.0.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
}

fn claim(name: u8) -> Claim {
    Claim {
        name: [name; 16],
        body: [1; 16],
    }
}

fn claimed(name: u8, at: Timestamp) -> Put {
    let id = PublicId {
        partition: partition(1),
        event: raw(1),
    };
    Put::Claim(ClaimPut {
        claim: claim(name),
        id,
        at,
    })
}

#[test]
fn a_claim_goes_when_its_time_is_over_and_one_made_anew_stays() {
    let (dir, clock) = (scratch(), common::clock());
    let (store, registry) = open(&dir, &clock);
    let start = clock.now();
    write(
        &store,
        vec![claimed(1, start), claimed(2, start), claimed(3, start + DAY)],
    );
    // The second name is claimed anew a day later.
    write(&store, vec![claimed(2, start + DAY)]);
    let stored = |name| {
        store
            .state()
            .claims()
            .get(&claim(name).name)
            .unwrap()
            .map(|claim| claim.at)
    };
    later(&clock, 3 * DAY);
    write(&store, vec![claimed(4, clock.now())]);
    sweep(&registry);
    // Not older than 72 hours yet.
    assert_eq!(stored(1), Some(start));
    later(&clock, Duration::from_millis(1));
    sweep(&registry);
    assert_eq!(stored(1), None);
    assert_eq!(stored(2), Some(start + DAY));
    assert_eq!(stored(3), Some(start + DAY));
    later(&clock, DAY);
    sweep(&registry);
    assert_eq!((stored(2), stored(3)), (None, None));
    assert_eq!(stored(4), Some(start + 3 * DAY));
}

/// An accepted mail of a person at a time, as its runner writes it.
struct Mail {
    person: PersonKey,
    cause: EventId,
    message: MessageId,
}

impl Mail {
    fn new(n: u8, partition: PartitionId, at: Timestamp) -> Self {
        let mut key = [n; 16];
        key[..2].copy_from_slice(&(partition.number() << 6).to_be_bytes());
        let first = EventId::floor(at).raw() + u64::from(n) * 8;
        Self {
            person: PersonKey::from_bytes(key),
            cause: raw(first),
            message: MessageId::from_raw(first + 1),
        }
    }

    fn puts(&self, wall: Timestamp) -> Vec<Put> {
        let partition = self.person.partition();
        let decided = Event::Decided(Box::new(Decided {
            cause: self.cause,
            shop: SHOP,
            person: self.person,
            verdict: Verdict::Send(Plan {
                message: self.message,
                stream: Stream::Promotional,
                language: Language::It,
                catalogue: 0,
                date: wall,
                expires: wall,
                tracking: Tracking::Individual,
                offers: Vec::new(),
                late: false,
                test: false,
                template: None,
            }),
        }));
        let row = |object, id: u64, event: &Event| {
            let mut payload = Vec::new();
            event.encode(&mut payload);
            Put::History(HistoryPut::Timeline {
                partition,
                object,
                id: raw(id),
                wall,
                kind: event.kind(),
                payload: payload.into(),
            })
        };
        let about = |object| {
            Put::History(HistoryPut::About {
                partition,
                person: self.person,
                shop: SHOP,
                object,
            })
        };
        let opened = Event::Opened(Opened {
            message: self.message,
            shop: SHOP,
            agent: types::event::AgentClass::Client,
            network: None,
            visit: types::event::Visit::Real,
            suspect: false,
        });
        vec![
            row(self.cause, 1, &decided),
            row(self.message.event(), 1, &decided),
            row(self.message.event(), 2, &opened),
            about(self.cause),
            about(self.message.event()),
            Put::Mail(MailPut::Set {
                partition,
                message: self.message,
                mail: StoredMail {
                    counts: MailCounts::default(),
                    value: vec![1],
                },
            }),
        ]
    }

    /// What state holds of it: events of both histories, the mail, entries about the person.
    fn rows(&self, store: &Store) -> (usize, bool, usize) {
        let (state, partition) = (store.state(), self.person.partition());
        let events = state.histories().of(partition, self.cause).unwrap().len()
            + state.histories().of(partition, self.message.event()).unwrap().len();
        let mail = state.mails().get(partition, self.message).unwrap().is_some();
        (
            events,
            mail,
            state.histories().about(partition, &self.person).unwrap().len(),
        )
    }
}

#[test]
fn histories_go_by_their_age_in_every_partition_and_what_protects_or_pays_stays() {
    let (dir, clock) = (scratch(), common::clock());
    let (store, registry) = open(&dir, &clock);
    let start = clock.now();
    let partitions = [0, 1, 63, 64, 512, 1022, 1023].map(partition);
    let mails = |n, at| partitions.map(|partition| Mail::new(n, partition, at));
    let (old, young) = (mails(1, start), mails(2, start + DAY));
    let mut puts: Vec<Put> = old.iter().flat_map(|mail| mail.puts(start)).collect();
    puts.extend(young.iter().flat_map(|mail| mail.puts(start + DAY)));
    let person = old[0].person;
    let cell = CellKey {
        dimensions: Dimensions::Offer {
            campaign: CampaignNumber(1),
            publisher: SHOP,
        },
        hour: Hour::of(start),
        slot: Slot::of(partition(0)),
    };
    let visit = Visit {
        visitor: VisitorKey::from_bytes([3; 16]),
        lead: None,
        click: old[0].cause,
        at: start,
        generation: 0,
        open: false,
    };
    puts.extend([
        Put::Lead(LeadPut::Visit {
            partition: partition(0),
            person,
            advertiser: ShopNumber(2),
            visit,
        }),
        Put::Cell(CellPut {
            key: cell.clone(),
            counts: Box::default(),
        }),
        Put::Person(PersonPut {
            partition: partition(0),
            key: person,
            value: vec![7],
        }),
        Put::Suppression(SuppressionPut::Set {
            list: SuppressionList::Network,
            person,
            stream: None,
            cause: SuppressionCause::Manual,
            at: start,
        }),
    ]);
    write(&store, puts);
    later(&clock, 400 * DAY);
    sweep(&registry);
    assert!(old.iter().all(|mail| mail.rows(&store) == (3, true, 2)));
    later(&clock, Duration::from_secs(1));
    wait_for("old histories to go", || {
        old.iter().all(|mail| mail.rows(&store) == (0, false, 0))
    });
    assert!(young.iter().all(|mail| mail.rows(&store) == (3, true, 2)));
    let state = store.state();
    assert_eq!(
        state.leads().visit(partition(0), &person, ShopNumber(2)).unwrap(),
        Some(visit)
    );
    assert_eq!(state.persons().get(partition(0), &person).unwrap(), Some(vec![7]));
    assert_eq!(
        state
            .suppressions()
            .of(SuppressionList::Network, None, 9)
            .unwrap()
            .len(),
        1
    );
    let hours = cell.hour..Hour(cell.hour.0 + 1);
    assert_eq!(state.cells().of_offer(CampaignNumber(1), hours).count(), 1);
    later(&clock, DAY);
    sweep(&registry);
    assert!(young.iter().all(|mail| mail.rows(&store) == (0, false, 0)));
}

#[test]
fn more_than_a_portion_goes_too() {
    let (dir, clock) = (scratch(), common::clock());
    let (store, registry) = open(&dir, &clock);
    let mail = Mail::new(1, partition(5), clock.now());
    let mut payload = Vec::new();
    common::event(1).encode(&mut payload);
    let rows = (0..25_000).map(|n| {
        Put::History(HistoryPut::Timeline {
            partition: partition(5),
            object: mail.cause,
            id: raw(n),
            wall: clock.now(),
            kind: 4,
            payload: payload.clone().into(),
        })
    });
    let mut puts: Vec<Put> = rows.collect();
    puts.extend(mail.puts(clock.now()));
    write(&store, puts);
    later(&clock, 401 * DAY);
    sweep(&registry);
    assert_eq!(mail.rows(&store), (0, false, 0));
}
