//! Calls of shops' pages over real TLS: signed, bounded, answered to the runner, and never to our own network.

#![allow(clippy::unwrap_used, reason = "tests state expectations")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mta::{Mta, Route, webhook};
use prometheus::Registry;
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use store::{Inbox, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use types::event::Event;
use types::id::{EventId, PartitionId, ShopNumber};
use types::port::{Call, Webhooks};
use types::time::{Clock, Timestamp};
use types::token::{LandingSignature, TokenKeys, VerpKey};

/// How long anything may take before a test fails.
const LIMIT: Duration = Duration::from_secs(20);
const SHOP: ShopNumber = ShopNumber(7);
const BODY: &str = r#"{"type":"workflow.webhook"}"#;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000)
    }
}

/// What a page does with a call.
#[derive(Clone, Copy)]
enum Page {
    Answers(&'static str),
    Hangs,
    Closes,
}

struct World {
    mta: Mta,
    inbox: Inbox,
    tokens: Arc<TokenKeys>,
    calls: tokio::sync::mpsc::Receiver<String>,
    _store: Store,
    _dir: tempfile::TempDir,
}

/// Starts a page of `shop.example`, and the engine with a route to it.
async fn world(page: Page, settings: webhook::Settings, trusted: bool) -> World {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["shop.example".to_owned()]).unwrap();
    let ca_file = dir.path().join("ca.pem");
    std::fs::write(&ca_file, made.cert.pem()).unwrap();
    let (address, calls) = serve(page, made).await;
    let store_settings = store::Settings {
        data_dir: dir.path().join("data"),
        runners: 1,
        ..store::Settings::default()
    };
    let (store, _) = store::open(store_settings, Arc::new(Still), &Registry::new()).unwrap();
    let (_, inbox) = store.intake().take_inboxes().pop().unwrap();
    let tokens = Arc::new(TokenKeys::new(&store.secrets().token_secrets()));
    let route = Route {
        domain: "shop.example".to_owned(),
        host: address.ip().to_string(),
        port: address.port(),
    };
    let mta = Mta::start(mta::Deps {
        settings: mta::Settings {
            nameserver: Some(SocketAddr::from(([127, 0, 0, 1], 9))),
            ..mta::Settings::default()
        },
        submit: mta::submit::Settings::default(),
        webhooks: webhook::Settings {
            ca_file: trusted.then_some(ca_file),
            routes: vec![route],
            ..settings
        },
        store: store.clone(),
        tokens: Arc::clone(&tokens),
        verp: Arc::new(VerpKey::new(&store.secrets().verp_secret())),
        clock: Arc::new(Still),
        registry: Registry::new(),
        runtime: tokio::runtime::Handle::current(),
        world: mta::world::World::default(),
    })
    .unwrap();
    World {
        mta,
        inbox,
        tokens,
        calls,
        _store: store,
        _dir: dir,
    }
}

async fn serve(page: Page, made: CertifiedKey<KeyPair>) -> (SocketAddr, tokio::sync::mpsc::Receiver<String>) {
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, calls) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), seen.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = Vec::new();
                while !request.ends_with(BODY.as_bytes()) {
                    let mut part = [0; 1024];
                    let Ok(count @ 1..) = stream.read(&mut part).await else {
                        return;
                    };
                    request.extend_from_slice(part.get(..count).unwrap());
                }
                seen.send(String::from_utf8(request).unwrap()).await.ok();
                match page {
                    Page::Answers(answer) => {
                        stream.write_all(answer.as_bytes()).await.ok();
                    }
                    Page::Hangs => tokio::time::sleep(LIMIT).await,
                    Page::Closes => {}
                }
            });
        }
    });
    (address, calls)
}

fn call(url: &str, epoch: u32) -> Call {
    Call {
        shop: SHOP,
        partition: PartitionId::new(5).unwrap(),
        instance: EventId::from_raw(99),
        step: "told".try_into().unwrap(),
        epoch,
        url: url.to_owned().try_into().unwrap(),
        body: BODY.to_owned(),
    }
}

