//! Every endpoint, over real sockets: what it answers, and what it records.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod support;

use support::{BROWSER, Client, HOST, SHOP_PAGE, start};
use types::event::{AgentClass, Clicked, Event, Opened, UnsubscribeScope, Unsubscribed, UnsubscribedBy};
use types::id::{CampaignNumber, ShopNumber};

/// The headers that every answer has.
fn check_common(answer: &support::Answer) {
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{answer:?}");
    assert_eq!(answer.header("x-robots-tag"), Some("noindex, nofollow"), "{answer:?}");
    assert_eq!(answer.header("set-cookie"), None, "{answer:?}");
}

fn landing(token: &str, campaign: &str) -> String {
    format!("https://vini.example/in?c={token}&p=scarpe&k=10%250d%250a%20%26%20pi%C3%B9&n={campaign}")
}

#[tokio::test]
async fn a_click_leads_to_the_landing_page_and_is_recorded() {
    let mut world = start().await;
    let token = world.click(1);
    let answer = world.get(&format!("/c/{token}")).await;
    assert_eq!(answer.status, 302);
    assert_eq!(answer.location(), landing(&token, "vini-autunno"));
    check_common(&answer);
    let clicked = Clicked {
        message: support::message(),
        shop: ShopNumber(1),
        campaign: CampaignNumber(1),
        slot: 2,
        agent: AgentClass::Client,
        click: None,
        network: None,
        visit: types::event::Visit::Real,
        suspect: false,
        untrusted: false,
    };
    assert_eq!(
        world.next_event().await,
        (support::partition(), Event::Clicked(clicked))
    );
    assert_eq!(
        world.counter("tracker_events_total", &["event=\"clicked\"", "fate=\"recorded\""]),
        1
    );
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
    let opened = Opened {
        message: support::message(),
        shop: ShopNumber(1),
        agent: AgentClass::Client,
        network: None,
        visit: types::event::Visit::Real,
        suspect: false,
    };
    assert_eq!(world.next_event().await, (support::partition(), Event::Opened(opened)));
}

#[tokio::test]
async fn aggregate_tokens_work_and_record_nobody() {
    let mut world = start().await;
    let token = world.aggregate_click();
    let answer = world.get(&format!("/c/{token}")).await;
    assert_eq!(answer.location(), landing(&token, "vini-autunno"));
    let answer = world.get(&format!("/o/{}.gif", world.aggregate_pixel())).await;
    assert_eq!(answer.body.len(), 43);
    assert_eq!(world.waiting(), []);
    assert_eq!(world.counter("tracker_events_total", &["fate=\"aggregate\""]), 2);
}

#[tokio::test]
async fn what_is_fetched_in_advance_is_answered_and_not_recorded() {
    let mut world = start().await;
    let click = format!("/c/{}", world.click(1));
    let pixel = format!("/o/{}.gif", world.pixel());
    for path in [&click, &pixel] {
        let plain = world.get(path).await;
        world.next_event().await;
        let head = world.request("HEAD", path, &[("user-agent", BROWSER)], "").await;
        assert_eq!(
            (head.status, head.header("location")),
            (plain.status, plain.header("location"))
        );
        assert_eq!(head.header("content-length"), plain.header("content-length"));
        check_common(&head);
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
        }
    }
    assert_eq!(world.waiting(), []);
    assert_eq!(world.counter("tracker_events_total", &["fate=\"prefetched\""]), 12);
}

#[tokio::test]
async fn those_who_withdrew_are_served_and_not_recorded() {
    let mut world = start().await;
    world.withdrawals.add([support::message()]);
    let token = world.click(1);
    let answer = world.get(&format!("/c/{token}")).await;
    assert_eq!(answer.location(), landing(&token, "vini-autunno"));
    let answer = world.get(&format!("/o/{}.gif", world.pixel())).await;
    assert_eq!(answer.body.len(), 43);
    assert_eq!(world.waiting(), []);
    assert_eq!(world.counter("tracker_events_total", &["fate=\"withdrawn\""]), 2);
}

