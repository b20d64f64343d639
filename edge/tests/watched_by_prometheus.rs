//! A service that has seen everything once is scraped by a real Prometheus, and whatever boards and rules ask of it has an answer.
//!
//! No Grafana runs here: that the boards are of its schema follows from being made with its own SDK.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edge::demo::dns::Answer;
use edge::demo::sink::{Manner, Sink};
use edge::demo::world::{self, TRACKING_HOST};
use hyper::Method;
use serde_json::{Value, json};
use smtp::server::Event;
use support::boards::{self, Board};
use support::prometheus::{Prometheus, rule_files};
use support::redis::Redis;
use support::stage::{BROWSER, Links, Stage};
use types::time::Clock;

const PERSON: &str = "203.0.113.9";
const SCANNER: &str = "python-requests/2.32";
/// Whom the receiving server makes wait, and whom it refuses.
const GREYLISTED: &str = "luigi@example.it";
const CLOSED: &str = "nessuno@example.it";
/// The shop's page that a workflow calls: our own listener, which has no such page.
const HOOK: &str = "hook.scarpe-roma.example";

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_boards_and_rules_has_an_answer() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().unwrap();
    let rules = boards::folder().join("rules");
    let mut stage = start(folder.path(), &redis).await;
    let prometheus = Prometheus::start(stage.service.addresses.admin, &rules).await;
    // What happens before the first scrape is no rate.
    prometheus.reaches("count_over_time(up[1m])", 2.0).await;
    let scraped = live_a_day(&mut stage).await;
    assert!(scraped.len() < 2 << 20, "a scrape of {} bytes", scraped.len());
    println!("a scrape of {} bytes, {} lines", scraped.len(), scraped.lines().count());
    let delivered = r#"mta_attempts_total{class="",outcome="delivered",provider="google"} 1"#;
    assert!(scraped.contains(delivered), "a provider is told by its exchangers");
    let exposed = Exposed::of(&scraped);
    // Until the last that happened was scraped, and once more.
    prometheus
        .reaches("sum(scheduler_leads_total{verdict='confirmed'})", 1.0)
        .await;
    prometheus.reaches("sum(projection_records_total)", 1.0).await;
    let took = prometheus
        .query("max_over_time(scrape_duration_seconds[10m])")
        .await
        .unwrap();
    println!("the slowest scrape took {took:?} s");
    assert!(took[0] < 1.0, "a scrape took {took:?} s");

    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for board in boards::all() {
        for (panel, expr) in board.queries() {
            used.extend(boards::metrics(&expr));
            if let Err(fault) = prometheus.number(&board.resolved(&expr)).await {
                faults.push(format!("{panel}: {fault}: {expr}"));
            }
        }
        // Marks have data when something happened: they are asked for their form.
        for expr in board.annotations() {
            used.extend(boards::metrics(&expr));
            if let Err(fault) = prometheus.query(&board.resolved(&expr)).await {
                faults.push(format!("{}: {fault}: {expr}", board.name));
            }
        }
    }
    assert!(used.len() > 50, "{used:?}");

    let told = prometheus.rules().await;
    assert_eq!(
        told.is_empty(),
        rule_files(&rules).is_empty(),
        "rules that were not read"
    );
    for rule in &told {
        let (name, expr) = (rule["name"].as_str().unwrap(), rule["query"].as_str().unwrap());
        used.extend(boards::metrics(expr));
        if rule["health"] != "ok" {
            faults.push(format!("rule {name}: {}", rule["lastError"]));
        }
        // An alert has data when it fires; what is recorded has some once there was traffic, unless it looks back to before that.
        if rule["type"] == "recording" && !looks_back(expr, &told) {
            for asked in [expr, name] {
                if let Err(fault) = prometheus.number(asked).await {
                    faults.push(format!("rule {name}: {fault}: {asked}"));
                }
            }
        }
    }

    let stated = stated_as_unused();
    faults.extend(exposed.faults(&used, &stated));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    stage.service.drain().await;
}

