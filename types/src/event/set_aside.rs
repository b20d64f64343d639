//! Something could not be done, and was set aside.

use minicbor::{Decode, Encode};

use super::Telling;
use super::payload::{About, Payload, Silent};
use crate::id::{EventId, ShopNumber};
use crate::text::Line;
use crate::time::Timestamp;

/// Something could not be done after several tries, and was set aside for people to look at.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SetAside {
    /// Whose it was, if known.
    #[n(0)]
    pub shop: Option<ShopNumber>,
    /// The instance or cart whose turn it was.
    #[n(1)]
    pub object: EventId,
    /// The timer that brought it, if one did.
    #[n(2)]
    pub due: Option<Timestamp>,
    /// What went wrong, for people.
    #[n(3)]
    pub fault: Line<500>,
    /// How often it was tried.
    #[n(4)]
    pub tries: u32,
}

impl Payload for SetAside {
    /// It is for those who look after the service, in words that may hold a person's.
    type Public = Silent;

    const IS_PUBLIC: bool = false;

    fn about(&self) -> About {
        About {
            shop: self.shop,
            ..About::default()
        }
    }

    fn sentence(&self) -> String {
        format!("Something was set aside after {} tries: {}.", self.tries, self.fault)
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<Silent> {
        None
    }
}
