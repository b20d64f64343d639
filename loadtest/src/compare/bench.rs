//! What all parts of a comparison share: where things lie, how much is measured, and whether the machine was ours alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use tempfile::TempDir;

use super::sample::{Sample, Taker};
use super::signing_key::SigningKey;
use super::staffetta::{Pace, Service, Start};
use crate::books::Books;
use crate::ledger::Kind;
use crate::machine;
use crate::process::{Group, own_cpu};
use crate::service::{Dkim, Route};
use crate::slow_flush::{Preload, SlowFlush};

/// What all parts share.
#[derive(Clone, Debug)]
pub(super) struct Bench {
    /// The service's program.
    pub(super) binary: PathBuf,
    /// Holds what was unpacked and what npm installed.
    pub(super) tools: PathBuf,
    /// On the disk that is measured, open to every user.
    pub(super) scratch: PathBuf,
    pub(super) rounds: u32,
    /// Counts are multiplied by this.
    pub(super) scale: f64,
    /// Over which relays get their mail.
    pub(super) sessions: usize,
    /// Over which the service gets its requests.
    pub(super) connections: usize,
    pub(super) key: SigningKey,
    pub(super) slow_flush: SlowFlush,
    pub(super) delay: Duration,
}

/// How a server's flushes are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flush {
    /// Left alone: nothing is preloaded.
    AsItIs,
    /// Counted.
    Counted,
    /// Counted, and slower.
    Slower,
}

impl Bench {
    /// Makes an empty folder that every user may enter.
    pub(super) fn folder(&self) -> anyhow::Result<TempDir> {
        let made = tempfile::Builder::new()
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(&self.scratch);
        made.context("making a scratch folder")
    }

    /// Returns what a server is preloaded with.
    pub(super) fn preload(&self, flush: Flush, folder: &Path) -> anyhow::Result<Option<Preload>> {
        let delay = match flush {
            Flush::AsItIs => return Ok(None),
            Flush::Counted => Duration::ZERO,
            Flush::Slower => self.delay,
        };
        Ok(Some(self.slow_flush.preload(folder, delay)?))
    }

    /// Returns a count, scaled, and never below `least`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are small and positive"
    )]
    pub(super) fn scaled(&self, count: u32, least: u32) -> u32 {
        ((f64::from(count) * self.scale) as u32).max(least)
    }

    /// Has the service deliver one mail of an order, and takes it.
    pub(super) fn sample(&self) -> anyhow::Result<Sample> {
        let (folder, taker) = (self.folder()?, Taker::start()?);
        let service = Service::start(Start {
            binary: &self.binary,
            folder: folder.path().to_owned(),
            route: Route::Host(taker.address),
            dkim: Dkim::Rsa,
            settings: toml::Table::new(),
            preload: None,
        })?;
        let books = Books::new([1, 0, 0, 0], Instant::now());
        let pace = Pace { at_once: 1, rate: None };
        service.orders(Kind::Order, 0..1, pace, &books.ledger)?;
        let mail = taker.mail()?;
        Sample::of(&mail)
    }
}

/// How much of the machine was used by neither the server nor this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbours {
    began: Instant,
    busy: f64,
    ours: f64,
}

impl Neighbours {
    /// Begins to watch.
    pub(super) fn watch(server: &Group) -> anyhow::Result<Self> {
        Ok(Self {
            began: Instant::now(),
            busy: machine::busy_seconds()?,
            ours: server.cpu()?.seconds() + own_cpu().seconds(),
        })
    }

    /// Returns the share of all cores that others used since.
    pub(super) fn share(self, server: &Group) -> anyhow::Result<f64> {
        let now = Self::watch(server)?;
        let others = (now.busy - self.busy) - (now.ours - self.ours);
        let cores = u32::try_from(std::thread::available_parallelism()?.get())?;
        Ok((others / (self.began.elapsed().as_secs_f64() * f64::from(cores))).clamp(0.0, 1.0))
    }
}
