//! `loadtest`: drives a running Staffetta from outside and measures what comes out.
//!
//! Everything it starts and talks to is on loopback, and every run is bounded in count and time.

#![allow(dead_code, reason = "what runs and comparisons are built on comes before them")]

mod books;
mod generate;
mod http;
mod inject;
mod ledger;
mod limits;
mod meter;
mod process;
mod progress;
mod report;
mod sample;
mod scenario;
mod service;
mod sink;

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
    /// Measure what this machine allows: small overwrites with fdatasync, and signatures.
    Limits(limits::Arguments),
    /// Write the page of a stored report.json again, and print its text.
    Report(report::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Limits(arguments) => limits::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
    }
}
