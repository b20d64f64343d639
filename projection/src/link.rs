//! Connections to Redis, and the few commands that are ever sent.
//!
//! A link is made anew for each session, and knows which node has which of the 64 slots. It follows no redirection: a node
//! that has moved, died or been demoted ends the session, and the next link asks again who is who.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError,
    TlsCertificates, Value, from_redis_value,
};
use tokio::task::JoinSet;
use types::id::Slot;

use crate::address::{Host, Kind};
use crate::batch::{SCRIPT, watermark_key};
use crate::fault::Fault;
use crate::settings::Settings;

/// Pipelines that wait for one connection's writer; the window bounds them long before.
const PIPELINES: usize = 1024;
/// Keys asked for at once while a node is cleared.
const SCANNED: usize = 1000;

/// Connections to all nodes that have slots of ours.
pub(crate) struct Link {
    nodes: Vec<Node>,
    /// By slot: which node.
    routes: Vec<usize>,
    /// The script's name, the same everywhere.
    pub(crate) script: Arc<str>,
}

struct Node {
    host: Host,
    connection: MultiplexedConnection,
}

/// Commands on their way. Dropped, nobody waits for their answers any more; they may be carried out all the same.
pub(crate) struct Sending(JoinSet<Result<Vec<(Slot, Value)>, RedisError>>);

/// What one node says about eviction.
pub(crate) struct Eviction {
    /// The `maxmemory-policy`.
    pub(crate) policy: String,
    /// Keys evicted since it was started.
    pub(crate) evicted: u64,
}

