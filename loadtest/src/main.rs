//! `loadtest`: drives a running Staffetta from outside and measures what comes out.
//!
//! Everything it starts and talks to is on loopback, and every run is bounded in count and time.

mod books;
mod compare;
mod generate;
mod http;
mod inject;
mod interrupt;
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
    /// Set the service beside the peers that are installed: delivery, tracking, timers, and what it costs to be watched.
    Compare(compare::Arguments),
    /// Run a scenario: the service, its load, its receivers, and a report of it all.
    Run(run::Arguments),
    /// Take mails and check each one, as one host or like the big providers.
    Sink(sink::Arguments),
    /// Measure what this machine allows: small overwrites with fdatasync, signatures, and mails into the sink.
    Limits(limits::Arguments),
    /// Write the page of a stored report.json again, and print its text.
    Report(report::Arguments),
}

/// Fails, too, if what was run lost, repeated or damaged a mail.
fn main() -> anyhow::Result<ExitCode> {
    let intact = match Cli::parse().command {
        Command::Compare(arguments) => compare::run(&arguments)?,
        Command::Run(arguments) => run::run(&arguments)?,
        Command::Sink(arguments) => sink::run(&arguments).map(|()| true)?,
        Command::Limits(arguments) => limits::run(&arguments).map(|()| true)?,
        Command::Report(arguments) => report::run(&arguments).map(|()| true)?,
    };
    Ok(if intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
