//! Reading both sides completely: everything that Redis should have, from state and journal, and everything that it has.

use std::collections::BTreeMap;
use std::time::Duration;

use data_encoding::HEXLOWER;
use redis::Connection;
use store::{Position, Store, TailError};
use tokio::time::{Instant, sleep};
use types::event::{Notice, Viewer};
use types::id::{CampaignNumber, PublicId, ShopNumber, Slot};
use types::order::Stream;
use types::tally::{Dimensions, Hour};

use super::Rig;
use super::load::SHOPS;

/// Hashes by key and field, and streams by key, position and event id.
#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    hashes: BTreeMap<String, BTreeMap<String, String>>,
    streams: BTreeMap<String, Vec<(u64, String)>>,
}

/// Redis as readers see it: one server, or the masters of a Cluster.
pub trait Exact {
    /// Waits until Redis says that it has all, then compares. Panics with what differs.
    fn exact(&self, nodes: impl Fn() -> Vec<Connection>) -> impl Future<Output = ()>;

    /// The same, where the journal no longer holds all of the events.
    fn exact_counts(&self, nodes: impl Fn() -> Vec<Connection>) -> impl Future<Output = ()>;
}

impl Exact for Rig {
    async fn exact(&self, nodes: impl Fn() -> Vec<Connection>) {
        let (expected, found) = read(self, nodes).await;
        differ(&expected, &found);
    }

    async fn exact_counts(&self, nodes: impl Fn() -> Vec<Connection>) {
        let (mut expected, mut found) = read(self, nodes).await;
        expected.streams.clear();
        found.streams.clear();
        differ(&expected, &found);
    }
}

/// Waits until Redis says that it has all, then reads both sides.
async fn read(rig: &Rig, nodes: impl Fn() -> Vec<Connection>) -> (Content, Content) {
    rig.load.folded().await;
    let durable = rig.store().journal().durable().borrow().0;
    let limit = Instant::now() + Duration::from_mins(2);
    let mut nodes_now = loop {
        let mut nodes_now = nodes();
        let behind = behind(&mut nodes_now, durable);
        if behind.is_empty() {
            break nodes_now;
        }
        assert!(Instant::now() < limit, "durable is {durable}, but: {behind:?}");
        sleep(Duration::from_millis(100)).await;
    };
    let expected = expected(rig).await;
    (expected, found(&mut nodes_now))
}

/// Returns the watermarks that do not have it all.
fn behind(nodes: &mut [Connection], durable: u64) -> Vec<(u8, Option<String>)> {
    let mut behind = Vec::new();
    for slot in 0..64 {
        let key = format!("{{s{slot:02}}}:watermark");
        let stored = nodes.iter_mut().find_map(|node| {
            // A node of a Cluster answers MOVED for what is another's.
            redis::cmd("GET").arg(&key).query::<Option<String>>(node).ok().flatten()
        });
        let done = stored.as_ref().is_some_and(|stored| {
            let fields: Vec<_> = stored.split(' ').collect();
            let number = |i: usize| fields.get(i).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
            number(1) >= durable && number(3) >= durable
        });
        if !done {
            behind.push((slot, stored));
        }
    }
    behind
}

async fn expected(rig: &Rig) -> Content {
    let mut content = Content::default();
    let store = rig.store();
    let state = store.state();
    let all = Hour(0)..Hour(u32::MAX);
    let mut put = |key: String, field: String, value: String| {
        content.hashes.entry(key).or_default().insert(field, value);
    };
    for number in 1..=SHOPS {
        let mails = state.cells().of_mails(ShopNumber(number), all.clone());
        for cell in mails.chain(state.cells().of_offer(CampaignNumber(number), all.clone())) {
            let (key, counts) = cell.unwrap();
            let hour = key.hour.begins().to_string()[..13].to_owned();
            let slot = key.slot.number();
            let (name, prefix) = match &key.dimensions {
                Dimensions::Mails {
                    shop,
                    stream,
                    provider,
                    template,
                } => {
                    assert_eq!(*stream, Stream::Promotional);
                    let template = template.as_ref().map_or("-", |template| template.as_str());
                    (
                        format!("{{s{slot:02}}}:shop:shop-{}:{hour}", shop.0),
                        format!("promotional:{}:{template}", provider.as_str()),
                    )
                }
                Dimensions::Offer { campaign, publisher } => (
                    format!("{{s{slot:02}}}:campaign:campaign-{}:{hour}", campaign.0),
                    format!("shop-{}", publisher.0),
                ),
                other => panic!("the load counts mails and offers, not {other:?}"),
            };
            for (measure, count) in counts.iter() {
                put(
                    name.clone(),
                    format!("{prefix}:{}", measure.as_str()),
                    count.to_string(),
                );
            }
        }
    }
    for mail in &rig.load.mails {
        let slot = Slot::of(mail.partition).number();
        let event = mail.message.event();
        let id = PublicId {
            partition: mail.partition,
            event,
        }
        .to_string();
        let counts = state.mails().get(mail.partition, mail.message).unwrap().unwrap().counts;
        let numbers = counts
            .opens
            .iter()
            .chain(&counts.clicks)
            .chain([&counts.landings, &counts.leads]);
        let numbers: Vec<_> = numbers.map(u16::to_string).collect();
        if numbers.iter().any(|number| number != "0") {
            put(
                format!("{{s{slot:02}}}:mail:{}", &id[..8]),
                id[8..].to_owned(),
                numbers.join(","),
            );
        }
        for (advertiser, visit) in state.leads().visits(mail.partition, &mail.person).unwrap() {
            let visitor = HEXLOWER.encode(visit.visitor.as_bytes());
            let click = PublicId {
                partition: mail.partition,
                event: visit.click,
            };
            let value = match visit.lead {
                None => format!("click:{click}"),
                Some(lead) if visit.open => format!("void:{lead}"),
                Some(lead) => format!("lead:{lead}"),
            };
            let key = format!("{{s{slot:02}}}:visit:shop-{}:{}", advertiser.0, &visitor[..2]);
            put(key, visitor[2..16].to_owned(), value);
        }
    }
    content.streams = events(store).await;
    content
}

