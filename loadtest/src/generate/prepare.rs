//! What has to be there before a run: workflows with their contacts, and mails whose links are followed.

use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::lane::Lane;
use super::orders::Orders;
use super::pacer::{Leg, Track};
use super::people::{self, People};
use super::timers::{event_name, wait_minutes};
use super::{Origin, Target, launch};
use crate::books::Books;
use crate::http::{self, Connection};
use crate::ledger::{Kind, Tag};
use crate::scenario::{Arrivals, Curve, Load, Scenario, Send};

/// How long an import, or one request, may take.
const IMPORTED_WITHIN: Duration = Duration::from_mins(5);
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);
/// Contacts in one import.
const ROWS: u32 = 200_000;
/// How fast mails are prepared, how long after the last order they may take to come, and after what pause half of them are enough.
const PREPARED_PER_SECOND: u32 = 1000;
const DELIVERED_WITHIN: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 64;

const HTML: &str = "<!DOCTYPE html><html lang=\"it\"><body style=\"font-family:Helvetica,Arial,sans-serif\"><p>Ciao{% if buyer.name %} \
    {{ buyer.name }}{% endif %},</p><p>come promesso, ecco i consigli per il tuo acquisto: conserva il prodotto all'asciutto, lontano dalla luce, \
    e usalo entro la data indicata. Se qualcosa non va, rispondi a questa mail: ti risponde una persona del negozio.</p><p>{{ shop.name }}</p>\
    {% if unsubscribe_url %}<p><a href=\"{{ unsubscribe_url }}\">Non voglio altre mail</a></p>{% endif %}</body></html>";
const TEXT: &str = "Ciao{% if buyer.name %} {{ buyer.name }}{% endif %},\n\ncome promesso, ecco i consigli per il tuo acquisto: conserva il \
    prodotto all'asciutto, lontano dalla luce.\n\n{{ shop.name }}\n{% if unsubscribe_url %}Non voglio altre mail: {{ unsubscribe_url }}{% endif %}\n";

/// Puts the workflows and their contacts, and posts the orders of which prepared mails come.
pub(super) fn prepare(scenario: &Scenario, target: &Target, books: &Books) -> anyhow::Result<()> {
    let has_timers = scenario.loads.iter().any(|load| load.send == Send::Timers);
    if has_timers {
        // A thread of its own: the caller may be inside a runtime.
        let furnished = std::thread::scope(|scope| scope.spawn(|| furnish(scenario, target)).join());
        furnished.map_err(|_| anyhow::anyhow!("preparing workflows panicked"))??;
    }
    if scenario.mails.prepared > 0 {
        deliver(scenario, target, books).context("delivering the mails whose links are followed")?;
    }
    Ok(())
}