/// Whether a query asks for what was an hour ago or earlier, itself or by a rule that it names: this Prometheus is seconds old.
fn looks_back(expr: &str, rules: &[Value]) -> bool {
    expr.contains(" offset ") || {
        let mut named = rules
            .iter()
            .filter(|rule| rule["type"] == "recording" && expr.contains(rule["name"].as_str().unwrap()));
        named.any(|rule| rule["query"].as_str().unwrap().contains(" offset "))
    }
}

async fn start(folder: &Path, redis: &Redis) -> Stage {
    let certificates = folder.join("tls");
    std::fs::create_dir(&certificates).unwrap();
    let made = rcgen::generate_simple_self_signed([TRACKING_HOST.to_owned(), HOOK.to_owned()]).unwrap();
    let certificate = certificates.join("default.pem");
    std::fs::write(&certificate, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
    let trusted = folder.join("trusted.pem");
    std::fs::write(&trusted, made.cert.pem()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let met = Mutex::new(HashSet::new());
    let sink = Sink::scripted(Arc::new(move |event| match event {
        Event::Rcpt(to) if to == CLOSED => Manner::Say(550, "5.1.1 no such user"),
        Event::Rcpt(to) if to == GREYLISTED && met.lock().unwrap().insert(to.clone()) => {
            Manner::Say(451, "4.7.1 greylisted, come again")
        }
        _ => Manner::Accept,
    }));
    Stage::start_before(sink.await.unwrap(), folder, |settings| {
        let written = projection::Config {
            url: Some(redis.url()),
            ..projection::Config::default()
        };
        settings.redis = written.resolve(&mut Vec::new());
        settings.listen.tracker_tls = Some(([127, 0, 0, 1], port).into());
        settings.tracker.certificates = Some(certificates);
        settings.webhooks.ca_file = Some(trusted);
        settings.webhooks.routes = vec![mta::Route {
            domain: HOOK.to_owned(),
            host: "127.0.0.1".to_owned(),
            port,
        }];
    })
    .await
}

/// Has everything happen once; returns the metrics that tell of it.
async fn live_a_day(stage: &mut Stage) -> String {
    automate(stage).await;
    let mail = stage.deliver("1", "mario@example.it").await;
    let exchanger = "gmail-smtp-in.l.google.com";
    stage
        .zone
        .add("posta.example", Answer::Mx(vec![(5, exchanger.to_owned())]));
    stage.zone.add(exchanger, Answer::A(vec![Ipv4Addr::LOCALHOST]));
    stage.deliver("6", "gino@posta.example").await;
    for (order, email) in [("2", GREYLISTED), ("3", CLOSED)] {
        let order = world::order(order, email, stage.clock.now());
        posted(stage, "/v1/orders", &order, 202).await;
    }
    support::in_state(&stage.shop, "2", "deferred").await;
    support::in_state(&stage.shop, "3", "failed").await;
    refuse(stage).await;

    // A scanner, then a person who opens, clicks and lands.
    stage.clock.advance(Duration::from_secs(20));
    stage
        .track(Method::GET, &mail.clicks[1], SCANNER, "198.51.100.7", "")
        .await;
    stage.clock.advance(Duration::from_mins(5));
    stage.track(Method::GET, &mail.pixel, BROWSER, PERSON, "").await;
    land(stage, &mail, "1").await;
    assert_eq!(
        stage.track(Method::GET, "/c/none", BROWSER, PERSON, "").await.status,
        404
    );
    let advertiser = stage.key_of("caffe-etna").await;
    let leads = "/v1/campaigns/caffe-etna-benvenuto/leads";
    stage.clock.advance(Duration::from_secs(125));
    stage
        .until(&advertiser, leads, |page| page["leads"][0]["state"] == "pending")
        .await;
    // The same person's other mail: visited before.
    let again = stage.deliver("4", "mario@example.it").await;
    stage.clock.advance(Duration::from_mins(5));
    land(stage, &again, "4").await;

    // Verdicts are final, the greylisted mail is tried again, the cart is left for long, the workflow goes on.
    stage.clock.advance(Duration::from_hours(3));
    stage
        .until(&advertiser, leads, |page| page["leads"][0]["state"] == "confirmed")
        .await;
    support::in_state(&stage.shop, "2", "delivered").await;
    let one_click = "List-Unsubscribe=One-Click";
    stage
        .track(Method::POST, &again.unsubscribe, BROWSER, PERSON, one_click)
        .await;
    for metric in [
        "scheduler_carts_total{verdict=\"reminded\"}",
        "mta_webhook_calls_total{result=\"4xx\"}",
    ] {
        until_counted(stage, metric).await;
    }
    scrape(stage).await
}

/// Reminders of carts, a cart, and a workflow that waits and then calls the shop.
async fn automate(stage: &Stage) {
    let settings = json!({
        "mode": "live", "address": "titolare@example.it", "languages": ["it"], "time_zone": "Europe/Rome",
        "first": { "after": "2h" }, "minimum": { "amount": 2000, "currency": "EUR" },
    });
    put(stage, "/v1/carts/settings", &settings).await;
    let cart = json!({
        "customer": { "email": "carla@example.it", "name": "Carla", "locale": "it-IT", "country": "IT", "time_zone": "Europe/Rome" },
        "consent": { "marketing": true, "tracking": true },
        "items": [{ "sku": "A1", "title": "Scarpe da corsa", "quantity": 1, "unit_price": 5990 }],
        "total": { "amount": 5990, "currency": "EUR" }, "net": 4910,
        "restore_url": "https://www.scarpe-roma.example/cart?restore=c-1", "touched_at": stage.clock.now(),
    });
    put(stage, "/v1/carts/c-1", &cart).await;
    let workflow = json!({
        "name": "After an order", "start": { "on": "order" },
        "steps": [
            { "do": "wait", "id": "rest", "for": "1h" },
            { "do": "webhook", "id": "tell", "url": format!("https://{HOOK}/hook") },
        ],
    });
    put(stage, "/v1/workflows/after", &workflow).await;
    put(stage, "/v1/workflows/after/state", &json!({ "state": "on" })).await;
}

/// What is refused: by the API, and by what an order says.
async fn refuse(stage: &Stage) {
    posted(stage, "/v1/orders", &json!({ "order_id": "x" }), 422).await;
    let mut silent = world::order("5", "anna@example.it", stage.clock.now());
    silent["consent"] =
        json!({ "marketing": { "granted": false, "at": stage.clock.now(), "text": "v3", "source": "checkout" } });
    posted(stage, "/v1/orders", &silent, 202).await;
    let settled = |story: &Value| story["decision"].is_object();
    support::told(&stage.shop, "5", "decided", settled).await;
}

/// Follows the offer of coffee in an order's mail, and has its site tell so.
async fn land(stage: &Stage, mail: &Links, order: &str) {
    let story = support::told(&stage.shop, order, "decided", |story| story["decision"].is_object()).await;
    let offers = story["decision"]["offers"].as_array().unwrap();
    let place = offers
        .iter()
        .position(|offer| offer["campaign"] == "caffe-etna-benvenuto")
        .unwrap();
    let followed = stage.track(Method::GET, &mail.clicks[place], BROWSER, PERSON, "").await;
    let page = followed.headers["location"].to_str().unwrap();
    let click = page.split("c=").nth(1).unwrap().split('&').next().unwrap();
    let told = stage
        .track(Method::POST, "/l", BROWSER, PERSON, &format!("c={click}&n=1"))
        .await;
    assert_eq!(told.status, 204);
}

async fn posted(stage: &Stage, path: &str, body: &Value, status: u16) {
    let answer = stage.shop.json(Method::POST, path, body).await.unwrap();
    assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
}

async fn put(stage: &Stage, path: &str, body: &Value) {
    let answer = stage.shop.json(Method::PUT, path, body).await.unwrap();
    assert!(
        answer.status.is_success(),
        "{path}: {}",
        String::from_utf8_lossy(&answer.body)
    );
}

async fn scrape(stage: &Stage) -> String {
    String::from_utf8(stage.admin.get("/metrics").await.unwrap().body.to_vec()).unwrap()
}

async fn until_counted(stage: &Stage, series: &str) {
    let end = std::time::Instant::now() + support::PATIENCE;
    loop {
        let text = scrape(stage).await;
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        if value.is_some_and(|value| value.trim() != "0") {
            return;
        }
        assert!(std::time::Instant::now() < end, "{series} stays at {value:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The metrics that a service exposes, each with its type.
struct Exposed(BTreeMap<String, String>);

impl Exposed {
    fn of(text: &str) -> Self {
        let typed = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        Self(typed.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect())
    }

    /// Returns the metric that a name in a query is, or is a part of.
    fn metric(&self, used: &str) -> Option<&str> {
        let known = |name: &str| self.0.get_key_value(name);
        let part = |end: &str| known(used.strip_suffix(end)?).filter(|(_, kind)| *kind == "histogram");
        let whole = known(used).filter(|(_, kind)| *kind != "histogram");
        let found = whole.or_else(|| ["_bucket", "_sum", "_count"].into_iter().find_map(part));
        found.map(|(name, _)| name.as_str())
    }

    /// Returns what is used and not exposed, exposed and neither used nor stated as unused, and stated wrongly.
    fn faults(&self, used: &BTreeSet<String>, stated: &BTreeSet<String>) -> Vec<String> {
        let watched: BTreeSet<&str> = used.iter().filter_map(|name| self.metric(name)).collect();
        let missing = used.iter().filter(|name| self.metric(name).is_none());
        let missing = missing.map(|name| format!("{name} is on a board or in a rule, and no such metric is exposed"));
        let unwatched = self
            .0
            .keys()
            .filter(|name| !watched.contains(name.as_str()) && !stated.contains(*name));
        let unwatched =
            unwatched.map(|name| format!("{name} is on no board and in no rule, and README.md does not say why"));
        let wrong = stated
            .iter()
            .filter(|name| watched.contains(name.as_str()) || !self.0.contains_key(*name));
        let wrong = wrong.map(|name| format!("README.md says that {name} is on no board, which is wrong"));
        missing.chain(unwatched).chain(wrong).collect()
    }
}

/// The metrics that `dashboards/README.md` lists under "Not on a board", each with a reason.
fn stated_as_unused() -> BTreeSet<String> {
    let text = std::fs::read_to_string(boards::folder().join("README.md")).unwrap();
    let (_, section) = text.split_once("\n## Not on a board\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(name, reason)| {
        assert!(reason.len() > 10, "{name}: {reason}");
        name.to_owned()
    })
    .collect()
}

#[test]
fn the_committed_boards_are_what_their_program_makes() {
    let (committed, made) = (boards::all(), boards::generated());
    let names = |boards: &[Board]| boards.iter().map(|board| board.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&made));
    for (committed, made) in committed.iter().zip(&made) {
        let same = committed.document == made.document;
        assert!(same, "{}.json is not what dashboards/build.py makes", made.name);
    }
}

#[test]
fn alerts_and_objectives_send_to_boards_that_there_are() {
    let uid = |board: Board| board.document["uid"].as_str().unwrap().to_owned();
    let uids: BTreeSet<_> = boards::all().into_iter().map(uid).collect();
    let mut files = rule_files(&boards::folder().join("rules"));
    files.push(boards::folder().join("slos.toml"));
    let mut sent = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let told = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("dashboard")?.split_once([':', '=']));
        for (_, board) in told {
            let board = board.trim().trim_matches('"');
            assert!(uids.contains(board), "{}: no board {board}", file.display());
            sent += 1;
        }
    }
    assert!(sent > 0, "nobody is sent anywhere");
}

/// Two clicks: from the overview to a board, and from there to the page of the alert that sends to it.
#[test]
fn the_overview_leads_to_every_board_and_they_to_the_runbooks_of_their_alerts() {
    let boards = boards::all();
    let links = |board: &Board| -> BTreeSet<String> {
        let listed = board
            .panels()
            .filter_map(|panel| panel["links"].as_array())
            .flatten()
            .map(|link| link["url"].as_str().unwrap().split('?').next().unwrap().to_owned());
        listed.collect()
    };
    let overview = boards.iter().find(|board| board.name == "overview").unwrap();
    for board in boards.iter().filter(|board| board.name != "overview") {
        let url = format!("/d/{}", board.document["uid"].as_str().unwrap());
        assert!(links(overview).contains(&url), "overview does not lead to {url}");
    }
    let mut led = 0;
    for file in rule_files(&boards::folder().join("rules")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for alert in text.split("- alert: ").skip(1) {
            let told = |key: &str| alert.split(key).nth(1).unwrap().lines().next().unwrap().trim();
            let (page, uid) = (told("runbook_url:"), told("dashboard:"));
            // A service that is down has no metrics.
            if page.ends_with("/StaffettaDown.md") {
                continue;
            }
            let board = boards.iter().find(|board| board.document["uid"] == uid).unwrap();
            assert!(links(board).contains(page), "{uid} does not lead to {page}");
            led += 1;
        }
    }
    assert!(led >= 50, "{led}");
}

#[test]
fn boards_are_well_formed() {
    let boards = boards::all();
    let readme = std::fs::read_to_string(boards::folder().join("README.md")).unwrap();
    assert_eq!(boards.len(), 7);
    for board in &boards {
        let (name, document) = (&board.name, &board.document);
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in README.md");
        assert_eq!(document["uid"], format!("staffetta-{name}"));
        assert_eq!(
            (&document["tags"], &document["refresh"]),
            (&json!(["staffetta"]), &json!("30s"))
        );
        assert_eq!(document["timezone"], "browser");
        assert_eq!(
            document["links"][0]["tags"],
            json!(["staffetta"]),
            "{name}: links to the others"
        );
        assert_eq!(board.variables()[..3], ["datasource", "job", "instance"], "{name}");
        let panels = document["panels"].as_array().unwrap();
        let ids: HashSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}: ids");
        let mut cells = HashSet::new();
        for panel in panels {
            let title = format!("{name} / {}", panel["title"].as_str().unwrap());
            let side = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(
                side("w") > 0 && side("h") > 0 && side("x") + side("w") <= 24,
                "{title}: outside the grid"
            );
            for cell in
                (side("x")..side("x") + side("w")).flat_map(|x| (side("y")..side("y") + side("h")).map(move |y| (x, y)))
            {
                assert!(cells.insert(cell), "{title}: lies on another");
            }
            if panel["type"] != "row" {
                check_panel(board, &title, panel);
            }
        }
    }
}

