//! The machine's own limits: what a durable write and a signature cost here, whoever makes them, and what our own sink can take.

mod signing;
mod sync;

use std::path::PathBuf;

use clap::Args;

pub(crate) use signing::{Signatures, signatures};
pub(crate) use sync::{Syncs, syncs};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The folder whose disk is measured; use the file system that holds the journal.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
}

/// Measures and prints them as JSON.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let syncs = syncs(&arguments.folder, 500)?;
    let signatures = signatures()?;
    let mails = crate::sink::ceiling()?;
    let limits = serde_json::json!({ "sync_ms": syncs, "signature_ms": signatures, "sink_mails_per_second": mails });
    println!("{limits:#}");
    Ok(())
}
