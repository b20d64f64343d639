//! Landings: what a beacon, a signed call and an image report, and what each proves.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod support;

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use support::{Answer, BROWSER, Client, World, start};
use types::event::{AgentClass, Event, Landed, LandingVia};
use types::id::{CampaignNumber, EventId, ShopNumber};
use types::network::Network;

/// Seconds since 1970 of the fixture's clock.
const NOW: u64 = 1_795_348_800;

fn landed(click: EventId, via: LandingVia, new_visitor: Option<bool>, proven: bool) -> Landed {
    Landed {
        click,
        message: support::message(),
        shop: ShopNumber(1),
        campaign: CampaignNumber(1),
        via,
        new_visitor,
        proven,
        network: (via != LandingVia::Server).then_some(Network::V4([127, 0, 0])),
        agent: if via == LandingVia::Server {
            AgentClass::Unknown
        } else {
            AgentClass::Client
        },
    }
}

/// Sends a request that reports a landing, makes it durable, and returns the answer.
async fn report(
    world: &mut World,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
    expected: Landed,
) -> Answer {
    let mut client = Client::connect(world.address).await;
    client.send(method, path, headers, body).await;
    let (partition, event) = world.next_event().await;
    assert_eq!(
        (partition, event),
        (support::partition(), Event::Landed(Box::new(expected)))
    );
    client.answer(method).await
}

