//! What the child does to a store, and what must be left of it.

use std::collections::HashSet;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use store::state::{CellPut, HistoryPut, LeadPut, MailPut, OutboxPut, StoredLead, StoredMail, Visit};
use store::{Batch, Medium, OutboxEntry, Put, RealMedium, Settings, StateError, Store, SuppressionList, Turn};
use types::event::{
    AttemptEnded, Decided, Event, LeadDecided, LeadRefusal, LeadVerdict, Outcome, Plan, Tracking, Verdict,
};
use types::id::{Attempt, CampaignNumber, EventId, MessageId, PartitionId, PersonKey, ShopNumber, Slot, VisitorKey};
use types::locale::Language;
use types::order::Stream;
use types::tally::{CellKey, Dimensions, Hour, MailCounts};
use types::text::Line;
use types::time::Timestamp;

use crate::common::{open_with, partition, settings, spooled};
use crate::image::Random;

/// How often the child opens its store.
const LIVES: u64 = 3;
const THREADS: u64 = 3;
const MESSAGES: u64 = 25;

/// Syncs nothing, if so asked.
#[derive(Debug)]
struct Maybe {
    syncs: bool,
}

impl Medium for Maybe {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        RealMedium.write_at(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> std::io::Result<()> {
        if self.syncs { RealMedium.sync(file) } else { Ok(()) }
    }

    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        if self.syncs { RealMedium.sync_dir(dir) } else { Ok(()) }
    }

    fn free_bytes(&self, dir: &Path) -> std::io::Result<u64> {
        RealMedium.free_bytes(dir)
    }
}

fn small(dir: &Path, syncs: bool) -> Settings {
    Settings {
        segment_bytes: 16 << 10,
        journal_bytes_max: 48 << 10,
        checkpoint_interval: Duration::from_millis(40),
        // The messages' numbers say that they are from the beginning of time.
        history_kept: Duration::MAX,
        medium: Arc::new(Maybe { syncs }),
        ..settings(dir)
    }
}

fn home(n: u64) -> PartitionId {
    partition(u16::try_from(n * 37 % 1024).unwrap())
}

fn length(n: u64) -> usize {
    usize::try_from(100 + n * 131 % 2500).unwrap()
}

fn decided(n: u64) -> Event {
    Event::Decided(Box::new(Decided {
        cause: EventId::from_raw(n),
        shop: ShopNumber(1),
        person: PERSON,
        verdict: Verdict::Send(Plan {
            message: MessageId::from_raw(n),
            stream: Stream::Promotional,
            language: Language::It,
            catalogue: 1,
            date: Timestamp::from_millis(n),
            expires: Timestamp::from_millis(n + 1),
            tracking: Tracking::Aggregate,
            offers: Vec::new(),
            late: false,
            test: false,
            template: None,
        }),
    }))
}

fn ended(n: u64) -> Event {
    Event::AttemptEnded(Box::new(AttemptEnded {
        message: MessageId::from_raw(n),
        attempt: Attempt(1),
        outcome: Outcome::Delivered,
        reply: Line::try_from("250 ok").unwrap(),
        peer: Line::try_from("mx.example.it").unwrap(),
        tls: None,
    }))
}

const PERSON: PersonKey = PersonKey::from_bytes([7; 16]);
const ADVERTISER: ShopNumber = ShopNumber(2);

/// Whether the history of a message is erased when it ends.
fn erases(n: u64) -> bool {
    n.is_multiple_of(5)
}

/// One row in each keyspace of what happens after delivery, all of them from one decision.
fn tracked(n: u64) -> [Put; 6] {
    let (partition, message) = (home(n), MessageId::from_raw(n));
    let lead = LeadDecided {
        message,
        shop: ShopNumber(1),
        campaign: CampaignNumber(1),
        advertiser: ADVERTISER,
        click: EventId::from_raw(n),
        landing: EventId::from_raw(n),
        verdict: LeadVerdict::Refused(LeadRefusal::NoClick),
    };
    [
        Put::Mail(MailPut::Set {
            partition,
            message,
            mail: StoredMail {
                counts: MailCounts::default(),
                value: n.to_be_bytes().to_vec(),
            },
        }),
        Put::Lead(LeadPut::Visit {
            partition,
            person: person(n),
            advertiser: ADVERTISER,
            visit: visit(n),
        }),
        Put::History(HistoryPut::About {
            partition,
            person: PERSON,
            shop: ShopNumber(1),
            object: EventId::from_raw(n),
        }),
        Put::Mail(MailPut::DueSet {
            at: Timestamp::from_millis(n),
            partition,
            message,
        }),
        Put::Cell(CellPut {
            key: cell(n),
            counts: Box::default(),
        }),
        Put::Lead(LeadPut::Lead {
            campaign: CampaignNumber(1),
            claimed: EventId::from_raw(n),
            lead: StoredLead {
                partition,
                at: Timestamp::from_millis(n),
                decided: lead,
                outcome: None,
                settled_at: None,
            },
        }),
    ]
}

