//! The one seam between the store's own files and the operating system.
//!
//! Everything that decides whether data survives goes through a [`Medium`]: positioned writes, syncs, directory syncs and
//! the free space. [`RealMedium`] is the operating system; tests put a medium in its place that fails the n-th call, is
//! full, or forgets to sync. Reads and renames are not here: they fail loudly by themselves.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Where the store writes. Every call may block.
pub trait Medium: fmt::Debug + Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`. Nothing is durable yet.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all that was written to `file` durable (`fdatasync`). An error is final for the file: a second call that
    /// succeeds would prove nothing, because the kernel has dropped the dirty pages.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Makes the entries of a directory durable: creations, renames and removals.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Returns how many bytes an unprivileged process may still write to the file system of `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealMedium;

impl Medium for RealMedium {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Replaces the file `dir`/`name` by one with these bytes, readable by the owner alone: whole or not at all, and durable.
pub(crate) fn replace(medium: &dyn Medium, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let draft = dir.join(format!("{name}.new"));
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&draft)?;
    medium.write_at(&file, bytes, 0)?;
    medium.sync(&file)?;
    fs::rename(&draft, dir.join(name))?;
    medium.sync_dir(dir)
}
