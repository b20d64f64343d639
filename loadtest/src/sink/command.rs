//! `loadtest sink`: the sink by itself, for any sender.

use std::io::{IsTerminal, stderr};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::{Came, Guise, Listen, Settings, Sink, Tally};
use crate::service::Route;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where it takes mail. As providers, the port alone counts: each has an address of its own, 127.0.1.1 and those behind it.
    #[arg(long, default_value = "127.0.0.1:2525")]
    listen: SocketAddr,
    /// What it plays.
    #[arg(long = "as", value_enum, default_value_t = Guise::Plain)]
    guise: Guise,
    /// As providers: where it answers for their names, over UDP and TCP.
    #[arg(long, default_value = "127.0.0.1:2553")]
    nameserver: SocketAddr,
    /// A public key of signatures, as `selector._domainkey.domain=v=DKIM1; …`; may be given again.
    #[arg(long = "dkim-key", value_name = "NAME=TXT")]
    dkim_keys: Vec<String>,
    /// Of so many signed mails one is verified with its public key; 0: none.
    #[arg(long, default_value_t = 100)]
    check_dkim_one_in: u32,
    /// Say 250 to every so-manieth mail and forget it; 0: to none.
    #[arg(long, default_value_t = 0)]
    drop_one_in: u32,
    /// As providers: with the same seed the same recipients are refused.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// End once so many mails have come. Otherwise it ends on Ctrl-C.
    #[arg(long)]
    mails: Option<u64>,
}

/// What it says in the end.
#[derive(Debug, Serialize)]
struct Said {
    #[serde(flatten)]
    tally: Tally,
    per_second: f64,
    /// Of the sink's thread.
    cpu_seconds: f64,
    /// By kind of tag.
    came: Vec<Came>,
}

/// Takes mail until it has enough or is ended, and prints what it found as JSON.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let settings = Settings {
        guise: arguments.guise,
        drop_one_in: arguments.drop_one_in,
        check_dkim_one_in: arguments.check_dkim_one_in,
        seed: arguments.seed,
        ..Settings::default()
    };
    let listen = Listen {
        mail: arguments.listen,
        names: arguments.nameserver,
    };
    let sink = Sink::alone(&settings, listen)?;
    let keys = arguments.dkim_keys.iter().map(|key| {
        let (name, text) = key.split_once('=').context("--dkim-key: NAME=TXT is wanted")?;
        Ok((name.to_owned(), text.to_owned()))
    });
    sink.trust(&keys.collect::<anyhow::Result<Vec<_>>>()?)?;
    match sink.route() {
        Route::Host(address) => eprintln!("takes mail at {address}"),
        Route::Exchangers { nameserver, smtp_port } => {
            eprintln!("takes mail as providers at port {smtp_port}; their names are answered for at {nameserver}");
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(watch(&sink, arguments.mails))?;
    let said = Said {
        tally: sink.tally(),
        per_second: per_second(&sink.tally()),
        cpu_seconds: sink.cpu().as_secs_f64(),
        came: sink.came(),
    };
    println!("{}", serde_json::to_string_pretty(&said)?);
    Ok(())
}

/// Shows the counts each second, until there are enough mails or a signal comes.
async fn watch(sink: &Sink, enough: Option<u64>) -> anyhow::Result<()> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let spinner = stderr().is_terminal().then(ProgressBar::new_spinner);
    let began = Instant::now();
    let mut shown_at = began;
    let mut shown = 0;
    let mut look = tokio::time::interval(Duration::from_millis(10));
    loop {
        tokio::select! {
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
            _ = look.tick() => {}
        }
        let mails = sink.mails();
        let since = shown_at.elapsed();
        if since >= Duration::from_secs(1) {
            let line = line(&sink.tally(), mails - shown, since, began.elapsed());
            match &spinner {
                Some(spinner) => spinner.set_message(line),
                None => eprintln!("{line}"),
            }
            (shown, shown_at) = (mails, Instant::now());
        }
        if enough.is_some_and(|enough| mails >= enough) {
            break;
        }
    }
    if let Some(spinner) = spinner {
        spinner.finish_and_clear();
    }
    Ok(())
}

fn line(tally: &Tally, more: u64, since: Duration, up: Duration) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts of mails are far below 2^52")]
    let rate = more as f64 / since.as_secs_f64();
    let refused: u64 = tally.refused.values().sum();
    format!(
        "{:>6} s  {} mails  {rate:.0}/s  {} sessions  {refused} refused  {} copies  {} strangers  {} damaged",
        up.as_secs(),
        tally.mails,
        tally.sessions,
        tally.copies,
        tally.strangers,
        tally.damaged,
    )
}

#[expect(clippy::cast_precision_loss, reason = "counts of mails are far below 2^52")]
fn per_second(tally: &Tally) -> f64 {
    if tally.seconds > 0.0 {
        tally.mails as f64 / tally.seconds
    } else {
        0.0
    }
}

impl ValueEnum for Guise {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Plain, Self::Providers, Self::Dead]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(match self {
            Self::Plain => "plain",
            Self::Providers => "providers",
            Self::Dead => "dead",
        }))
    }
}
