//! What the process tells about itself: the standard `process_*` metrics, and which build it is.

use prometheus::process_collector::ProcessCollector;
use prometheus::{IntGaugeVec, Opts, Registry};

/// Registers the metrics of the process.
///
/// `process_cpu_seconds_total`: healthy well below the number of cores; near it, load and latency rise together, and more cores help.
/// `process_resident_memory_bytes`: healthy flat at an even load; queued mail costs some 100 bytes a message. `process_open_fds`: near
/// `process_max_fds`, connections are refused: raise the limit. `process_start_time_seconds` changes at a restart.
pub(crate) fn register(registry: &Registry) -> prometheus::Result<()> {
    registry.register(Box::new(ProcessCollector::for_self()))?;
    // Always 1; the label is what it tells. Healthy: one version on every node, two during a roll-out.
    let build = IntGaugeVec::new(Opts::new("staffetta_build_info", "Which version runs."), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))
}
