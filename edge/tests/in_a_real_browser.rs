//! A real browser shows a delivered offer mail, loads its pixel, follows an offer over TLS to the advertiser's page with the
//! snippet, lands, and unsubscribes: each event is there once, and is a person's.
//!
//! Pictures go to the folder that `STAFFETTA_PICTURES` names, such as `docs/images`, else to a temporary one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use edge::demo::world::{ORDER, TRACKING_HOST};
use serde_json::Value;
use support::stage::Stage;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

const SITE: &str = "www.caffe-etna.example";

#[tokio::test(flavor = "multi_thread")]
async fn mail_click_landing_and_unsubscription_are_one_event_each() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = folder.path().join("tls");
    std::fs::create_dir(&certificates).unwrap();
    let made = rcgen::generate_simple_self_signed([TRACKING_HOST.to_owned(), SITE.to_owned()]).unwrap();
    let certificate = certificates.join("default.pem");
    std::fs::write(&certificate, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
    let mut stage = Stage::start(folder.path(), |settings| {
        settings.listen.tracker_tls = Some(([127, 0, 0, 1], 0).into());
        settings.tracker.certificates = Some(certificates.clone());
    })
    .await;
    let mail = stage.deliver(ORDER, "mario@example.it").await;
    let story = support::told(&stage.shop, ORDER, "decided", |story| story["decision"].is_object()).await;
    let offers = story["decision"]["offers"].as_array().unwrap();
    let place = offers
        .iter()
        .position(|offer| offer["campaign"] == "caffe-etna-benvenuto")
        .unwrap();
    // Nobody opens a mail in the second in which it comes.
    stage.clock.advance(Duration::from_mins(1));

    let page = folder.path().join("mail.html");
    std::fs::write(&page, &mail.html).unwrap();
    let pictures = pictures(folder.path());
    let port = stage.service.addresses.tracker_tls.unwrap().port().to_string();
    let mut browser = Command::new(python())
        .arg(root().join("tests/browser.py"))
        .arg("--mail")
        .arg(&page)
        .args(["--click", &mail.clicks[place], "--unsubscribe", &mail.unsubscribe])
        .args(["--tracker", TRACKING_HOST, "--port", &port, "--site", SITE])
        .arg("--certificate")
        .arg(&certificate)
        .arg("--pictures")
        .arg(&pictures)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python runs");
    let mut said = BufReader::new(browser.stdout.take().unwrap()).lines();
    let landed = next(&mut said).await;
    assert_eq!(landed["did"], "landed");
    assert_eq!(
        landed["at"],
        format!("https://{SITE}/benvenuto?codice=ETNA5"),
        "the address bar is clean"
    );

    support::told(&stage.shop, ORDER, "landed", |story| count(story, "landed") == 1).await;
    stage.clock.advance(Duration::from_secs(125));
    support::told(&stage.shop, ORDER, "decided as a lead", |story| {
        count(story, "lead.claimed") == 1
    })
    .await;
    stage.clock.advance(Duration::from_mins(31));
    support::told(&stage.shop, ORDER, "settled", |story| {
        count(story, "lead.confirmed") == 1
    })
    .await;

    browser.stdin.take().unwrap().write_all(b"go on\n").await.unwrap();
    let unsubscribed = next(&mut said).await;
    assert_eq!(unsubscribed["did"], "unsubscribed");
    assert!(browser.wait().await.unwrap().success());
    let story = support::told(&stage.shop, ORDER, "unsubscribed", |story| {
        count(story, "unsubscribed") == 1
    })
    .await;
    for kind in [
        "opened",
        "clicked",
        "landed",
        "lead.claimed",
        "lead.confirmed",
        "unsubscribed",
    ] {
        assert_eq!(count(&story, kind), 1, "{kind} in {story:#}");
    }
    for event in story["events"].as_array().unwrap() {
        if ["opened", "clicked"].contains(&event["kind"].as_str().unwrap()) {
            assert_eq!(event["verdict"]["class"], "human", "{event}");
            assert_eq!(event["verdict"]["final"], true, "{event}");
        }
    }
    let told = story["events"].to_string();
    assert!(told.contains("is confirmed: its click was a person's"), "{told}");
    for picture in [
        "offer-mail-desktop",
        "offer-mail-phone",
        "offer-mail-dark",
        "unsubscribe",
        "unsubscribed",
    ] {
        let size = std::fs::metadata(pictures.join(format!("{picture}.png")))
            .unwrap()
            .len();
        assert!(size > 5_000, "{picture} has {size} bytes");
    }
    stage.service.drain().await;
}

fn count(story: &Value, kind: &str) -> usize {
    support::kinds(story).iter().filter(|own| *own == kind).count()
}

async fn next(said: &mut Lines<BufReader<ChildStdout>>) -> Value {
    let line = tokio::time::timeout(2 * support::PATIENCE, said.next_line()).await;
    let line = line.expect("the browser says something in time").unwrap();
    serde_json::from_str(&line.expect("the browser goes on; what is wrong stands above")).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pictures(folder: &Path) -> PathBuf {
    let named = std::env::var_os("STAFFETTA_PICTURES").map(|named| root().join(named));
    let folder = named.unwrap_or_else(|| folder.join("pictures"));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The interpreter that `make setup` prepared.
fn python() -> PathBuf {
    if let Some(told) = std::env::var_os("STAFFETTA_PYTHON") {
        return told.into();
    }
    let prepared = root().join(".venv/bin/python3");
    if prepared.exists() { prepared } else { "python3".into() }
}
