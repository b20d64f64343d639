//! Ten million forged and mutated tokens, each tried as every kind: none is taken.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test states its expectations by panicking"
)]

use std::thread;

use data_encoding::BASE64URL_NOPAD;
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, ShopNumber};
use types::token::{AggregateClick, AggregatePixel, ClickId, ClickToken, PixelToken, TokenKeys, UnsubscribeToken};

const TOKENS: u64 = 10_000_000;
const HOST: &str = "click.scarpe.example";
const OTHER_HOST: &str = "click.vini.example";

/// `SplitMix64`: small, seeded, and good enough to forge with.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

fn keys() -> TokenKeys {
    TokenKeys::new(&[(1, [1; 32]), (2, [2; 32])])
}

/// Makes a whole token of each kind, signed by these keys for this host.
fn genuine(keys: &TokenKeys, host: &str, random: &mut Random) -> [String; 6] {
    let message = MessageId::from_raw(random.next());
    let partition = PartitionId::new(u16::try_from(random.below(PartitionId::COUNT)).unwrap()).unwrap();
    let [shop, campaign] = [random.next(), random.next()].map(|number| u32::try_from(number >> 32).unwrap());
    let (shop, campaign) = (ShopNumber(shop), CampaignNumber(campaign));
    let (slot, flags, day) = (random.byte(), random.byte(), u16::from(random.byte()));
    let click = ClickToken {
        message,
        partition,
        campaign,
        shop,
        slot,
        flags,
    };
    let pixel = PixelToken {
        message,
        partition,
        shop,
        flags: day,
    };
    let unsubscribe = UnsubscribeToken {
        message,
        partition,
        shop,
    };
    let aggregate_click = AggregateClick {
        shop,
        campaign,
        day,
        slot,
    };
    let click_id = ClickId {
        click: EventId::from_raw(random.next()),
        message,
        partition,
        campaign,
        shop,
        slot,
        flags,
    };
    [
        keys.click(host, &click),
        keys.pixel(host, &pixel),
        keys.unsubscribe(host, &unsubscribe),
        keys.aggregate_click(host, &aggregate_click),
        keys.aggregate_pixel(host, &AggregatePixel { shop, day }),
        keys.click_id(&click_id),
    ]
}

/// Returns how many kinds take a text.
fn taken(keys: &TokenKeys, text: &str) -> usize {
    let verdicts = [
        keys.verify_click(HOST, text).is_ok(),
        keys.verify_pixel(HOST, text).is_ok(),
        keys.verify_unsubscribe(HOST, text).is_ok(),
        keys.verify_aggregate_click(HOST, text).is_ok(),
        keys.verify_aggregate_pixel(HOST, text).is_ok(),
        keys.open_click_id(text).is_ok(),
    ];
    verdicts.into_iter().filter(|taken| *taken).count()
}

/// Forges a text from two genuine tokens of one kind, in one of the ways that damage, scanners and thieves have.
fn forge(random: &mut Random, one: &str, other: &str, way: u64) -> String {
    let mut bytes = BASE64URL_NOPAD.decode(one.as_bytes()).unwrap();
    let len = bytes.len();
    match way {
        // One bit.
        0 => bytes[random.below(len)] ^= 1 << random.below(8),
        // One byte, for certain another one.
        1 => bytes[random.below(len)] ^= 1 + random.byte() % 255,
        // All but what names kind and key.
        2 => bytes.iter_mut().skip(2).for_each(|byte| *byte = random.byte()),
        // The MAC alone.
        3 => bytes.iter_mut().skip(len - 8).for_each(|byte| *byte = random.byte()),
        // The front of one, the end of another.
        4 => {
            let other = BASE64URL_NOPAD.decode(other.as_bytes()).unwrap();
            let at = 3 + random.below(len - 11);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[at..]);
        }
        // Cut off, or with more behind.
        5 => bytes.truncate(random.below(len)),
        6 => bytes.extend((0..=random.below(8)).map(|_| random.byte())),
        // Another kind or version, or another key.
        7 => bytes[0] ^= 1 + random.byte() % 255,
        8 => bytes[1] ^= 1 + random.byte() % 255,
        // Nothing of it.
        _ => bytes.iter_mut().for_each(|byte| *byte = random.byte()),
    }
    BASE64URL_NOPAD.encode(&bytes)
}

/// Substitutes characters as a mangling scanner does, or changes the case of one.
fn mangle(random: &mut Random, token: &str) -> String {
    let at = random.below(token.len());
    let mut text = token.as_bytes().to_vec();
    text[at] = match text[at] {
        letter if letter.is_ascii_alphabetic() => letter ^ 0x20,
        b'9' => b'0',
        b'0'..=b'8' => text[at] + 1,
        _ => b'A',
    };
    String::from_utf8(text).unwrap()
}

/// Tries this many forgeries; returns how many were tried and how many were taken.
fn try_many(seed: u64, tokens: u64) -> (u64, usize) {
    let keys = keys();
    let thief = TokenKeys::new(&[(1, [9; 32]), (2, [8; 32])]);
    let mut random = Random(seed);
    let (mut tried, mut accepted) = (0, 0);
    while tried < tokens {
        let ones = genuine(&keys, HOST, &mut random);
        let others = genuine(&keys, HOST, &mut random);
        let elsewhere = genuine(&keys, OTHER_HOST, &mut random);
        let stolen = genuine(&thief, HOST, &mut random);
        let whole = ones.iter().map(|one| taken(&keys, one)).sum::<usize>();
        assert_eq!(whole, ones.len(), "what is whole is taken, as its own kind alone");
        // A click id is not bound to a host: it comes back under the advertiser's.
        let of_hosts = elsewhere.iter().take(5);
        let mut forged: Vec<String> = of_hosts.chain(&stolen).cloned().collect();
        for (one, other) in ones.iter().zip(&others) {
            forged.push(mangle(&mut random, one));
            for way in (0..10).chain(0..6) {
                forged.push(forge(&mut random, one, other, way));
            }
            // Where two tokens begin alike, the end of one on the front of the other is that one.
            forged.retain(|text| text != one && text != other);
        }
        tried += forged.len() as u64;
        for text in &forged {
            let kinds = taken(&keys, text);
            if kinds > 0 {
                println!("taken: {text} (seed {seed})");
            }
            accepted += kinds;
        }
    }
    (tried, accepted)
}

#[test]
fn ten_million_forged_tokens_are_refused() {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(16) as u64;
    let share = TOKENS.div_ceil(threads);
    let shares = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|seed| scope.spawn(move || try_many(seed, share)))
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    let tried: u64 = shares.iter().map(|(tried, _)| tried).sum();
    let accepted: usize = shares.iter().map(|(_, accepted)| accepted).sum();
    assert!(tried >= TOKENS);
    assert_eq!(accepted, 0, "of {tried}");
}
