//! A workflow that was switched on has looked at a slot's contacts.

use minicbor::{Decode, Encode};

use super::Telling;
use super::payload::{About, Payload, Silent};
use crate::id::{ShopNumber, WorkflowNumber};

/// All contacts of a shop in one slot were looked at for a workflow that was switched on. It stands in the slot's first partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Swept {
    /// Whose.
    #[n(0)]
    pub shop: ShopNumber,
    /// Which workflow.
    #[n(1)]
    pub workflow: WorkflowNumber,
    /// The version of the catalogue that switched it on; the greatest number once it is deleted.
    #[n(2)]
    pub activation: u64,
    /// How many entered by it.
    #[n(3)]
    pub entered: u32,
}

impl Payload for Swept {
    /// Those who entered are told of one by one.
    type Public = Silent;

    const IS_PUBLIC: bool = false;

    fn about(&self) -> About {
        About {
            shop: Some(self.shop),
            ..About::default()
        }
    }

    fn sentence(&self) -> String {
        format!(
            "The partition's contacts were looked at for a workflow that was switched on; {} entered.",
            self.entered
        )
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<Silent> {
        None
    }
}
