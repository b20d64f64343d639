//! The receiving side of a run: takes every mail over SMTP on a thread of its own, checks each one, and tells the books.
//!
//! Each mail is looked up by the tag in its recipient's address (came first, again, or unasked), its bytes are compared with what
//! the mail itself says of them ([`integrity`]), and of so many mails one is verified whole with the public keys that were told
//! ([`signature`]). What a mail is not looked at for is its content.
//!
//! As providers ([`Guise::Providers`]) it is eight hosts with an address each and a name server that leads there: they refuse,
//! put off and take their time as [`profile`] says.

mod command;
mod conduct;
mod hosts;
mod intake;
mod integrity;
mod links;
mod names;
mod profile;
mod roll;
mod session;
mod signature;
mod tally;
#[cfg(test)]
mod tests;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Deserialize;
use smtp::client::Envelopes;
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use types::address::EmailAddress;

use crate::books::Books;
use crate::inject::{self, Injection};
use crate::ledger::{Kind, Tag};
use crate::service::Route;
use intake::{Intake, Keeping};

pub(crate) use command::{Arguments, run};
pub(crate) use integrity::DIGEST_FIELD;
pub(crate) use links::Links;
use roll::Came;
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
    /// As providers: with the same seed the same recipients are refused.
    pub(crate) seed: u64,
    /// As providers: what is to be otherwise than `providers.toml` says, such as `google.rate.per_minute`.
    pub(crate) providers: toml::Table,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            guise: Guise::Plain,
            drop_one_in: 0,
            check_dkim_one_in: 100,
            seed: 1,
            providers: toml::Table::new(),
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

/// Where a sink listens. Port 0 is any that is free.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listen {
    /// Mail; providers take the port alone and have an address each.
    pub(crate) mail: SocketAddr,
    /// Names, for providers.
    pub(crate) names: SocketAddr,
}

impl Default for Listen {
    fn default() -> Self {
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        Self { mail: any, names: any }
    }
}

impl Sink {
    /// Starts for a run, on loopback, at ports that are free.
    pub(crate) fn start(settings: &Settings, books: Books) -> anyhow::Result<Self> {
        Self::listen(settings, Keeping::Books(books), Listen::default())
    }

    /// Starts without a run: any mail with a tag counts.
    pub(crate) fn alone(settings: &Settings, listen: Listen) -> anyhow::Result<Self> {
        Self::listen(settings, Keeping::Roll(Mutex::default()), listen)
    }

    fn listen(settings: &Settings, keeping: Keeping, listen: Listen) -> anyhow::Result<Self> {
        let intake = Arc::new(Intake::new(keeping, settings.drop_one_in, settings.check_dkim_one_in));
        if settings.guise == Guise::Dead {
            let nobody = TcpSocket::new_v4()?;
            nobody.bind(listen.mail)?;
            return Ok(Self {
                route: Route::Host(nobody.local_addr()?),
                intake,
                thread: None,
                proc: String::new(),
                _nobody: Some(nobody),
            });
        }
        let profiles = match settings.guise {
            Guise::Providers => Some(profile::profiles(&settings.providers)?),
            Guise::Plain | Guise::Dead => None,
        };
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::channel();
        let (taking, seed) = (Arc::clone(&intake), settings.seed);
        let thread = std::thread::Builder::new().name("sink".to_owned()).spawn(move || {
            let all = async {
                let begun = match profiles {
                    Some(profiles) => hosts::providers(profiles, seed, listen, &taking).await,
                    None => hosts::plain(listen.mail, &taking).await,
                };
                let itself = fs::read_link("/proc/thread-self").unwrap_or_default();
                let (tasks, route) = match begun {
                    Ok((tasks, route)) => (Some(tasks), Ok(route)),
                    Err(error) => (None, Err(error)),
                };
                let _ = ready.send(route.map(|route| (route, format!("/proc/{}", itself.display()))));
                if tasks.is_some() {
                    let _ = stopped.await;
                }
            };
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(all),
                Err(error) => drop(ready.send(Err(error.into()))),
            }
        })?;
        let (route, proc) = started.recv().context("the sink's thread ended")??;
        Ok(Self {
            route,
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

    /// Returns what came to a sink that stands alone.
    fn came(&self) -> Vec<Came> {
        self.intake.came()
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
            envelopes: Envelopes::Ahead,
            rate: None,
            ledger: &books.ledger,
        },
    )?;
    Ok(injected.per_second())
}