/// A panel is of a kind that Grafana has, tells what healthy looks like and in which unit, and asks what the board can.
fn check_panel(board: &Board, title: &str, panel: &Value) {
    let kind = panel["type"].as_str().unwrap();
    assert!(["timeseries", "stat", "bargauge"].contains(&kind), "{title}: {kind}");
    assert!(
        panel["description"].as_str().is_some_and(|text| text.len() > 20),
        "{title}: what is healthy?"
    );
    let unit = panel["fieldConfig"]["defaults"]["unit"].as_str();
    let units = ["Bps", "bytes", "cps", "d", "none", "percentunit", "reqps", "s", "short"];
    assert!(unit.is_some_and(|unit| units.contains(&unit)), "{title}: {unit:?}");
    assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    let targets = panel["targets"].as_array().unwrap();
    let refs: HashSet<_> = targets.iter().map(|target| target["refId"].as_str().unwrap()).collect();
    assert_eq!(refs.len(), targets.len(), "{title}: refIds");
    assert!(!targets.is_empty(), "{title}: no query");
    for target in targets {
        let expr = target["expr"].as_str().unwrap();
        assert!(
            target["legendFormat"].as_str().is_some_and(|legend| !legend.is_empty()),
            "{title}: no legend"
        );
        board.resolved(expr);
        let chosen = expr.matches("job=~\"$job\", instance=~\"$instance\"").count();
        assert!(
            chosen >= boards::metrics(expr).len(),
            "{title}: the chosen instance is not asked for in {expr}"
        );
    }
}
