//! Every endpoint, over real sockets: what it answers, and what it records.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod support;

use std::sync::Arc;

use support::{BROWSER, HOST, SHOP_PAGE, check_common, start};
use types::catalogue::Catalogue;
use types::event::{AgentClass, AggregateHit, CatalogueChanged, Clicked, Event, HitClass, HitKind, Opened, Visit};
use types::id::{CampaignNumber, EventId, ShopNumber};
use types::network::Network;

/// Checks that an answer leads to campaign `campaign`'s landing page, and returns the click id that it hands on.
fn check_landing(answer: &support::Answer, campaign: &str) -> String {
    let location = answer.location();
    let rest = location.strip_prefix("https://vini.example/in?c=").expect(location);
    let (click_id, rest) = rest.split_once('&').expect(location);
    assert_eq!(rest, format!("p=scarpe&k=10%250d%250a%20%26%20pi%C3%B9&n={campaign}"));
    click_id.to_owned()
}

fn clicked(click: Option<EventId>) -> Clicked {
    Clicked {
        message: support::message(),
        shop: ShopNumber(1),
        campaign: CampaignNumber(1),
        slot: 2,
        agent: AgentClass::Client,
        click,
        network: Some(Network::V4([127, 0, 0])),
        visit: Visit::Real,
        suspect: false,
        untrusted: false,
    }
}

fn opened() -> Opened {
    Opened {
        message: support::message(),
        shop: ShopNumber(1),
        agent: AgentClass::Client,
        network: Some(Network::V4([127, 0, 0])),
        visit: Visit::Real,
        suspect: false,
    }
}

