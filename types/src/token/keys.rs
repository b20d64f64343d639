//! Signing and verifying: fixed layouts, one derived key per root and kind.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::LessSafeKey;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;

use super::{AggregateClick, AggregatePixel, BadToken, ClickToken, Kind, PixelToken, UnsubscribeToken, click_id};
use crate::id::{CampaignNumber, MessageId, PartitionId, ShopNumber};

/// The label under which keys are derived; another use of the same root derives others.
const LABEL: &[u8] = b"staffetta token";

/// The only scope byte that this version writes and takes: the offers of the token's shop.
const SCOPE_SHOP: u8 = 0;

/// The keys of all live roots: the last one given signs, every one verifies. Cloning is cheap enough to do once a thread.
#[derive(Clone)]
pub struct TokenKeys {
    /// Never empty.
    roots: Vec<Root>,
}

#[derive(Clone)]
pub(super) struct Root {
    pub(super) id: u8,
    pub(super) secret: [u8; 32],
    /// Whether others know the secret.
    pub(super) distrusted: bool,
    /// By kind, in the order of [`Kind::ALL`].
    kinds: [hmac::Key; Kind::ALL.len()],
    /// Of the click ids that landing pages get.
    pub(super) click_id: Arc<LessSafeKey>,
}

impl TokenKeys {
    /// Derives the keys of each root secret, oldest first: the last signs.
    ///
    /// # Panics
    ///
    /// If there is no secret: the store makes one at the first start.
    pub fn new(secrets: &[(u8, [u8; 32])]) -> Self {
        assert!(!secrets.is_empty(), "there is at least one token secret");
        let roots = secrets.iter().map(|(id, secret)| Root::new(*id, secret)).collect();
        Self { roots }
    }

    /// Distrusts roots: others know their secret.
    #[must_use]
    pub fn distrust(mut self, ids: &[u8]) -> Self {
        for root in &mut self.roots {
            root.distrusted |= ids.contains(&root.id);
        }
        self
    }

    /// Returns whether a token, verified before, was signed by a root that nobody else knows.
    pub fn trusts(&self, token: &str) -> bool {
        let mut start = [0; 3];
        let id = token.get(..4).and_then(|text| {
            BASE64URL_NOPAD.decode_mut(text.as_bytes(), &mut start).ok()?;
            start.get(1).copied()
        });
        let root = id.and_then(|id| self.root(id));
        root.is_some_and(|root| !root.distrusted)
    }

    /// Signs a click token for links under `host`.
    pub fn click(&self, host: &str, token: &ClickToken) -> String {
        let mut out = Writer::<32>::new(Kind::Click, self.signing_id());
        out.message(token.message, token.partition);
        out.put(&token.campaign.0.to_be_bytes());
        out.put(&token.shop.0.to_be_bytes());
        out.put(&[token.slot, token.flags]);
        self.seal(Kind::Click, host, out)
    }

    /// Verifies a click token that came in under `host`.
    pub fn verify_click(&self, host: &str, token: &str) -> Result<ClickToken, BadToken> {
        let bytes = self.open::<32>(Kind::Click, host, token)?;
        let mut fields = Reader::new(&bytes);
        let (message, partition) = fields.message()?;
        Ok(ClickToken {
            message,
            partition,
            campaign: CampaignNumber(u32::from_be_bytes(fields.take())),
            shop: ShopNumber(u32::from_be_bytes(fields.take())),
            slot: u8::from_be_bytes(fields.take()),
            flags: u8::from_be_bytes(fields.take()),
        })
    }

    /// Signs a pixel token for images under `host`.
    pub fn pixel(&self, host: &str, token: &PixelToken) -> String {
        let mut out = Writer::<26>::new(Kind::Pixel, self.signing_id());
        out.message(token.message, token.partition);
        out.put(&token.shop.0.to_be_bytes());
        out.put(&token.flags.to_be_bytes());
        self.seal(Kind::Pixel, host, out)
    }

    /// Verifies a pixel token that came in under `host`.
    pub fn verify_pixel(&self, host: &str, token: &str) -> Result<PixelToken, BadToken> {
        let bytes = self.open::<26>(Kind::Pixel, host, token)?;
        let mut fields = Reader::new(&bytes);
        let (message, partition) = fields.message()?;
        Ok(PixelToken {
            message,
            partition,
            shop: ShopNumber(u32::from_be_bytes(fields.take())),
            flags: u16::from_be_bytes(fields.take()),
        })
    }