#[tokio::test]
async fn a_beacon_is_proven_by_the_page_it_comes_from() {
    let mut world = start().await;
    for (header, page, proven) in [
        ("origin", "https://vini.example", true),
        ("origin", "https://www.vini.example:8443", true),
        ("origin", "https://evil.example", false),
        ("origin", "https://vini.example.evil.example", false),
        ("origin", "null", false),
        ("referer", "https://shop.vini.example/in?c=x", true),
        ("referer", "https://scarpe.example/", false),
        ("x-none", "", false),
    ] {
        let (click, click_id) = world.click_id();
        for (answer, new_visitor) in [("", None), ("&n=1", Some(true)), ("&n=0", Some(false)), ("&n=x", None)] {
            let headers = [
                ("user-agent", BROWSER),
                ("content-type", "text/plain;charset=UTF-8"),
                (header, page),
            ];
            let expected = landed(click, LandingVia::Snippet, new_visitor, proven);
            let answer = report(
                &mut world,
                "POST",
                "/l",
                &headers,
                &format!("c={click_id}{answer}"),
                expected,
            )
            .await;
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{header}: {page}");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
}

#[tokio::test]
async fn an_image_proves_nothing() {
    let mut world = start().await;
    let (click, click_id) = world.click_id();
    let headers = [("user-agent", BROWSER), ("referer", "https://vini.example/")];
    let path = format!("/l?c={click_id}");
    let expected = landed(click, LandingVia::Image, None, false);
    let answer = report(&mut world, "GET", &path, &headers, "", expected).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/gif")));
    assert_eq!(answer.body.len(), 43);
    // Nobody has landed yet.
    assert_eq!(world.request("HEAD", &path, &headers, "").await.status, 200);
    let early = [("sec-purpose", "prefetch;prerender")];
    assert_eq!(world.request("GET", &path, &early, "").await.body.len(), 43);
    assert_eq!(world.waiting(), []);
}

/// Signs a call as the advertiser with this number would.
fn signature(world: &World, advertiser: u32, id: &str, timestamp: &str, body: &str) -> String {
    let secret = world
        .keys
        .landing_secrets(ShopNumber(advertiser))
        .first()
        .unwrap()
        .to_string();
    let secret = BASE64
        .decode(secret.strip_prefix("whsec_").unwrap().as_bytes())
        .unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    format!("v1,{}", BASE64.encode(tag.as_ref()))
}

#[tokio::test]
async fn a_signed_call_proves_the_landing() {
    let mut world = start().await;
    let (click, click_id) = world.click_id();
    for (fields, new_visitor) in [
        ("", None),
        (r#", "new_visitor": true"#, Some(true)),
        (
            r#", "new_visitor": false, "occurred_at": "2026-11-22T12:00:01Z""#,
            Some(false),
        ),
    ] {
        let body = format!(r#"{{"click_id": "{click_id}"{fields}}}"#);
        let now = NOW.to_string();
        // Another's signature beside it does no harm: secrets turn.
        let signed = format!("v1,AAAA {}", signature(&world, 2, "msg_1", &now, &body));
        let headers = [
            ("content-type", "application/json"),
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", &now),
            ("webhook-signature", &signed),
        ];
        let expected = landed(click, LandingVia::Server, new_visitor, true);
        let answer = report(&mut world, "POST", "/l", &headers, &body, expected).await;
        assert_eq!(answer.status, 204);
    }
}

#[tokio::test]
async fn a_click_id_that_others_can_make_is_recorded_and_proves_nothing() {
    let mut world = support::start_distrusting(&[2]).await;
    let (click, click_id) = world.click_id();
    let headers = [("user-agent", BROWSER), ("origin", "https://vini.example")];
    let expected = landed(click, LandingVia::Snippet, Some(true), false);
    let body = format!("c={click_id}&n=1");
    let answer = report(&mut world, "POST", "/l", &headers, &body, expected).await;
    assert_eq!(answer.status, 204);
    let body = format!(r#"{{"click_id": "{click_id}"}}"#);
    let now = NOW.to_string();
    let signed = signature(&world, 2, "msg_1", &now, &body);
    let headers = [
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", &now),
        ("webhook-signature", &signed),
    ];
    let expected = landed(click, LandingVia::Server, None, false);
    let answer = report(&mut world, "POST", "/l", &headers, &body, expected).await;
    assert_eq!(answer.status, 204);
}

#[tokio::test]
async fn a_call_that_is_wrong_is_told_what() {
    let mut world = start().await;
    let (_, click_id) = world.click_id();
    let good = format!(r#"{{"click_id": "{click_id}"}}"#);
    let (now, old) = (NOW.to_string(), (NOW - 301).to_string());
    for (advertiser, timestamp, body, status, field) in [
        (2, &*old, good.as_str(), 401, "webhook-timestamp"),
        (2, "yesterday", &good, 401, "webhook-timestamp"),
        (1, &now, &good, 401, "webhook-signature"),
        (2, &now, r#"{"click_id": "x"}"#, 400, "/click_id"),
        (2, &now, r#"{"click_id": 7}"#, 400, "/click_id"),
        (2, &now, r#"{"new_visitor": true}"#, 400, "/click_id"),
        (
            2,
            &now,
            &good.replace('}', r#", "new_visitor": "yes"}"#),
            400,
            "/new_visitor",
        ),
        (
            2,
            &now,
            &good.replace('}', r#", "occurred_at": "today"}"#),
            400,
            "/occurred_at",
        ),
        (
            2,
            &now,
            &good.replace('}', r#", "occurred_at": "2026-11-22T12:06:00Z"}"#),
            400,
            "/occurred_at",
        ),
        (
            2,
            &now,
            &good.replace('}', r#", "occurred_at": "2026-11-21T12:00:00Z"}"#),
            400,
            "/occurred_at",
        ),
    ] {
        let signed = signature(&world, advertiser, "msg_1", timestamp, body);
        let headers = [
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signed.as_str()),
        ];
        let answer = world.request("POST", "/l", &headers, body).await;
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["errors"][0]["field"], field, "{body}");
    }
    // A body that was changed after it was signed.
    let signed = signature(&world, 2, "msg_1", &now, &good);
    let headers = [
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", now.as_str()),
        ("webhook-signature", signed.as_str()),
    ];
    let changed = good.replace('}', r#", "new_visitor": true}"#);
    assert_eq!(world.request("POST", "/l", &headers, &changed).await.status, 401);
    let answer = world.request("POST", "/l", &headers, "[]").await;
    assert_eq!(answer.status, 400);
    assert_eq!(world.waiting(), []);
}

#[tokio::test]
async fn what_is_no_click_of_ours_is_refused() {
    let mut world = start().await;
    let (_, click_id) = world.click_id();
    for body in [
        "",
        "c=",
        "c=x",
        "x=y",
        &format!("c={}x", &click_id[..61]),
        &format!("c={}", world.click(1)),
    ] {
        assert_eq!(world.request("POST", "/l", &[], body).await.status, 400, "{body}");
        let image = world
            .request("GET", &format!("/l?{body}"), &[("user-agent", BROWSER)], "")
            .await;
        assert_eq!((image.status, image.body.len()), (200, 43), "{body}");
    }
    assert_eq!(world.request("PUT", "/l", &[], "").await.status, 405);
    assert_eq!(world.waiting(), []);
    assert_eq!(world.counter("tracker_bad_tokens_total", &["endpoint=\"landing\""]), 12);
}

#[tokio::test]
async fn a_landing_is_answered_only_once_it_is_durable() {
    let settings = tracker::Settings {
        submit_timeout: std::time::Duration::from_millis(200),
        ..tracker::Settings::default()
    };
    let mut world = support::start_with(settings).await;
    let (_, click_id) = world.click_id();
    let beacon = format!("c={click_id}");
    // Nobody acknowledges.
    let answer = world.request("POST", "/l", &[], &beacon).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert_eq!(world.waiting().len(), 1);
    world.close_inbox();
    assert_eq!(world.request("POST", "/l", &[], &beacon).await.status, 503);
    let image = world
        .request("GET", &format!("/l?{beacon}"), &[("user-agent", BROWSER)], "")
        .await;
    assert_eq!(image.status, 503);
}

#[tokio::test]
async fn the_snippet_is_small_and_kept_for_an_hour() {
    let world = start().await;
    let answer = world.get("/landing.js").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/javascript; charset=utf-8"))
    );
    assert!(answer.body.len() < 2048, "{} bytes", answer.body.len());
    assert_eq!(answer.header("cache-control"), Some("public, max-age=3600"));
    assert_eq!(answer.header("cross-origin-resource-policy"), Some("cross-origin"));
    let etag = answer.header("etag").unwrap();
    let again = world
        .request("GET", "/landing.js", &[("if-none-match", etag)], "")
        .await;
    assert_eq!(
        (again.status, again.body.len(), again.header("content-length")),
        (304, 0, None)
    );
    assert_eq!(
        world
            .request("GET", "/landing.js", &[("if-none-match", "\"x\"")], "")
            .await
            .status,
        200
    );
}