/// Takes the next event, which is a click.
async fn next_click(world: &mut support::World) -> Clicked {
    match world.next_event().await {
        (partition, Event::Clicked(clicked)) if partition == support::partition() => clicked,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_click_leads_to_the_landing_page_and_is_recorded() {
    let mut world = start().await;
    let answer = world.get(&format!("/c/{}", world.click(1))).await;
    assert_eq!(answer.status, 302);
    check_common(&answer);
    let click_id = check_landing(&answer, "vini-autunno");
    let click_id = world.keys.open_click_id(&click_id).expect("a click id");
    let recorded = next_click(&mut world).await;
    assert_eq!(recorded, clicked(Some(click_id.click)));
    assert_eq!(
        (click_id.message, click_id.partition),
        (support::message(), support::partition())
    );
    assert_eq!(
        (click_id.campaign, click_id.shop, click_id.slot),
        (CampaignNumber(1), ShopNumber(1), 2)
    );
    assert_eq!(
        world.counter("tracker_events_total", &["event=\"clicked\"", "fate=\"recorded\""]),
        1
    );
    // Another click of the same link is another click.
    world.get(&format!("/c/{}", world.click(1))).await;
    assert_ne!(next_click(&mut world).await.click, recorded.click);
}

#[tokio::test]
async fn an_open_is_a_pixel_and_is_recorded() {
    let mut world = start().await;
    let answer = world.get(&format!("/o/{}.gif", world.pixel())).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("image/gif"));
    assert_eq!(answer.body.len(), 43);
    assert!(answer.body.starts_with(b"GIF89a\x01\x00\x01\x00") && answer.body.ends_with(b";"));
    check_common(&answer);
    assert_eq!(
        world.next_event().await,
        (support::partition(), Event::Opened(opened()))
    );
}

#[tokio::test]
async fn aggregate_tokens_are_counted_and_record_nobody() {
    let mut world = start().await;
    let token = world.aggregate_click();
    let mut handed_on = String::new();
    for _ in 0..3 {
        let answer = world.get(&format!("/c/{token}")).await;
        handed_on = check_landing(&answer, "vini-autunno");
    }
    let pixel = format!("/o/{}.gif", world.aggregate_pixel());
    assert_eq!(world.get(&pixel).await.body.len(), 43);
    // Not while nobody looks.
    world.request("HEAD", &pixel, &[], "").await;
    // What is handed on names the offer and nobody, is the same for everybody, and is no link.
    assert_eq!(world.get(&format!("/c/{handed_on}")).await.location(), SHOP_PAGE);
    let answer = world.request("POST", "/l", &[], &format!("c={handed_on}")).await;
    assert_eq!(answer.status, 204);
    world.stop.cancel();
    let mut counted = Vec::new();
    while counted.iter().map(|hit: &AggregateHit| hit.count).sum::<u32>() < 5 {
        match world.next_event().await.1 {
            Event::AggregateCounted(event) => counted.extend(event.hits),
            other => panic!("{other:?}"),
        }
    }
    for (campaign, kind, class, count) in [
        (Some(CampaignNumber(1)), HitKind::Click, HitClass::Human, 3),
        (None, HitKind::Open, HitClass::Human, 1),
        (Some(CampaignNumber(1)), HitKind::Landing, HitClass::Scanner, 1),
    ] {
        let of = |hit: &&AggregateHit| {
            (hit.campaign, hit.kind, hit.class, hit.shop) == (campaign, kind, class, ShopNumber(1))
        };
        assert_eq!(
            counted.iter().filter(of).map(|hit| hit.count).sum::<u32>(),
            count,
            "{kind:?}"
        );
    }
    assert_eq!(world.counter("tracker_events_total", &["fate=\"aggregate\""]), 5);
}

#[tokio::test]
async fn what_is_fetched_in_advance_is_evidence_and_not_counted() {
    let mut world = start().await;
    let click = format!("/c/{}", world.click(1));
    let pixel = format!("/o/{}.gif", world.pixel());
    for path in [&click, &pixel] {
        let plain = world.get(path).await;
        world.next_event().await;
        let head = world.request("HEAD", path, &[("user-agent", BROWSER)], "").await;
        assert_eq!((head.status, head.body.len()), (plain.status, 0));
        // A length of 0 need not be told.
        let length = head.header("content-length").or(Some("0"));
        assert_eq!(length, plain.header("content-length"));
        check_common(&head);
        check_visit(&mut world, Visit::Head).await;
        for (name, value) in [
            ("sec-purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("Purpose", "prefetch"),
            ("X-Moz", "prefetch"),
            ("X-Purpose", "preview"),
        ] {
            let answer = world
                .request("GET", path, &[("user-agent", BROWSER), (name, value)], "")
                .await;
            assert_eq!(answer.status, plain.status, "{name}: {value}");
            check_visit(&mut world, Visit::Prefetch).await;
        }
    }
    assert_eq!(world.counter("tracker_events_total", &["fate=\"prefetched\""]), 12);
    assert_eq!(world.counter("tracker_events_total", &["fate=\"recorded\""]), 2);
}

async fn check_visit(world: &mut support::World, expected: Visit) {
    let visit = match world.next_event().await.1 {
        Event::Opened(opened) => opened.visit,
        Event::Clicked(clicked) => clicked.visit,
        other => panic!("{other:?}"),
    };
    assert_eq!(visit, expected);
}

#[tokio::test]
async fn a_landing_page_that_is_not_the_advertisers_is_not_led_to() {
    let world = start().await;
    let foreign = "vini-altrove".try_into().unwrap();
    let mut catalogue = Catalogue::clone(&world.store.catalogue().load());
    let mut spec = catalogue.campaign_by_number(CampaignNumber(1)).unwrap().spec.clone();
    spec.landing_url = "https://evil.example/?c={click_id}".try_into().unwrap();
    let change = CatalogueChanged::CampaignPut { id: foreign, spec };
    catalogue.apply(&change, "2026-11-22T12:00:00Z".parse().unwrap());
    world.store.catalogue().swap(Arc::new(catalogue));
    assert_eq!(world.get(&format!("/c/{}", world.click(4))).await.location(), SHOP_PAGE);
}

#[tokio::test]
async fn a_network_that_sent_a_bad_token_is_suspect() {
    let mut world = start().await;
    let click = format!("/c/{}", world.click(1));
    let from = |address: &'static str| [("x-forwarded-for", address), ("user-agent", BROWSER)];
    world.request("GET", "/c/forged", &from("198.51.100.7"), "").await;
    for (address, network, suspect) in [
        ("198.51.100.99", Network::V4([198, 51, 100]), true),
        ("198.51.101.7", Network::V4([198, 51, 101]), false),
    ] {
        world.request("GET", &click, &from(address), "").await;
        let clicked = next_click(&mut world).await;
        assert_eq!(
            (clicked.network, clicked.suspect),
            (Some(network), suspect),
            "{address}"
        );
    }
}

#[tokio::test]
async fn a_key_that_others_know_leads_on_and_counts_for_nothing() {
    let mut world = support::start_distrusting(&[2]).await;
    let answer = world.get(&format!("/c/{}", world.click(1))).await;
    check_landing(&answer, "vini-autunno");
    assert!(next_click(&mut world).await.untrusted);
    for path in [
        format!("/o/{}.gif", world.pixel()),
        format!("/o/{}.gif", world.aggregate_pixel()),
        format!("/c/{}", world.aggregate_click()),
    ] {
        world.get(&path).await;
    }
    assert_eq!(world.waiting(), []);
    assert_eq!(world.counter("tracker_events_total", &["fate=\"untrusted\""]), 3);
}

#[tokio::test]
async fn those_who_withdrew_are_served_and_not_recorded() {
    let mut world = start().await;
    world.withdrawals.add([support::message()]);
    let answer = world.get(&format!("/c/{}", world.click(1))).await;
    let click_id = check_landing(&answer, "vini-autunno");
    let answer = world.get(&format!("/o/{}.gif", world.pixel())).await;
    assert_eq!(answer.body.len(), 43);
    assert_eq!(
        world.request("POST", "/l", &[], &format!("c={click_id}")).await.status,
        204
    );
    assert_eq!(world.waiting(), []);
    assert_eq!(world.counter("tracker_events_total", &["fate=\"withdrawn\""]), 3);
}

#[tokio::test]
async fn an_ended_offer_leads_to_the_shop_and_a_deleted_one_still_to_its_page() {
    let world = start().await;
    assert_eq!(world.get(&format!("/c/{}", world.click(2))).await.location(), SHOP_PAGE);
    let answer = world.get(&format!("/c/{}", world.click(3))).await;
    check_landing(&answer, "vini-prova");
    assert_eq!(
        world.get(&format!("/c/{}", world.click(77))).await.location(),
        SHOP_PAGE
    );
}

#[tokio::test]
async fn a_full_inbox_or_none_delays_no_visitor() {
    let mut world = support::start_full(tracker::Settings::default(), 1).await;
    let path = format!("/c/{}", world.click(1));
    for _ in 0..3 {
        assert_eq!(world.get(&path).await.status, 302);
    }
    assert_eq!(
        world.counter("tracker_events_total", &["event=\"clicked\"", "fate=\"dropped\""]),
        2
    );
    world.close_inbox();
    assert_eq!(world.get(&path).await.status, 302);
    assert_eq!(
        world.counter("tracker_events_total", &["event=\"clicked\"", "fate=\"dropped\""]),
        3
    );
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let mut world = start().await;
    let robots = world.get("/robots.txt").await;
    assert_eq!((robots.status, robots.text()), (200, "User-agent: *\nDisallow: /\n"));
    for path in ["/", "/healthz", "/metrics", "/c", "/C/x", "//c/x", "/u"] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        check_common(&answer);
    }
    let paths = [
        format!("/c/{}", world.click(1)),
        format!("/o/{}.gif", world.pixel()),
        "/robots.txt".to_owned(),
    ];
    for path in &paths {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = world.request(method, path, &[], "x=y").await;
            assert_eq!(
                (answer.status, answer.header("allow")),
                (405, Some("GET, HEAD")),
                "{method} {path}"
            );
        }
    }
    let answer = world
        .request("PUT", &format!("/u/{}", world.unsubscribe()), &[], "")
        .await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, POST")));
    assert_eq!(world.waiting(), []);
}

#[tokio::test]
async fn the_host_may_carry_a_port_a_dot_or_capitals() {
    let world = start().await;
    let token = world.click(1);
    for host in [
        "click.scarpe.example:8443",
        "click.scarpe.example.",
        "CLICK.Scarpe.example",
    ] {
        let answer = world
            .request("GET", &format!("/c/{token}"), &[("host", host)], "")
            .await;
        check_landing(&answer, "vini-autunno");
    }
    let answer = world
        .request(
            "GET",
            &format!("http://{HOST}/c/{token}"),
            &[("host", "else.example")],
            "",
        )
        .await;
    // An absolute form outranks the header.
    check_landing(&answer, "vini-autunno");
}
