//! Segment files: the header that journal and spool share, and the thread that makes files ahead of time.
//!
//! A segment's name is its id. Its file is made before it is needed: zero-filled and synced, or taken over from a freed
//! segment by rename, its directory entry synced in both cases. Only then is it handed out, and only then is its header
//! written, with its first records. So a file without a valid header of its own id was never used, and overwriting
//! allocated blocks makes the syncs that everyone waits for about twice as cheap as growing a file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use types::time::Timestamp;

use crate::frame::{put, u16_at, u32_at, u64_at};
use crate::medium::Medium;
use crate::sync::{lock, wait, wait_for};

/// Bytes of a segment before its first record.
pub(crate) const SEGMENT_HEADER: usize = 64;
/// The version of the segment format that this code writes.
const VERSION: u16 = 1;
/// The first segment after an open is smaller, so that opening does not wait for 64 MiB of zeros.
const FIRST_BYTES: u64 = 8 << 20;
/// Freed files kept for the next segments; more are removed, which gives their space back.
const FREED_MAX: usize = 2;

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Journal,
    Spool,
}

impl Kind {
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Journal => *b"STAFJRNL",
            Self::Spool => *b"STAFSPOL",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Spool => "spool",
        }
    }

    /// Returns the file of segment `id`.
    pub(crate) fn path(self, dir: &Path, id: u64) -> PathBuf {
        dir.join(format!("{id:010}.{}", self.extension()))
    }

    /// Returns the segment files of a directory by id, whether begun or not.
    pub(crate) fn list(self, dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            if let Some(id) = id.filter(|_| path.extension().is_some_and(|e| e == self.extension())) {
                found.push((id, path));
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// What stands at the start of a segment that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) incarnation: [u8; 16],
    pub(crate) id: u64,
    /// The position of the first record; 0 in the spool.
    pub(crate) first: u64,
    /// When it was begun.
    pub(crate) begun: Timestamp,
}

/// What the first bytes of a segment file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Never begun in this life of the file, or torn while it was.
    Unused,
    /// A header that is valid but for a version that this code does not know.
    Newer(u16),
    /// In use.
    Begun(Header),
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        put(&mut bytes, 0, &self.kind.magic());
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 16, &self.incarnation);
        put(&mut bytes, 32, &self.id.to_le_bytes());
        put(&mut bytes, 40, &self.first.to_le_bytes());
        put(&mut bytes, 48, &self.begun.as_millis().to_le_bytes());
        let crc = crc(&bytes).to_le_bytes();
        put(&mut bytes, 12, &crc);
        bytes
    }

    /// Reads a header of segment `id`.
    pub(crate) fn decode(kind: Kind, id: u64, bytes: &[u8]) -> Start {
        Self::read(kind, id, bytes).unwrap_or(Start::Unused)
    }

    fn read(kind: Kind, id: u64, bytes: &[u8]) -> Option<Start> {
        let bytes = bytes.get(..SEGMENT_HEADER)?;
        let own = bytes.starts_with(&kind.magic()) && u32_at(bytes, 12)? == crc(bytes) && u64_at(bytes, 32)? == id;
        if !own {
            return None;
        }
        Some(match u16_at(bytes, 8)? {
            VERSION => Start::Begun(Self {
                kind,
                incarnation: bytes.get(16..32)?.try_into().ok()?,
                id,
                first: u64_at(bytes, 40)?,
                begun: Timestamp::from_millis(u64_at(bytes, 48)?),
            }),
            newer => Start::Newer(newer),
        })
    }
}

fn crc(header: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header.get(..12).unwrap_or_default());
    hasher.update(header.get(16..SEGMENT_HEADER).unwrap_or_default());
    hasher.finalize()
}

/// A segment file that exists durably and has no header yet.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) id: u64,
    pub(crate) file: Arc<File>,
    pub(crate) capacity: u64,
}

/// Makes segment files ahead of time.
#[derive(Debug)]
pub(crate) struct Maker {
    kind: Kind,
    dir: PathBuf,
    medium: Arc<dyn Medium>,
    segment_bytes: u64,
    state: Mutex<Making>,
    wake: Condvar,
}

#[derive(Debug)]
struct Making {
    next_id: u64,
    ready: Option<Fresh>,
    failed: Option<io::Error>,
    freed: Vec<PathBuf>,
    stopped: bool,
}

