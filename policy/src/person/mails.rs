//! The mails that were decided for a person: what a withdrawal must reach.

use std::time::Duration;

use minicbor::{Decode, Encode};
use types::id::{MessageId, ShopNumber};
use types::order::Stream;
use types::time::Timestamp;

/// How long a mail's id is kept: as long as its links work.
pub const MESSAGES_KEPT: Duration = Duration::from_hours(400 * 24);
/// How many mails of one person are kept at most, the newest: 5 for each of those days.
pub const MESSAGES_MAX: usize = 2_000;

/// The mails of the last 400 days, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct Mails(#[n(0)] Vec<Sent>);

/// A mail that was decided for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Sent {
    /// Its id, which tells its time.
    #[n(0)]
    pub message: MessageId,
    /// Whose it is.
    #[n(1)]
    pub shop: ShopNumber,
    /// Its stream.
    #[n(2)]
    pub stream: Stream,
}

/// Whose mails, on which streams, a withdrawal reaches.
#[derive(Clone, Copy)]
pub(super) struct Reach {
    pub(super) shop: Option<ShopNumber>,
    pub(super) stream: Option<Stream>,
}

impl Mails {
    pub(super) fn as_slice(&self) -> &[Sent] {
        &self.0
    }

    /// Returns the time of something that is told at `wall` as mails' ids count it: never before a mail that was made before.
    ///
    /// Ids go on rising when the clock is set back; `wall` alone would leave the mails of the lost time out.
    pub(super) fn learned_at(&self, wall: Timestamp) -> Timestamp {
        let newest = self.0.last().map(|sent| sent.message.event().time());
        newest.map_or(wall, |newest| newest.max(wall))
    }

    /// Returns the mails that a withdrawal reaches.
    pub(super) fn reached_by(&self, reach: Reach) -> Vec<MessageId> {
        let reached = self.0.iter().filter(|sent| {
            reach.shop.is_none_or(|shop| shop == sent.shop) && reach.stream.is_none_or(|stream| stream == sent.stream)
        });
        reached.map(|sent| sent.message).collect()
    }

    /// Keeps a mail that was decided at `wall`; those that are too old, or too many, make room.
    pub(super) fn add(&mut self, mail: Sent, wall: Timestamp) {
        let oldest = wall - MESSAGES_KEPT;
        self.0.retain(|sent| sent.message.event().time() >= oldest);
        self.0.push(mail);
        let surplus = self.0.len().saturating_sub(MESSAGES_MAX);
        self.0.drain(..surplus);
    }

    /// Forgets the mails of one shop, or of every shop.
    pub(super) fn forget(&mut self, shop: Option<ShopNumber>) {
        self.0.retain(|sent| shop.is_some_and(|shop| shop != sent.shop));
    }
}