    /// Signs an unsubscribe token for links under `host`.
    pub fn unsubscribe(&self, host: &str, token: &UnsubscribeToken) -> String {
        let mut out = Writer::<33>::new(Kind::Unsubscribe, self.signing_id());
        out.message(token.message, token.partition);
        out.put(&token.shop.0.to_be_bytes());
        out.put(&[SCOPE_SHOP]);
        self.seal(Kind::Unsubscribe, host, out)
    }

    /// Verifies an unsubscribe token that came in under `host`.
    pub fn verify_unsubscribe(&self, host: &str, token: &str) -> Result<UnsubscribeToken, BadToken> {
        let bytes = self.open::<33>(Kind::Unsubscribe, host, token)?;
        let mut fields = Reader::new(&bytes);
        let (message, partition) = fields.message()?;
        let shop = ShopNumber(u32::from_be_bytes(fields.take()));
        if fields.take() != [SCOPE_SHOP] {
            return Err(BadToken::Kind);
        }
        Ok(UnsubscribeToken {
            message,
            partition,
            shop,
        })
    }

    /// Signs an aggregate click token for links under `host`.
    pub fn aggregate_click(&self, host: &str, token: &AggregateClick) -> String {
        let mut out = Writer::<23>::new(Kind::AggregateClick, self.signing_id());
        out.put(&token.campaign.0.to_be_bytes());
        out.put(&token.shop.0.to_be_bytes());
        out.put(&token.day.to_be_bytes());
        out.put(&[token.slot]);
        self.seal(Kind::AggregateClick, host, out)
    }

    /// Verifies an aggregate click token that came in under `host`.
    pub fn verify_aggregate_click(&self, host: &str, token: &str) -> Result<AggregateClick, BadToken> {
        let bytes = self.open::<23>(Kind::AggregateClick, host, token)?;
        let mut fields = Reader::new(&bytes);
        Ok(AggregateClick {
            campaign: CampaignNumber(u32::from_be_bytes(fields.take())),
            shop: ShopNumber(u32::from_be_bytes(fields.take())),
            day: u16::from_be_bytes(fields.take()),
            slot: u8::from_be_bytes(fields.take()),
        })
    }

    /// Signs an aggregate pixel token for images under `host`.
    pub fn aggregate_pixel(&self, host: &str, token: &AggregatePixel) -> String {
        let mut out = Writer::<16>::new(Kind::AggregatePixel, self.signing_id());
        out.put(&token.shop.0.to_be_bytes());
        out.put(&token.day.to_be_bytes());
        self.seal(Kind::AggregatePixel, host, out)
    }

    /// Verifies an aggregate pixel token that came in under `host`.
    pub fn verify_aggregate_pixel(&self, host: &str, token: &str) -> Result<AggregatePixel, BadToken> {
        let bytes = self.open::<16>(Kind::AggregatePixel, host, token)?;
        let mut fields = Reader::new(&bytes);
        Ok(AggregatePixel {
            shop: ShopNumber(u32::from_be_bytes(fields.take())),
            day: u16::from_be_bytes(fields.take()),
        })
    }

    pub(super) fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// Returns the root that signs.
    pub(super) fn newest(&self) -> &Root {
        self.roots.last().expect("never empty: checked when made")
    }

    pub(super) fn root(&self, id: u8) -> Option<&Root> {
        self.roots.iter().find(|root| root.id == id)
    }

    fn signing_id(&self) -> u8 {
        self.newest().id
    }

    /// Fills what is left of the layout with the MAC and writes it as text.
    fn seal<const LEN: usize>(&self, kind: Kind, host: &str, mut out: Writer<LEN>) -> String {
        let root = self.newest();
        let (fields, mac) = out.bytes.split_at_mut(out.filled);
        let tag = tag(root.key(kind), fields, host);
        mac.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        BASE64URL_NOPAD.encode(&out.bytes)
    }

    /// Returns a token's bytes if kind, key and MAC are right.
    fn open<const LEN: usize>(&self, kind: Kind, host: &str, token: &str) -> Result<[u8; LEN], BadToken> {
        let bytes = decode::<LEN>(token)?;
        let (fields, mac) = bytes.split_at(LEN - kind.mac_len());
        let [first, id, ..] = fields else {
            return Err(BadToken::Malformed);
        };
        if *first != kind.tag() {
            return Err(BadToken::Kind);
        }
        let root = self.root(*id).ok_or(BadToken::UnknownKey)?;
        let tag = tag(root.key(kind), fields, host);
        let (expected, _) = tag.as_ref().split_at(mac.len());
        verify_slices_are_equal(expected, mac).map_err(|_| BadToken::Mac)?;
        Ok(bytes)
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.roots.iter().map(|root| root.id).collect();
        write!(f, "TokenKeys({ids:?})")
    }
}

