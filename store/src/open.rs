//! Opening a data directory: whose it is, what it holds, what a crash left, and the threads that go on from there.

mod recovered;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use prometheus::Registry;
use types::id::IdMint;
use types::time::Clock;

use crate::catalogue::CatalogueHandle;
use crate::checkpoint;
use crate::claims::Claims;
use crate::commit::{Commits, Committer, Syncer, Track};
use crate::disk::Disk;
use crate::error::{Doing, OpenError};
use crate::identity;
use crate::imports::Imports;
use crate::intake::Intake;
use crate::journal::{Journal, Segments};
use crate::keeper::{Copies, Keeper, Retention, Sweep};
use crate::medium::{Medium, replace};
use crate::metrics::Metrics;
use crate::recovery::{Files, Replay, Tail, read_tail};
use crate::secrets::Secrets;
use crate::segment::Kind;
use crate::settings::Settings;
use crate::spool::{Shelf, Spool};
use crate::state::meta::Meta;
use crate::state::table::Read;
use crate::state::upgrade::Upgrade;
use crate::state::writer::{Turns, Writer};
use crate::state::{Applied, State, StateError, Tables};
use crate::store::{Parts, Store};
use recovered::Recovered;

/// Segments that are begun in the time of the journal's retention even if none is full: so what is erased, or has ended, is on disk for
/// a fourth longer than that at most.
const SEGMENTS_A_RETENTION: u32 = 4;

/// Opens the data directory, makes it if it is missing, and recovers what a crash left.
///
/// Returns the store and the records that state lacks: they are folded again, through [`State::submit`], before anything
/// else is appended. Blocks while it reads and syncs. Err: nothing was changed that recovery would miss.
#[expect(
    clippy::needless_pass_by_value,
    reason = "a store has its settings and its clock for itself"
)]
#[expect(clippy::too_many_lines, reason = "a list of the store's parts, a line each")]
pub fn open(settings: Settings, clock: Arc<dyn Clock>, registry: &Registry) -> Result<(Store, Replay), OpenError> {
    let metrics = Metrics::register(registry)?;
    let Survey {
        dirs,
        lock,
        incarnation,
        journal_files,
        spool_files,
        secrets,
        tables,
        meta,
        tail,
    } = survey(&settings)?;
    let recovered = Recovered {
        settings: &settings,
        clock: &clock,
        metrics: &metrics,
        dirs: &dirs,
        incarnation,
        tail: &tail,
    };
    let (journal_track, segments, list) = recovered.journal(journal_files)?;
    let (spool_track, shelf) = recovered.spool(spool_files, &tables)?;

    let replay = Replay::new(list, meta.applied.clone(), meta.through, tail.last);
    let commits = Arc::new(Commits::new(
        tail.last,
        tail.partitions.clone(),
        settings.pending_bytes_max,
        metrics.clone(),
    ));
    let claims = Claims::new(
        Arc::clone(&tables),
        Arc::clone(&commits),
        settings.claims_pending_max,
        &tail.claims,
    );
    tables.forget_ranges(meta.through)?;
    let state = State::new(
        Arc::clone(&tables),
        Arc::new(Turns::new(settings.state_pending_bytes_max)),
        Arc::clone(&commits),
        Arc::new(Applied::new(meta.applied)),
    );
    let catalogue = state.catalogue().at(u64::MAX)?;
    let (disk, intake) = entrance(&settings, &dirs, &metrics);
    let imports = Imports::open_in(dirs.data.join("imports"), Arc::clone(&settings.medium))
        .doing(|| "opening the imports".to_owned())?;
    let parts = Parts {
        journal: Arc::new(Journal {
            commits: Arc::clone(&commits),
            mint: IdMint::new(settings.node, meta.last_id.max(tail.last_id)),
            clock: Arc::clone(&clock),
        }),
        spool: Arc::new(Spool {
            commits: Arc::clone(&commits),
            shelf: Arc::clone(&shelf),
        }),
        catalogue: Arc::new(CatalogueHandle::new(Arc::new(catalogue))),
        state,
        intake,
        claims,
        disk,
        secrets,
        imports: imports.clone(),
        commits,
        segments: Arc::clone(&segments),
        incarnation,
        makers: [Arc::clone(&journal_track.maker), Arc::clone(&spool_track.maker)],
        bell: Arc::default(),
        observer: Arc::default(),
        threads: Mutex::default(),
        lock: Mutex::new(Some(lock)),
    };
    let keeper = Keeper {
        tables,
        commits: Arc::clone(&parts.commits),
        segments: Arc::clone(&segments),
        spool: Arc::clone(&parts.spool),
        clock,
        metrics: metrics.clone(),
        bell: Arc::clone(&parts.bell),
        copies: Copies {
            dir: dirs.checkpoint,
            maker: Arc::clone(&journal_track.maker),
            incarnation,
        },
        interval: settings.checkpoint_interval,
        retention: Retention {
            age: settings.journal_retention,
            bytes_max: settings.journal_bytes_max,
        },
        sweep: Sweep::new(settings.claims_kept, settings.history_kept),
        imports,
    };
    let threads = start(
        &parts,
        &settings,
        (journal_track, spool_track),
        (segments, shelf),
        keeper,
        metrics,
    )
    .doing(|| "starting threads".to_owned())?;
    *crate::sync::lock(&parts.threads) = threads;
    Ok((Store(Arc::new(parts)), replay))
}