/// Returns the journal's events, by the streams in which they belong.
async fn events(store: &Store) -> BTreeMap<String, Vec<(u64, String)>> {
    let mut streams: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    let durable = store.journal().durable().borrow().0;
    let catalogue = store.catalogue().load();
    let mut tail = store.tail(Position(0));
    let mut at = 0;
    while at < durable {
        let records = match tail.next(10_000).await {
            Ok(records) => records,
            Err(TailError::Gone { first }) => {
                tail = store.tail(first);
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        for record in records {
            at = record.position.0;
            let histories = store.state().histories();
            let telling = histories.telling(&record, &catalogue, Viewer::Operator).unwrap();
            if let Some(notice) = telling.and_then(|telling| Notice::of(&record.event, &telling)) {
                let stream = streams.entry(format!("{{s{:02}}}:events", Slot::of(record.partition).number()));
                stream.or_default().push((at, serde_json::to_string(&notice).unwrap()));
            }
        }
    }
    streams
}

fn found(nodes: &mut [Connection]) -> Content {
    let mut content = Content::default();
    for node in nodes {
        let keys: Vec<String> = redis::cmd("KEYS").arg("{s*").query(node).unwrap();
        for key in keys.into_iter().filter(|key| !key.ends_with(":watermark")) {
            if key.ends_with(":events") {
                let entries: Vec<(String, Vec<String>)> =
                    redis::cmd("XRANGE").arg(&key).arg("-").arg("+").query(node).unwrap();
                let read = |(id, fields): (String, Vec<String>)| {
                    assert_eq!(fields[0], "e");
                    (id.strip_suffix("-0").unwrap().parse().unwrap(), fields[1].clone())
                };
                content.streams.insert(key, entries.into_iter().map(read).collect());
            } else {
                content
                    .hashes
                    .insert(key.clone(), redis::cmd("HGETALL").arg(&key).query(node).unwrap());
            }
        }
    }
    content
}

/// Panics with the first few differences.
fn differ(expected: &Content, found: &Content) {
    let mut told = Vec::new();
    let flat = |content: &Content| {
        let hashes = content.hashes.iter().flat_map(|(key, fields)| {
            let fields = fields.iter();
            fields.map(move |(field, value)| (format!("{key} {field}"), value.clone()))
        });
        let events = content.streams.iter().flat_map(|(key, events)| {
            let events = events.iter();
            events.map(move |(position, json)| (format!("{key} {position:012}"), json.clone()))
        });
        hashes.chain(events).collect::<Vec<_>>()
    };
    let (expected, found) = (flat(expected), flat(found));
    assert!(!expected.is_empty());
    let count = found.len();
    let (wanted, had): (BTreeMap<_, _>, BTreeMap<_, _>) = (expected.into_iter().collect(), found.into_iter().collect());
    assert_eq!(count, had.len(), "something stands twice");
    for (name, value) in &wanted {
        if had.get(name) != Some(value) {
            told.push(format!("{name}: state has {value}, redis {:?}", had.get(name)));
        }
    }
    for (name, value) in had.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
        told.push(format!("{name}: redis has {value}, state nothing"));
    }
    let count = told.len();
    told.truncate(10);
    assert!(told.is_empty(), "{count} of {} differ: {told:#?}", wanted.len());
}
