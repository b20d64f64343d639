//! What one mail costs: content, structure, canonicalisation and hashes, signatures. `cargo bench -p mta --bench submit`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench is no library"
)]
#![allow(
    dead_code,
    unreachable_pub,
    clippy::indexing_slicing,
    reason = "the tests' fixture has more than the bench needs"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use mta::submit::dkim::{self, Algorithm, Scratch, Terms, generate_keys};
use mta::submit::mime::quoted_printable;
use serde_json::json;

#[path = "../tests/render/fixture.rs"]
mod fixture;

use fixture::{Maker, catalogue, offer_mail, order, shop};

fn mails(criterion: &mut Criterion) {
    for offers in [1, 3] {
        let mut maker = Maker::new();
        let mut shop = shop();
        shop["promotional"]["dkim"] = json!("ed25519");
        let mail = offer_mail(&catalogue(shop, &[]), order(), offers);
        let bytes = maker.make(&mail).bytes;
        let size = bytes.len();
        criterion.bench_function(&format!("render/{offers} offers"), |bencher| {
            bencher.iter(|| maker.composer.render(black_box(&mail)));
        });
        let html = maker.composer.rendered().html.clone();
        let mut out = Vec::new();
        criterion.bench_function(
            &format!("quoted-printable/{offers} offers, {} bytes of HTML", html.len()),
            |bencher| {
                bencher.iter(|| {
                    out.clear();
                    quoted_printable::encode(black_box(&html), &mut out);
                });
            },
        );
        criterion.bench_function(
            &format!("build and sign, Ed25519/{offers} offers, {size} bytes"),
            |bencher| {
                bencher.iter(|| maker.composer.sign(black_box(&mail)));
            },
        );

        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (header, body) = text.split_once("\r\n\r\n").unwrap();
        let header = &header[header.find("\r\nFrom:").unwrap() + 2..];
        let (header, terms) = (
            format!("{header}\r\n"),
            Terms {
                domain: "a.example",
                signed_at: 1,
                expires_at: 2,
            },
        );
        let mut scratch = Scratch::default();
        for (name, algorithm) in [
            ("none", None),
            ("Ed25519", Some(Algorithm::Ed25519)),
            ("RSA-2048", Some(Algorithm::Rsa)),
        ] {
            let keys = generate_keys("a.example", algorithm.map(|algorithm| ("s", algorithm))).unwrap();
            let keys: Vec<_> = keys.iter().map(|key| &key.key).collect();
            criterion.bench_function(
                &format!("canonicalise, hash and sign, {name}/{offers} offers"),
                |bencher| {
                    bencher.iter(|| {
                        out.clear();
                        dkim::sign(
                            header.as_bytes(),
                            body.as_bytes(),
                            &terms,
                            &keys,
                            &mut scratch,
                            &mut out,
                        )
                    });
                },
            );
        }
    }
}

criterion_group!(benches, mails);
criterion_main!(benches);
