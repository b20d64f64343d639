//! What one mail costs: content, structure, canonicalisation and hashes, signatures; what the worst texts cost at two sizes,
//! which must be as far apart as these; and what the line before the threads costs. `cargo bench -p mta --bench submit`.

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
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mta::submit::dkim::{self, Algorithm, Scratch, Terms, generate_keys};
use mta::submit::mime::quoted_printable;
use mta::submit::queue::{Lane, Queue};
use serde_json::json;
use types::id::ShopNumber;

#[path = "../tests/render/fixture.rs"]
mod fixture;

use fixture::{Maker, catalogue, message_mail, offer_mail, order, shop};

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

/// The largest part that the API takes, and a quarter of it.
const SIZES: [usize; 2] = [64 * 1024, 256 * 1024];

/// Texts of one size that a reader may stumble over: long lines, what never ends, what is nested, what is repeated.
fn worst(bytes: usize) -> Vec<(&'static str, String)> {
    let repeated = [
        ("one letter", "x"),
        ("letters and blanks", "x "),
        ("blanks", " "),
        ("tabs", "\t"),
        ("no-break spaces", "\u{a0}"),
        ("no-break entities", "&nbsp;"),
        ("equals signs", "="),
        ("dots", "."),
        ("From", "From "),
        ("two-byte letters", "è"),
        ("LF", "\n"),
        ("CR", "\r"),
        ("blank lines", " \n"),
        ("ampersands", "&"),
        ("entities", "&#8364;"),
        ("less-than signs", "<"),
        ("greater-than signs", ">"),
        ("quotes", "\""),
        ("open tags", "<b"),
        ("ends of tags", "</"),
        ("open comments", "<!--"),
        ("scripts", "<script>"),
        ("scripts with false ends", "<script></scrip>"),
        ("titles", "<title></titl>"),
        ("cells of one line", "<td>x</td>"),
        ("line breaks", "<br>"),
        ("lists", "<ul><li>"),
        ("links", "<a href=\"a://b\">x</a>"),
        ("links in links", "<a href=\"a://b\">"),
        ("ends of links", "</a>"),
        ("pictures", "<img alt=\"a\u{a0}b\">"),
        ("ends of bodies", "</body>"),
        ("bodies", "<body"),
        ("encoded words", "=?utf-8?q?x?= "),
    ];
    let mut texts: Vec<(&str, String)> = repeated
        .into_iter()
        .map(|(name, piece)| (name, piece.repeat(bytes / piece.len())))
        .collect();
    let third = bytes / 3;
    let (open, close) = ("<a href=\"a://b\">", "</a>");
    let links = third / (open.len() + close.len());
    let nested = |between: &str| {
        let between = between.repeat(third * 2 / between.len());
        format!("{}{between}{}", open.repeat(links), close.repeat(links))
    };
    texts.push(("links around blanks", nested("\u{a0}")));
    texts.push(("links around words", nested("x ")));
    texts.push((
        "links around a target of blanks",
        format!(
            "{}<a href=\"{}://\">{}",
            open.repeat(links),
            " ".repeat(third * 2),
            close.repeat(links)
        ),
    ));
    for (name, start, piece) in [
        ("attributes", "<a ", "b=c "),
        ("attributes without names", "<a ", "= "),
        ("attributes without values", "<a ", "b "),
        ("an attribute's blanks", "<a href", " "),
        ("an attribute that never ends", "<a href=\"", "x"),
        ("quotes in a tag", "<a ", "'\""),
        ("a tag's name", "<", "b"),
    ] {
        texts.push((name, format!("{start}{}", piece.repeat(bytes / piece.len()))));
    }
    texts
}

/// Makes mails of the worst texts, as HTML alone and as text alone. The rate must not fall with the size.
fn worst_texts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("worst");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500));
    let mut shop = shop();
    shop["transactional"]["dkim"] = json!("ed25519");
    let catalogue = catalogue(shop, &[]);
    let mut maker = Maker::new();
    for bytes in SIZES {
        for (name, text) in worst(bytes) {
            for part in ["html", "text"] {
                let mut content = json!({"subject": "s"});
                content[part] = json!(text);
                let mail = message_mail(
                    &catalogue,
                    json!({"to": {"email": "a@example.it"}, "body": {"content": content}}),
                );
                group.throughput(Throughput::Bytes(u64::try_from(text.len()).unwrap()));
                group.bench_function(format!("{name}, {part}, {} KiB", bytes / 1024), |bencher| {
                    bencher.iter(|| maker.make(black_box(&mail)));
                });
            }
        }
    }
    // The longest subject and name that the API takes.
    for piece in ["x", "x ", "è", "注", "=?", "\""] {
        let mail = message_mail(
            &catalogue,
            json!({
                "to": {"email": "a@example.it", "name": piece.repeat(128).chars().take(128).collect::<String>().trim()},
                "body": {"content": {"subject": piece.repeat(998).chars().take(998).collect::<String>(), "text": "x"}},
            }),
        );
        group.bench_function(format!("subject and name of `{piece}`"), |bencher| {
            bencher.iter(|| maker.make(black_box(&mail)));
        });
    }
    group.finish();
}

/// Puts a mail into the line and takes it out, with so many shops that wait.
fn line(criterion: &mut Criterion) {
    for shops in [1_u32, 100, 10_000] {
        let queue = Queue::new();
        for number in 0..shops {
            queue.push(Lane::Orders, ShopNumber(number), [0_u8; 256]).unwrap();
        }
        criterion.bench_function(&format!("line/{shops} shops wait"), |bencher| {
            bencher.iter(|| {
                let (turn, item) = queue.pop().unwrap();
                queue.push(Lane::Orders, turn.shop(), item).unwrap();
                queue.done(turn, Duration::from_micros(300));
            });
        });
    }
    let queue = Queue::new();
    criterion.bench_function("line/nothing waits", |bencher| {
        bencher.iter(|| {
            queue.push(Lane::Orders, ShopNumber(1), [0_u8; 256]).unwrap();
            let (turn, item) = queue.pop().unwrap();
            queue.done(turn, Duration::from_micros(300));
            item
        });
    });
}

criterion_group!(benches, mails, worst_texts, line);
criterion_main!(benches);