impl Root {
    fn new(id: u8, secret: &[u8; 32]) -> Self {
        Self {
            id,
            secret: *secret,
            distrusted: false,
            click_id: Arc::new(click_id::key(secret, LABEL, id)),
            kinds: Kind::ALL.map(|kind| derive(secret, LABEL, &[kind.tag(), id])),
        }
    }

    fn key(&self, kind: Kind) -> &hmac::Key {
        let [click, pixel, unsubscribe, aggregate_click, aggregate_pixel] = &self.kinds;
        match kind {
            Kind::Click => click,
            Kind::Pixel => pixel,
            Kind::Unsubscribe => unsubscribe,
            Kind::AggregateClick => aggregate_click,
            Kind::AggregatePixel => aggregate_pixel,
        }
    }
}

impl Kind {
    /// Returns how many bytes of the HMAC the kind keeps.
    const fn mac_len(self) -> usize {
        match self {
            Self::Click | Self::AggregateClick => 10,
            Self::Pixel | Self::AggregatePixel => 8,
            Self::Unsubscribe => 16,
        }
    }
}

/// Reads a token's text, which has one length for each kind.
pub(super) fn decode<const LEN: usize>(text: &str) -> Result<[u8; LEN], BadToken> {
    let mut bytes = [0; LEN];
    if BASE64URL_NOPAD.decode_len(text.len()) != Ok(LEN) {
        return Err(BadToken::Malformed);
    }
    let read = BASE64URL_NOPAD.decode_mut(text.as_bytes(), &mut bytes);
    read.map(|_| bytes).map_err(|_| BadToken::Malformed)
}

/// Derives a key: HKDF-Expand (RFC 5869 §2.3) with the root as PRK, since it is uniform already, for 32 bytes.
pub(super) fn derive(root: &[u8; 32], label: &[u8], context: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &derive_bytes(root, label, context))
}

/// As [`derive()`], for keys of another algorithm.
pub(super) fn derive_bytes(root: &[u8; 32], label: &[u8], context: &[u8]) -> [u8; 32] {
    let mut expand = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, root));
    expand.update(label);
    expand.update(context);
    expand.update(&[1]);
    expand.sign().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Computes the HMAC over the fields and the host in lower case. A kind's fields have one length, so nothing is ambiguous.
pub(super) fn tag(key: &hmac::Key, fields: &[u8], host: &str) -> hmac::Tag {
    let mut mac = hmac::Context::with_key(key);
    mac.update(fields);
    for part in host.as_bytes().chunks(64) {
        let mut lower = [0; 64];
        let (lower, _) = lower.split_at_mut(part.len());
        lower.copy_from_slice(part);
        lower.make_ascii_lowercase();
        mac.update(lower);
    }
    mac.sign()
}

/// Fills a layout from the front.
struct Writer<const LEN: usize> {
    bytes: [u8; LEN],
    filled: usize,
}

impl<const LEN: usize> Writer<LEN> {
    fn new(kind: Kind, key: u8) -> Self {
        let mut writer = Self {
            bytes: [0; LEN],
            filled: 0,
        };
        writer.put(&[kind.tag(), key]);
        writer
    }

    fn message(&mut self, message: MessageId, partition: PartitionId) {
        self.put(&message.raw().to_be_bytes());
        self.put(&partition.number().to_be_bytes());
    }

    fn put(&mut self, field: &[u8]) {
        let rest = self.bytes.iter_mut().skip(self.filled);
        rest.zip(field).for_each(|(to, from)| *to = *from);
        self.filled += field.len();
    }
}

/// Reads a verified layout's fields in their order.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts behind the kind and the key id.
    fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Self::of(bytes);
        let [_, _] = reader.take();
        reader
    }

    /// Starts at the first byte.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn message(&mut self) -> Result<(MessageId, PartitionId), BadToken> {
        let message = MessageId::from_raw(u64::from_be_bytes(self.take()));
        // Signed by us, so it can only be out of range after a change of layout.
        let partition = PartitionId::new(u16::from_be_bytes(self.take())).ok_or(BadToken::Kind)?;
        Ok((message, partition))
    }

    pub(super) fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self
            .rest
            .split_first_chunk()
            .expect("each layout is as long as its fields: the vectors check it");
        self.rest = rest;
        *field
    }
}