impl Maker {
    pub(crate) fn new(kind: Kind, dir: PathBuf, medium: Arc<dyn Medium>, segment_bytes: u64, next_id: u64) -> Self {
        Self {
            kind,
            dir,
            medium,
            segment_bytes,
            state: Mutex::new(Making {
                next_id,
                ready: None,
                failed: None,
                freed: Vec::new(),
                stopped: false,
            }),
            wake: Condvar::new(),
        }
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn medium(&self) -> &dyn Medium {
        &*self.medium
    }

    /// Makes a file for at least `bytes` at once, on the caller's thread: the first after an open, or an oversized one.
    pub(crate) fn make_now(&self, bytes: u64) -> io::Result<Fresh> {
        let id = {
            let mut state = lock(&self.state);
            // Ids rise in the order of use, so a file that lies ready with a lower one is given up.
            if let Some(ready) = state.ready.take() {
                let path = self.kind.path(&self.dir, ready.id);
                state.freed.push(path);
                // The next one is to be made in its place.
                self.wake.notify_all();
            }
            state.next_id += 1;
            state.next_id - 1
        };
        self.create(id, bytes.max(self.segment_bytes.min(FIRST_BYTES)))
    }

    /// Takes the file that lies ready, or waits for it; one of at least `bytes`.
    ///
    /// On a full disk this waits until there is space again. Err: the disk failed otherwise.
    pub(crate) fn take(&self, bytes: u64) -> io::Result<Fresh> {
        if bytes > self.segment_bytes {
            return self.make_now(bytes);
        }
        let mut state = lock(&self.state);
        loop {
            if let Some(fresh) = state.ready.take() {
                self.wake.notify_all();
                return Ok(fresh);
            }
            if let Some(error) = state.failed.take() {
                return Err(error);
            }
            if state.stopped {
                return Err(io::Error::other("the store is closing"));
            }
            state = wait(&self.wake, state);
        }
    }

    /// Takes back a file that nothing needs any more, to be a later segment or to be removed.
    pub(crate) fn recycle(&self, path: PathBuf) {
        lock(&self.state).freed.push(path);
        self.wake.notify_all();
    }

    /// Lets [`Maker::run`] end. A [`Maker::take`] that finds nothing ready fails from now on.
    pub(crate) fn stop(&self) {
        lock(&self.state).stopped = true;
        self.wake.notify_all();
    }

    /// Keeps one file ready until stopped. A full disk is waited out; other errors are handed to the next taker.
    pub(crate) fn run(&self) {
        let mut state = lock(&self.state);
        loop {
            if state.stopped {
                return;
            }
            let surplus = (state.freed.len() > FREED_MAX).then(|| state.freed.pop()).flatten();
            if let Some(path) = surplus {
                drop(state);
                if let Err(error) = fs::remove_file(&path) {
                    tracing::warn!(path = %path.display(), %error, "could not remove a freed segment");
                }
                state = lock(&self.state);
                continue;
            }
            if state.ready.is_some() || state.failed.is_some() {
                state = wait(&self.wake, state);
                continue;
            }
            let id = state.next_id;
            let freed = state.freed.pop();
            state.next_id += 1;
            drop(state);
            let made = self.make(id, freed);
            state = lock(&self.state);
            match made {
                // A later id was handed out meanwhile: this one is in the past.
                Ok(_) if state.next_id != id + 1 => state.freed.push(self.kind.path(&self.dir, id)),
                Ok(fresh) => {
                    state.ready = Some(fresh);
                    self.wake.notify_all();
                }
                Err(error) if is_full(&error) => {
                    tracing::warn!(%error, "no space for the next {} segment: waiting", self.kind.extension());
                    state = wait_for(&self.wake, state, Duration::from_millis(250));
                }
                Err(error) => {
                    state.failed = Some(error);
                    self.wake.notify_all();
                }
            }
        }
    }

    fn make(&self, id: u64, freed: Option<PathBuf>) -> io::Result<Fresh> {
        if let Some(freed) = freed {
            if fs::metadata(&freed)?.len() == self.segment_bytes {
                let path = self.kind.path(&self.dir, id);
                fs::rename(&freed, &path)?;
                self.medium.sync_dir(&self.dir)?;
                let file = OpenOptions::new().read(true).write(true).open(&path)?;
                return Ok(Fresh {
                    id,
                    file: Arc::new(file),
                    capacity: self.segment_bytes,
                });
            }
            fs::remove_file(&freed)?;
        }
        self.create(id, self.segment_bytes)
    }

    fn create(&self, id: u64, bytes: u64) -> io::Result<Fresh> {
        let path = self.kind.path(&self.dir, id);
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        let filled = fill(&*self.medium, &file, bytes).and_then(|()| self.medium.sync_dir(&self.dir));
        if let Err(error) = filled {
            // Whatever is left over is a file without a header, which the next open removes.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Fresh {
            id,
            file: Arc::new(file),
            capacity: bytes,
        })
    }
}

fn fill(medium: &dyn Medium, file: &File, bytes: u64) -> io::Result<()> {
    const ZEROS: &[u8] = &[0; 256 << 10];
    let mut at = 0;
    while at < bytes {
        let run = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(ZEROS.len());
        medium.write_at(file, ZEROS.get(..run).unwrap_or_default(), at)?;
        at += run as u64;
    }
    medium.sync(file)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_of_its_own_id_only() {
        let header = Header {
            kind: Kind::Journal,
            incarnation: [9; 16],
            id: 5,
            first: 77,
            begun: Timestamp::from_millis(1),
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(Kind::Journal, 5, &bytes), Start::Begun(header));
        assert_eq!(Header::decode(Kind::Journal, 6, &bytes), Start::Unused);
        assert_eq!(Header::decode(Kind::Spool, 5, &bytes), Start::Unused);
        assert_eq!(Header::decode(Kind::Journal, 5, &bytes[..40]), Start::Unused);
    }
}
