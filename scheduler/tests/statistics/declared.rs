//! What each turn changes of the counts that readers see, held against what the events of the turn declare
//! (`types::event::Payload::touches`): a projection that has lost its place reads these counts again and no others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use store::state::{CellPut, LeadPut, MailPut, Put, Turn};
use store::{Observer, Record};
use types::event::Touched;
use types::id::{MessageId, PartitionId, Slot};
use types::tally::{CellKey, Hour, MailCounts};

/// What the state writer has written.
#[derive(Default)]
pub struct Written(Mutex<Vec<Counted>>);

/// The counts that one turn put.
struct Counted {
    range: Range<u16>,
    position: u64,
    cells: Vec<CellKey>,
    mails: Vec<(PartitionId, MessageId, MailCounts)>,
    visits: Vec<PartitionId>,
}

impl Observer for Written {
    fn written(&self, turns: &[Turn]) {
        let counted = turns.iter().map(|turn| {
            let mut counted = Counted {
                range: turn.range.clone(),
                position: turn.position.0,
                cells: Vec::new(),
                mails: Vec::new(),
                visits: Vec::new(),
            };
            for put in &turn.puts {
                match put {
                    Put::Cell(CellPut { key, .. }) => counted.cells.push(key.clone()),
                    Put::Mail(MailPut::Set {
                        partition,
                        message,
                        mail,
                    }) => counted.mails.push((*partition, *message, mail.counts)),
                    Put::Lead(LeadPut::Visit { partition, .. }) => counted.visits.push(*partition),
                    _ => {}
                }
            }
            counted
        });
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend(counted);
    }
}

/// What the events of one turn declare.
#[derive(Default)]
struct Declared {
    hours: HashMap<u8, Hour>,
    mails: BTreeSet<(u16, u64)>,
    every_mail: BTreeSet<u16>,
    visits: BTreeSet<u16>,
}

impl Declared {
    fn add(&mut self, record: &Record) {
        let touched: Touched = record.event.touches();
        let (slot, partition) = (Slot::of(record.partition).number(), record.partition.number());
        let first = touched.first_hour(record.wall);
        self.hours
            .entry(slot)
            .and_modify(|hour| *hour = first.min(*hour))
            .or_insert(first);
        self.mails.extend(touched.mail.map(|mail| (partition, mail.raw())));
        if touched.every_mail {
            self.every_mail.insert(partition);
        }
        if touched.first_visits {
            self.visits.insert(partition);
        }
    }
}

impl Written {
    /// Holds all turns against the records of the journal. Returns how many cells, mails and first visits changed.
    pub fn check(&self, records: &[Record]) -> [usize; 3] {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reached: BTreeMap<u16, u64> = BTreeMap::new();
        let mut known: HashMap<MessageId, MailCounts> = HashMap::new();
        let mut changed = [0; 3];
        for turn in written.iter() {
            let from = reached.insert(turn.range.start, turn.position).unwrap_or(0);
            let mut declared = Declared::default();
            let of_turn = records.iter().filter(|record| {
                turn.range.contains(&record.partition.number())
                    && (from + 1..=turn.position).contains(&record.position.0)
            });
            let mut names = Vec::new();
            for record in of_turn {
                names.push(record.event.name());
                declared.add(record);
            }
            for cell in &turn.cells {
                let hour = declared.hours.get(&cell.slot.number());
                assert!(
                    hour.is_some_and(|hour| *hour <= cell.hour),
                    "{names:?} changed {cell:?}"
                );
                changed[0] += 1;
            }
            for (partition, message, counts) in &turn.mails {
                if known.insert(*message, *counts).unwrap_or_default() != *counts {
                    let number = partition.number();
                    assert!(
                        declared.mails.contains(&(number, message.raw())) || declared.every_mail.contains(&number),
                        "{names:?} changed {message:?}"
                    );
                    changed[1] += 1;
                }
            }
            for partition in &turn.visits {
                assert!(
                    declared.visits.contains(&partition.number()),
                    "{names:?} changed a visit"
                );
                changed[2] += 1;
            }
        }
        changed
    }
}
