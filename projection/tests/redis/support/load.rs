//! A load: mails, what recipients do with them, verdicts, leads and erasures, folded as the product's runners fold them.
//!
//! It is one runner that owns all partitions and remembers what it wrote. Everything follows from the number of events
//! made so far, so a failing test fails again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use store::state::{CataloguePut, CellPut, HistoryPut, LeadPut, MailPut, StoredLead, StoredMail, Visit};
use store::{Batch, Position, Put, Store, Turn};
use types::catalogue::Catalogue;
use types::event::{
    self, AgentClass, CatalogueChanged, Clicked, Decided, Event, EvidenceGrade, HitClass, HitVerdict, Judged, Landed,
    LandingVia, LeadClaim, LeadDecided, LeadOutcome, LeadSettled, LeadVerdict, Opened, PersonErased, Plan, Round,
    Tracking, Verdict, VoidReason,
};
use types::id::{CampaignNumber, EventId, LeadId, MessageId, PartitionId, PersonKey, ShopNumber, Slot, VisitorKey};
use types::locale::Language;
use types::order::Stream;
use types::provider::Provider;
use types::tally::{CellKey, Counts, Dimensions, Hour, MailCounts, Measure};
use types::text::Slug;
use types::time::Clock;

use crate::common::SetClock;

/// Shops, each with one campaign, numbered from 1.
pub const SHOPS: u32 = 3;
/// Events of one turn.
const TURN: u64 = 50;

pub struct Load {
    /// `None` between two stores.
    pub store: Option<Store>,
    pub clock: Arc<SetClock>,
    /// Milliseconds between two events.
    pub step: u64,
    /// Events made.
    pub made: u64,
    pub mails: Vec<Mail>,
    cells: HashMap<CellKey, Counts>,
    last: Position,
}

/// A mail of the load.
pub struct Mail {
    pub partition: PartitionId,
    pub message: MessageId,
    pub person: PersonKey,
    shop: ShopNumber,
    counts: MailCounts,
    /// Hits that are not judged, and those that were taken for people.
    open: Vec<(EventId, Hour)>,
    human: Vec<(EventId, Hour)>,
    click: Option<EventId>,
    lead: Option<(EventId, LeadDecided, Visit)>,
    erased: bool,
}

/// What one turn writes, by what it is about, so that the last value stays.
#[derive(Default)]
struct Writes {
    batch: Batch,
    puts: Vec<Put>,
    cells: BTreeMap<CellKey, Counts>,
}

impl Load {
    pub fn new(store: Store, clock: Arc<SetClock>) -> Self {
        let mut load = Self {
            store: Some(store),
            clock,
            step: 1000,
            made: 0,
            mails: Vec::new(),
            cells: HashMap::new(),
            last: Position(0),
        };
        load.publish();
        load
    }

