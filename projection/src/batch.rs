//! One batch for one slot, and the script that applies it.

use std::collections::BTreeMap;

use redis::Cmd;
use types::id::Slot;

use crate::keys::{Cell, Key};

/// Applies a batch; see there.
pub(crate) const SCRIPT: &str = include_str!("apply.lua");

/// Fields of one operation: Lua's stack bounds what `unpack` takes.
const FIELDS_MAX: usize = 1000;

/// What one slot gets in one step.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// By position, rising.
    events: Vec<(u64, Vec<u8>)>,
    hashes: BTreeMap<Key, Hash>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Hash {
    /// Seconds that the key has to live; 0 is for ever.
    ttl: u64,
    /// New values; `None` removes the field.
    fields: BTreeMap<String, Option<String>>,
}

impl Batch {
    pub(crate) fn event(&mut self, position: u64, json: Vec<u8>) {
        self.bytes += json.len() + 48;
        self.events.push((position, json));
    }

    /// Puts a field's value; the last of several stays.
    pub(crate) fn put(&mut self, cell: Cell) {
        self.bytes += cell.field.len() + cell.value.as_ref().map_or(0, String::len) + 32;
        let hash = self.hashes.entry(cell.key).or_default();
        hash.ttl = cell.ttl.max(hash.ttl);
        hash.fields.insert(cell.field, cell.value);
    }

    /// Returns the bytes that it takes, about.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the call of the script.
    pub(crate) fn call(self, slot: Slot, sha: &str, expected: &str, next: &str, stream_len: u64) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(sha).arg(2 + self.hashes.len());
        call.arg(watermark_key(slot)).arg(stream_key(slot));
        for key in self.hashes.keys() {
            call.arg(key.text(slot));
        }
        call.arg(expected).arg(next).arg(stream_len);
        for (position, json) in &self.events {
            call.arg("e").arg(format!("{position}-0")).arg(json.as_slice());
        }
        for (number, hash) in (3_usize..).zip(self.hashes.into_values()) {
            let (mut set, mut gone) = (Vec::new(), Vec::new());
            for (field, value) in hash.fields {
                match value {
                    Some(value) => set.push((field, value)),
                    None => gone.push(field),
                }
            }
            for set in set.chunks(FIELDS_MAX) {
                call.arg("h").arg(number).arg(hash.ttl).arg(set.len());
                for (field, value) in set {
                    call.arg(field).arg(value);
                }
            }
            for gone in gone.chunks(FIELDS_MAX) {
                call.arg("d").arg(number).arg(gone.len());
                for field in gone {
                    call.arg(field);
                }
            }
        }
        call
    }
}

/// Returns the key of a slot's watermark.
pub(crate) fn watermark_key(slot: Slot) -> String {
    format!("{{s{:02}}}:watermark", slot.number())
}

fn stream_key(slot: Slot) -> String {
    format!("{{s{:02}}}:events", slot.number())
}
