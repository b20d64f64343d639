//! A real redis-server of a story's own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// A running redis-server.
pub struct Redis {
    child: Child,
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed: `make setup`");
        let redis = Self {
            child,
            port,
            _folder: folder,
        };
        let end = Instant::now() + PATIENCE;
        while redis.ask(&["PING"]) != "PONG" {
            assert!(Instant::now() < end, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What redis-cli answers.
    pub fn ask(&self, words: &[&str]) -> String {
        let told = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "--raw"])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(told.stdout).unwrap().trim_end().to_owned()
    }

    /// The sum of a measure over all hashes whose names fit.
    pub fn sum(&self, keys: &str, measure: &str) -> u64 {
        const SCRIPT: &str = "local sum = 0 \
            for _, key in ipairs(redis.call('KEYS', ARGV[1])) do \
                local all = redis.call('HGETALL', key) \
                for i = 1, #all, 2 do \
                    if all[i]:sub(-#ARGV[2]) == ARGV[2] then sum = sum + tonumber(all[i + 1]) end \
                end \
            end return sum";
        let told = self.ask(&["EVAL", SCRIPT, "0", keys, &format!(":{measure}")]);
        told.parse().unwrap_or_else(|_| panic!("{told}"))
    }

    /// How many events of a type the streams of all slots hold.
    pub fn events(&self, kind: &str) -> usize {
        let streams = self.ask(&["KEYS", "{s*}:events"]);
        let told: Vec<String> = streams
            .lines()
            .map(|key| self.ask(&["XRANGE", key, "-", "+"]))
            .collect();
        told.iter()
            .map(|told| told.matches(&format!("\"type\":\"{kind}\"")).count())
            .sum()
    }

    /// Sends a signal: STOP, CONT.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