/// Posts orders, and returns once their mails have come, but for those that the receiver put off.
fn deliver(scenario: &Scenario, target: &Target, books: &Books) -> anyhow::Result<()> {
    let count = scenario.mails.prepared;
    let seconds = count.div_ceil(PREPARED_PER_SECOND);
    let load = Load {
        send: Send::Orders,
        arrivals: Arrivals::new(f64::from(count) / f64::from(seconds), Curve::Steady, seconds, 0),
        connections_max: CONNECTIONS,
        wait_seconds: 0,
        first: 0,
    };
    let origin = Origin::of(Instant::now());
    let people = Arc::new(People::of(&scenario.mails));
    let tracks = vec![Track::new(0, load.arrivals, Leg::Main)];
    let (target, lane_books) = (target.clone(), books.clone());
    let generation = launch(origin, tracks, move |shared| {
        let orders = Orders::new(&target, Kind::Prepared, 0, people, origin);
        let lane = Lane::new(
            &load,
            target.addresses.api,
            Box::new(orders),
            lane_books,
            Rc::clone(&shared),
        );
        vec![lane.unmeasured()]
    })?;
    let outcome = generation.finish()?;
    if let Some(error) = outcome.loads.iter().find_map(|load| load.errors.first()) {
        bail!("an order was not accepted: {error}");
    }
    let end = Instant::now() + DELIVERED_WITHIN;
    let mut came = (0, Instant::now());
    loop {
        let account = books.ledger.account(Kind::Prepared);
        if account.taken != came.0 {
            came = (account.taken, Instant::now());
        }
        // Receivers like the big ones put some off, and their whole site with them, for minutes: half of the links are enough.
        let are_enough = account.taken * 2 >= account.asked;
        let is_over = Instant::now() > end;
        if account.taken + account.refused == account.asked || (are_enough && (is_over || came.1.elapsed() >= PAUSE)) {
            return Ok(());
        }
        if is_over {
            bail!("only {} of {count} came within {DELIVERED_WITHIN:?}", account.taken);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::main(flavor = "current_thread")]
async fn furnish(scenario: &Scenario, target: &Target) -> anyhow::Result<()> {
    let people = People::of(&scenario.mails);
    let mut api = Api::open(target).await?;
    let source =
        json!({ "subject": "{{ shop.name }}: i consigli che ti avevamo promesso", "html": HTML, "text": TEXT });
    let template = json!({ "kind": "message", "sources": { "it": source } });
    api.ask("PUT", "/v1/templates/load-timer", &template).await?;
    for (lane, load) in scenario.loads.iter().enumerate() {
        if load.send != Send::Timers {
            continue;
        }
        let name = event_name(lane);
        let workflow = json!({
            "name": format!("Load {lane}"), "start": { "on": "event", "name": name },
            "steps": [
                { "do": "wait", "id": "wait", "for": format!("{}m", wait_minutes(load.wait_seconds)) },
                { "do": "send", "id": "mail", "template": "load-timer" },
            ],
        });
        api.ask("PUT", &format!("/v1/workflows/{name}"), &workflow).await?;
        let state = json!({ "state": "on" });
        api.ask("PUT", &format!("/v1/workflows/{name}/state"), &state).await?;
        let (mut from, end) = (load.first, load.first + load.arrivals.count());
        while from < end {
            let upto = end.min(from + ROWS);
            api.import(&people, from..upto).await.context("importing contacts")?;
            from = upto;
        }
    }
    Ok(())
}

/// A connection to the API with the shop's key.
struct Api {
    connection: Connection,
    host: String,
    key: String,
}

impl Api {
    async fn open(target: &Target) -> anyhow::Result<Self> {
        Ok(Self {
            connection: Connection::open(target.addresses.api).await?,
            host: target.addresses.api.to_string(),
            key: target.key.clone(),
        })
    }

    async fn ask(&mut self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = http::request(
            method,
            path,
            &self.host,
            &http::json_headers(&self.key),
            body.as_bytes(),
        );
        self.exchange(&request)
            .await
            .with_context(|| format!("{method} {path}"))
    }

    async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Value> {
        let answer = tokio::time::timeout(ANSWERED_WITHIN, self.connection.exchange(request)).await;
        answer.context("no answer in time")??.json()
    }

    /// Imports contacts who agreed to mail, and returns once all of them are there.
    async fn import(&mut self, people: &People, numbers: std::ops::Range<u32>) -> anyhow::Result<()> {
        let count = u64::from(numbers.end - numbers.start);
        let mut rows = String::new();
        for number in numbers {
            let tag = Tag {
                kind: Kind::Timer,
                number,
            };
            let (first, last) = people::name(&mut people::dice(tag, 3));
            let email = people.address(tag);
            writeln!(
                rows,
                r#"{{"email":"{email}","name":"{first} {last}","locale":"it-IT","consent":{{"email":true}}}}"#
            )?;
        }
        let headers = format!(
            "authorization: Bearer {}\r\ncontent-type: application/x-ndjson\r\n",
            self.key
        );
        let request = http::request("POST", "/v1/imports", &self.host, &headers, rows.as_bytes());
        let answer = self.exchange(&request).await?;
        let id = answer
            .get("id")
            .and_then(Value::as_str)
            .context("an import without an id")?;
        let path = format!("/v1/imports/{id}");
        let end = Instant::now() + IMPORTED_WITHIN;
        while Instant::now() < end {
            let import = self.ask("GET", &path, &Value::Null).await?;
            if import.get("state").and_then(Value::as_str) == Some("done") {
                if import.get("accepted").and_then(Value::as_u64) != Some(count) {
                    bail!("of {count} contacts not all were accepted: {import}");
                }
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("an import of {count} contacts took more than {IMPORTED_WITHIN:?}")
    }
}
