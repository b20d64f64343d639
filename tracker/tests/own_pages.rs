//! Links of a message to the shop's own site: they lead there, and nowhere else whatever is written behind the token.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod support;

use support::{SHOP_PAGE, World, check_common, start};
use types::event::{Event, HitKind};
use types::id::{CampaignNumber, ShopNumber};

/// Percent-encodes all but letters and digits.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

async fn check(world: &World, query: &str, expected: &str) {
    let answer = world.get(&format!("/c/{}?{query}", world.click(0))).await;
    assert_eq!(answer.status, 302, "{query}");
    check_common(&answer);
    assert_eq!(answer.location(), expected, "{query}");
}

#[tokio::test]
async fn a_link_leads_to_the_page_and_is_a_click_of_no_campaign() {
    let mut world = start().await;
    let page = "https://shop.scarpe.example/carrello?id=77&x=%0d%2F&recovery=abc#top";
    check(&world, &format!("to={}", encoded(page)), page).await;
    let (partition, event) = world.next_event().await;
    let Event::Clicked(clicked) = event else {
        panic!("{event:?}");
    };
    assert_eq!(partition, support::partition());
    assert_eq!((clicked.message, clicked.shop), (support::message(), ShopNumber(1)));
    assert_eq!(clicked.campaign, CampaignNumber::NONE);
    // The token of an offer does not make it a click on the offer.
    let answer = world.get(&format!("/c/{}?to={}", world.click(1), encoded(page))).await;
    assert_eq!(answer.location(), page);
    match world.next_event().await.1 {
        Event::Clicked(clicked) => assert_eq!(clicked.campaign, CampaignNumber::NONE),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_link_that_names_nobody_is_counted_for_no_campaign() {
    let mut world = start().await;
    let page = "https://scarpe.example/";
    let answer = world
        .get(&format!("/c/{}?to={}", world.aggregate_click(), encoded(page)))
        .await;
    assert_eq!(answer.location(), page);
    world.stop.cancel();
    match world.next_event().await.1 {
        Event::AggregateCounted(counted) => {
            let hits: Vec<_> = counted
                .hits
                .iter()
                .map(|hit| (hit.campaign, hit.kind, hit.count))
                .collect();
            assert_eq!(hits, [(None, HitKind::Click, 1)]);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_shop_s_own_pages_are_followed_however_they_are_written() {
    let world = start().await;
    for page in [
        "https://scarpe.example",
        "https://www.scarpe.example:443/a/../b",
        "https://SHOP.Scarpe.Example/?next=https://evil.example/",
        "https://scarpe.example/%252e%252e//evil.example",
    ] {
        check(&world, &format!("to={}", encoded(page)), page).await;
    }
    let page = "https://scarpe.example/a?b=c";
    check(&world, &format!("to={page}"), page).await;
    check(
        &world,
        &format!("utm=1&to={}&to=https://evil.example/", encoded(page)),
        page,
    )
    .await;
}

#[tokio::test]
async fn no_other_page_is() {
    let world = start().await;
    for page in [
        "",
        "/carrello",
        "//evil.example/",
        "\\\\evil.example/",
        "/\\evil.example/",
        "https:/\\evil.example/",
        "https://evil.example/",
        "http://scarpe.example/",
        "HTTPS://scarpe.example/",
        "javascript:alert(1)",
        "data:text/html,scarpe.example",
        "https://vini.example/",
        "https://evilscarpe.example/",
        "https://scarpe.example.evil.example/",
        "https://scarpe.example@evil.example/",
        "https://scarpe.example:x@evil.example/",
        "https://evil.example\\@scarpe.example/",
        "https://evil.example\\.scarpe.example/",
        "https://evil.example#@scarpe.example/",
        "https://evil.example?.scarpe.example/",
        "https://evil.example%2F.scarpe.example/",
        "https://evil.example\0.scarpe.example/",
        "https://evil.example\t.scarpe.example/",
        "https://scarpe.example:8443/",
        "https://scarpe.example:0443x/",
        "https://scarpe.example./",
        "https://scarpe\u{3002}example/",
        "https://sc\u{430}rpe.example/",
        "https://xn--scrpe-5ve.example/",
        " https://scarpe.example/",
        "https://scarpe.example/\r\nSet-Cookie: a=b",
        "https://scarpe.example/\r\n\r\n<script>",
        "https://scarpe.example/\n",
        "https%3A%2F%2Fscarpe.example%2F",
    ] {
        check(&world, &format!("to={}", encoded(page)), SHOP_PAGE).await;
    }
    for raw in [
        "to=",
        "to",
        "to=%",
        "to=%zz",
        "to=https://scarpe.example/%0",
        "to=%C3%A8",
    ] {
        check(&world, raw, SHOP_PAGE).await;
    }
    let long = format!("https://scarpe.example/{}", "a".repeat(2000));
    check(&world, &format!("to={long}"), SHOP_PAGE).await;
}

#[tokio::test]
async fn a_bad_token_leads_to_no_page_of_its_own_choice() {
    let world = start().await;
    let mut token = world.click(0).into_bytes();
    let last = token.last_mut().unwrap();
    *last = if *last == b'A' { b'E' } else { b'A' };
    let token = String::from_utf8(token).unwrap();
    let page = encoded("https://scarpe.example/carrello");
    let answer = world.get(&format!("/c/{token}?to={page}")).await;
    assert_ne!(answer.header("location"), Some("https://scarpe.example/carrello"));
}
