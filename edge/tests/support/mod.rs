//! What every story needs: a node (the real binary), a sink, a DNS server, and a furnished network of shops.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each story is a program of its own and uses a part of this"
)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

pub mod boards;
pub mod prometheus;
pub mod redis;
pub mod stage;

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use edge::client::{Answer, Client};
use edge::clock::SystemClock;
use edge::demo::dns::{self, DnsServer, Zone};
use edge::demo::world;
use edge::story;
use hyper::Method;
use serde_json::{Value, json};
use types::time::Clock;

/// The longest that anything a story waits for may take; a failing story ends by it.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A running `staffetta serve` on a data folder of its own.
pub struct Node {
    child: Child,
    pub api: SocketAddr,
    pub tracker: SocketAddr,
    pub admin: SocketAddr,
    /// The key, as the first start printed it.
    pub operator_key: String,
    log: mpsc::Receiver<String>,
    /// How long the start took, from spawn to ready.
    pub started_in: Duration,
}

/// How a node is started.
#[derive(Clone)]
pub struct Plan {
    /// The folder of settings and data.
    pub folder: PathBuf,
    /// Settings besides folders and ports: TOML.
    pub settings: String,
    /// What the binary runs under, such as strace with its arguments.
    pub under: Vec<String>,
    /// The operator key of an earlier start.
    pub operator_key: Option<String>,
}

impl Plan {
    /// A node whose mail finds its MX through `dns` and goes to `smtp_port` there.
    pub fn new(folder: &Path, dns: SocketAddr, smtp_port: u16) -> Self {
        let settings =
            format!("[delivery]\nnameserver = \"{dns}\"\nsmtp_port = {smtp_port}\nallow_private_destinations = true\n");
        Self {
            folder: folder.to_owned(),
            settings,
            under: Vec::new(),
            operator_key: None,
        }
    }

    /// Adds settings to a section that the plan already has, or new sections.
    #[must_use]
    pub fn with(mut self, settings: &str) -> Self {
        self.settings.push_str(settings);
        self.settings.push('\n');
        self
    }

    /// Starts the node and waits until it is ready.
    pub fn start(&mut self) -> Node {
        let node = self
            .spawn()
            .unwrap_or_else(|log| panic!("the node did not start:\n{log}"));
        self.operator_key = Some(node.operator_key.clone());
        node
    }

    /// Starts the node; a node that ends before it is ready is returned as its log.
    pub fn spawn(&self) -> Result<Node, String> {
        let file = self.folder.join("staffetta.toml");
        let data = self.folder.join("data");
        let text = format!(
            "{}\n[listen]\napi = \"127.0.0.1:0\"\ntracker = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\n[store]\ndata_dir = \"{}\"\nsegment_size = \"4MiB\"\n{}",
            self.settings.split("[store]").next().unwrap_or_default(),
            data.display(),
            self.settings
                .split_once("[store]")
                .map_or("disk_floor = \"16MiB\"\n", |(_, store)| store),
        );
        std::fs::write(&file, text).unwrap();
        let binary = env!("CARGO_BIN_EXE_staffetta").to_owned();
        let mut words = self.under.clone();
        words.extend([
            binary,
            "serve".to_owned(),
            "--settings".to_owned(),
            file.display().to_string(),
        ]);
        let (program, arguments) = words.split_first().unwrap();
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(arguments)
            .env("STAFFETTA_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, printed) = mpsc::channel();
        pump(child.stdout.take().unwrap(), said);
        let (said, log) = mpsc::channel();
        pump(child.stderr.take().unwrap(), said);

        let mut lines = String::new();
        let ready = loop {
            let Ok(line) = log.recv_timeout(PATIENCE) else {
                let _ = child.kill();
                let _ = child.wait();
                return Err(lines);
            };
            lines.push_str(&line);
            lines.push('\n');
            if let Some(ready) = serde_json::from_str::<Value>(&line)
                .ok()
                .filter(|line| line["message"] == "ready")
            {
                break ready;
            }
        };
        let started_in = started.elapsed();
        let address = |key: &str| ready[key].as_str().unwrap().parse().unwrap();
        let operator_key = self.operator_key.clone().unwrap_or_else(|| {
            let line = printed
                .recv_timeout(PATIENCE)
                .expect("the first start prints the operator key");
            line.rsplit(' ').next().unwrap().to_owned()
        });
        Ok(Node {
            child,
            api: address("api"),
            tracker: address("tracker"),
            admin: address("admin"),
            operator_key,
            log,
            started_in,
        })
    }
}

/// Reads lines on a thread until the process closes its end.
fn pump(stream: impl std::io::Read + Send + 'static, said: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if said.send(line).is_err() {
                return;
            }
        }
    });
}

