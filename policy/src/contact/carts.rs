//! The carts of a contact that are still open.

use minicbor::{Decode, Encode};
use types::id::EventId;

/// How many open carts of one contact are known at most; the oldest make room.
pub const CARTS_MAX: usize = 32;

/// Carts that are neither ordered nor deleted, in the order in which they were first put, each by the event by which it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct Carts(#[n(0)] Vec<EventId>);

impl Carts {
    pub(super) fn as_slice(&self) -> &[EventId] {
        &self.0
    }

    pub(super) fn touch(&mut self, cart: EventId) {
        if !self.0.contains(&cart) {
            self.0.push(cart);
            let surplus = self.0.len().saturating_sub(CARTS_MAX);
            self.0.drain(..surplus);
        }
    }

    pub(super) fn close(&mut self, cart: EventId) {
        self.0.retain(|open| *open != cart);
    }
}
