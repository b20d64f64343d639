//! What is remembered of hosts: which could not be connected to, whose TLS is broken, which
//! want each envelope in its turn, which are known good.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use types::time::Timestamp;

/// The most hosts that are remembered; beyond, all is forgotten and learned anew.
const HOSTS_MAX: usize = 65_536;

#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    dead_until: Timestamp,
    plain_until: Timestamp,
    in_turn_until: Timestamp,
    known: bool,
}

/// The memory of hosts, by name.
#[derive(Debug, Default)]
pub(crate) struct Hosts(Mutex<HashMap<String, Memory>>);

impl Hosts {
    pub(crate) fn is_dead(&self, host: &str, now: Timestamp) -> bool {
        self.look(host).dead_until > now
    }

    pub(crate) fn is_plain(&self, host: &str, now: Timestamp) -> bool {
        self.look(host).plain_until > now
    }

    /// Returns whether envelopes are said only after the reply to the final dot before them.
    pub(crate) fn is_in_turn(&self, host: &str, now: Timestamp) -> bool {
        self.look(host).in_turn_until > now
    }

    pub(crate) fn is_known(&self, host: &str) -> bool {
        self.look(host).known
    }

    pub(crate) fn answered(&self, host: &str) {
        self.change(host, |memory| {
            memory.known = true;
            memory.dead_until = Timestamp::default();
        });
    }

    pub(crate) fn failed(&self, host: &str, now: Timestamp, memory: Duration) {
        self.change(host, |entry| {
            entry.dead_until = now + memory;
            entry.known = false;
        });
    }

    pub(crate) fn tls_failed(&self, host: &str, now: Timestamp, memory: Duration) {
        self.change(host, |entry| entry.plain_until = now + memory);
    }

    pub(crate) fn refused_ahead(&self, host: &str, now: Timestamp, memory: Duration) {
        self.change(host, |entry| entry.in_turn_until = now + memory);
    }

    fn look(&self, host: &str) -> Memory {
        let hosts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        hosts.get(host).copied().unwrap_or_default()
    }

    fn change(&self, host: &str, change: impl FnOnce(&mut Memory)) {
        let mut hosts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(host) {
            hosts.clear();
        }
        change(hosts.entry(host.to_owned()).or_default());
    }
}