async fn answer(world: &mut World) -> (u32, Option<u16>) {
    let submission = tokio::time::timeout(LIMIT, world.inbox.recv()).await.unwrap().unwrap();
    assert_eq!(submission.partition.number(), 5);
    let Event::WebhookEnded(ended) = submission.event else {
        panic!("{:?}", submission.event);
    };
    assert_eq!(ended.instance, EventId::from_raw(99));
    (ended.epoch, ended.status)
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let mut lines = request.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).unwrap().1
}

#[tokio::test]
async fn a_page_is_told_what_happened_and_can_prove_who_says_so() {
    let answered = Page::Answers("HTTP/1.1 204 No Content\r\n\r\n");
    let mut world = world(answered, webhook::Settings::default(), true).await;
    world.mta.call(call("https://shop.example/hooks?key=1", 3));
    let request = tokio::time::timeout(LIMIT, world.calls.recv()).await.unwrap().unwrap();
    assert!(request.starts_with("POST /hooks?key=1 HTTP/1.1\r\n"), "{request}");
    assert_eq!(header(&request, "host"), "shop.example");
    assert_eq!(header(&request, "content-type"), "application/json");
    let signature = LandingSignature {
        id: header(&request, "webhook-id"),
        timestamp: header(&request, "webhook-timestamp"),
        signatures: header(&request, "webhook-signature"),
    };
    let step = signature.id.split_once('.').map(|(_, step)| step);
    assert_eq!(step, Some("told"), "{}", signature.id);
    let verified = world
        .tokens
        .verify_landing(SHOP, &signature, BODY.as_bytes(), 1_800_000_000);
    assert_eq!(verified, Ok(()));
    assert_eq!(answer(&mut world).await, (3, Some(204)));

    world.mta.call(call("https://shop.example/hooks?key=1", 4));
    let again = tokio::time::timeout(LIMIT, world.calls.recv()).await.unwrap().unwrap();
    assert_eq!(
        header(&again, "webhook-id"),
        signature.id,
        "an attempt more is the same call"
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let moved = Page::Answers("HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1/\r\ncontent-length: 0\r\n\r\n");
    let mut world = world(moved, webhook::Settings::default(), true).await;
    world.mta.call(call("https://shop.example/", 1));
    assert_eq!(answer(&mut world).await, (1, Some(302)));
}

#[tokio::test]
async fn pages_that_hang_or_close_are_no_answer_within_the_deadline() {
    for page in [Page::Hangs, Page::Closes] {
        let settings = webhook::Settings {
            timeout: Duration::from_secs(1),
            ..webhook::Settings::default()
        };
        let mut world = world(page, settings, true).await;
        world.mta.call(call("https://shop.example/", 1));
        assert_eq!(answer(&mut world).await, (1, None));
    }
}

#[tokio::test]
async fn a_certificate_of_nobody_known_is_not_spoken_to() {
    let answered = Page::Answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let mut world = world(answered, webhook::Settings::default(), false).await;
    world.mta.call(call("https://shop.example/", 1));
    assert_eq!(answer(&mut world).await, (1, None));
    assert!(world.calls.try_recv().is_err());
}

#[tokio::test]
async fn addresses_of_our_own_network_are_not_called() {
    let answered = Page::Answers("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let mut world = world(answered, webhook::Settings::default(), true).await;
    for url in [
        "https://127.0.0.1/",
        "https://169.254.169.254/latest",
        "https://localhost/",
    ] {
        world.mta.call(call(url, 1));
        assert_eq!(answer(&mut world).await, (1, None), "{url}");
    }
}

#[tokio::test]
async fn one_call_too_many_waits_for_its_turn() {
    let settings = webhook::Settings {
        calls_max: 1,
        timeout: Duration::from_secs(1),
        ..webhook::Settings::default()
    };
    let mut world = world(Page::Hangs, settings, true).await;
    world.mta.call(call("https://shop.example/", 1));
    tokio::time::timeout(LIMIT, world.calls.recv()).await.unwrap().unwrap();
    world.mta.call(call("https://shop.example/", 2));
    assert_eq!(answer(&mut world).await, (1, None));
    tokio::time::timeout(LIMIT, world.calls.recv()).await.unwrap().unwrap();
    assert_eq!(answer(&mut world).await, (2, None));
}