fn person(n: u64) -> PersonKey {
    let mut key = [0; 16];
    key[8..].copy_from_slice(&n.to_be_bytes());
    PersonKey::from_bytes(key)
}

fn visit(n: u64) -> Visit {
    Visit {
        visitor: VisitorKey::from_bytes([3; 16]),
        lead: None,
        click: EventId::from_raw(n),
        at: Timestamp::from_millis(n),
        generation: 0,
        open: false,
    }
}

fn cell(n: u64) -> CellKey {
    CellKey {
        dimensions: Dimensions::Offer {
            campaign: CampaignNumber(1),
            publisher: ShopNumber(1),
        },
        hour: Hour(u32::try_from(n).unwrap()),
        slot: Slot::of(home(n)),
    }
}

/// Looks for the rows of one decision in every keyspace of what happens after delivery.
fn check_tracked(store: &Store, n: u64, ended: bool) -> Result<(), String> {
    let (state, partition, message) = (store.state(), home(n), MessageId::from_raw(n));
    let read = |error: StateError| error.to_string();
    let mail = state.mails().get(partition, message).map_err(read)?;
    let visited = state.leads().visit(partition, &person(n), ADVERTISER).map_err(read)?;
    let about = state.histories().about(partition, &PERSON).map_err(read)?;
    let at = Timestamp::from_millis(n)..Timestamp::from_millis(n + 1);
    let due = state.mails().due(0..1025, at.start, at.end, 9).map_err(read)?;
    let hours = cell(n).hour..Hour(cell(n).hour.0 + 1);
    let cells = state.cells().of_offer(CampaignNumber(1), hours).count();
    let lead = state
        .leads()
        .get(home(n), CampaignNumber(1), EventId::from_raw(n))
        .map_err(read)?;
    let erased = ended && erases(n);
    let rows = [
        ("mail", mail.is_some_and(|mail| mail.value == n.to_be_bytes()), true),
        ("visit", visited == Some(visit(n)), true),
        ("about", about.contains(&(ShopNumber(1), EventId::from_raw(n))), !erased),
        ("due", !due.is_empty(), !ended),
        ("cell", cells == 1, true),
        ("lead", lead.is_some(), true),
    ];
    for (keyspace, found, expected) in rows {
        if found != expected {
            return Err(format!("message {n} in keyspace {keyspace}: {found}, ended: {ended}"));
        }
    }
    Ok(())
}

/// What the event of a message changes in state: rows in most keyspaces, so that a torn batch or a lost keyspace is seen.
fn puts(n: u64, kind: u16, payload: &Bytes) -> Vec<Put> {
    let (partition, message) = (home(n), MessageId::from_raw(n));
    let end = kind == ended(n).kind();
    let row = Put::History(HistoryPut::Timeline {
        partition,
        object: EventId::from_raw(n),
        id: EventId::from_raw(u64::from(kind)),
        wall: Timestamp::from_millis(n),
        kind,
        payload: payload.clone(),
    });
    let outbox = if end {
        Put::Outbox(OutboxPut::Delete { partition, message })
    } else {
        let entry = OutboxEntry {
            cause: EventId::from_raw(n),
            attempts: Attempt(0),
            claimed: false,
            due: Timestamp::default(),
            expires: Timestamp::default(),
            stream: Stream::Promotional,
            accepted_at: Timestamp::default(),
            withdrawn: false,
            doubted: false,
        };
        Put::Outbox(OutboxPut::Set {
            partition,
            message,
            entry,
        })
    };
    let mut puts = vec![row, outbox];
    if end {
        puts.push(Put::Mail(MailPut::DueDelete {
            at: Timestamp::from_millis(n),
            partition,
            message,
        }));
        if erases(n) {
            puts.push(Put::History(HistoryPut::Erase {
                partition,
                person: PERSON,
                shop: ShopNumber(1),
                object: EventId::from_raw(n),
            }));
        }
    } else {
        puts.extend(tracked(n));
    }
    puts
}

/// Persons whom an earlier version suppressed: what its rows say is not in the journal.
const SUPPRESSED: u64 = 300;

