//! The demo: the whole service in one process with a network of its own, and one order's way through it.
//!
//! Nothing is simulated but the far side: shops, campaigns and the order go in through the API, the mail comes out over
//! SMTP to a sink on loopback, found by MX records of a DNS server on loopback, and its signatures are verified by
//! another implementation than the one that made them, against the DKIM records that the API told us to publish.

pub mod dns;
pub mod mail;
pub mod sink;
pub mod world;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hyper::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use types::time::{Clock, Timestamp};

use crate::client::Client;
use crate::clock::SystemClock;
use crate::demo::dns::{Answer, DnsServer, Zone};
use crate::demo::mail::Verified;
use crate::demo::sink::{Received, Sink};
use crate::service::{self, Addresses, Service};
use crate::settings::Settings;
use crate::story;

/// How long the order may take until its mail is in the sink and its story is told.
const ORDER_MAX: Duration = Duration::from_secs(10);

/// Runs the demo; `once` ends it after the order.
pub fn run(once: bool) -> anyhow::Result<ExitCode> {
    let folder = tempfile::Builder::new()
        .prefix("staffetta-demo-")
        .tempdir()
        .context("making a temporary folder")?;
    let runtime = service::runtime()?;
    let ended = runtime.block_on(relay(folder.path(), once));
    match ended {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(failure) => {
            eprintln!("\nthe demo failed: {failure:#}");
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn relay(folder: &Path, once: bool) -> anyhow::Result<()> {
    let zone = Zone::default();
    let dns = DnsServer::start(zone.clone()).await?;
    let mut sink = Sink::start().await?;
    zone.add(
        world::BUYER_DOMAIN,
        Answer::Mx(vec![(10, format!("mx.{}", world::BUYER_DOMAIN))]),
    );
    zone.add(
        &format!("mx.{}", world::BUYER_DOMAIN),
        Answer::A(vec![Ipv4Addr::LOCALHOST]),
    );

    let settings = settings(folder, dns.address, sink.address).await?;
    let running = Service::start(settings, Arc::new(SystemClock), &tokio::runtime::Handle::current()).await?;
    let operator_key = running
        .operator_key
        .clone()
        .context("a new data folder has a new operator key")?;
    println!("Staffetta runs in {}", folder.display());
    println!(
        "  api {}   tracker {}   admin {}",
        running.addresses.api, running.addresses.tracker, running.addresses.admin
    );
    println!(
        "  dns {}   sink {}   (both in this process)\n",
        dns.address, sink.address
    );

    let operator = Client::new(running.addresses.api.to_string(), Some(operator_key.clone()));
    let shop_key = furnish(
        &operator,
        &Client::new(running.addresses.admin.to_string(), Some(operator_key)),
        &zone,
    )
    .await?;
    let shop = Client::new(running.addresses.api.to_string(), Some(shop_key.clone()));

    let (posted, told, received) = order(&shop, &mut sink).await?;
    show_events(posted, &told);
    let verified = show_mail(&received, dns.address).await?;
    check(&told, &received, &verified)?;
    println!(
        "\nThe mail arrived intact, {} DKIM signatures verify, and the order explains itself.",
        verified.len()
    );
    if !once {
        invite(&running, &shop_key, &received);
        service::stop_signal().await;
    }
    running.drain().await;
    Ok(())
}

/// Settings for a network in one process: our DNS, our sink's port, and loopback allowed as a destination.
async fn settings(folder: &Path, dns: SocketAddr, sink: SocketAddr) -> anyhow::Result<Settings> {
    let mut settings = Settings::read(None)?;
    settings.store.data_dir = folder.join("data");
    // The demo keeps little, and a laptop's disk may be nearly full.
    settings.store.segment_bytes = 8 << 20;
    settings.store.disk_floor_bytes = 64 << 20;
    settings.delivery.nameserver = Some(dns);
    settings.delivery.smtp_port = sink.port();
    settings.delivery.allow_private_destinations = true;
    world::TRACKING_HOST.clone_into(&mut settings.submit.tracking_host);
    for address in [
        &mut settings.listen.api,
        &mut settings.listen.tracker,
        &mut settings.listen.admin,
    ] {
        if TcpListener::bind(*address).await.is_err() {
            // Another service has the port: any other will do.
            address.set_port(0);
        }
    }
    Ok(settings)
}

/// Puts shops and campaigns, publishes the DNS records that the API answers, and makes the shop's API key.
async fn furnish(operator: &Client, admin: &Client, zone: &Zone) -> anyhow::Result<String> {
    for (id, document) in world::shops() {
        let answer = operator
            .json(Method::PUT, &format!("/v1/shops/{id}"), &document)
            .await?
            .success()
            .context(id)?;
        for record in answer
            .get("dns")
            .and_then(Value::as_array)
            .context("a shop's answer tells its DNS records")?
        {
            let field = |key| {
                record
                    .get(key)
                    .and_then(Value::as_str)
                    .context("a DNS record has a name and a value")
            };
            zone.add(field("name")?, Answer::Txt(field("value")?.to_owned()));
        }
        println!("put shop {id}");
    }
    for (id, document) in world::campaigns() {
        operator
            .json(Method::PUT, &format!("/v1/campaigns/{id}"), &document)
            .await?
            .success()
            .context(id)?;
        println!("put campaign {id}");
    }
    let body = json!({ "id": "demo", "scopes": ["send", "read", "manage"] });
    let answer = admin
        .json(Method::POST, &format!("/admin/v1/shops/{}/keys", world::SHOP), &body)
        .await?
        .success()?;
    Ok(answer
        .get("key")
        .and_then(Value::as_str)
        .context("a new key is answered once")?
        .to_owned())
}

/// Posts the order and waits for its mail and its story.
async fn order(shop: &Client, sink: &mut Sink) -> anyhow::Result<(Timestamp, Value, Received)> {
    let posted = SystemClock.now();
    let started = Instant::now();
    let body = world::order(world::ORDER, world::BUYER, posted);
    let answer = shop.json(Method::POST, "/v1/orders", &body).await?;
    let answered = started.elapsed();
    answer.success()?;
    println!(
        "\nPOST /v1/orders: {} after {:.1} ms",
        answer.status,
        answered.as_secs_f64() * 1000.0
    );
    let received = tokio::time::timeout(ORDER_MAX, sink.received.recv())
        .await
        .context("the mail did not arrive")?
        .context("the sink ended")?;
    println!(
        "mail in the sink: {:.1} ms after the POST",
        started.elapsed().as_secs_f64() * 1000.0
    );
    while started.elapsed() < ORDER_MAX {
        let told = shop.get(&format!("/v1/orders/{}", world::ORDER)).await?.success()?;
        if story::events(&told)
            .iter()
            .any(|event| event.kind == "message.delivered")
        {
            return Ok((posted, told, received));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!("the order did not tell of its delivery within {ORDER_MAX:?}")
}

fn show_events(posted: Timestamp, told: &Value) {
    println!("\nEvents, in milliseconds since the POST:");
    for event in story::events(told) {
        let at = event
            .time
            .parse::<Timestamp>()
            .map_or(0, |time| time.since(posted).as_millis());
        println!("  {at:>5} ms  {:<17} {}", event.kind, event.detail);
    }
}

/// Prints the received mail's headers with the verdicts on its signatures, and saves it as .eml and HTML where it outlives
/// the demo.
async fn show_mail(received: &Received, dns: SocketAddr) -> anyhow::Result<Vec<Verified>> {
    println!(
        "\nReceived for {}, from {}:",
        received.envelope.to.join(", "),
        received.envelope.from
    );
    for header in mail::headers(&received.bytes) {
        println!("  {header}");
    }
    let verified = mail::verify(&received.bytes, dns).await?;
    for signature in &verified {
        println!(
            "\nDKIM {} d={} s={}: {}",
            signature.algorithm,
            signature.domain,
            signature.selector,
            signature.verdict()
        );
    }
    let kept = tempfile::Builder::new().prefix("staffetta-mail-").tempdir()?.keep();
    let (eml, html) = (kept.join("mail.eml"), kept.join("mail.html"));
    std::fs::write(&eml, &received.bytes)?;
    std::fs::write(&html, mail::html(&received.bytes).context("the mail has an HTML part")?)?;
    println!("\nsaved {}\n      {}", eml.display(), html.display());
    Ok(verified)
}

/// Fails unless the mail is what was ordered, both signatures verify, and the order explains itself.
fn check(told: &Value, received: &Received, verified: &[Verified]) -> anyhow::Result<()> {
    if received.envelope.to != [world::BUYER] {
        bail!("the mail went to {:?}", received.envelope.to);
    }
    let text = mail::text(&received.bytes).context("the mail has a text part")?;
    let html = mail::html(&received.bytes).context("the mail has an HTML part")?;
    for (id, document) in world::campaigns() {
        let title = document
            .pointer("/creatives/it/title")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if !text.contains(title) || !html.contains(&mail::escaped(title)) {
            bail!("the offer of campaign {id} (\"{title}\") is not in the mail whole");
        }
    }
    if verified.len() != 2 {
        bail!("the mail has {} DKIM signatures instead of two", verified.len());
    }
    if let Some(bad) = verified.iter().find(|signature| !signature.passed()) {
        bail!("the {} signature does not verify: {}", bad.algorithm, bad.verdict());
    }
    let offers = told
        .pointer("/decision/offers")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    if told.pointer("/decision/verdict") != Some(&json!("send")) || offers != world::campaigns().len() {
        bail!("the order does not explain its decision: {told}");
    }
    let kinds: Vec<_> = story::events(told).into_iter().map(|event| event.kind).collect();
    if kinds.first().map(String::as_str) != Some("order.accepted")
        || kinds.last().map(String::as_str) != Some("message.delivered")
    {
        bail!("the order's events do not lead from accepted to delivered: {kinds:?}");
    }
    Ok(())
}

/// Prints what to try next.
fn invite(running: &Service, shop_key: &str, received: &Received) {
    let Addresses {
        api, tracker, admin, ..
    } = running.addresses;
    let link = mail::first_click(&received.bytes, world::TRACKING_HOST).unwrap_or_default();
    println!(
        "\nTry next (mail for @{domain} goes to this process; Ctrl-C ends it):\n\n\
         curl -s http://{api}/v1/orders/{order} -H 'Authorization: Bearer {shop_key}'\n\n\
         curl -s http://{api}/v1/messages -H 'Authorization: Bearer {shop_key}' -H 'Content-Type: application/json' -d \\\n  \
         '{{\"to\": {{\"email\": \"anna@{domain}\"}}, \"body\": {{\"content\": {{\"subject\": \"Ciao\", \"text\": \"Il pacco è partito.\"}}}}}}'\n\n\
         curl -si http://{tracker}{link} -H 'Host: {host}'   # a click: a redirect to the advertiser\n\n\
         curl -s http://{api}/openapi.json\n\n\
         curl -s http://{admin}/metrics | grep mta_\n",
        domain = world::BUYER_DOMAIN,
        order = world::ORDER,
        host = world::TRACKING_HOST,
    );
}
