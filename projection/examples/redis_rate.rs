//! Measures the projector: `cargo run --release -p projection --example redis_rate -- DIR [OUTAGE_SECONDS [RATE [EVENTS]]]`.
//!
//! Starts a redis-server of its own in DIR and prints, one line each: what redis-benchmark's pipelined XADD of events of the same
//! size takes; how many events a second go through journal and state to Redis while they are made, and when a backlog is
//! caught up with; how far Redis falls behind in an outage at RATE events a second (10 seconds and 5,000 if not said), how long
//! it takes to catch up and how much memory this process has at most; and the bytes of each thing in Redis. EVENTS are those of
//! each measurement but the outage (400,000 if not said).

#![allow(
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "it measures, with what the tests are made of"
)]

#[path = "../../store/tests/common/mod.rs"]
mod common;
#[path = "../tests/redis/support/load.rs"]
mod load;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use load::Load;
use projection::Projector;
use prometheus::Registry;
use store::Settings;
use tokio::time::sleep;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().expect("the first argument is a directory");
    let outage: u64 = args.next().map_or(10, |text| text.parse().expect("seconds"));
    let rate: u64 = args.next().map_or(5000, |text| text.parse().expect("events a second"));
    let events: u64 = args
        .next()
        .map_or(400_000, |text| text.parse().expect("a number of events"));
    let dir = Path::new(&dir);
    fs::create_dir_all(dir).expect("a directory that can be written");
    let port = TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let mut redis = Redis::start(dir, port);
    println!("redis-benchmark XADD, pipelined by 64, {}", benchmark(port, events));
    redis.command(&["FLUSHALL"]);

    let registry = Registry::new();
    let mut faults = Vec::new();
    let section = projection::Config {
        url: Some(format!("redis://127.0.0.1:{port}")),
        stream_len: Some(1_000_000),
        ..projection::Config::default()
    };
    let settings = Settings {
        data_dir: dir.join("data"),
        disk_floor_bytes: 0,
        ..Settings::default()
    };
    let clock = load::clock();
    let (store, _) = store::open(settings, clock.clone(), &registry).expect("a directory of its own");
    let section = section.resolve(&mut faults).expect("a Redis");
    let _projector = Projector::start(section, store.clone(), clock.clone(), &registry).expect("a thread");
    let mut load = Load::new(store, clock);
    // As many mails for each hash as 1,000 events a second bring.
    load.step = 1;
    let lag = || gauge(&registry, "projection_lag_records");
    let arrived = || gauge(&registry, "projection_records_total");
    until(|| arrived() >= 1.0 && lag() < 1.0).await;

    let (began, before) = (Instant::now(), arrived());
    load.make(events);
    let made = began.elapsed();
    until(|| arrived() - before >= events as f64 && lag() < 1.0).await;
    println!(
        "live: {} records/s made, {} records/s in redis",
        per_second(arrived() - before, made),
        per_second(arrived() - before, began.elapsed())
    );

    redis.stop();
    let before = arrived();
    load.make(events);
    load.folded().await;
    let began = Instant::now();
    redis = Redis::start(dir, port);
    until(|| arrived() - before >= events as f64 && lag() < 1.0).await;
    println!(
        "backlog: {} records/s in redis, which had forgotten everything",
        per_second(arrived() - before, began.elapsed())
    );

    redis.command(&["CONFIG", "SET", "appendonly", "yes"]);
    sleep(Duration::from_secs(3)).await;
    redis.stop();
    let (began, from) = (Instant::now(), load.made);
    let resident_before = resident();
    let mut memory = resident_before;
    while began.elapsed() < Duration::from_secs(outage) {
        load.make_at(rate, rate / 4).await;
        memory = memory.max(resident());
    }
    let behind = lag();
    let (outage, made) = (began.elapsed(), load.made - from);
    redis = Redis::start(dir, port);
    let began = Instant::now();
    while lag() >= rate as f64 / 4.0 {
        load.make_at(rate, rate / 20).await;
        memory = memory.max(resident());
    }
    println!(
        "outage of {outage:?} at {} events/s: {behind} records behind, caught up in {:?} while {rate} a second went on; {} MiB resident before, {} at most",
        per_second(made as f64, outage),
        began.elapsed(),
        resident_before >> 10,
        memory >> 10
    );
    until(|| lag() < 1.0).await;
    sizes(&mut redis);
}