    /// Goes on with a store that was opened again.
    pub fn adopt(&mut self, store: Store) {
        self.store = Some(store);
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    /// Puts shops and campaigns, as the runner of the catalogue does.
    fn publish(&mut self) {
        let mut catalogue = Catalogue::default();
        let mut writes = Writes::default();
        let put = |id: String, spec| CatalogueChanged::ShopPut {
            id: slug(&id),
            spec: serde_json::from_value(spec).unwrap(),
        };
        let offer = |id: String, spec| CatalogueChanged::CampaignPut {
            id: slug(&id),
            spec: serde_json::from_value(spec).unwrap(),
        };
        let changes = (1..=SHOPS).flat_map(|number| {
            let shop = json!({
                "name": "Shop", "url": "https://shop.example/", "promotional": {"address": "ciao@offerte.example"},
                "language": "it", "country": "IT", "postal_address": "Via Roma 1, 00100 Roma",
            });
            let campaign = json!({
                "advertiser": format!("shop-{number}"), "price": {"amount": 90, "currency": "EUR"},
                "landing_url": "https://shop.example/?c={click_id}",
                "creatives": {"it": {"title": "Vino", "text": "Buono", "button": "Apri"}},
            });
            [
                put(format!("shop-{number}"), shop),
                offer(format!("campaign-{number}"), campaign),
            ]
        });
        for (sequence, change) in (1..).zip(changes) {
            let wall = self.clock.now();
            catalogue.apply(&change, wall);
            let event = Event::CatalogueChanged(Box::new(change));
            let id = self.store().journal().mint();
            let payload = writes.batch.push(id, PartitionId::CATALOGUE, wall, &event);
            writes.puts.push(Put::Catalogue(CataloguePut {
                sequence,
                wall,
                payload,
            }));
        }
        self.store().catalogue().swap(Arc::new(catalogue));
        self.submit(writes);
    }

    /// Makes `count` events. Waits for nothing but the store's own bounds.
    pub fn make(&mut self, count: u64) {
        let until = self.made + count;
        while self.made < until {
            let mut writes = Writes::default();
            let mut erased = false;
            while self.made < until && writes.batch.len() < TURN as usize && !erased {
                // What is erased must be written before, so an erasure is a turn of its own.
                if self.made % 997 == 996 && !writes.batch.is_empty() {
                    break;
                }
                erased = self.one(&mut writes);
                self.made += 1;
            }
            self.submit(writes);
        }
    }

    /// Makes `count` events at about `rate` a second.
    pub async fn make_at(&mut self, rate: u64, count: u64) {
        let began = tokio::time::Instant::now();
        let until = self.made + count;
        let from = self.made;
        while self.made < until {
            self.make(TURN.min(until - self.made));
            tokio::time::sleep_until(began + Duration::from_micros((self.made - from) * 1_000_000 / rate)).await;
        }
    }

    /// Lets hours go by: verdicts on what was before are counted there from now on.
    pub fn rest(&self) {
        self.clock.0.fetch_add(6 * 3_600_000, Ordering::Relaxed);
    }

    /// Waits until state has it all.
    pub async fn folded(&self) {
        assert!(self.store().fold_reached(Duration::from_mins(1)).await);
    }

    fn submit(&mut self, writes: Writes) {
        let Writes { batch, mut puts, cells } = writes;
        puts.extend(cells.into_iter().map(|(key, counts)| {
            let counts = Box::new(counts);
            Put::Cell(CellPut { key, counts })
        }));
        self.last = self.store().journal().append(batch).unwrap();
        self.store().state().submit(Turn {
            range: 0..1025,
            position: self.last,
            puts,
            released: Vec::new(),
        });
    }

    /// Makes the next event. True if it erases.
    fn one(&mut self, writes: &mut Writes) -> bool {
        let n = self.made;
        self.clock.0.fetch_add(self.step, Ordering::Relaxed);
        if n % 997 == 996 {
            self.erase(writes, (n as usize * 7) % self.mails.len());
            return true;
        }
        if self.mails.len() < 64 || n.is_multiple_of(10) {
            self.decide(writes, n);
            return false;
        }
        // Mostly mails of late, now and then an old one.
        let back = if n.is_multiple_of(13) {
            self.mails.len()
        } else {
            self.mails.len().min(200)
        };
        let mail = self.mails.len() - 1 - (n as usize).wrapping_mul(2_654_435_761) % back;
        match n % 10 {
            1..=3 => self.open(writes, mail),
            4 | 5 => self.click(writes, mail),
            6 | 7 => self.judge(writes, mail),
            8 => self.claim(writes, mail),
            _ => self.settle(writes, mail),
        }
        false
    }

    fn decide(&mut self, writes: &mut Writes, n: u64) {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        key[8..].copy_from_slice(&n.to_be_bytes());
        let person = PersonKey::from_bytes(key);
        let message = MessageId::new(self.store().journal().mint());
        let mail = Mail {
            partition: person.partition(),
            message,
            person,
            shop: ShopNumber(1 + n as u32 / 10 % SHOPS),
            counts: MailCounts::default(),
            open: Vec::new(),
            human: Vec::new(),
            click: None,
            lead: None,
            erased: false,
        };
        let now = self.clock.now();
        let plan = Plan {
            message,
            stream: Stream::Promotional,
            language: Language::It,
            catalogue: 1,
            date: now,
            expires: now + Duration::from_hours(24),
            tracking: Tracking::Individual,
            offers: Vec::new(),
            late: false,
            test: false,
            template: Some(slug("offers")),
        };
        let decided = Event::Decided(Box::new(Decided {
            cause: message.event(),
            shop: mail.shop,
            person,
            verdict: Verdict::Send(plan),
        }));
        self.push(writes, mail.partition, &decided);
        self.mails.push(mail);
        let mail = self.mails.len() - 1;
        self.count(writes, mail, Hour::of(now), Measure::Sent, 1);
        self.put(writes, mail);
    }

    fn open(&mut self, writes: &mut Writes, mail: usize) {
        let Mail {
            message,
            shop,
            partition,
            ..
        } = self.mails[mail];
        let opened = Event::Opened(Opened {
            message,
            shop,
            agent: AgentClass::Client,
            network: None,
            visit: event::Visit::Real,
            suspect: false,
        });
        let id = self.push(writes, partition, &opened);
        if self.mails[mail].erased {
            return;
        }
        let hour = Hour::of(self.clock.now());
        self.mails[mail].counts.opens[0] += 1;
        self.mails[mail].open.push((id, hour));
        self.count(writes, mail, hour, Measure::OpensRaw, 1);
        self.put(writes, mail);
    }

    fn click(&mut self, writes: &mut Writes, mail: usize) {
        let Mail {
            message,
            shop,
            partition,
            ..
        } = self.mails[mail];
        let click = self.store().journal().mint();
        let clicked = Event::Clicked(Clicked {
            message,
            shop,
            campaign: CampaignNumber(shop.0),
            slot: 0,
            agent: AgentClass::Client,
            click: Some(click),
            network: None,
            visit: event::Visit::Real,
            suspect: false,
            untrusted: false,
        });
        self.push(writes, partition, &clicked);
        if self.mails[mail].erased {
            return;
        }
        let hour = Hour::of(self.clock.now());
        self.mails[mail].click = Some(click);
        self.mails[mail].counts.clicks[0] += 1;
        self.count(writes, mail, hour, Measure::ClicksRaw, 1);
        self.count_offer(writes, mail, hour, Measure::ClicksRaw, 1);
        self.put(writes, mail);
    }

    /// Judges the oldest open that is not judged, or takes back what was taken for a person: in the hour of the open.
    fn judge(&mut self, writes: &mut Writes, mail: usize) {
        let Mail {
            message,
            shop,
            partition,
            ..
        } = self.mails[mail];
        let (hit, hour, class) = if let Some((hit, hour)) = self.mails[mail].open.pop() {
            self.mails[mail].human.push((hit, hour));
            self.mails[mail].counts.opens[2] += 1;
            self.count(writes, mail, hour, Measure::OpensQualified, 1);
            (hit, hour, HitClass::Human)
        } else if let Some((hit, hour)) = self.mails[mail].human.pop() {
            self.mails[mail].counts.opens[2] -= 1;
            self.mails[mail].counts.opens[1] += 1;
            self.count(writes, mail, hour, Measure::OpensQualified, -1);
            self.count(writes, mail, hour, Measure::OpensMachine, 1);
            (hit, hour, HitClass::Scanner)
        } else {
            return self.open(writes, mail);
        };
        let _ = hour;
        let judged = Event::Judged(Box::new(Judged {
            message,
            shop,
            rules: 1,
            hits: vec![HitVerdict {
                hit,
                round: Round::Provisional,
                class,
                reasons: Vec::new(),
            }],
        }));
        self.push(writes, partition, &judged);
        self.put(writes, mail);
    }

    fn claim(&mut self, writes: &mut Writes, mail: usize) {
        let Mail {
            message,
            shop,
            partition,
            click,
            ..
        } = self.mails[mail];
        let (Some(click), None) = (click, &self.mails[mail].lead) else {
            return self.click(writes, mail);
        };
        let advertiser = ShopNumber(1 + shop.0 % SHOPS);
        let campaign = CampaignNumber(advertiser.0);
        let landed = Event::Landed(Box::new(Landed {
            click,
            message,
            shop,
            campaign,
            via: LandingVia::Snippet,
            new_visitor: Some(true),
            proven: true,
            network: None,
            agent: AgentClass::Client,
        }));
        let landing = self.push(writes, partition, &landed);
        let visitor = VisitorKey::from_bytes(*self.mails[mail].person.as_bytes());
        let lead = LeadId::new(advertiser, &visitor, 0);
        let decided = LeadDecided {
            message,
            shop,
            campaign,
            advertiser,
            click,
            landing,
            verdict: LeadVerdict::Claimed(LeadClaim {
                lead,
                visitor,
                generation: 0,
                price: serde_json::from_value(json!({"amount": 90, "currency": "EUR"})).unwrap(),
                evidence: EvidenceGrade::History,
            }),
        };
        let claimed = self.push(writes, partition, &Event::LeadDecided(Box::new(decided.clone())));
        let hour = Hour::of(self.clock.now());
        self.count_offer(writes, mail, hour, Measure::LeadsClaimed, 1);
        let visit = Visit {
            visitor,
            lead: (!click.raw().is_multiple_of(5)).then_some(lead),
            click,
            at: self.clock.now(),
            generation: 0,
            open: false,
        };
        self.mails[mail].counts.landings += 1;
        self.mails[mail].counts.leads += 1;
        self.mails[mail].lead = Some((claimed, decided, visit));
        self.put_visit(writes, mail);
        self.put(writes, mail);
    }

    fn settle(&mut self, writes: &mut Writes, mail: usize) {
        let Mail {
            message,
            shop,
            partition,
            ..
        } = self.mails[mail];
        let Some((claimed, decided, _)) = self.mails[mail].lead.clone().filter(|(.., visit)| !visit.open) else {
            return self.open(writes, mail);
        };
        let settled = Event::LeadSettled(LeadSettled {
            lead: LeadId::new(decided.advertiser, &VisitorKey::from_bytes([0; 16]), 0),
            message,
            shop,
            campaign: decided.campaign,
            advertiser: decided.advertiser,
            claimed,
            outcome: LeadOutcome::Voided(VoidReason::Machine),
        });
        self.push(writes, partition, &settled);
        let hour = Hour::of(claimed.time());
        self.count_offer(writes, mail, hour, Measure::LeadsVoided, 1);
        let mail_row = &mut self.mails[mail];
        mail_row.counts.leads = mail_row.counts.leads.saturating_sub(1);
        if let Some((.., visit)) = &mut mail_row.lead {
            visit.open = true;
        }
        self.put_visit(writes, mail);
        self.put(writes, mail);
    }

    fn erase(&mut self, writes: &mut Writes, mail: usize) {
        let Mail {
            message,
            shop,
            partition,
            person,
            ..
        } = self.mails[mail];
        self.push(
            writes,
            partition,
            &Event::PersonErased(PersonErased { person, shop: None }),
        );
        let row = &mut self.mails[mail];
        row.erased = true;
        row.counts = MailCounts::default();
        row.open.clear();
        row.human.clear();
        row.click = None;
        writes.puts.push(Put::History(HistoryPut::Erase {
            partition,
            person,
            shop,
            object: message.event(),
        }));
        self.put(writes, mail);
    }

    fn push(&self, writes: &mut Writes, partition: PartitionId, event: &Event) -> EventId {
        let id = self.store().journal().mint();
        writes.batch.push(id, partition, self.clock.now(), event);
        id
    }

    fn put(&self, writes: &mut Writes, mail: usize) {
        let Mail {
            partition,
            message,
            counts,
            ..
        } = self.mails[mail];
        writes.puts.push(Put::Mail(MailPut::Set {
            partition,
            message,
            mail: StoredMail {
                counts,
                value: vec![0; 64],
            },
        }));
    }

    fn put_visit(&self, writes: &mut Writes, mail: usize) {
        let Mail { partition, person, .. } = self.mails[mail];
        let Some((claimed, decided, visit)) = self.mails[mail].lead.clone() else {
            return;
        };
        writes.puts.push(Put::Lead(LeadPut::Visit {
            partition,
            person,
            advertiser: decided.advertiser,
            visit,
        }));
        writes.puts.push(Put::Lead(LeadPut::Lead {
            campaign: decided.campaign,
            claimed,
            lead: StoredLead {
                partition,
                at: self.clock.now(),
                decided,
                outcome: None,
                settled_at: None,
            },
        }));
    }

    fn count(&mut self, writes: &mut Writes, mail: usize, hour: Hour, measure: Measure, by: i64) {
        let Mail {
            partition,
            shop,
            message,
            ..
        } = self.mails[mail];
        let dimensions = Dimensions::Mails {
            shop,
            stream: Stream::Promotional,
            provider: if message.raw().is_multiple_of(3) {
                Provider::Google
            } else {
                Provider::Other
            },
            template: message.raw().is_multiple_of(2).then(|| slug("offers")),
        };
        self.add(writes, dimensions, partition, hour, measure, by);
    }

    fn count_offer(&mut self, writes: &mut Writes, mail: usize, hour: Hour, measure: Measure, by: i64) {
        let Mail { partition, shop, .. } = self.mails[mail];
        let dimensions = Dimensions::Offer {
            campaign: CampaignNumber(1 + shop.0 % SHOPS),
            publisher: shop,
        };
        self.add(writes, dimensions, partition, hour, measure, by);
    }

    fn add(
        &mut self,
        writes: &mut Writes,
        dimensions: Dimensions,
        partition: PartitionId,
        hour: Hour,
        measure: Measure,
        by: i64,
    ) {
        let slot = Slot::of(partition);
        let key = CellKey { dimensions, hour, slot };
        let counts = self.cells.entry(key.clone()).or_default();
        counts.add(measure, by);
        writes.cells.insert(key, *counts);
    }
}

pub fn slug(text: &str) -> Slug {
    text.try_into().unwrap()
}

/// A clock to begin with.
pub fn clock() -> Arc<SetClock> {
    Arc::new(SetClock(AtomicU64::new(1_795_291_200_000)))
}
