//! What the API tells Prometheus.
//!
//! Labels come from closed sets: routes by their pattern, status classes, problem types. Handles are resolved once, so that
//! counting a request is a few atomic additions.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::problem::Kind;

/// Upper bounds in seconds: from below a group commit to beyond the longest wait for a fold.
const BUCKETS: [f64; 14] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 5.0,
];

/// The API's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    /// Time from a request's head to its answer, by route and class of status.
    ///
    /// `POST /v1/orders` is one group commit plus well under a millisecond. A rising 2xx tail with quiet CPUs is the
    /// disk; with busy CPUs it is load.
    request_seconds: HistogramVec,
    /// Requests being worked on. Rising without bound: the journal's disk does not keep up.
    pub(crate) in_flight: IntGauge,
    /// Orders and messages that were answered 202, each durable. The rate of work.
    pub(crate) orders_accepted: IntCounter,
    /// See `orders_accepted`; each item of a batch counts.
    pub(crate) messages_accepted: IntCounter,
    /// Answers that repeated an earlier one. A burst is a client that retries; a steady share is one that times out
    /// before our commit.
    pub(crate) replayed: IntCounter,
    /// Refusals by the last part of their problem type. `unauthenticated` and `invalid` are the clients' business;
    /// `busy`, `closed`, `disk-full` and `internal` are ours, and stand at 0.
    refused: Vec<(Kind, IntCounter)>,
    /// Streams of events that are open. At `api.streams_max` further ones are answered 503.
    streams: IntGauge,
    /// Checks of templates and filters that wait for their shop's turn (see `turns.rs`). Some at once come and go; hundreds that stay
    /// are a shop whose templates are dear, and make its own requests wait.
    pub(crate) turns: IntGauge,
    connections: IntGaugeVec,
    connections_ended: IntCounterVec,
    accept_errors: IntCounterVec,
}

/// One listener's metrics.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    /// Open connections. At `api.connections_max` further clients wait in the kernel's backlog.
    connections: IntGauge,
    /// Connections that never sent a byte; many at once are a slow-loris.
    pub(crate) silent: IntCounter,
    /// Connections whose request head came too slowly; many at once are a slow-loris.
    pub(crate) slow_head: IntCounter,
    /// Connections closed after a quiet time between requests; normal.
    pub(crate) idle: IntCounter,
    /// Connections whose client did not read its answers.
    pub(crate) unread: IntCounter,
    /// Failed accepts. Above 0: the process is out of file descriptors or memory.
    pub(crate) accept_errors: IntCounter,
}

/// Counts one open connection until it is dropped.
pub(crate) struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts one open stream until it is dropped.
pub(crate) struct OpenStream(IntGauge);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Listener {
    /// Counts a connection as open.
    pub(crate) fn open(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }
}

impl Metrics {
    /// Registers everything on `registry`.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let request_seconds = HistogramVec::new(
            HistogramOpts::new("api_request_seconds", "Time from a request's head to its answer")
                .buckets(BUCKETS.into()),
            &["route", "status"],
        )?;
        registry.register(Box::new(request_seconds.clone()))?;
        let in_flight = IntGauge::new("api_in_flight_requests", "Requests being worked on")?;
        registry.register(Box::new(in_flight.clone()))?;
        let streams = IntGauge::new("api_streams", "Open streams of events")?;
        registry.register(Box::new(streams.clone()))?;
        let turns = IntGauge::new("api_turns_waiting", "Work of shops that waits for its turn")?;
        registry.register(Box::new(turns.clone()))?;
        let connections = IntGaugeVec::new(Opts::new("api_connections", "Open connections"), &["listener"])?;
        registry.register(Box::new(connections.clone()))?;
        let refused = counters("api_refused_total", "Refusals by problem type", &["reason"])?;
        Ok(Self {
            request_seconds,
            in_flight,
            orders_accepted: counter("api_orders_accepted_total", "Orders accepted, each durable")?,
            messages_accepted: counter("api_messages_accepted_total", "Plain messages accepted, each durable")?,
            replayed: counter("api_replayed_total", "Answers that repeated an earlier one")?,
            refused: Kind::ALL
                .into_iter()
                .map(|kind| (kind, refused.with_label_values(&[kind.code()])))
                .collect(),
            streams,
            turns,
            connections,
            connections_ended: counters(
                "api_connections_timed_out_total",
                "Connections ended for their client's slowness",
                &["listener", "awaiting"],
            )?,
            accept_errors: counters("api_accept_errors_total", "Failed accepts", &["listener"])?,
        })
    }

    /// Returns the handles of one listener.
    pub(crate) fn listener(&self, name: &'static str) -> Listener {
        let ended = |awaiting: &str| self.connections_ended.with_label_values(&[name, awaiting]);
        Listener {
            connections: self.connections.with_label_values(&[name]),
            silent: ended("first_byte"),
            slow_head: ended("head"),
            idle: ended("next_request"),
            unread: ended("write"),
            accept_errors: self.accept_errors.with_label_values(&[name]),
        }
    }

    /// Returns a route's histogram for a class of status, such as `2xx`.
    pub(crate) fn route(&self, route: &str, class: &str) -> Histogram {
        self.request_seconds.with_label_values(&[route, class])
    }

    /// Counts a stream as open.
    pub(crate) fn open_stream(&self) -> OpenStream {
        self.streams.inc();
        OpenStream(self.streams.clone())
    }

    /// Counts a refusal.
    pub(crate) fn refuse(&self, kind: Kind) {
        if let Some((_, counter)) = self.refused.iter().find(|(known, _)| *known == kind) {
            counter.inc();
        }
    }
}
