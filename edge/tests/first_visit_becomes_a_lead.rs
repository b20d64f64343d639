//! An offer mail is opened by proxies and a person, its links are followed by a scanner and by a person, who lands: one lead,
//! however often anything of it is repeated, and the same numbers in the statistics, the history, the stream and in Redis.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use support::PATIENCE;
use support::redis::Redis;
use support::stage::{BROWSER, Stage};

const GMAIL: &str = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
const APPLE: &str = "Mozilla/5.0";
const SCANNER: &str = "python-requests/2.32";
const PERSON: &str = "203.0.113.9";

#[tokio::test(flavor = "multi_thread")]
async fn one_click_of_a_person_is_one_lead_everywhere() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::start(folder.path(), |settings| {
        let written = projection::Config {
            url: Some(redis.url()),
            ..projection::Config::default()
        };
        settings.redis = written.resolve(&mut Vec::new());
    })
    .await;
    let advertiser = stage.key_of("caffe-etna").await;
    let mail = stage.deliver("1", "mario@example.it").await;
    let coffee = place_of(&stage, "1", "caffe-etna-benvenuto").await;

    // A scanner follows all links at once; a minute later people come.
    stage.clock.advance(Duration::from_secs(20));
    for click in &mail.clicks {
        assert_eq!(
            stage
                .track(Method::GET, click, SCANNER, "198.51.100.7", "")
                .await
                .status,
            302
        );
    }
    stage.clock.advance(Duration::from_mins(1));
    stage.track(Method::GET, &mail.pixel, APPLE, "17.58.0.1", "").await;
    stage.track(Method::GET, &mail.pixel, GMAIL, "66.249.84.1", "").await;
    let followed = stage
        .track(Method::GET, &mail.clicks[coffee], BROWSER, PERSON, "")
        .await;
    assert_eq!(followed.status, 302);
    let landing = followed.headers["location"].to_str().unwrap();
    assert!(
        landing.starts_with("https://www.caffe-etna.example/benvenuto?c="),
        "{landing}"
    );
    let click_id = landing
        .split("c=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap()
        .to_owned();
    let beacon = format!("c={click_id}&n=1");
    assert_eq!(
        stage.track(Method::POST, "/l", BROWSER, PERSON, &beacon).await.status,
        204
    );

    // Two minutes later the click is a person's, for now, and the landing a lead.
    stage.clock.advance(Duration::from_secs(125));
    let leads = "/v1/campaigns/caffe-etna-benvenuto/leads";
    let page = stage
        .until(&advertiser, leads, |page| page["leads"][0]["state"] == "pending")
        .await;
    assert_eq!(page["leads"][0]["evidence"], "history_and_browser");
    assert_eq!(page["leads"][0]["price"]["amount"], 90);
    assert_eq!(
        page["leads"][0]["click_id"], click_id,
        "the advertiser knows it by what its page was handed"
    );
    let id = page["leads"][0]["id"].clone();

    // A thousand replays, from as many networks.
    for n in 0..1000 {
        let from = format!("10.{}.{}.1", n / 250, n % 250);
        let answer = stage.track(Method::POST, "/l", BROWSER, &from, &beacon).await;
        assert_eq!(answer.status, 204, "replay {n}");
    }
    // Another mail of the same person, clicked and landed: visited before.
    let again = stage.deliver("2", "Mario@example.it").await;
    stage.clock.advance(Duration::from_mins(1));
    let place = place_of(&stage, "2", "caffe-etna-benvenuto").await;
    let followed = stage
        .track(Method::GET, &again.clicks[place], BROWSER, PERSON, "")
        .await;
    let landing = followed.headers["location"].to_str().unwrap();
    let other = landing.split("c=").nth(1).unwrap().split('&').next().unwrap();
    stage
        .track(Method::POST, "/l", BROWSER, PERSON, &format!("c={other}&n=1"))
        .await;

    stage.clock.advance(Duration::from_mins(31));
    let page = stage
        .until(&advertiser, leads, |page| page["leads"][0]["state"] == "confirmed")
        .await;
    assert_eq!(page["leads"].as_array().unwrap().len(), 1);
    assert_eq!(page["leads"][0]["id"], id);
    // The other landing is decided, and so is all else. What the person did elsewhere is not the shop's to know.
    let refused = |story: &Value| details(story).contains("The landing is no lead. Why is told to the advertiser.");
    support::told(&stage.shop, "2", "refused as a lead", refused).await;
    let story = support::told(&stage.shop, "1", "confirmed", |story| {
        details(story).contains("is confirmed")
    })
    .await;
    agree(&stage, &redis, &advertiser, &story).await;
    ask_by_command(&stage, folder.path()).await;
    stage.service.drain().await;
}

