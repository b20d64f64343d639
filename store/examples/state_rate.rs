//! Measures the state writer: `cargo run --release -p store --example state_rate -- DIR`.
//!
//! Prints, second by second, how many hits go through journal and state. Each is what an open costs: one record, and in
//! state the mail with its hits, one row of its history, and one cell of the statistics; runners hand in 100 at once. The
//! mails are as many as a week brings, asked for in no order, so that the database has something to sort.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus::Registry;
use store::state::{CellPut, HistoryPut, MailPut, StoredMail};
use store::{Batch, Put, Settings, Store, Turn};
use types::event::{AgentClass, Event, Opened, Visit};
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, ShopNumber, Slot};
use types::tally::{CellKey, Counts, Dimensions, Hour, MailCounts};
use types::time::{Clock, Timestamp};

const SECONDS: u32 = 20;
const MAILS: u64 = 1_000_000;
const TURN_HITS: u64 = 100;
/// Bytes of a mail's own encoding with a few hits.
const MAIL_BYTES: usize = 300;

struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "a program of its own, with a clock of its own")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(0))
    }
}

fn main() {
    let dir = std::env::args().nth(1).expect("a directory on the disk to measure");
    let settings = Settings {
        data_dir: Path::new(&dir).to_owned(),
        ..Settings::default()
    };
    let (store, _) = store::open(settings, Arc::new(SystemClock), &Registry::new()).expect("an empty directory");
    let first = EventId::floor(SystemClock.now()).raw();
    let (mut sent, mut told) = (0, 0);
    let began = Instant::now();
    println!("second  hits/s");
    for second in 1..=SECONDS {
        while began.elapsed() < Duration::from_secs(1) * second {
            send(&store, first, sent);
            sent += TURN_HITS;
        }
        println!("{second:6}  {:6}", sent - told);
        told = sent;
    }
    let last = store.journal().durable();
    let partition = PartitionId::new(0).expect("the first");
    while store.state().applied(partition).0 < sent {
        std::thread::sleep(Duration::from_millis(1));
    }
    let rate = u128::from(sent) * 1000 / began.elapsed().as_millis().max(1);
    println!("all {rate} hits/s, durable up to {}", last.borrow().0);
}

/// Appends one turn's hits, and hands in what they change.
fn send(store: &Store, first: u64, sent: u64) {
    let now = store.journal().mint().time();
    let (mut batch, mut puts) = (Batch::new(), Vec::new());
    for n in sent..sent + TURN_HITS {
        // A multiplier that is prime to their number shuffles the mails.
        let mail = n.wrapping_mul(0x9e37_79b9) % MAILS;
        let partition = PartitionId::new(u16::try_from(mail % 1024).expect("below 1024")).expect("below 1024");
        let message = MessageId::from_raw(first + mail);
        let event = Event::Opened(Opened {
            message,
            shop: ShopNumber(1),
            agent: AgentClass::Client,
            network: None,
            visit: Visit::Real,
            suspect: false,
        });
        let id = store.journal().mint();
        let payload = batch.push(id, partition, now, &event);
        puts.push(Put::History(HistoryPut::Timeline {
            partition,
            object: message.event(),
            id,
            wall: now,
            kind: event.kind(),
            payload,
        }));
        puts.push(Put::Mail(MailPut::Set {
            partition,
            message,
            mail: StoredMail {
                counts: MailCounts::default(),
                value: vec![0x5a; MAIL_BYTES],
            },
        }));
        let dimensions = Dimensions::Offer {
            campaign: CampaignNumber(u32::try_from(mail % 50).expect("below 50")),
            publisher: ShopNumber(1),
        };
        let (hour, slot) = (Hour::of(now), Slot::of(partition));
        puts.push(Put::Cell(CellPut {
            key: CellKey { dimensions, hour, slot },
            counts: Box::new(Counts::default()),
        }));
    }
    let position = store.journal().append(batch).expect("open");
    store.state().submit(Turn {
        range: 0..1025,
        position,
        puts,
        released: Vec::new(),
    });
}
