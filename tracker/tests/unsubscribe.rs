//! The way out: the page, the one-click POST, and what each makes durable.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod support;

use support::{Client, HOST, check_common, start};
use types::event::{Event, Preference, PreferenceChanged, UnsubscribeScope, Unsubscribed, UnsubscribedBy};
use types::id::ShopNumber;

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

/// Posts a body; returns the answer and what was recorded before it.
async fn post(world: &mut support::World, headers: &[(&str, &str)], body: &str) -> (support::Answer, Event) {
    let path = format!("/u/{}", world.unsubscribe());
    let mut client = Client::connect(world.address).await;
    client.send("POST", &path, headers, body).await;
    let (partition, event) = world.next_event().await;
    assert_eq!(partition, support::partition());
    (client.answer("POST").await, event)
}

fn unsubscribed(scope: UnsubscribeScope, by: UnsubscribedBy) -> Event {
    Event::Unsubscribed(Unsubscribed {
        message: support::message(),
        shop: ShopNumber(1),
        scope,
        by,
    })
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
        let (answer, event) = post(&mut world, &[("content-type", content_type)], body).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("location"), None);
        check_common(&answer);
        assert_eq!(event, unsubscribed(UnsubscribeScope::Shop, UnsubscribedBy::OneClick));
    }
}

#[tokio::test]
async fn a_one_click_post_may_come_in_chunks() {
    let mut world = start().await;
    let path = format!("/u/{}", world.unsubscribe());
    let mut client = Client::connect(world.address).await;
    let request =
        format!("POST {path} HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n");
    client.write(request.as_bytes()).await;
    assert!(client.read_line().await.starts_with("HTTP/1.1 100"));
    client.read_line().await;
    client
        .write(b"10\r\nList-Unsubscribe\r\na\r\n=One-Click\r\n0\r\n\r\n")
        .await;
    let (_, event) = world.next_event().await;
    assert_eq!(event, unsubscribed(UnsubscribeScope::Shop, UnsubscribedBy::OneClick));
    assert_eq!(client.answer("POST").await.status, 200);
}

#[tokio::test]
async fn the_pages_buttons_stop_and_take_back() {
    let mut world = start().await;
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("accept-language", "en"),
    ];
    let changed = |preference| {
        Event::PreferenceChanged(PreferenceChanged {
            message: support::message(),
            shop: ShopNumber(1),
            preference,
        })
    };
    for (choice, expected, buttons) in [
        (
            "shop",
            unsubscribed(UnsubscribeScope::Shop, UnsubscribedBy::Page),
            &["resume", "network", "tracking"][..],
        ),
        (
            "network",
            unsubscribed(UnsubscribeScope::Network, UnsubscribedBy::Page),
            &["resume", "tracking"][..],
        ),
        ("tracking", changed(Preference::StopTracking), &["shop", "network"][..]),
        ("resume", changed(Preference::ResumeOffers), &["shop", "network"][..]),
    ] {
        let (answer, event) = post(&mut world, &form, &format!("choice={choice}")).await;
        assert_eq!(event, expected);
        assert_eq!(
            (answer.status, answer.header("location"), answer.header("set-cookie")),
            (200, None, None)
        );
        let html = answer.text();
        assert!(html.contains("<h1>Done</h1>"), "{html}");
        let offered: Vec<_> = html
            .split("name=\"choice\" value=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(offered, buttons, "{choice}");
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
async fn a_link_of_a_key_that_others_know_stops_and_takes_nothing_back() {
    let mut world = support::start_distrusting(&[2]).await;
    let path = format!("/u/{}", world.unsubscribe());
    assert_eq!(world.request("POST", &path, &[], "choice=resume").await.status, 400);
    assert_eq!(world.waiting(), []);
    let (answer, event) = post(&mut world, &[], "choice=network").await;
    assert!(matches!(event, Event::Unsubscribed(_)));
    assert!(!answer.text().contains("value=\"resume\""));
}