impl Node {
    /// A client of the API with the operator key.
    pub fn operator(&self) -> Client {
        Client::new(self.api.to_string(), Some(self.operator_key.clone()))
    }

    /// A client of the admin listener with the operator key.
    pub fn admin(&self) -> Client {
        Client::new(self.admin.to_string(), Some(self.operator_key.clone()))
    }

    /// A client of the API with a shop's key.
    pub fn shop(&self, key: &str) -> Client {
        Client::new(self.api.to_string(), Some(key.to_owned()))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the node as a power failure would end the process: SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the node to drain, and waits until it has.
    pub fn stop(mut self) -> Stopped {
        self.terminate();
        let ended = self.wait();
        Stopped {
            success: ended,
            log: self.log.try_iter().collect(),
        }
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let sent = Command::new("kill")
            .args(["-TERM", &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits for the process to end by itself; returns whether it did so successfully.
    pub fn wait(&mut self) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < end, "the node did not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the value of a metric (summed over its labels), or 0.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.admin().get("/metrics").await.unwrap().body;
        let text = String::from_utf8(text.to_vec()).unwrap();
        text.lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A story that fails must not leave its node behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node that ended by itself.
pub struct Stopped {
    pub success: bool,
    pub log: Vec<String>,
}

/// A DNS server whose zone sends the buyers' domain to loopback.
pub async fn buyers_dns() -> (DnsServer, Zone) {
    let zone = Zone::default();
    zone.add(
        world::BUYER_DOMAIN,
        dns::Answer::Mx(vec![(10, format!("mx.{}", world::BUYER_DOMAIN))]),
    );
    zone.add(
        &format!("mx.{}", world::BUYER_DOMAIN),
        dns::Answer::A(vec![Ipv4Addr::LOCALHOST]),
    );
    (DnsServer::start(zone.clone()).await.unwrap(), zone)
}

/// Puts the demo's shops and campaigns and returns a key of the publishing shop.
pub async fn furnish(node: &Node) -> String {
    furnish_with(&node.operator(), &node.admin()).await
}

/// The same by clients with the operator key.
pub async fn furnish_with(operator: &Client, admin: &Client) -> String {
    for (id, document) in world::shops() {
        operator
            .json(Method::PUT, &format!("/v1/shops/{id}"), &document)
            .await
            .unwrap()
            .success()
            .unwrap();
    }
    for (id, document) in world::campaigns() {
        operator
            .json(Method::PUT, &format!("/v1/campaigns/{id}"), &document)
            .await
            .unwrap()
            .success()
            .unwrap();
    }
    let body = json!({ "id": "story", "scopes": ["send", "read", "manage"] });
    let path = format!("/admin/v1/shops/{}/keys", world::SHOP);
    let answer = admin.json(Method::POST, &path, &body).await.unwrap().success().unwrap();
    answer["key"].as_str().unwrap().to_owned()
}

/// Posts an order placed now.
pub async fn post(shop: &Client, order_id: &str, email: &str) -> anyhow::Result<Answer> {
    shop.json(
        Method::POST,
        "/v1/orders",
        &world::order(order_id, email, SystemClock.now()),
    )
    .await
}

/// Posts an order placed now and expects it to be accepted.
pub async fn accepted(shop: &Client, order_id: &str, email: &str) {
    let answer = post(shop, order_id, email).await.unwrap();
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
}

/// Waits until the story of an order satisfies a condition, and returns it.
pub async fn told(shop: &Client, order_id: &str, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = shop.get(&format!("/v1/orders/{order_id}")).await.unwrap();
        if answer.status == 200 {
            let story = answer.json().unwrap();
            if condition(&story) {
                return story;
            }
            assert!(
                Instant::now() < end,
                "order {order_id} was never {what}:\n{}",
                story::tell(&story)
            );
        }
        assert!(
            Instant::now() < end,
            "order {order_id} was never {what}: {}",
            answer.status
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until an order's first message is in a state.
pub async fn in_state(shop: &Client, order_id: &str, state: &str) -> Value {
    told(shop, order_id, state, |story| story["messages"][0]["state"] == state).await
}

/// Returns the kinds of an order's events, in order.
pub fn kinds(story: &Value) -> Vec<String> {
    story::events(story).into_iter().map(|event| event.kind).collect()
}

/// Asks once with no body.
pub async fn ask(client: &Client, method: Method, path: &str) -> Answer {
    client.send(method, path, &[], Bytes::new()).await.unwrap()
}