impl Link {
    /// Connects to all nodes, and teaches them the script.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, Fault> {
        let (mut nodes, routes) = match &settings.address.kind {
            Kind::Standalone { database } => {
                let host = settings.address.hosts.first().expect("an address has a host");
                (vec![Node::open(settings, host, *database).await?], one_node())
            }
            Kind::Sentinel { master } => (vec![find_master(settings, master).await?], one_node()),
            Kind::Cluster => find_nodes(settings).await?,
        };
        let mut script = None;
        for node in &mut nodes {
            let sha: String = node.ask(redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT)).await?;
            script = Some(sha);
        }
        Ok(Self {
            nodes,
            routes,
            script: script.expect("a link has a node").into(),
        })
    }

    /// Reads the watermarks of all slots as they are stored.
    pub(crate) async fn watermarks(&mut self) -> Result<Vec<Option<String>>, Fault> {
        let calls = Slot::all().map(|slot| (slot, redis::cmd("GET").arg(watermark_key(slot)).clone()));
        let mut found = vec![None; usize::from(Slot::COUNT)];
        for (slot, value) in self.send(calls.collect()).answers().await? {
            if let Some(found) = found.get_mut(usize::from(slot.number())) {
                *found = text("GET", value)?;
            }
        }
        Ok(found)
    }

    /// Sends one command for each of some slots, in one pipeline for each node, in the order of the calls of this function.
    pub(crate) fn send(&self, calls: Vec<(Slot, Cmd)>) -> Sending {
        let mut pipelines: Vec<(Vec<Slot>, Pipeline)> = Vec::new();
        pipelines.resize_with(self.nodes.len(), Default::default);
        for (slot, call) in calls {
            let route = self.routes.get(usize::from(slot.number()));
            let (slots, pipeline) = route
                .and_then(|route| pipelines.get_mut(*route))
                .expect("each slot has a node");
            slots.push(slot);
            pipeline.add_command(call);
        }
        let mut sending = JoinSet::new();
        for (node, (slots, pipeline)) in self.nodes.iter().zip(pipelines) {
            if !slots.is_empty() {
                let mut connection = node.connection.clone();
                sending.spawn(async move {
                    let answers = connection.send_packed_commands(&pipeline, 0, slots.len()).await?;
                    Ok(slots.into_iter().zip(answers).collect())
                });
            }
        }
        Sending(sending)
    }

    /// Returns what each node says about eviction.
    pub(crate) async fn evictions(&mut self) -> Result<Vec<Eviction>, Fault> {
        let mut all = Vec::new();
        for node in &mut self.nodes {
            let memory: String = node.ask(redis::cmd("INFO").arg("memory")).await?;
            let stats: String = node.ask(redis::cmd("INFO").arg("stats")).await?;
            all.push(Eviction {
                policy: field(&memory, "maxmemory_policy").unwrap_or("noeviction").to_owned(),
                evicted: field(&stats, "evicted_keys").and_then(|n| n.parse().ok()).unwrap_or(0),
            });
        }
        Ok(all)
    }

    /// Removes all keys of some slots.
    pub(crate) async fn clear(&mut self, slots: &[Slot]) -> Result<(), Fault> {
        if slots.is_empty() {
            return Ok(());
        }
        let prefixes: Vec<_> = slots.iter().map(|slot| format!("{{s{:02}}}:", slot.number())).collect();
        for node in &mut self.nodes {
            let mut cursor = "0".to_owned();
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(&cursor)
                    .arg("MATCH")
                    .arg("{s[0-9][0-9]}:*")
                    .arg("COUNT")
                    .arg(SCANNED);
                let (next, keys): (String, Vec<Vec<u8>>) = node.ask(&scan).await?;
                let ours = |key: &Vec<u8>| prefixes.iter().any(|prefix| key.starts_with(prefix.as_bytes()));
                let mut pipeline = Pipeline::new();
                let mut count = 0;
                for key in keys.iter().filter(|key| ours(key)) {
                    // One command for each: in a Cluster, keys of several slots cannot go together.
                    pipeline.cmd("UNLINK").arg(key);
                    count += 1;
                }
                if count > 0 {
                    for answer in node.connection.send_packed_commands(&pipeline, 0, count).await? {
                        answer.extract_error()?;
                    }
                }
                cursor = next;
                if cursor == "0" {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Sending {
    /// Waits for all answers. Err: at least one of the commands failed.
    pub(crate) async fn answers(mut self) -> Result<Vec<(Slot, Value)>, Fault> {
        let mut all = Vec::new();
        while let Some(answers) = self.0.join_next().await {
            for (slot, answer) in answers.map_err(|_| closed())?? {
                let answer = answer.extract_error().map_err(|error| Fault::of(slot, error))?;
                all.push((slot, answer));
            }
        }
        Ok(all)
    }
}

impl Node {
    async fn open(settings: &Settings, host: &Host, database: i64) -> Result<Self, Fault> {
        let address = &settings.address;
        let mut login = RedisConnectionInfo::default().set_db(database).set_skip_set_lib_name();
        if let Some(user) = &address.user {
            login = login.set_username(user);
        }
        if let Some(password) = &address.password {
            login = login.set_password(password);
        }
        Self::connect(settings, host, login).await
    }

    async fn connect(settings: &Settings, host: &Host, login: RedisConnectionInfo) -> Result<Self, Fault> {
        let address = if settings.address.tls {
            ConnectionAddr::TcpTls {
                host: host.name.clone(),
                port: host.port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host.name.clone(), host.port)
        };
        let info = address.into_connection_info()?.set_redis_settings(login);
        let client = match settings.authorities.clone().filter(|_| settings.address.tls) {
            Some(authorities) => Client::build_with_tls(
                info,
                TlsCertificates {
                    client_tls: None,
                    root_cert: Some(authorities),
                },
            )?,
            None => Client::open(info)?,
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.timeout))
            .set_response_timeout(Some(settings.timeout))
            .set_pipeline_buffer_size(PIPELINES);
        let connect = client.get_multiplexed_async_connection_with_config(&config);
        // The limit of the configuration leaves the greeting out.
        let connection = tokio::time::timeout(settings.timeout + Duration::from_secs(1), connect)
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))
            .map_err(RedisError::from)??;
        Ok(Self {
            host: host.clone(),
            connection,
        })
    }

    async fn ask<T: redis::FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Fault> {
        let answer = self.connection.send_packed_command(command).await?.extract_error()?;
        let parsed = from_redis_value(answer).map_err(RedisError::from)?;
        Ok(parsed)
    }

    /// Returns whether the node says that it is a master.
    async fn is_master(&mut self) -> Result<bool, Fault> {
        let replication: String = self.ask(redis::cmd("INFO").arg("replication")).await?;
        Ok(field(&replication, "role") == Some("master"))
    }
}

