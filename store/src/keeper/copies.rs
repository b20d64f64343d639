//! The checkpoint copies of state: the newest, and writing the next.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::checkpoint;
use crate::segment::Maker;
use crate::state::Tables;
use crate::state::table::Read;

/// Where copies lie, and whose they are.
pub(crate) struct Copies {
    pub(crate) dir: PathBuf,
    pub(crate) maker: Arc<Maker>,
    pub(crate) incarnation: [u8; 16],
}

/// A copy.
pub(super) struct Copy {
    /// The last position that it covers.
    pub(super) through: u64,
    pub(super) bytes: u64,
}

impl Copies {
    /// Returns the newest copy, if there is one.
    pub(super) fn newest(&self) -> io::Result<Option<Copy>> {
        let newest = checkpoint::list(&self.dir)?.into_iter().next();
        let sized = newest.map(|(through, path)| {
            let bytes = fs::metadata(path)?.len();
            Ok(Copy { through, bytes })
        });
        sized.transpose()
    }

    /// Writes a copy and removes the older ones; returns the last position that it covers. Durable on return.
    pub(super) fn write(&self, tables: &Tables) -> Read<u64> {
        let covered = checkpoint::write(self.maker.medium(), &self.dir, tables, self.incarnation)?;
        checkpoint::remove_older(&self.dir)?;
        Ok(covered)
    }
}