fn per_second(count: f64, time: Duration) -> u64 {
    (count / time.as_secs_f64()) as u64
}

async fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        sleep(Duration::from_millis(5)).await;
    }
}

fn gauge(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    let metric = family.and_then(|family| family.get_metric().first().cloned());
    metric.map_or(0.0, |metric| {
        metric.get_gauge().get_value() + metric.get_counter().get_value()
    })
}

/// Returns this process's memory in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn benchmark(port: u16, events: u64) -> String {
    let event = "x".repeat(230);
    let output = Command::new("redis-benchmark")
        .args([
            "-p",
            &port.to_string(),
            "-n",
            &events.to_string(),
            "-P",
            "64",
            "-c",
            "4",
            "-r",
            "64",
            "-q",
        ])
        .args([
            "XADD",
            "stream:__rand_int__",
            "MAXLEN",
            "~",
            "1000000",
            "*",
            "e",
            &event,
        ])
        .output()
        .expect("redis-benchmark is installed with redis-server");
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "\n");
    text.lines()
        .rev()
        .find_map(|line| line.split("230").next()?.split(": ").nth(1).map(str::to_owned))
        .unwrap_or(text)
}

/// Prints what each kind of key takes.
fn sizes(redis: &mut Redis) {
    let mut connection = redis.connection();
    let keys: Vec<String> = ::redis::cmd("KEYS").arg("*").query(&mut connection).expect("keys");
    let mut kinds: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for key in keys {
        let kind = key.split(':').nth(1).unwrap_or_default().to_owned();
        let length = match kind.as_str() {
            "events" => "XLEN",
            "watermark" => "STRLEN",
            _ => "HLEN",
        };
        let count: u64 = ::redis::cmd(length).arg(&key).query(&mut connection).expect("a length");
        let mut usage = ::redis::cmd("MEMORY");
        let bytes: u64 = usage
            .arg("USAGE")
            .arg(&key)
            .arg("SAMPLES")
            .arg(0)
            .query(&mut connection)
            .expect("a size");
        let sum = kinds.entry(kind).or_default();
        *sum = (sum.0 + 1, sum.1 + count, sum.2 + bytes);
    }
    for (kind, (keys, count, bytes)) in kinds {
        println!(
            "{kind}: {keys} keys, {count} elements, {:.1} bytes each",
            bytes as f64 / count as f64
        );
    }
}

/// The redis-server of this run.
struct Redis {
    port: u16,
    child: Child,
}

impl Redis {
    fn start(dir: &Path, port: u16) -> Self {
        let child = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
            ])
            .arg(dir)
            .args([
                "--appendonly",
                if dir.join("appendonlydir").exists() {
                    "yes"
                } else {
                    "no"
                },
            ])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let redis = Self { port, child };
        while !redis.answers() {
            std::thread::sleep(Duration::from_millis(20));
        }
        redis
    }

    fn answers(&self) -> bool {
        let client = ::redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).expect("a URL");
        client
            .get_connection()
            .and_then(|mut connection| ::redis::cmd("PING").query::<String>(&mut connection))
            .is_ok()
    }

    fn connection(&self) -> ::redis::Connection {
        let client = ::redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).expect("a URL");
        client.get_connection().expect("it answers")
    }

    fn command(&mut self, words: &[&str]) {
        let mut command = ::redis::cmd(words.first().expect("a command"));
        words.iter().skip(1).for_each(|word| {
            command.arg(word);
        });
        command.query::<()>(&mut self.connection()).expect("it is carried out");
    }

    fn stop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
