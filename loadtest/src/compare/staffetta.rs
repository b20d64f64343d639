//! The service as a contender: started, given work over HTTP, and its threads' CPU read by what they do.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::json;

use super::requests::{Answered, Connections, Make, Requests, ask};
use super::sample::Sample;
use crate::generate::wall_now;
use crate::http;
use crate::ledger::{Kind, Ledger, Tag};
use crate::process::Group;
use crate::service::{Dkim, Route, Setup, Staffetta, metric};
use crate::slow_flush::Preload;

/// The domains of all recipients.
pub(super) const DOMAINS: [&str; 8] = [
    "a.load.test",
    "b.load.test",
    "c.load.test",
    "d.load.test",
    "e.load.test",
    "f.load.test",
    "g.load.test",
    "h.load.test",
];
/// What one round of requests may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// How it is started.
#[derive(Clone, Debug)]
pub(super) struct Start<'a> {
    pub(super) binary: &'a Path,
    /// Empty, its own.
    pub(super) folder: PathBuf,
    pub(super) route: Route,
    pub(super) dkim: Dkim,
    /// TOML over ours.
    pub(super) settings: toml::Table,
    pub(super) preload: Option<&'a Preload>,
}

/// The running service.
pub(super) struct Service {
    runtime: tokio::runtime::Runtime,
    pub(super) staffetta: Staffetta,
}

/// How it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Connections.
    pub(super) at_once: usize,
    /// Requests a second; None: as many as are answered.
    pub(super) rate: Option<f64>,
}

impl Service {
    /// Starts it and furnishes it.
    pub(super) fn start(start: Start<'_>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let setup = Setup {
            binary: start.binary.to_owned(),
            folder: start.folder,
            route: start.route,
            dkim: start.dkim,
            settings: start.settings,
            environment: start.preload.map(Preload::environment).unwrap_or_default(),
        };
        let staffetta = runtime.block_on(Staffetta::start(setup))?;
        Ok(Self { runtime, staffetta })
    }

    /// Returns its processes.
    pub(super) fn group(&self) -> &Group {
        self.staffetta.group()
    }

    /// Asks its API as the operator.
    pub(super) fn api(&self, method: &str, path: &str, body: &serde_json::Value) -> anyhow::Result<serde_json::Value> {
        self.runtime.block_on(self.staffetta.api(method, path, Some(body)))
    }

    /// Reads a metric: the sum over its series that hold `label`.
    pub(super) fn metric(&self, name: &str, label: &str) -> anyhow::Result<f64> {
        Ok(metric(&self.metrics()?, name, label))
    }

    /// Returns the text of `/metrics`.
    pub(super) fn metrics(&self) -> anyhow::Result<String> {
        self.runtime.block_on(self.staffetta.metrics())
    }

    /// Posts the orders of these numbers and returns once all are acknowledged; they are noted as mails of `kind`.
    pub(super) fn orders(
        &self,
        kind: Kind,
        numbers: Range<u32>,
        pace: Pace,
        ledger: &Arc<Ledger>,
    ) -> anyhow::Result<Answered> {
        let placed_at = wall_now().to_string();
        let body = move |tag: Tag| order(tag, &placed_at);
        self.post("/v1/orders", kind, numbers, pace, ledger, body)
    }

    /// Posts the sample's content as plain messages.
    pub(super) fn messages(
        &self,
        numbers: Range<u32>,
        pace: Pace,
        ledger: &Arc<Ledger>,
        sample: &Sample,
    ) -> anyhow::Result<Answered> {
        let content =
            json!({ "content": { "subject": sample.subject, "text": sample.text, "html": sample.html } }).to_string();
        let body = move |tag: Tag| {
            let to = recipient(tag);
            format!(r#"{{"to":{{"email":"{to}","name":"Mario Rossi"}},"stream":"transactional","body":{content}}}"#)
        };
        self.post("/v1/messages", Kind::Message, numbers, pace, ledger, body)
    }

    /// Posts one request for each number to a path of the API, with the shop's key.
    fn post(
        &self,
        path: &'static str,
        kind: Kind,
        numbers: Range<u32>,
        pace: Pace,
        ledger: &Arc<Ledger>,
        body: impl Fn(Tag) -> String + Send + Sync + 'static,
    ) -> anyhow::Result<Answered> {
        let first = numbers.start;
        let tag = move |number: usize| Tag {
            kind,
            number: first + u32::try_from(number).unwrap_or_default(),
        };
        let (asking, hearing) = (Arc::clone(ledger), Arc::clone(ledger));
        let make = self.request(path, move |number| {
            asking.ask(tag(number), Instant::now());
            body(tag(number))
        });
        ask(Requests {
            address: self.staffetta.addresses().api,
            connections: Connections::Kept,
            at_once: pace.at_once,
            count: numbers.len(),
            rate: pace.rate,
            make,
            hear: Arc::new(move |number, answer| {
                if answer.status != 202 {
                    bail!("answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
                }
                hearing.acknowledge(tag(number), Instant::now());
                Ok(())
            }),
            patience: PATIENCE,
        })
    }

    /// Makes requests with a body to a path of the API, with the shop's key.
    pub(super) fn request(&self, path: &'static str, body: impl Fn(usize) -> String + Send + Sync + 'static) -> Make {
        let headers = http::json_headers(self.staffetta.shop_key());
        let host = self.staffetta.addresses().api.to_string();
        Arc::new(move |number| http::request("POST", path, &host, &headers, body(number).as_bytes()))
    }

    /// Waits until it rests: what was appended is folded and in state.
    pub(super) fn rest(&self) -> anyhow::Result<()> {
        let mut last = self.group().cpu()?.seconds();
        for _ in 0..240 {
            std::thread::sleep(Duration::from_millis(250));
            let now = self.group().cpu()?.seconds();
            if now - last < 0.01 {
                return Ok(());
            }
            last = now;
        }
        bail!("the service does not come to rest")
    }
}

/// Returns who gets the mail of a tag.
pub(super) fn recipient(tag: Tag) -> String {
    let domains = DOMAINS.iter().cycle();
    let mut domains = domains.skip(usize::try_from(tag.number).unwrap_or_default() % DOMAINS.len());
    format!("{tag}@{}", domains.next().unwrap_or(&"a.load.test"))
}

fn order(tag: Tag, placed_at: &str) -> String {
    let to = recipient(tag);
    format!(
        r#"{{"order_id":"{tag}","placed_at":"{placed_at}","status":"confirmed","customer":{{"email":"{to}","name":"Mario Rossi","locale":"it-IT","country":"IT","time_zone":"Europe/Rome"}},"consent":{{"marketing":{{"granted":true,"at":"{placed_at}","text":"v3","source":"checkout"}},"tracking":true,"sharing":false}},"total":{{"amount":5990,"currency":"EUR"}},"items":[{{"sku":"A1","title":"Scarpe da corsa","quantity":1,"unit_price":4990,"categories":["shoes"]}},{{"sku":"B2","title":"Calze tecniche","quantity":2,"unit_price":500,"categories":["shoes"]}}]}}"#
    )
}

/// What its threads do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Threads {
    /// From the listener to the append: the runtime's threads and the commit's.
    pub(super) to_append: f64,
    /// What folds and keeps it afterwards.
    pub(super) beyond: f64,
}