/// Makes what lets work in.
fn entrance(settings: &Settings, dirs: &Dirs, metrics: &Metrics) -> (Arc<Disk>, Intake) {
    let disk = Arc::new(Disk::new(
        dirs.data.clone(),
        Arc::clone(&settings.medium),
        settings.disk_floor_bytes,
        metrics.clone(),
    ));
    let intake = Intake::new(
        settings.runners,
        settings.inbox_len,
        settings.tracked_len,
        settings.admissions_max,
        Arc::clone(&disk),
        metrics.clone(),
    );
    (disk, intake)
}

/// What a data directory holds.
struct Survey {
    dirs: Dirs,
    lock: File,
    incarnation: [u8; 16],
    journal_files: Files,
    spool_files: Files,
    secrets: Secrets,
    tables: Arc<Tables>,
    meta: Meta,
    tail: Tail,
}

/// Locks the directory and reads what it holds. Journal and spool are not changed yet.
fn survey(settings: &Settings) -> Result<Survey, OpenError> {
    let dirs = Dirs::make(settings)?;
    let lock = lock_dir(&dirs.data)?;
    probe(&*settings.medium, &dirs.data)?;
    let found = Files::read(Kind::Journal, &dirs.journal, None)?.begun;
    let incarnation = found.first().map(|found| found.header.incarnation);
    let incarnation = identity::open(&*settings.medium, &dirs.data, incarnation)?;
    let journal_files = Files::read(Kind::Journal, &dirs.journal, Some(incarnation))?;
    let spool_files = Files::read(Kind::Spool, &dirs.spool, Some(incarnation))?;
    let secrets = Secrets::open_in(
        dirs.data.join("secrets"),
        Arc::clone(&settings.medium),
        journal_files.begun.is_empty(),
    )
    .doing(|| "opening the secrets".to_owned())?;
    let (tables, meta) = open_state(&dirs, settings, incarnation)?;
    let tail = read_tail(&journal_files.begun, meta.through, &meta.applied)?;
    let known = meta.applied.iter().copied().fold(meta.through, u64::max);
    if known > tail.last {
        return Err(OpenError::JournalBehind {
            state: known,
            journal: tail.last,
        });
    }
    Ok(Survey {
        dirs,
        lock,
        incarnation,
        journal_files,
        spool_files,
        secrets,
        tables,
        meta,
        tail,
    })
}

/// Starts all threads; the commit thread's handle is the first.
fn start(
    parts: &Parts,
    settings: &Settings,
    (journal, spool): (Track, Track),
    (segments, shelf): (Arc<Segments>, Arc<Shelf>),
    keeper: Keeper,
    metrics: Metrics,
) -> io::Result<Vec<JoinHandle<()>>> {
    let (syncer, sync) = Syncer::new(Arc::clone(&spool.maker));
    let committer = Committer {
        commits: Arc::clone(&parts.commits),
        journal,
        spool,
        segments,
        shelf,
        syncer,
        segment_life: settings.journal_retention / SEGMENTS_A_RETENTION,
    };
    let writer = Writer {
        tables: Arc::clone(&parts.state.reader.tables),
        turns: Arc::clone(&parts.state.turns),
        commits: Arc::clone(&parts.commits),
        applied: Arc::clone(&parts.state.applied),
        journal: Arc::clone(&parts.journal),
        spool: Arc::clone(&parts.spool),
        claims: parts.claims.clone(),
        observer: Arc::clone(&parts.observer),
        metrics,
    };
    let [journal_maker, spool_maker] = parts.makers.clone();
    let (disk, poll) = (Arc::clone(&parts.disk), settings.disk_poll);
    let commits = &parts.commits;
    let threads = vec![
        spawn("store-commit", commits, move || committer.run())?,
        spawn("store-spool-sync", commits, sync)?,
        spawn("store-journal-files", commits, move || journal_maker.run())?,
        spawn("store-spool-files", commits, move || spool_maker.run())?,
        spawn("store-state", commits, move || writer.run())?,
        spawn("store-keeper", commits, move || keeper.run())?,
        spawn("store-disk", commits, move || disk.run(poll))?,
    ];
    Ok(threads)
}

/// Starts a thread. Its panic fails the store: nobody would do its work, and others would wait for it for ever.
fn spawn(name: &str, commits: &Arc<Commits>, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let (what, commits) = (format!("the thread {name}"), Arc::clone(commits));
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        if panic::catch_unwind(AssertUnwindSafe(run)).is_err() {
            commits.fail(&what, &"it panicked");
        }
    })
}

