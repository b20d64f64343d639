//! Tokens that are not ours, or not in their place: they lead to a safe page, never anywhere else, and record nothing.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod support;

use std::fmt::Write as _;

use support::{Answer, Client, HOST, OTHER_HOST, SHOP_PAGE, World, start, start_with};

const OTHER_PAGE: &str = "https://vini.example/";

/// A small generator with a seed (SplitMix64): the tests need many tokens, not good randomness.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A bad link leads to the shop's page; a bad pixel is still a pixel; a bad POST is not redirected.
async fn check_bad(world: &World, token: &str) {
    assert_eq!(world.get(&format!("/c/{token}")).await.location(), SHOP_PAGE, "{token}");
    assert_eq!(world.get(&format!("/u/{token}")).await.location(), SHOP_PAGE, "{token}");
    let pixel = world.get(&format!("/o/{token}.gif")).await;
    assert_eq!((pixel.status, pixel.body.len()), (200, 43), "{token}");
    let post = world
        .request("POST", &format!("/u/{token}"), &[], "List-Unsubscribe=One-Click")
        .await;
    assert_eq!((post.status, post.header("location")), (404, None), "{token}");
}

#[tokio::test]
async fn a_hundred_thousand_guesses_and_flipped_bits_find_nothing() {
    let mut world = start().await;
    let good = [world.click(1), world.aggregate_click()];
    let seed = 20_261_122;
    let mut random = Random(seed);
    let alphabet: Vec<char> = ('A'..='Z')
        .chain('a'..='z')
        .chain('0'..='9')
        .chain(['-', '_'])
        .collect();
    let mut guess = |n: usize| {
        let mut token: Vec<char> = good[n % 2].chars().collect();
        if n.is_multiple_of(5) {
            // Random but for the kind, so that the MAC is what refuses.
            for c in token.iter_mut().skip(3) {
                *c = alphabet[usize::try_from(random.next() % 64).unwrap()];
            }
        } else {
            let bit = usize::try_from(random.next()).unwrap() % (token.len() * 6);
            let value = alphabet.iter().position(|c| *c == token[bit / 6]).unwrap();
            token[bit / 6] = alphabet[value ^ (1 << (bit % 6))];
        }
        token.into_iter().collect::<String>()
    };
    let mut client = Client::connect(world.address).await;
    let count = 100_000;
    // In pipelined batches, so that the sockets are not what is measured.
    for batch in 0..count / 100 {
        let guesses: Vec<String> = (0..100).map(|n| guess(batch * 100 + n)).collect();
        let mut requests = String::new();
        for token in &guesses {
            write!(requests, "GET /c/{token} HTTP/1.1\r\nhost: {HOST}\r\n\r\n").unwrap();
        }
        tokio::io::AsyncWriteExt::write_all(&mut client.stream, requests.as_bytes())
            .await
            .unwrap();
        for token in guesses {
            assert_eq!(client.answer("GET").await.location(), SHOP_PAGE, "{token}, seed {seed}");
        }
    }
    assert_eq!(world.waiting(), []);
    assert_eq!(
        world.counter("tracker_bad_tokens_total", &["endpoint=\"click\""]),
        count as u64
    );
}

#[tokio::test]
async fn every_kind_of_bad_token_is_safe_everywhere() {
    let mut world = start().await;
    let (click, pixel, unsubscribe) = (world.click(1), world.pixel(), world.unsubscribe());
    for token in [
        "",
        "x",
        "%00",
        "../../etc/passwd",
        "https://evil.example/",
        "?u=https://evil.example/",
        &"A".repeat(4_000),
    ] {
        check_bad(&world, token).await;
    }
    // A token in another's place.
    assert_eq!(world.get(&format!("/c/{pixel}")).await.location(), SHOP_PAGE);
    assert_eq!(world.get(&format!("/c/{unsubscribe}")).await.location(), SHOP_PAGE);
    assert_eq!(world.get(&format!("/u/{click}")).await.location(), SHOP_PAGE);
    assert_eq!(world.get(&format!("/o/{click}.gif")).await.body.len(), 43);
    assert_eq!(world.waiting(), []);
}

#[tokio::test]
async fn a_shops_token_is_worth_nothing_under_anothers_host() {
    let mut world = start().await;
    let at = |host: &'static str| [("host", host)];
    let click = format!("/c/{}", world.click(1));
    let answer: Answer = world.request("GET", &click, &at(OTHER_HOST), "").await;
    assert_eq!(answer.location(), OTHER_PAGE);
    let unsubscribe = format!("/u/{}", world.unsubscribe());
    let answer = world
        .request("POST", &unsubscribe, &at(OTHER_HOST), "List-Unsubscribe=One-Click")
        .await;
    assert_eq!(answer.status, 404);
    let pixel = format!("/o/{}.gif", world.pixel());
    assert_eq!(world.request("GET", &pixel, &at(OTHER_HOST), "").await.body.len(), 43);
    assert_eq!(world.waiting(), []);
    assert_eq!(world.counter("tracker_bad_tokens_total", &["reason=\"mac\""]), 3);
}

#[tokio::test]
async fn under_a_host_that_is_no_shops_the_settings_page_stands_in() {
    let nobody = [("host", "198.51.100.7")];
    let world = start().await;
    assert_eq!(world.request("GET", "/c/x", &nobody, "").await.status, 404);
    let world = start_with(tracker::Settings {
        safe_page: Some("https://network.example/".try_into().unwrap()),
        ..tracker::Settings::default()
    })
    .await;
    assert_eq!(
        world.request("GET", "/c/x", &nobody, "").await.location(),
        "https://network.example/"
    );
}
