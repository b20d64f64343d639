//! A suppression list changed.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::Telling;
use super::payload::{About, Bearing, Duty, Payload};
use crate::id::{PersonKey, ShopNumber};
use crate::order::Stream;
use crate::time::Timestamp;

/// A person was put on, or taken off, a suppression list.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SuppressionChanged {
    /// Who.
    #[n(0)]
    pub person: PersonKey,
    /// Whose list; `None` is the network's.
    #[n(1)]
    pub shop: Option<ShopNumber>,
    /// On which stream; `None` is both.
    #[n(2)]
    pub stream: Option<Stream>,
    /// Why, or `None` when the person is taken off.
    #[n(3)]
    pub cause: Option<SuppressionCause>,
}

/// Why a person is suppressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum SuppressionCause {
    /// The person unsubscribed.
    #[n(0)]
    Unsubscribed,
    /// The mailbox does not exist.
    #[n(1)]
    HardBounce,
    /// The person complained to the provider.
    #[n(2)]
    Complaint,
    /// A shop or an operator asked for it.
    #[n(3)]
    Manual,
}

impl SuppressionCause {
    /// Returns the cause's name, as in API answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::HardBounce => "hard_bounce",
            Self::Complaint => "complaint",
            Self::Manual => "manual",
        }
    }
}

/// What the outside sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublicSuppression {
    /// On which stream; missing for both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<Stream>,
    /// Why somebody was put on the list; missing when somebody was taken off it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<SuppressionCause>,
}

impl Payload for SuppressionChanged {
    type Public = PublicSuppression;

    fn name(&self) -> &'static str {
        match self.cause {
            Some(_) => "suppression.added",
            None => "suppression.removed",
        }
    }

    fn about(&self) -> About {
        About {
            mail: None,
            shop: self.shop,
            person: Some(self.person),
        }
    }

    fn sentence(&self) -> String {
        let list = if self.shop.is_some() {
            "the shop's"
        } else {
            "the network's"
        };
        let stream = self.stream.map_or("every stream", Stream::as_str);
        match self.cause {
            Some(cause) => format!(
                "The person was put on {list} suppression list for {stream} ({}).",
                cause.as_str()
            ),
            None => format!("The person was taken off {list} suppression list for {stream}."),
        }
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<PublicSuppression> {
        Some(PublicSuppression {
            stream: self.stream,
            cause: self.cause,
        })
    }

    fn bearing(&self, _wall: Timestamp) -> Bearing<'_> {
        Bearing::Suppression(self)
    }

    fn duty(&self) -> Duty<'_> {
        Duty::Suppressed(self)
    }
}
