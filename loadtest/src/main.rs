//! `loadtest`: drives a running Staffetta from outside and measures what comes out.
//!
//! Everything it starts and talks to is on loopback, and every run is bounded in count and time.

#![allow(dead_code, reason = "what runs and comparisons are built on comes before them")]

mod books;
mod generate;
mod http;
mod inject;
mod judge;
mod ledger;
mod limits;
mod machine;
mod meter;
mod process;
mod progress;
mod report;
mod run;
mod sample;
mod scenario;
mod service;
mod sink;
mod slow_flush;

use std::process::ExitCode;

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
    /// Run a scenario: the service, its load, its receivers, and a report of it all.
    Run(run::Arguments),
    /// Measure what this machine allows: small overwrites with fdatasync, signatures, and mails into the sink.
    Limits(limits::Arguments),
    /// Take mails and check each one, as one host or like the big providers.
    Sink(sink::Arguments),
    /// Write the page of a stored report.json again, and print its text.
    Report(report::Arguments),
}

/// Fails, too, if what was run lost, repeated or damaged a mail.
fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Run(arguments) => {
            return Ok(if run::run(&arguments)? {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        Command::Limits(arguments) => limits::run(&arguments)?,
        Command::Sink(arguments) => sink::run(&arguments)?,
        Command::Report(arguments) => report::run(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}
