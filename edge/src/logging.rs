//! Logs: lines for people on a terminal, JSON otherwise. `STAFFETTA_LOG` filters them (default `info`).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is logged unless the environment says otherwise.
pub const SERVICE: &str = "info,hickory_proto=warn,hickory_resolver=warn,fjall=warn,lsm_tree=warn";
/// What the other commands log: they tell their own story on standard output.
pub const COMMAND: &str = "error";

/// Starts logging to standard error. Called once, first of all.
pub fn start(unless_told: &str) {
    let filter = EnvFilter::try_from_env("STAFFETTA_LOG").unwrap_or_else(|_| EnvFilter::new(unless_told));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.with_target(false).compact().init();
    } else {
        builder.json().flatten_event(true).init();
    }
    std::panic::set_hook(Box::new(note_panic));
}

/// Notes a panic as one line of the log, like everything else: what a shop wrote may cause one at will, and a backtrace each time
/// would fill the disk.
fn note_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let cause = panic.payload_as_str().unwrap_or("it has no text");
    let place = panic.location().map(tracing::field::display);
    let thread = std::thread::current();
    tracing::error!(cause, place, thread = thread.name(), "a thread panicked");
}
