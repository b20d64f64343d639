//! The bytes of keys: parts, one after the other, big-endian, so that keys sort as what they stand for.
//!
//! A key is a tuple of parts, and so is the prefix that rows are asked for by. Only the last part of a key may be as long as it likes.

use types::id::{
    CampaignNumber, EventId, MessageId, PartitionId, PersonKey, PublicId, ShopNumber, Slot, WorkflowNumber,
};
use types::text::Line;
use types::time::Timestamp;

/// A part of a key, or a whole one.
pub(crate) trait Part: Sized {
    /// Appends its bytes.
    fn put(&self, key: &mut Vec<u8>);
    /// Takes it from the front of a key. `None`: it is not there.
    fn take(key: &mut &[u8]) -> Option<Self>;
}

/// Returns the bytes of a key, or of the prefix that keys share.
pub(crate) fn encode(part: &impl Part) -> Vec<u8> {
    let mut key = Vec::with_capacity(40);
    part.put(&mut key);
    key
}

/// Reads a key. `None`: it is none, or has bytes left.
pub(crate) fn decode<P: Part>(mut key: &[u8]) -> Option<P> {
    let part = P::take(&mut key)?;
    key.is_empty().then_some(part)
}

/// Returns the first key that can stand after this one.
pub(crate) fn after(part: &impl Part) -> Vec<u8> {
    let mut key = encode(part);
    key.push(0);
    key
}

impl<const N: usize> Part for [u8; N] {
    fn put(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self);
    }

    fn take(key: &mut &[u8]) -> Option<Self> {
        let (bytes, rest) = key.split_first_chunk()?;
        *key = rest;
        Some(*bytes)
    }
}

/// Parts that are numbers, or stand for one.
macro_rules! numbers {
    ($($part:ty: $number:ty = $into:expr, $from:expr;)*) => {
        $(impl Part for $part {
            fn put(&self, key: &mut Vec<u8>) {
                let into: fn(&$part) -> $number = $into;
                key.extend_from_slice(&into(self).to_be_bytes());
            }

            fn take(key: &mut &[u8]) -> Option<Self> {
                let from: fn($number) -> Option<$part> = $from;
                from(<$number>::from_be_bytes(Part::take(key)?))
            }
        })*
    };
}

numbers! {
    u8: u8 = |number| *number, Some;
    u16: u16 = |number| *number, Some;
    u64: u64 = |number| *number, Some;
    Slot: u8 = |slot| slot.number(), Slot::new;
    PartitionId: u16 = |partition| partition.number(), PartitionId::new;
    ShopNumber: u32 = |shop| shop.0, |number| Some(ShopNumber(number));
    CampaignNumber: u32 = |campaign| campaign.0, |number| Some(CampaignNumber(number));
    WorkflowNumber: u32 = |workflow| workflow.0, |number| Some(WorkflowNumber(number));
    EventId: u64 = |event| event.raw(), |raw| Some(EventId::from_raw(raw));
    MessageId: u64 = |message| message.raw(), |raw| Some(MessageId::from_raw(raw));
    Timestamp: u64 = |at| at.as_millis(), |millis| Some(Timestamp::from_millis(millis));
}

impl Part for PersonKey {
    fn put(&self, key: &mut Vec<u8>) {
        self.as_bytes().put(key);
    }

    fn take(key: &mut &[u8]) -> Option<Self> {
        Part::take(key).map(Self::from_bytes)
    }
}

impl Part for PublicId {
    fn put(&self, key: &mut Vec<u8>) {
        (self.partition, self.event).put(key);
    }

    fn take(key: &mut &[u8]) -> Option<Self> {
        let (partition, event) = Part::take(key)?;
        Some(Self { partition, event })
    }
}

/// A text is the last part of its key.
impl<const N: usize> Part for Line<N> {
    fn put(&self, key: &mut Vec<u8>) {
        key.extend_from_slice(self.as_bytes());
    }

    fn take(key: &mut &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(std::mem::take(key)).ok()?;
        Self::try_from(text).ok()
    }
}

macro_rules! tuples {
    ($(($($part:ident),*))*) => {
        $(impl<$($part: Part),*> Part for ($($part,)*) {
            fn put(&self, key: &mut Vec<u8>) {
                #[expect(non_snake_case, reason = "a value is called as its type")]
                let ($($part,)*) = self;
                $($part.put(key);)*
            }

            fn take(key: &mut &[u8]) -> Option<Self> {
                Some(($($part::take(key)?,)*))
            }
        })*
    };
}

tuples! { (A) (A, B) (A, B, C) (A, B, C, D) }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_no_byte_is_left_over() {
        let slot = Slot::new(3).expect("a slot");
        let id: Line<128> = Line::try_from("caffè/1").expect("a line");
        let key = (slot, ShopNumber(7), id);
        let bytes = encode(&key);
        assert_eq!(bytes, [&[3, 0, 0, 0, 7], "caffè/1".as_bytes()].concat());
        assert_eq!(decode(&bytes), Some(key));
        assert_eq!(decode::<(Slot, ShopNumber)>(&bytes), None);
        assert_eq!(decode::<(Slot, ShopNumber)>(&bytes[..4]), None);
        assert_eq!(decode::<Slot>(&[64]), None);
    }
}
