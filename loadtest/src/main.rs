//! `loadtest`: drives a running Staffetta from outside and measures what comes out.
//!
//! It only generates and measures; `bench/` starts the service, the sinks and the peers around it and accounts for their
//! CPU. Everything it sends goes to loopback addresses given on the command line, and every run is bounded in count
//! and time.

mod clicks;
mod http;
mod latency;
mod links;
mod order;
mod signing;
mod sink;
mod sync;
mod throughput;

use clap::{Parser, Subcommand};

/// Drives a running Staffetta from outside and measures what comes out.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Post orders as fast as they are accepted, on a number of connections.
    Orders(throughput::Arguments),
    /// Post orders at a fixed rate and measure each one's time from POST to the 250 of a sink in this process.
    Latency(latency::Arguments),
    /// Take mails in a sink of this process and keep the paths of their links and pixels.
    Links(links::Arguments),
    /// Follow links, or fetch pixels, and measure the answers.
    Clicks(clicks::Arguments),
    /// Measure small overwrites with fdatasync, the limit of anything durable on this disk.
    Sync(sync::Arguments),
    /// Measure RSA-2048 and Ed25519 signatures, the limit of anything signed on this processor.
    Signing,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = match cli.command {
        Command::Orders(arguments) => runtime.block_on(throughput::run(arguments))?,
        Command::Latency(arguments) => runtime.block_on(latency::run(arguments))?,
        Command::Links(arguments) => runtime.block_on(links::run(arguments))?,
        Command::Clicks(arguments) => runtime.block_on(clicks::run(arguments))?,
        Command::Sync(arguments) => sync::run(&arguments)?,
        Command::Signing => signing::run()?,
    };
    println!("{figures}");
    Ok(())
}
