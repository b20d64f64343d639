//! Tokens, click ids, return paths and landing signatures from outside: nothing panics, and what is taken is exactly what we would sign.
//!
//! The keys are fixed, so the seeds under `seeds/tokens` are genuine tokens; whatever the fuzzer makes of them must be refused, or
//! be the one text that those fields have.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use types::address::EmailAddress;
use types::id::ShopNumber;
use types::token::{Kind, LandingSignature, TokenKeys, VerpKey};

const HOST: &str = "click.scarpe.example";
const NOW: u64 = 1_800_000_000;

static KEYS: LazyLock<TokenKeys> = LazyLock::new(|| TokenKeys::new(&[(1, [1; 32])]));
static VERP: LazyLock<VerpKey> = LazyLock::new(|| VerpKey::new(&[9; 32]));

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        check(text);
    }
    // The same bytes behind the encoding, so that mutations reach the fields.
    check(&base64url(input));
});

fn check(text: &str) {
    let _ = (Kind::claimed(text), KEYS.trusts(text));
    if let Ok(token) = KEYS.verify_click(HOST, text) {
        assert_eq!(KEYS.click(HOST, &token), text);
    }
    if let Ok(token) = KEYS.verify_pixel(HOST, text) {
        assert_eq!(KEYS.pixel(HOST, &token), text);
    }
    if let Ok(token) = KEYS.verify_unsubscribe(HOST, text) {
        assert_eq!(KEYS.unsubscribe(HOST, &token), text);
    }
    if let Ok(token) = KEYS.verify_aggregate_click(HOST, text) {
        assert_eq!(KEYS.aggregate_click(HOST, &token), text);
    }
    if let Ok(token) = KEYS.verify_aggregate_pixel(HOST, text) {
        assert_eq!(KEYS.aggregate_pixel(HOST, &token), text);
    }
    if let Ok(click) = KEYS.open_click_id(text) {
        assert_eq!(KEYS.click_id(&click), text);
    }
    if let Ok(address) = EmailAddress::try_from(text)
        && let Some((message, partition)) = VERP.verify(&address)
    {
        let own = VERP.return_path(message, partition, address.domain());
        assert!(own.is_ok_and(|own| own.as_str().eq_ignore_ascii_case(address.as_str())));
    }
    // Id, time, signatures and body, parted by line ends. No secret was ever shown, so nothing fits.
    let mut parts = text.splitn(4, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let (id, timestamp, signatures, body) = (part(), part(), part(), part());
    let signature = LandingSignature {
        id,
        timestamp,
        signatures,
    };
    let verdict = KEYS.verify_landing(ShopNumber(7), &signature, body.as_bytes(), NOW);
    assert!(verdict.is_err());
}

/// Encodes without padding.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or_default()));
        let bits = (a << 16) | (b << 8) | c;
        for place in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * place)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}
