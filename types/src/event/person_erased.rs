//! A person's data are erased.

use minicbor::{Decode, Encode};

use super::payload::{About, Bearing, NoMore, Payload};
use super::{Telling, Touched};
use crate::id::{PersonKey, ShopNumber};
use crate::time::Timestamp;

/// A person's data are erased (GDPR Art. 17): what is about the person leaves state, what protects the person stays.
///
/// Suppressions, refusals and first visits stay, by [`PersonKey`] alone; so does whose a mail was, for its unsubscribe link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PersonErased {
    /// Who.
    #[n(0)]
    pub person: PersonKey,
    /// What one shop knows; `None` is what every shop does.
    #[n(1)]
    pub shop: Option<ShopNumber>,
}

impl Payload for PersonErased {
    type Public = NoMore;

    fn about(&self) -> About {
        About {
            mail: None,
            shop: self.shop,
            person: Some(self.person),
        }
    }

    fn sentence(&self) -> String {
        match self.shop {
            Some(_) => "What the shop knew of the person was erased.",
            None => "What every shop knew of the person was erased.",
        }
        .to_owned()
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<NoMore> {
        Some(NoMore {})
    }

    /// Which mails the person had is not known from the event.
    fn touches(&self, touched: &mut Touched) {
        touched.every_mail = true;
    }

    fn bearing(&self, _wall: Timestamp) -> Bearing<'_> {
        Bearing::Erasure { shop: self.shop }
    }
}
