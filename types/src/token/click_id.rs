//! The click id: what an advertiser's landing page is handed, and gives back to prove that it was reached.
//!
//! It holds what a landing must be joined to (click, mail, offer), encrypted, so that the advertiser learns nothing but
//! an opaque text, and any node can read it back without a look-up. AES-256-GCM-SIV (RFC 8452) with the two clear bytes
//! as associated data and a nonce of zeros: each plaintext holds a click id that was minted once, and SIV loses nothing
//! but the equality of equal plaintexts when a nonce is used twice.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use data_encoding::BASE64URL_NOPAD;

use super::keys::{Reader, decode, derive_bytes};
use super::{BadToken, TokenKeys, VERSION};
use crate::id::{CampaignNumber, EventId, MessageId, PartitionId, ShopNumber};

/// Version and kind: the first byte.
pub(super) const TAG: u8 = (VERSION << 4) | 7;
/// Click 8, message 8, partition 2, campaign 4, shop 4, slot 1, flags 1.
const FIELDS: usize = 28;
const MAC: usize = 16;
/// Kind 1, key id 1, fields, MAC: 62 characters.
const LEN: usize = 2 + FIELDS + MAC;

/// A click, as its landing page knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClickId {
    /// The click itself; its time is in the id.
    pub click: EventId,
    /// The mail that held the link.
    pub message: MessageId,
    /// Where the mail's events go.
    pub partition: PartitionId,
    /// The offer that was clicked.
    pub campaign: CampaignNumber,
    /// The shop whose mail it is.
    pub shop: ShopNumber,
    /// The offer's place in the mail, from 0.
    pub slot: u8,
    /// Bits for later use; 0 today.
    pub flags: u8,
}

/// Derives the key of a root.
pub(super) fn key(secret: &[u8; 32], label: &[u8], id: u8) -> LessSafeKey {
    let bytes = derive_bytes(secret, label, &[TAG, id]);
    let key = UnboundKey::new(&AES_256_GCM_SIV, bytes.as_ref()).expect("32 bytes are a key of AES-256");
    LessSafeKey::new(key)
}

impl TokenKeys {
    /// Encrypts a click id: 62 characters.
    pub fn click_id(&self, click: &ClickId) -> String {
        let root = self.newest();
        let mut bytes = Vec::with_capacity(LEN);
        bytes.extend_from_slice(&click.click.raw().to_be_bytes());
        bytes.extend_from_slice(&click.message.raw().to_be_bytes());
        bytes.extend_from_slice(&click.partition.number().to_be_bytes());
        bytes.extend_from_slice(&click.campaign.0.to_be_bytes());
        bytes.extend_from_slice(&click.shop.0.to_be_bytes());
        bytes.extend_from_slice(&[click.slot, click.flags]);
        let clear = [TAG, root.id];
        root.click_id
            .seal_in_place_append_tag(nonce(), Aad::from(clear), &mut bytes)
            .expect("28 bytes are within what the cipher takes");
        bytes.splice(..0, clear);
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// Decrypts a click id that came back.
    pub fn open_click_id(&self, text: &str) -> Result<ClickId, BadToken> {
        let mut bytes = decode::<LEN>(text)?;
        let (clear, sealed) = bytes.split_at_mut(2);
        let &mut [tag, id] = clear else {
            return Err(BadToken::Malformed);
        };
        if tag != TAG {
            return Err(BadToken::Kind);
        }
        let root = self.root(id).ok_or(BadToken::UnknownKey)?;
        let fields = root
            .click_id
            .open_in_place(nonce(), Aad::from([tag, id]), sealed)
            .map_err(|_| BadToken::Mac)?;
        let mut fields = Reader::of(fields);
        let click = EventId::from_raw(u64::from_be_bytes(fields.take()));
        let (message, partition) = fields.message()?;
        Ok(ClickId {
            click,
            message,
            partition,
            campaign: CampaignNumber(u32::from_be_bytes(fields.take())),
            shop: ShopNumber(u32::from_be_bytes(fields.take())),
            slot: u8::from_be_bytes(fields.take()),
            flags: u8::from_be_bytes(fields.take()),
        })
    }
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
