//! What is expected, and what went before in words.

use std::collections::BTreeMap;

use policy::workflow::Instance;
use types::event::{Moved, Place};
use types::id::EventId;
use types::text::Slug;
use types::time::Timestamp;

use super::{Sim, at};

impl Sim {
    /// Expects exactly these mails: step and time.
    pub(crate) fn expect_sent(&self, expected: &[(&str, &str)]) {
        let sent: Vec<_> = self.sent.iter().map(|mail| (mail.step.as_str(), mail.at)).collect();
        let expected: Vec<_> = expected.iter().map(|(step, time)| (*step, at(time))).collect();
        assert_eq!(sent, expected, "{:#?}", self.story());
    }

    /// Returns how each instance that is over ended, in the order in which they began.
    pub(crate) fn leaves(&self) -> Vec<&'static str> {
        let rows = self.rows.keys().map(|id| self.instance(*id).place);
        rows.filter_map(|place| match place {
            Place::Left(why) => Some(why.code()),
            Place::Waits(_) => None,
        })
        .collect()
    }

    /// Returns what each live instance waits for, and until when.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let live = self.live();
        let waits = live.into_iter().map(|id| self.instance(id));
        waits
            .filter_map(|instance| {
                let waits = instance.waits()?;
                let on = serde_json::to_value(waits.on).unwrap();
                let due = waits.due.map_or("-".to_owned(), minute);
                let step = waits.step.as_ref().map_or("-", Slug::as_str);
                Some(format!("{step} {} {due}", on.as_str().unwrap()))
            })
            .collect()
    }

    /// Returns every record in words.
    pub(crate) fn story(&self) -> Vec<String> {
        let told = |(id, wall, moved): &(EventId, Timestamp, Moved)| {
            let instance = moved.instance.unwrap_or(*id);
            format!("{wall} {instance:?}: {:?} {:?}", moved.did, moved.place)
        };
        self.records.iter().map(told).collect()
    }

    pub(crate) fn did(&self) -> impl Iterator<Item = &types::event::Did> {
        self.records.iter().flat_map(|(_, _, moved)| &moved.did)
    }

    /// Makes every row again from the records alone.
    pub(crate) fn expect_replay(&self) {
        let mut rows: BTreeMap<EventId, Instance> = BTreeMap::new();
        for (id, wall, moved) in &self.records {
            let instance = moved.instance.unwrap_or(*id);
            match rows.get_mut(&instance) {
                Some(row) => row.apply(moved, *wall),
                None => {
                    rows.insert(instance, Instance::begin(moved, *wall));
                }
            }
        }
        let encoded: BTreeMap<EventId, Vec<u8>> = rows.iter().map(|(id, row)| (*id, row.encode())).collect();
        assert_eq!(encoded, self.rows);
    }
}

/// Writes `2026-11-23T10:00`.
fn minute(at: Timestamp) -> String {
    at.to_string().chars().take(16).collect()
}