/// Asks the Sentinels in turn until one names a master that says itself that it is one.
async fn find_master(settings: &Settings, master: &str) -> Result<Node, Fault> {
    let mut last = Fault::NoMaster(master.to_owned());
    for host in &settings.address.hosts {
        // Sentinels have users of their own; most have none.
        let login = RedisConnectionInfo::default().set_skip_set_lib_name();
        let found = async {
            let mut sentinel = Node::connect(settings, host, login).await?;
            let mut ask = redis::cmd("SENTINEL");
            let named: Option<(String, u16)> = sentinel.ask(ask.arg("get-master-addr-by-name").arg(master)).await?;
            let (name, port) = named.ok_or_else(|| Fault::NoMaster(master.to_owned()))?;
            let mut node = Node::open(settings, &Host { name, port }, 0).await?;
            if node.is_master().await? {
                Ok(node)
            } else {
                Err(Fault::NoMaster(master.to_owned()))
            }
        };
        match found.await {
            Ok(node) => return Ok(node),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

/// Asks the nodes in turn until one tells who has which slots, and connects to those.
async fn find_nodes(settings: &Settings) -> Result<(Vec<Node>, Vec<usize>), Fault> {
    let mut last = None;
    for host in &settings.address.hosts {
        let found = async {
            let mut asked = Node::open(settings, host, 0).await?;
            let owners = owners(&mut asked).await?;
            let (mut nodes, mut routes): (Vec<Node>, _) = (Vec::new(), Vec::new());
            for owner in owners {
                let known = nodes.iter().position(|node| node.host == owner);
                if known.is_none() {
                    nodes.push(Node::open(settings, &owner, 0).await?);
                }
                routes.push(known.unwrap_or(nodes.len() - 1));
            }
            Ok((nodes, routes))
        };
        match found.await {
            Ok(found) => return Ok(found),
            Err(fault) => last = Some(fault),
        }
    }
    Err(last.expect("an address has a host"))
}

/// Returns which master has each of our slots, as one node of the Cluster sees it.
async fn owners(node: &mut Node) -> Result<Vec<Host>, Fault> {
    let mut keyslots = Pipeline::new();
    for slot in Slot::all() {
        keyslots.cmd("CLUSTER").arg("KEYSLOT").arg(watermark_key(slot));
    }
    let count = usize::from(Slot::COUNT);
    let numbers = node.connection.send_packed_commands(&keyslots, 0, count).await?;
    let ranges: Vec<Value> = node.ask(redis::cmd("CLUSTER").arg("SLOTS")).await?;
    let ranges: Option<Vec<_>> = ranges.iter().map(|range| read_range(range, &node.host)).collect();
    let ranges = ranges.ok_or_else(|| Fault::Answer {
        command: "CLUSTER SLOTS",
        answer: Value::Nil,
    })?;
    let mut owners = Vec::with_capacity(count);
    for (slot, number) in Slot::all().zip(numbers) {
        let number: i64 = from_redis_value(number.extract_error()?).map_err(RedisError::from)?;
        let range = ranges.iter().find(|(range, _)| range.contains(&number));
        owners.push(range.ok_or(Fault::NoNode(slot))?.1.clone());
    }
    Ok(owners)
}

/// Reads one range of `CLUSTER SLOTS`: first, last, then the master's host and port. A node that does not know its own
/// name tells none; it is where it was asked.
fn read_range(range: &Value, asked: &Host) -> Option<(std::ops::RangeInclusive<i64>, Host)> {
    let Value::Array(fields) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = fields.as_slice() else {
        return None;
    };
    let [name, Value::Int(port), ..] = master.as_slice() else {
        return None;
    };
    let name = match name {
        Value::BulkString(name) if !name.is_empty() => String::from_utf8(name.clone()).ok()?,
        _ => asked.name.clone(),
    };
    let port = u16::try_from(*port).ok()?;
    Some((*first..=*last, Host { name, port }))
}

fn one_node() -> Vec<usize> {
    vec![0; usize::from(Slot::COUNT)]
}

/// Returns a field of what `INFO` answers.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// Reads an answer that is a text or nothing.
fn text(command: &'static str, answer: Value) -> Result<Option<String>, Fault> {
    match answer {
        Value::Nil => Ok(None),
        // Whatever it is, it is not a watermark.
        Value::BulkString(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        answer => Err(Fault::Answer { command, answer }),
    }
}

fn closed() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into()
}