/// Persons of all slots, in ascending order.
fn suppressed(n: u64) -> PersonKey {
    let mut key = [7; 16];
    key[..2].copy_from_slice(&(n as u16 * 218).to_be_bytes());
    PersonKey::from_bytes(key)
}

/// Makes a data directory as the version before this one left it: its state lacks the keyspaces that came later,
/// and has rows under keys that are no more.
///
/// Its identity and secrets come from a store elsewhere, so that no path in here has an earlier life.
fn older(data: &Path, syncs: bool) {
    let origin = data.with_extension("origin");
    drop(open_with(small(&origin, false)).unwrap());
    for file in [
        "identity",
        "secrets/person.key",
        "secrets/verp.key",
        "secrets/token/001.key",
    ] {
        let (from, to) = (origin.join(file), data.join(file));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(&to, fs::read(from).unwrap()).unwrap();
        if syncs {
            File::open(to).unwrap().sync_all().unwrap();
        }
    }
    fs::create_dir(data.join("secrets/dkim")).unwrap();
    if syncs {
        sync_tree(data);
    }
    let state = data.join("state");
    let incarnation = fs::read(data.join("identity")).unwrap()[16..].to_vec();
    let database = fjall::Database::builder(&state).worker_threads(1).open().unwrap();
    let old = [
        "person",
        "timeline",
        "outbox",
        "claim",
        "catalogue",
        "counter",
        "suppression",
        "meta",
    ];
    let keyspaces = old.map(|name| database.keyspace(name, fjall::KeyspaceCreateOptions::default).unwrap());
    keyspaces[7].insert("incarnation", incarnation).unwrap();
    keyspaces[7].insert("through", 0_u64.to_le_bytes()).unwrap();
    for n in 0..SUPPRESSED {
        // On the network's list, for both streams; by hand, since the beginning of time.
        let key = [&[0], suppressed(n).as_bytes().as_slice(), &[0]].concat();
        keyspaces[6].insert(key, [3, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    }
    if syncs {
        database.persist(fjall::PersistMode::SyncAll).unwrap();
        sync_tree(data);
    }
}

fn sync_tree(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sync_tree(&path);
        }
    }
    RealMedium.sync_dir(dir).unwrap();
}

/// One life of the store: what state lacks is folded, then three threads send.
fn live(dir: &Path, acks: &File, syncs: bool, life: u64, random: &mut Random) {
    let (store, replay) = open_with(small(dir, syncs)).unwrap();
    for record in replay {
        let record = record.unwrap();
        let n = number(&record.event);
        store.state().submit(Turn {
            range: 0..1025,
            position: record.position,
            puts: puts(n, record.kind, &record.payload),
            released: if record.kind == ended(n).kind() {
                vec![MessageId::from_raw(n)]
            } else {
                Vec::new()
            },
        });
    }
    // One appender at a time, as a range has one runner; what is sent to the disk overlaps all the same.
    let order = std::sync::Mutex::new(());
    let sent = AtomicU64::new(0);
    let seeds: Vec<u64> = (0..THREADS).map(|_| random.next()).collect();
    thread::scope(|scope| {
        for (thread, seed) in (0..THREADS).zip(seeds) {
            let (store, order, sent) = (&store, &order, &sent);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                for i in 0..MESSAGES {
                    let n = 1 + (life * THREADS + thread) * MESSAGES + i;
                    store.spool().append(&spooled(n, length(n))).unwrap();
                    let done = send(store, order, acks, n, &decided(n));
                    sent.fetch_add(1, Ordering::Relaxed);
                    if random.below(3) > 0 {
                        done.recv().unwrap();
                    }
                    if random.below(2) == 0 {
                        let mut acks = acks;
                        acks.write_all(format!("ending {n}\n").as_bytes()).unwrap();
                        drop(send(store, order, acks, n, &ended(n)));
                    }
                }
            });
        }
    });
    if random.below(2) == 0 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(store.close());
    }
}

/// Appends one event and its turn; the acknowledgement is written when it is durable.
fn send(store: &Store, order: &std::sync::Mutex<()>, acks: &File, n: u64, event: &Event) -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel();
    let mut acks = acks.try_clone().unwrap();
    let kind = event.kind();
    let _one_at_a_time = order.lock().unwrap();
    let mut batch = Batch::new();
    let payload = batch.push(store.journal().mint(), home(n), Timestamp::from_millis(n), event);
    batch.on_durable(move |result| {
        result.unwrap();
        acks.write_all(format!("durable {n} {kind}\n").as_bytes()).unwrap();
        let _ = sender.send(());
    });
    let position = store.journal().append(batch).unwrap();
    store.state().submit(Turn {
        range: 0..1025,
        position,
        puts: puts(n, kind, &payload),
        released: if kind == ended(n).kind() {
            vec![MessageId::from_raw(n)]
        } else {
            Vec::new()
        },
    });
    receiver
}