#[tokio::test]
async fn an_ended_offer_leads_to_the_shop_and_a_deleted_one_still_to_its_page() {
    let world = start().await;
    assert_eq!(world.get(&format!("/c/{}", world.click(2))).await.location(), SHOP_PAGE);
    let token = world.click(3);
    assert_eq!(
        world.get(&format!("/c/{token}")).await.location(),
        landing(&token, "vini-prova")
    );
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
async fn reading_the_unsubscribe_page_never_acts() {
    let mut world = start().await;
    let path = format!("/u/{}", world.unsubscribe());
    let mut client = Client::connect(world.address).await;
    for n in 0..1_000 {
        let method = if n % 2 == 0 { "GET" } else { "HEAD" };
        client
            .send(method, &path, &[("user-agent", "LinkScanner/1.0")], "")
            .await;
        assert_eq!(client.answer(method).await.status, 200);
    }
    assert_eq!(world.waiting(), []);
}

#[tokio::test]
async fn the_unsubscribe_page_speaks_the_readers_language_and_loads_nothing() {
    let world = start().await;
    let path = format!("/u/{}", world.unsubscribe());
    for (accepted, code, word) in [
        ("it-IT", "it", "Annulla"),
        ("en-GB,en;q=0.9", "en", "Unsubscribe"),
        ("de", "de", "abmelden"),
        ("fr-CA", "fr", "Se désabonner"),
        ("es", "es", "Darse de baja"),
        ("ja", "it", "Annulla"),
    ] {
        let answer = world.request("GET", &path, &[("accept-language", accepted)], "").await;
        assert_eq!(answer.status, 200);
        check_common(&answer);
        let html = answer.text();
        assert!(
            html.contains(&format!("<html lang=\"{code}\">")) && html.contains(word),
            "{accepted}: {html}"
        );
        assert!(html.contains("Scarpe &amp; Söhne &lt;Roma&gt;"));
        assert!(
            !html.contains("http") && !html.contains("src=") && !html.contains("<script"),
            "loads nothing"
        );
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(
            policy.ends_with("form-action 'self'; base-uri 'none'; frame-ancestors 'none'"),
            "{policy}"
        );
    }
}

/// Posts a body; returns the answer and what was unsubscribed.
async fn post(world: &mut support::World, headers: &[(&str, &str)], body: &str) -> (support::Answer, Unsubscribed) {
    let path = format!("/u/{}", world.unsubscribe());
    let mut client = Client::connect(world.address).await;
    client.send("POST", &path, headers, body).await;
    let (partition, event) = world.next_event().await;
    assert_eq!(partition, support::partition());
    let Event::Unsubscribed(unsubscribed) = event else {
        panic!("{event:?}");
    };
    (client.answer("POST").await, unsubscribed)
}

#[tokio::test]
async fn one_click_unsubscribes_in_both_encodings_and_any_number_of_times() {
    let mut world = start().await;
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--b--\r\n";
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", "List-Unsubscribe=One-Click"),
        ("multipart/form-data; boundary=b", multipart),
        ("application/x-www-form-urlencoded", "List-Unsubscribe=One-Click"),
    ] {
        let (answer, unsubscribed) = post(&mut world, &[("content-type", content_type)], body).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("location"), None);
        check_common(&answer);
        let expected = Unsubscribed {
            message: support::message(),
            shop: ShopNumber(1),
            scope: UnsubscribeScope::Shop,
            by: UnsubscribedBy::OneClick,
        };
        assert_eq!(unsubscribed, expected);
    }
}

#[tokio::test]
async fn the_pages_buttons_unsubscribe_from_the_shop_or_the_network() {
    let mut world = start().await;
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("accept-language", "en"),
    ];
    for (body, scope, buttons) in [
        ("scope=shop", UnsubscribeScope::Shop, 1),
        ("scope=network", UnsubscribeScope::Network, 0),
    ] {
        let (answer, unsubscribed) = post(&mut world, &form, body).await;
        assert_eq!((unsubscribed.scope, unsubscribed.by), (scope, UnsubscribedBy::Page));
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("<h1>Done</h1>"));
        assert_eq!(answer.text().matches("<button").count(), buttons);
    }
}

#[tokio::test]
async fn an_unsubscription_is_answered_only_once_it_is_durable() {
    let settings = tracker::Settings {
        submit_timeout: std::time::Duration::from_millis(200),
        ..tracker::Settings::default()
    };
    let mut world = support::start_with(settings).await;
    // Nobody acknowledges: the runner is stuck, so it must not be called done.
    let answer = world
        .request(
            "POST",
            &format!("/u/{}", world.unsubscribe()),
            &[],
            "List-Unsubscribe=One-Click",
        )
        .await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(world.waiting().len(), 1);
    world.close_inbox();
    let answer = world
        .request(
            "POST",
            &format!("/u/{}", world.unsubscribe()),
            &[],
            "List-Unsubscribe=One-Click",
        )
        .await;
    assert_eq!(answer.status, 503);
}

#[tokio::test]
async fn posts_that_ask_for_nothing_do_nothing() {
    let mut world = start().await;
    let path = format!("/u/{}", world.unsubscribe());
    for body in ["", "a=b", "List-Unsubscribe=Maybe"] {
        assert_eq!(world.request("POST", &path, &[], body).await.status, 400, "{body}");
    }
    let long = "a".repeat(9_000);
    assert_eq!(world.request("POST", &path, &[], &long).await.status, 413);
    assert_eq!(world.waiting(), []);
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
        assert_eq!(answer.location(), landing(&token, "vini-autunno"), "{host}");
    }
    let answer = world
        .request(
            "GET",
            &format!("http://{HOST}/c/{token}"),
            &[("host", "else.example")],
            "",
        )
        .await;
    assert_eq!(
        answer.location(),
        landing(&token, "vini-autunno"),
        "an absolute form outranks the header"
    );
}
