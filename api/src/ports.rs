//! The rest of the service, as far as the API shows it.

use std::sync::Arc;

use prometheus::Registry;
use tokio::sync::watch;
use types::port::{Health, Queues};

/// The parts that run beside the API.
pub(crate) struct Ports {
    /// The mail engine's queues.
    pub(crate) queues: Arc<dyn Queues>,
    /// Everything that is counted and measured.
    pub(crate) registry: Registry,
    health: Vec<Arc<dyn Health>>,
    ready: watch::Receiver<bool>,
}

impl Ports {
    /// Takes the parts.
    pub(crate) fn new(
        queues: Arc<dyn Queues>,
        registry: Registry,
        health: Vec<Arc<dyn Health>>,
        ready: watch::Receiver<bool>,
    ) -> Self {
        Self {
            queues,
            registry,
            health,
            ready,
        }
    }

    /// Returns what needs a person, a line each: the part, and what it found.
    pub(crate) fn findings(&self) -> Vec<String> {
        let findings = self.health.iter().flat_map(|part| part.findings());
        findings.map(|(part, finding)| format!("{part}: {finding}\n")).collect()
    }

    /// Returns whether the service takes work: recovered, and not stopping.
    pub(crate) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }
}