fn number(event: &Event) -> u64 {
    match event {
        Event::Decided(decided) => decided.cause.raw(),
        Event::AttemptEnded(ended) => ended.message.raw(),
        other => panic!("not ours: {other:?}"),
    }
}

#[test]
#[ignore = "run by the power cuts, under strace"]
fn child() {
    let dir = PathBuf::from(env::var_os("POWER_CUT_DIR").unwrap());
    let seed: u64 = env::var("POWER_CUT_SEED").unwrap().parse().unwrap();
    let syncs = env::var("POWER_CUT_SYNC").unwrap() == "1";
    let acks = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join("acks"))
        .unwrap();
    let mut random = Random::new(seed);
    if env::var("POWER_CUT_OLDER").unwrap() == "1" {
        older(&dir.join("data"), syncs);
    }
    (&acks).write_all(b"ready\n").unwrap();
    for life in 0..LIVES {
        live(&dir.join("data"), &acks, syncs, life, &mut random);
    }
}

/// Looks for the rows that an earlier version wrote. State that was torn is made again from the journal, which lacks them.
fn check_suppressed(store: &Store, dir: &Path) -> Result<(), String> {
    let entries = store.state().suppressions().of(SuppressionList::Network, None, 1000);
    let found = entries.map_err(|error| error.to_string())?;
    let persons = (0..SUPPRESSED).map(suppressed);
    if found.iter().map(|entry| entry.person).eq(persons) || dir.join("state.damaged").exists() {
        return Ok(());
    }
    Err(format!("{} of {SUPPRESSED} suppressed persons are left", found.len()))
}

/// Opens what a cut left and looks for all that was acknowledged.
///
/// A cut while the older version's directory was still being made is none of ours.
pub fn check(dir: &Path, acknowledged: &[String], older: bool) -> Result<(), String> {
    if older && acknowledged.is_empty() {
        return Ok(());
    }
    let (store, replay) =
        open_with(settings(dir)).map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))?;
    if older {
        check_suppressed(&store, dir)?;
    }
    let mut journaled = HashSet::new();
    for record in replay {
        let record = record.map_err(|error| error.to_string())?;
        let n = number(&record.event);
        let intact = record.event == decided(n) || record.event == ended(n);
        (intact && record.partition == home(n))
            .then_some(())
            .ok_or_else(|| format!("record of {n} is another"))?;
        journaled.insert((n, record.kind));
    }
    let ending: HashSet<u64> = acknowledged
        .iter()
        .filter_map(|ack| ack.strip_prefix("ending ")?.parse().ok())
        .collect();
    for ack in acknowledged.iter().filter_map(|ack| ack.strip_prefix("durable ")) {
        let (n, kind) = ack.split_once(' ').unwrap();
        let (n, kind): (u64, u16) = (n.parse().unwrap(), kind.parse().unwrap());
        let rows = store
            .state()
            .histories()
            .of(home(n), EventId::from_raw(n))
            .map_err(|error| error.to_string())?;
        let ended_there = rows.iter().any(|row| row.event.kind() == ended(n).kind());
        let in_state = ended_there && erases(n) || rows.iter().any(|row| row.event.kind() == kind);
        if in_state {
            if ended_there && erases(n) && rows.len() != 1 {
                return Err(format!("the history of message {n} was erased and is there"));
            }
            check_tracked(&store, n, ended_there)?;
        }
        if !in_state && !journaled.contains(&(n, kind)) {
            return Err(format!(
                "event {kind} of message {n} is neither in the journal's tail nor in state"
            ));
        }
        if !ending.contains(&n) {
            match store.spool().read(MessageId::from_raw(n)) {
                Ok(Some(found)) if found == spooled(n, length(n)) => {}
                other => {
                    return Err(format!(
                        "the bytes of message {n}: {:?}",
                        other.map(|found| found.is_some())
                    ));
                }
            }
            let listed = store
                .state()
                .outbox()
                .entry(home(n), MessageId::from_raw(n))
                .map_err(|error| error.to_string())?;
            if in_state && listed.is_none() {
                return Err(format!("message {n} is in state's history, not in its outbox"));
            }
        }
    }
    Ok(())
}