/// What people are told of an order, in one text.
fn details(story: &Value) -> String {
    let events = story["events"].as_array().unwrap();
    events
        .iter()
        .map(|event| event["detail"].as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The place of a campaign in an order's mail.
async fn place_of(stage: &Stage, order: &str, campaign: &str) -> usize {
    let story = support::told(&stage.shop, order, "decided", |story| story["decision"].is_object()).await;
    let offers = story["decision"]["offers"].as_array().unwrap();
    offers.iter().position(|offer| offer["campaign"] == campaign).unwrap()
}

/// The same numbers, wherever they are told.
async fn agree(stage: &Stage, redis: &Redis, advertiser: &edge::client::Client, story: &Value) {
    let counts = &story["messages"][0]["counts"];
    assert_eq!(counts["opens"], json!({ "raw": 2, "machine": 1, "qualified": 1 }));
    assert_eq!(counts["clicks"], json!({ "raw": 4, "machine": 3, "qualified": 1 }));
    assert_eq!((&counts["landings"], &counts["leads"]), (&json!(1), &json!(1)));
    let told = details(story);
    for text in [
        "is taken for Apple's Mail Privacy Protection's",
        "is taken for a person's, through Gmail's image proxy,",
        "is taken for a scanner's for good, since the agent names a program, or nothing",
        "The landing is a lead",
        "the browser holds no trace of an earlier visit",
    ] {
        assert!(told.contains(text), "{text} is not in\n{told}");
    }
    // From before the first order on: the clock was moved on since.
    let from = stage.clock.now_minus(Duration::from_hours(2));
    let own = stage
        .until(&stage.shop, &format!("/v1/stats?from={from}"), |_| true)
        .await;
    let offers = stage
        .until(advertiser, &format!("/v1/stats?from={from}&by=campaign"), |_| true)
        .await;
    let mails = [
        ("accepted", 2),
        ("sent", 2),
        ("delivered", 2),
        ("opens_raw", 2),
        ("opens_machine", 1),
        ("opens_qualified", 1),
        ("opens_unique", 1),
        ("clicks_raw", 5),
        ("clicks_machine", 3),
        ("clicks_qualified", 2),
        ("clicks_unique", 2),
        ("landings", 2),
        ("leads_claimed", 1),
        ("leads_confirmed", 1),
        ("leads_voided", 0),
    ];
    for (measure, count) in mails {
        assert_eq!(own["totals"][measure], count, "{measure} of mails");
    }
    let coffee = [
        ("clicks_raw", 3),
        ("clicks_qualified", 2),
        ("landings", 2),
        ("leads_confirmed", 1),
    ];
    for (measure, count) in coffee {
        assert_eq!(offers["totals"][measure], count, "{measure} of the offer");
    }
    let events = [
        ("lead.claimed", 1),
        ("lead.confirmed", 1),
        ("lead.refused", 1),
        ("opened", 2),
        ("clicked", 5),
    ];
    for (kind, count) in events {
        assert_eq!(stage.events(kind).await.len(), count, "{kind} in the stream");
    }
    let end = Instant::now() + PATIENCE;
    let agrees = || {
        mails
            .iter()
            .all(|(measure, count)| redis.sum("*:shop:scarpe-roma:*", measure) == *count)
            && coffee
                .iter()
                .all(|(measure, count)| redis.sum("*:campaign:caffe-etna-benvenuto:*", measure) == *count)
            && events.iter().all(|(kind, count)| redis.events(kind) == *count)
    };
    while !agrees() {
        for (measure, count) in mails {
            let found = redis.sum("*:shop:scarpe-roma:*", measure);
            assert!(
                Instant::now() < end,
                "Redis has {measure} {found}, not {count}, or others differ"
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What the commands print of it.
async fn ask_by_command(stage: &Stage, folder: &Path) {
    let admin = stage.service.addresses.admin.to_string();
    let key = stage.service.operator_key.clone().unwrap();
    let run = async |arguments: &[&str]| {
        let ran = tokio::process::Command::new(env!("CARGO_BIN_EXE_staffetta"))
            .args(arguments)
            .env("STAFFETTA_ADMIN", &admin)
            .env("STAFFETTA_OPERATOR_KEY", &key)
            .output()
            .await
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    };
    let told = run(&["events", "--type", "lead.confirmed"]).await;
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.contains("\"advertiser\":\"caffe-etna\"") && !told.contains("mario"),
        "{told}"
    );
    let told = run(&["events", "--shop", "luce-casa"]).await;
    assert_eq!(told, "", "another advertiser has nothing to see");
    let from = stage.clock.now_minus(Duration::from_hours(2));
    let told = run(&["stats", "--by", "campaign", "--from", &from]).await;
    assert!(
        told.contains("caffe-etna-benvenuto") && told.contains("leads_confirmed 1"),
        "{told}"
    );

    // The rules that judged say the same again; others know the person's network for a scanner's.
    let rules = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../policy/rules/verdicts.toml")).unwrap();
    let file = folder.join("rules.toml");
    std::fs::write(&file, &rules).unwrap();
    let path = file.to_str().unwrap();
    let told = run(&["judge", "--rules", path]).await;
    assert!(
        told.starts_with("rules 1 over 7 hits of 2 mails; 0 mails differ"),
        "{told}"
    );
    let other = rules.replace("version = 1", "version = 2")
        + "
[[scanner_networks]]
owner = \"Example\"
ranges = [\"203.0.113.0/24\"]
";
    std::fs::write(&file, other).unwrap();
    let told = run(&["judge", "--rules", path]).await;
    assert!(
        told.starts_with("rules 2 over 7 hits of 2 mails; 2 mails differ"),
        "{told}"
    );
    assert_eq!(
        told.matches("human would be scanner (scanner_network)").count(),
        2,
        "{told}"
    );
    let story = support::told(&stage.shop, "1", "told", |_| true).await;
    assert_eq!(
        story["messages"][0]["counts"]["clicks"]["qualified"], 1,
        "nothing was changed"
    );
}
