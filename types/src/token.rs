//! Tokens: what links, pixels and return paths carry, unforgeable and without a look-up.
//!
//! A tracking URL is `https://{tracking host}/c/{token}` (click), `/o/{token}.gif` (pixel) or `/u/{token}`
//! (unsubscribe page and RFC 8058 POST). The token is a fixed layout of integers, big-endian, with a truncated
//! HMAC-SHA-256 behind it, in base64url without padding. It holds ids and nothing else: no address, no order number,
//! no destination. Where a click leads comes from the catalogue, so no token can be bent into an open redirect. A link to
//! the shop's own site has its destination beside the token (`?to=`), and the catalogue says which sites are the shop's.
//!
//! The MAC covers every byte before it and the host name under which the token is served, so that a token of one shop
//! is worth nothing under another's host. Each kind has its own key, derived from a root secret by key id and kind. The
//! newest root signs and all live ones verify: a mail is clicked for 400 days, so roots are kept at least that long. A root
//! that is known to others is *distrusted*: its links lead on, and count for nothing.
//!
//! `docs/formats/token.md` draws the bytes and publishes test vectors; a second implementation checks them.

mod click_id;
mod keys;
mod landing;
mod verp;

pub use click_id::ClickId;
pub use keys::TokenKeys;
pub use landing::{BadSignature, LandingSecret, LandingSignature};
pub use verp::VerpKey;

use crate::id::{CampaignNumber, MessageId, PartitionId, ShopNumber};
use crate::time::Timestamp;

/// The layout's version: the high four bits of every token's first byte.
const VERSION: u8 = 1;

/// What a token is for: the low four bits of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A link to an offer, naming the message.
    Click,
    /// A pixel, naming the message.
    Pixel,
    /// The unsubscribe page and one-click POST.
    Unsubscribe,
    /// A link to an offer that names nobody.
    AggregateClick,
    /// A pixel that names nobody.
    AggregatePixel,
}

impl Kind {
    /// Every kind, in the order of its number.
    const ALL: [Self; 5] = [
        Self::Click,
        Self::Pixel,
        Self::Unsubscribe,
        Self::AggregateClick,
        Self::AggregatePixel,
    ];

    /// Reads the kind that a token claims to be. Nothing is verified yet.
    pub fn claimed(token: &str) -> Option<Self> {
        // The first byte is the first base64 character and two bits of the second.
        let mut first = [0; 3];
        let start = token.get(..4)?.as_bytes();
        data_encoding::BASE64URL_NOPAD.decode_mut(start, &mut first).ok()?;
        Self::ALL.into_iter().find(|kind| kind.tag() == first[0])
    }

    /// Returns the first byte: version and kind.
    const fn tag(self) -> u8 {
        let kind = match self {
            Self::Click => 1,
            Self::Pixel => 2,
            Self::Unsubscribe => 3,
            Self::AggregateClick => 4,
            Self::AggregatePixel => 5,
        };
        (VERSION << 4) | kind
    }
}

/// A link to an offer in one mail, with consent to be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClickToken {
    /// The mail that holds the link.
    pub message: MessageId,
    /// Where the mail's events go.
    pub partition: PartitionId,
    /// The offer; it leads to this campaign's landing page. None of a link to the shop's own site.
    pub campaign: CampaignNumber,
    /// The shop whose mail it is.
    pub shop: ShopNumber,
    /// The offer's place in the mail, from 0.
    pub slot: u8,
    /// Bits for later use; 0 today.
    pub flags: u8,
}

/// A mail's pixel, with consent to be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PixelToken {
    /// The mail that holds the pixel.
    pub message: MessageId,
    /// Where the mail's events go.
    pub partition: PartitionId,
    /// The shop whose mail it is.
    pub shop: ShopNumber,
    /// Bits for later use; 0 today.
    pub flags: u16,
}

/// A mail's unsubscribe link. It never expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubscribeToken {
    /// The mail that holds the link; it leads to the person.
    pub message: MessageId,
    /// Where the mail's events go.
    pub partition: PartitionId,
    /// The shop whose mail it is; a one-click POST unsubscribes from its offers.
    pub shop: ShopNumber,
}

/// A link to an offer that is the same for all recipients of a shop's mails of one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregateClick {
    /// The shop whose mail it is.
    pub shop: ShopNumber,
    /// The offer; it leads to this campaign's landing page.
    pub campaign: CampaignNumber,
    /// The day of the mail, see [`day`].
    pub day: u16,
    /// The offer's place in the mail, from 0.
    pub slot: u8,
}

/// A pixel that is the same for all recipients of a shop's mails of one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregatePixel {
    /// The shop whose mail it is.
    pub shop: ShopNumber,
    /// The day of the mail, see [`day`].
    pub day: u16,
}

/// Why a token is not one of ours. The visitor never learns which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BadToken {
    /// Not base64url, or not as long as its kind.
    #[error("is not base64url of the kind's length")]
    Malformed,
    /// A kind that does not belong here, or a version that is not ours.
    #[error("is of another kind or version")]
    Kind,
    /// Signed with a key that is retired, or never was.
    #[error("names an unknown key")]
    UnknownKey,
    /// The MAC does not fit bytes and host: forged, damaged, or another shop's.
    #[error("has a wrong MAC")]
    Mac,
}

impl BadToken {
    /// Every reason, in the order of its label.
    pub const ALL: [Self; 4] = [Self::Malformed, Self::Kind, Self::UnknownKey, Self::Mac];

    /// Returns the reason as a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Kind => "kind",
            Self::UnknownKey => "unknown_key",
            Self::Mac => "mac",
        }
    }
}

/// Returns a moment's day, UTC, in days since 1970-01-01; the last one is in the year 2149.
pub fn day(at: Timestamp) -> u16 {
    u16::try_from(at.as_millis() / 86_400_000).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
