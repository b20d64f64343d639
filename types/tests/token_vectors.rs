//! The published vectors of `docs/formats/token.md`, checked by this implementation and by the one in Python.

#![expect(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use types::address::VisitorKeyer;
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, PersonKey, ShopNumber};
use types::token::{
    AggregateClick, AggregatePixel, ClickId, ClickToken, LandingSignature, PixelToken, TokenKeys, UnsubscribeToken,
    VerpKey,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page() -> PathBuf {
    root().join("docs/formats/token.md")
}

#[test]
fn the_published_vectors_hold() {
    let page = std::fs::read_to_string(page()).expect("the page is in the repository");
    let (_, vectors) = page.split_once("```json\n").expect("the page has vectors");
    let (vectors, _) = vectors.split_once("```").expect("the block ends");
    let vectors: Vec<Value> = serde_json::from_str(vectors).expect("vectors are JSON");
    assert!(vectors.len() >= 13);
    for vector in vectors {
        check(&vector);
    }
}

/// Signs the vector's fields, expects its token, and reads the fields back.
fn check(vector: &Value) {
    let number = |name: &str| vector[name].as_u64().unwrap_or_default();
    let short = |name: &str| u32::try_from(number(name)).unwrap();
    let byte = |name: &str| u8::try_from(number(name)).unwrap();
    let text = |name: &str| vector[name].as_str().unwrap_or_default();
    let secret = data_encoding::HEXLOWER.decode(text("root").as_bytes()).unwrap();
    let secret: [u8; 32] = secret.try_into().unwrap();
    let keys = TokenKeys::new(&[(byte("key_id"), secret)]);
    let (host, expected) = (text("host"), text("token"));

    let id = |name: &str| u64::from_str_radix(text(name), 16).unwrap_or_default();
    let message = MessageId::from_raw(id("message"));
    let partition = PartitionId::new(u16::try_from(number("partition")).unwrap()).unwrap();
    let shop = ShopNumber(short("shop"));
    let campaign = CampaignNumber(short("campaign"));
    let day = u16::try_from(number("day")).unwrap();
    let slot = byte("slot");

    match text("kind") {
        "click" => {
            let flags = byte("flags");
            let token = ClickToken {
                message,
                partition,
                campaign,
                shop,
                slot,
                flags,
            };
            assert_eq!(keys.click(host, &token), expected);
            assert_eq!(keys.verify_click(host, expected), Ok(token));
        }
        "pixel" => {
            let flags = u16::try_from(number("flags")).unwrap();
            let token = PixelToken {
                message,
                partition,
                shop,
                flags,
            };
            assert_eq!(keys.pixel(host, &token), expected);
            assert_eq!(keys.verify_pixel(host, expected), Ok(token));
        }
        "unsubscribe" => {
            let token = UnsubscribeToken {
                message,
                partition,
                shop,
            };
            assert_eq!(keys.unsubscribe(host, &token), expected);
            assert_eq!(keys.verify_unsubscribe(host, expected), Ok(token));
        }
        "aggregate_click" => {
            let token = AggregateClick {
                shop,
                campaign,
                day,
                slot,
            };
            assert_eq!(keys.aggregate_click(host, &token), expected);
            assert_eq!(keys.verify_aggregate_click(host, expected), Ok(token));
        }
        "aggregate_pixel" => {
            let token = AggregatePixel { shop, day };
            assert_eq!(keys.aggregate_pixel(host, &token), expected);
            assert_eq!(keys.verify_aggregate_pixel(host, expected), Ok(token));
        }
        "return_path" => {
            let key = VerpKey::new(&secret);
            let path = key.return_path(message, partition, host).unwrap();
            assert_eq!(path.as_str(), expected);
            assert_eq!(key.verify(&path), Some((message, partition)));
        }
        "click_id" => {
            let fields = ClickId {
                click: EventId::from_raw(id("click")),
                message,
                partition,
                campaign,
                shop,
                slot,
                flags: byte("flags"),
            };
            assert_eq!(keys.click_id(&fields), expected);
            assert_eq!(keys.open_click_id(expected), Ok(fields));
        }
        _ => check_secret(vector, &keys, &secret),
    }
}

/// The same for what is no token but derived from the same secrets.
fn check_secret(vector: &Value, keys: &TokenKeys, secret: &[u8; 32]) {
    let text = |name: &str| vector[name].as_str().unwrap_or_default();
    let shop = ShopNumber(u32::try_from(vector["shop"].as_u64().unwrap()).unwrap());
    let expected = text("token");
    match text("kind") {
        "landing_secret" => {
            let secrets = keys.landing_secrets(shop);
            assert_eq!(secrets.first().unwrap().to_string(), expected);
        }
        "landing_signature" => {
            let timestamp = vector["timestamp"].as_u64().unwrap();
            let signature = LandingSignature {
                id: text("id"),
                timestamp: &timestamp.to_string(),
                signatures: expected,
            };
            let body = text("body").as_bytes();
            assert_eq!(keys.verify_landing(shop, &signature, body, timestamp), Ok(()));
        }
        "visitor_key" => {
            let person = data_encoding::HEXLOWER.decode(text("person").as_bytes()).unwrap();
            let person = PersonKey::from_bytes(person.try_into().unwrap());
            assert_eq!(format!("{:?}", VisitorKeyer::new(secret).key(shop, &person)), expected);
        }
        other => panic!("a vector of unknown kind {other}"),
    }
}

#[test]
fn the_second_implementation_agrees() {
    let script = root().join("types/tests/python/token_vectors.py");
    let result = Command::new(python())
        .arg(script)
        .arg(page())
        .output()
        .expect("Python 3 runs");
    assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
}

/// The interpreter that the test set-up made, or the system's.
fn python() -> PathBuf {
    let made = root().join(".venv/bin/python3");
    match std::env::var_os("STAFFETTA_PYTHON") {
        Some(named) => named.into(),
        None if made.exists() => made,
        None => "python3".into(),
    }
}

/// What signing and verifying cost; `cargo test --release -p types --test token_vectors -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_click_token() {
    let keys = TokenKeys::new(&[(1, [1; 32]), (2, [2; 32])]);
    let token = ClickToken {
        message: MessageId::from_raw(1),
        partition: PartitionId::CATALOGUE,
        campaign: CampaignNumber(1),
        shop: ShopNumber(1),
        slot: 0,
        flags: 0,
    };
    let host = "click.scarpe.example";
    let rounds = 1_000_000;
    let start = std::time::Instant::now();
    let made = (0..rounds)
        .map(|_| keys.click(host, &token))
        .fold(0, |sum, token| sum + token.len());
    println!("sign: {:?} each ({made} characters)", start.elapsed() / rounds);
    let text = keys.click(host, &token);
    let start = std::time::Instant::now();
    let good = (0..rounds).filter(|_| keys.verify_click(host, &text).is_ok()).count();
    println!("verify: {:?} each ({good} good)", start.elapsed() / rounds);
}