impl Threads {
    /// Threads whose names begin so answer and append; all others fold, keep state and ship.
    const TO_APPEND: [&'static str; 4] = ["tokio", "store-commit", "store-spool-syn", "staffetta"];

    /// Reads the CPU seconds of a process's threads.
    pub(super) fn of(pid: u32) -> anyhow::Result<Self> {
        #[expect(clippy::cast_precision_loss, reason = "ticks here stay far below 2^52")]
        let ticks_a_second = rustix::param::clock_ticks_per_second().max(1) as f64;
        let mut threads = Self::default();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else {
                continue;
            };
            if let Some((name, ticks)) = name_and_ticks(&stat) {
                #[expect(clippy::cast_precision_loss, reason = "ticks here stay far below 2^52")]
                let seconds = ticks as f64 / ticks_a_second;
                if Self::TO_APPEND.iter().any(|prefix| name.starts_with(prefix)) {
                    threads.to_append += seconds;
                } else {
                    threads.beyond += seconds;
                }
            }
        }
        Ok(threads)
    }

    /// Returns what was used since `earlier`, for a million of `count`.
    #[expect(clippy::cast_precision_loss, reason = "counts here stay far below 2^52")]
    pub(super) fn per_million(self, earlier: Self, count: usize) -> Self {
        let million = 1e6 / count as f64;
        Self {
            to_append: (self.to_append - earlier.to_append) * million,
            beyond: (self.beyond - earlier.beyond) * million,
        }
    }
}

/// Reads a thread's name, and its user and system ticks, from its line in `/proc`.
fn name_and_ticks(stat: &str) -> Option<(&str, u64)> {
    let (head, fields) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((name, user + system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_tells_its_name_and_what_it_used() {
        let line = "12 (store-commit (x)) S 1 1 1 0 -1 4194304 1 0 0 0 17 25 0 0 20 0 5 0 100";
        assert_eq!(name_and_ticks(line), Some(("store-commit (x)", 42)));
        assert!(Threads::of(std::process::id()).is_ok());
    }

    #[test]
    fn orders_are_json_and_their_recipients_tell_their_tag() {
        let tag = Tag {
            kind: Kind::Order,
            number: 9,
        };
        let order: serde_json::Value = serde_json::from_str(&order(tag, "2026-11-21T20:15:00Z")).unwrap();
        assert_eq!(order["customer"]["email"], "o9@b.load.test");
        assert_eq!(Tag::of_recipient("o9@b.load.test"), Some(tag));
    }
}
