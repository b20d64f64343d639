//! Redis as a queue of timers: a sorted set by due time, flushed at every write.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use redis::{Client, Connection};

use super::relay::said;
use crate::generate::wall_now;
use crate::process::{Group, Program, free_port, installed, wait_for_listener};
use crate::slow_flush::Preload;

const KEY: &str = "due";
/// Between two looks for what is due.
const POLL: Duration = Duration::from_millis(2);

/// A running redis-server.
pub(super) struct Redis {
    pub(super) group: Group,
    client: Client,
}

impl Redis {
    /// Returns its version. Err: why it cannot take part.
    pub(super) fn version() -> Result<String, String> {
        let server = installed("redis-server").ok_or("redis-server is not installed")?;
        let line = said(&server, &["--version"], "v=")?;
        let version = line.split("v=").nth(1).and_then(|rest| rest.split(' ').next());
        Ok(version.unwrap_or_default().to_owned())
    }

    /// Starts it: nothing but the append-only file, which is flushed before each answer.
    pub(super) fn start(folder: &Path, preload: &Preload) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut group = Group::new("redis");
        let program = Program::new(installed("redis-server").context("redis-server")?, folder)
            .args([
                "--bind",
                "127.0.0.1",
                "--port",
                &port.to_string(),
                "--save",
                "",
                "--appendonly",
                "yes",
            ])
            .args(["--appendfsync", "always", "--dir"])
            .args([folder])
            .envs(&preload.environment());
        let mut process = group.spawn(&program)?;
        wait_for_listener(SocketAddr::from(([127, 0, 0, 1], port)), &mut process)?;
        Ok(Self {
            group,
            client: Client::open(format!("redis://127.0.0.1:{port}/"))?,
        })
    }

    /// Connects.
    pub(super) fn connect(&self) -> anyhow::Result<Connection> {
        Ok(self.client.get_connection()?)
    }

    /// Arms timers: each pipeline of `batch` when it is due at `rate` a second, all of it due `wait` later.
    pub(super) fn arm(
        mut connection: Connection,
        count: u32,
        batch: u32,
        rate: f64,
        wait: Duration,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        for first in (0..count).step_by(usize::try_from(batch)?) {
            let at = began + Duration::from_secs_f64(f64::from(first) / rate);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            let due = (wall_now() + wait).as_millis();
            let mut pipeline = redis::pipe();
            for number in first..count.min(first + batch) {
                pipeline
                    .cmd("ZADD")
                    .arg(KEY)
                    .arg(due)
                    .arg(format!("contact-{number}:step-1"))
                    .ignore();
            }
            pipeline.query::<()>(&mut connection)?;
        }
        Ok(())
    }

    /// Takes timers as they come due, and returns how late each was, in microseconds.
    pub(super) fn fire(mut connection: Connection, count: u32, patience: Duration) -> anyhow::Result<Histogram<u64>> {
        let mut late = Histogram::new(3)?;
        let mut last = Instant::now();
        while late.len() < u64::from(count) {
            // Nobody else takes, so what is due is first in the set.
            let due: u64 = redis::cmd("ZCOUNT")
                .arg(KEY)
                .arg("-inf")
                .arg(wall_now().as_millis())
                .query(&mut connection)?;
            if due == 0 {
                if last.elapsed() > patience {
                    bail!("only {} of {count} timers came", late.len());
                }
                std::thread::sleep(POLL);
                continue;
            }
            let taken: Vec<(String, f64)> = redis::cmd("ZPOPMIN")
                .arg(KEY)
                .arg(due.min(1000))
                .query(&mut connection)?;
            last = Instant::now();
            #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are far below 2^52")]
            let at = wall_now().as_millis() as f64;
            for (_, due) in taken {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never below 0")]
                late.record(((at - due).max(0.0) * 1000.0) as u64)?;
            }
        }
        Ok(late)
    }
}
