//! A disk that fails: syncs that do not come through, and power that is cut.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use store::{Medium, RealMedium};

/// The disk of one life.
#[derive(Debug, Default)]
pub struct SimDisk {
    is_cut: AtomicBool,
    fails: AtomicBool,
}

impl SimDisk {
    /// Lets every sync of a commit round from now on fail: what was written may be there after it, or not.
    pub fn fail(&self) {
        self.fails.store(true, Ordering::SeqCst);
    }

    /// Cuts the power: nothing that is written from now on is kept.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    fn powered(&self) -> io::Result<()> {
        if self.is_cut.load(Ordering::SeqCst) {
            return Err(io::Error::other("the power was cut"));
        }
        Ok(())
    }
}

impl Medium for SimDisk {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.powered()?;
        RealMedium.write_at(file, bytes, offset)
    }

    fn sync(&self, _: &File) -> io::Result<()> {
        self.powered()?;
        // Those of a round alone: when other threads of the store sync is not part of the play.
        let of_round = std::thread::current()
            .name()
            .is_some_and(|name| matches!(name, "store-commit" | "store-spool-sync"));
        if of_round && self.fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk does not answer"));
        }
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.powered()
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }
}