/// The directories of a data directory.
struct Dirs {
    data: PathBuf,
    journal: PathBuf,
    spool: PathBuf,
    state: PathBuf,
    checkpoint: PathBuf,
}

impl Dirs {
    fn make(settings: &Settings) -> Result<Self, OpenError> {
        let data = settings.data_dir.clone();
        let dirs = Self {
            journal: data.join("journal"),
            spool: data.join("spool"),
            state: data.join("state"),
            checkpoint: data.join("checkpoint"),
            data,
        };
        let made = || -> io::Result<()> {
            for dir in [&dirs.data, &dirs.journal, &dirs.spool, &dirs.checkpoint] {
                DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            }
            settings.medium.sync_dir(&dirs.data)?;
            match dirs.data.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                Some(parent) => settings.medium.sync_dir(parent),
                None => settings.medium.sync_dir(Path::new(".")),
            }
        };
        made().map_err(|source| OpenError::NotWritable {
            path: dirs.data.clone(),
            source,
        })?;
        Ok(dirs)
    }
}

fn lock_dir(data: &Path) -> Result<File, OpenError> {
    let path = data.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| OpenError::NotWritable {
        path: path.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(data.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::NotWritable { path, source }),
    }
}

/// Shows that files can be written, synced, renamed and removed, before anything depends on it.
fn probe(medium: &dyn Medium, data: &Path) -> Result<(), OpenError> {
    let path = data.join("probe");
    replace(medium, data, "probe", b"probe")
        .and_then(|()| fs::remove_file(&path))
        .map_err(|source| OpenError::NotWritable { path, source })
}

/// Opens state, or makes it again from the newest checkpoint copy; the journal does the rest.
fn open_state(dirs: &Dirs, settings: &Settings, incarnation: [u8; 16]) -> Result<(Arc<Tables>, Meta), OpenError> {
    if dirs.state.exists() {
        match try_open(dirs, settings) {
            Ok(Some((meta, tables))) => match meta.incarnation {
                Some(own) if own == incarnation => {
                    // Opening makes the keyspaces that a new version brings.
                    sync_state(dirs, settings)?;
                    Upgrade::of(&tables)?.run()?;
                    return Ok((Arc::new(tables), meta));
                }
                Some(_) => return Err(OpenError::Foreign(dirs.state.clone())),
                // A crash came between its making and its first sync: it holds nothing that the journal does not.
                None => {
                    drop(tables);
                    fs::remove_dir_all(&dirs.state).doing(|| "removing unfinished state".to_owned())?;
                }
            },
            Ok(None) => {
                tracing::error!("state is torn: it is made again from checkpoint and journal");
                set_aside(dirs).doing(|| format!("moving {} aside", dirs.state.display()))?;
            }
            Err(StateError::Read(fjall::Error::Locked)) => return Err(OpenError::Locked(dirs.state.clone())),
            Err(error) => {
                tracing::error!(%error, "state does not open: it is made again from checkpoint and journal");
                set_aside(dirs).doing(|| format!("moving {} aside", dirs.state.display()))?;
            }
        }
    }
    let tables = Tables::open(&dirs.state, settings.state_cache_bytes)?;
    let copies = checkpoint::list(&dirs.checkpoint).doing(|| "looking for checkpoint copies".to_owned())?;
    if let Some((_, copy)) = copies.first() {
        checkpoint::restore(copy, &tables, incarnation)?;
    }
    sync_state(dirs, settings)?;
    tables.adopt(incarnation)?;
    let meta = tables.meta()?;
    Ok((Arc::new(tables), meta))
}

/// Opens what is there. `None` if the database gave up on it in panic, as it does on some torn ends of its own log.
fn try_open(dirs: &Dirs, settings: &Settings) -> Read<Option<(Meta, Tables)>> {
    let open = || {
        let tables = Tables::open(&dirs.state, settings.state_cache_bytes)?;
        Ok((Upgrade::of(&tables)?.meta()?, tables))
    };
    // Nothing of ours is touched inside, and what it leaves is only ever moved aside.
    panic::catch_unwind(AssertUnwindSafe(open)).ok().transpose()
}

/// Makes the folders of the database durable, before anything is written to what they hold.
///
/// The database syncs its files, but not the folder in which it makes a folder for each keyspace. One whose folder is
/// missing after a power cut would be opened as an empty one.
fn sync_state(dirs: &Dirs, settings: &Settings) -> Result<(), OpenError> {
    sync_tree(&*settings.medium, &dirs.state)
        .and_then(|()| settings.medium.sync_dir(&dirs.data))
        .doing(|| "syncing the folders of state".to_owned())
}

/// Syncs a directory and all those in it.
fn sync_tree(medium: &dyn Medium, dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(medium, &entry.path())?;
        }
    }
    medium.sync_dir(dir)
}

/// Keeps a database that does not open for those who want to know why; an older one goes.
fn set_aside(dirs: &Dirs) -> io::Result<()> {
    let aside = dirs.data.join("state.damaged");
    if aside.exists() {
        fs::remove_dir_all(&aside)?;
    }
    fs::rename(&dirs.state, &aside)
}
