//! The receiving side of a run: takes every mail over SMTP on a thread of its own, checks each one, and tells the books.
//!
//! Each mail is looked up by the tag in its recipient's address (came first, again, or unasked), its bytes are compared with what
//! the mail itself says of them ([`integrity`]), and of so many mails one is verified whole with the public keys that were told
//! ([`signature`]). What a mail is not looked at for is its content.

mod intake;
mod integrity;
mod links;
mod session;
mod signature;
mod tally;
#[cfg(test)]
mod tests;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use types::address::EmailAddress;

use crate::books::Books;
use crate::inject::{self, Injection};
use crate::ledger::{Kind, Tag};
use crate::service::Route;
use intake::Intake;

pub(crate) use integrity::DIGEST_FIELD;
pub(crate) use links::Links;
pub(crate) use tally::Tally;

/// What it plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Guise {
    /// One host that takes everything.
    #[default]
    Plain,
    /// Hosts like those of the big providers, found by DNS.
    Providers,
    /// A host that refuses connections.
    Dead,
}

/// The `[sink]` section of a scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// What it plays: `plain`, `providers` or `dead`.
    #[serde(rename = "as")]
    pub(crate) guise: Guise,
    /// It says 250 and forgets every so-manieth mail; 0: none.
    pub(crate) drop_one_in: u32,
    /// Of so many signed mails one is verified with its public key; 0: none.
    pub(crate) check_dkim_one_in: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            guise: Guise::Plain,
            drop_one_in: 0,
            check_dkim_one_in: 100,
        }
    }
}

/// A running sink. Dropped, it stops.
pub(crate) struct Sink {
    route: Route,
    intake: Arc<Intake>,
    /// Its thread: what stops it, itself, and its folder in `/proc`.
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    proc: String,
    /// Holds the port of a dead sink, so that nobody else listens there.
    _nobody: Option<TcpSocket>,
}

impl Sink {
    /// Starts on loopback, at ports that are free.
    pub(crate) fn start(settings: &Settings, books: Books) -> anyhow::Result<Self> {
        Self::listen(settings, books, (Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Starts at an address.
    pub(crate) fn listen(settings: &Settings, books: Books, address: SocketAddr) -> anyhow::Result<Self> {
        let intake = Arc::new(Intake::new(books, settings.drop_one_in, settings.check_dkim_one_in));
        if settings.guise == Guise::Dead {
            let nobody = TcpSocket::new_v4()?;
            nobody.bind(address)?;
            return Ok(Self {
                route: Route::Host(nobody.local_addr()?),
                intake,
                thread: None,
                proc: String::new(),
                _nobody: Some(nobody),
            });
        }
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let taking = Arc::clone(&intake);
        let thread = std::thread::Builder::new().name("sink".to_owned()).spawn(move || {
            let told = run(address, &taking, &ready, stopped);
            if let Err(error) = told {
                let _ = ready.send(Err(error));
            }
        })?;
        let (address, proc) = started.recv().context("the sink's thread ended")??;
        Ok(Self {
            route: Route::Host(address),
            intake,
            thread: Some((stop, thread)),
            proc,
            _nobody: None,
        })
    }

    /// Returns where a service is to send its mail so that it comes here.
    pub(crate) fn route(&self) -> Route {
        self.route
    }

    /// Tells public keys of signatures: names and texts of their `_domainkey` records. Before the first, none is verified whole.
    pub(crate) fn trust(&self, records: &[(String, String)]) -> anyhow::Result<()> {
        self.intake.trust(records)
    }

    /// Returns what was counted so far.
    pub(crate) fn tally(&self) -> Tally {
        self.intake.tally().clone()
    }

    /// Returns how many mails were answered with 250 so far.
    pub(crate) fn mails(&self) -> u64 {
        self.intake.tally().mails
    }

    /// Returns the links of mails before the run, as far as they have come.
    pub(crate) fn links(&self) -> Links {
        self.intake.links.clone()
    }

    /// Returns the CPU time that its thread has used.
    pub(crate) fn cpu(&self) -> Duration {
        let told = fs::read_to_string(format!("{}/schedstat", self.proc));
        let nanos = told.ok().and_then(|text| text.split(' ').next()?.parse().ok());
        Duration::from_nanos(nanos.unwrap_or_default())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

/// What the thread tells once it listens: where, and its own folder in `/proc`.
type Ready = std::sync::mpsc::Sender<anyhow::Result<(SocketAddr, String)>>;

fn run(address: SocketAddr, intake: &Arc<Intake>, ready: &Ready, stopped: oneshot::Receiver<()>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("listening on {address}"))?;
        let itself = fs::read_link("/proc/thread-self").context("reading /proc/thread-self")?;
        let itself = format!("/proc/{}", itself.display());
        ready
            .send(Ok((listener.local_addr()?, itself)))
            .map_err(|_| anyhow!("nobody waits for the sink"))?;
        tokio::select! {
            biased;
            _ = stopped => {}
            () = serve(listener, intake) => {}
        }
        Ok(())
    })
}

async fn serve(listener: TcpListener, intake: &Arc<Intake>) {
    let mut sessions = JoinSet::new();
    loop {
        // What cannot be accepted now, for want of files, may be later.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let intake = Arc::clone(intake);
        sessions.spawn(async move {
            // A client that goes away in the middle, or is killed, ends its session and nothing else.
            let _ = stream.set_nodelay(true);
            let _ = session::converse(stream, &intake).await;
        });
        while sessions.try_join_next().is_some() {}
    }
}

/// For how long the ceiling is measured, and with what.
const CEILING_SECONDS: u64 = 2;
const CEILING_SESSIONS: usize = 16;
const CEILING_BYTES: usize = 6000;

/// Returns how many mails of 6 KB a second the injector and the sink pass between them with nothing in the middle, each of them
/// checked. The slower of the two sets it: on one core both together, and they can be no faster with a relay between them.
pub(crate) fn ceiling() -> anyhow::Result<f64> {
    let (address, end) = (
        |text: String| EmailAddress::try_from(text),
        Instant::now() + Duration::from_secs(CEILING_SECONDS),
    );
    // More than can be passed in that time.
    let most = 1_000_000;
    let books = Books::new([0, most, 0, 0], Instant::now());
    let sink = Sink::start(&Settings::default(), books.clone())?;
    let Route::Host(into) = sink.route() else {
        anyhow::bail!("a plain sink has one address");
    };
    let from = address("ceiling@load.test".to_owned())?;
    let mut tags = (0..most)
        .map(|number| Tag {
            kind: Kind::Message,
            number,
        })
        .take_while(|_| Instant::now() < end);
    let injected = inject::inject(
        into,
        Injection {
            tags: &mut tags,
            from: from.clone(),
            recipient: &|tag| address(format!("{tag}@x.load.test")).expect("a tag is a local part"),
            mail: &|tag, to| inject::mail(tag, &from, to, CEILING_BYTES),
            sessions: CEILING_SESSIONS,
            rate: None,
            ledger: &books.ledger,
        },
    )?;
    Ok(injected.per_second())
}
