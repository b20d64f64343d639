//! Files of contacts that shops hand in to be imported: kept until they are worked through, with how far that has come.
//!
//! An import is a directory: `rows` holds the bytes as they came, `import` (JSON) says whose they are and how far they were read,
//! `rejects` (a JSON object a line) says which rows were not taken, and why. What an import does to contacts are events like any other;
//! this is only the place of its input. [`Upload::finish`] makes it durable; [`Import::save`] makes progress durable: after a crash
//! reading goes on from the last save, and rejects after it are cut, because they will be found again. The rows are removed once the
//! import is done, the rest with [`Imports::sweep`].

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use types::id::{EventId, PartitionId, PublicId, ShopNumber};
use types::time::Timestamp;

use crate::medium::{Medium, replace};

const ROWS: &str = "rows";
const META: &str = "import";
const REJECTS: &str = "rejects";

/// How the rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportFormat {
    /// RFC 4180, the first line names the columns.
    Csv,
    /// A JSON object a line.
    Ndjson,
}

/// How far an import has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportProgress {
    /// Bytes of the rows that were read.
    pub offset: u64,
    /// Lines that were read, the first line of a CSV included.
    pub lines: u64,
    /// Rows that are durable events now.
    pub accepted: u64,
    /// Rows that were not taken.
    pub rejected: u64,
    /// When it came to its end.
    pub done_at: Option<Timestamp>,
    /// Bytes of the rejects that go with it.
    pub rejects_bytes: u64,
}

/// What is known of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportInfo {
    /// Whose contacts.
    pub shop: u32,
    /// How the rows are written.
    pub format: ImportFormat,
    /// When it was handed in.
    pub at: Timestamp,
    /// Bytes of the rows.
    pub bytes: u64,
    /// How far it has come.
    pub progress: ImportProgress,
}

/// A row that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The line it begins at, from 1.
    pub line: u64,
    /// The field at fault, as a path; empty for the row as a whole.
    pub field: String,
    /// What is wrong with it.
    pub fault: String,
}

/// All imports of a data directory. Every call may block on the disk.
#[derive(Clone, Debug)]
pub struct Imports {
    dir: PathBuf,
    medium: Arc<dyn Medium>,
}

/// Rows that are being handed in. Dropped before [`Upload::finish`], they leave nothing.
#[derive(Debug)]
pub struct Upload {
    imports: Imports,
    dir: PathBuf,
    rows: File,
    id: EventId,
    info: ImportInfo,
    finished: bool,
}

/// An import that is being worked through.
#[derive(Debug)]
pub struct Import {
    medium: Arc<dyn Medium>,
    dir: PathBuf,
    rows: File,
    rejects: File,
    info: ImportInfo,
    /// Rejects that are not written yet.
    pending: Vec<u8>,
}

impl Imports {
    pub(crate) fn open_in(dir: PathBuf, medium: Arc<dyn Medium>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let imports = Self { dir, medium };
        // What was being handed in when the process ended was acknowledged to nobody.
        for entry in fs::read_dir(&imports.dir)? {
            let path = entry?.path();
            if path.is_dir() && !path.join(META).exists() {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(imports)
    }

    /// Begins to take in rows. `id` is freshly minted.
    pub fn begin(&self, id: EventId, shop: ShopNumber, format: ImportFormat, at: Timestamp) -> io::Result<Upload> {
        let dir = self.path(id);
        DirBuilder::new().mode(0o700).create(&dir)?;
        Ok(Upload {
            imports: self.clone(),
            rows: create(&dir.join(ROWS))?,
            dir,
            id,
            info: ImportInfo {
                shop: shop.0,
                format,
                at,
                bytes: 0,
                progress: ImportProgress::default(),
            },
            finished: false,
        })
    }

    /// Returns the imports by the time at which they were handed in, oldest first.
    pub fn list(&self) -> io::Result<Vec<(EventId, ImportInfo)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let id = name.to_str().and_then(|name| name.parse::<PublicId>().ok());
            if let Some(id) = id
                && let Some(info) = self.info(id.event)?
            {
                found.push((id.event, info));
            }
        }
        found.sort_by_key(|(id, _)| *id);
        Ok(found)
    }

    /// Returns what is known of an import, or `None` if there is none.
    pub fn info(&self, id: EventId) -> io::Result<Option<ImportInfo>> {
        match fs::read(self.path(id).join(META)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens an import to go on with it; `None` if there is none, or it is done.
    pub fn open(&self, id: EventId) -> io::Result<Option<Import>> {
        let Some(info) = self.info(id)?.filter(|info| info.progress.done_at.is_none()) else {
            return Ok(None);
        };
        let dir = self.path(id);
        let rejects = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(dir.join(REJECTS))?;
        rejects.set_len(info.progress.rejects_bytes)?;
        Ok(Some(Import {
            medium: Arc::clone(&self.medium),
            rows: File::open(dir.join(ROWS))?,
            dir,
            rejects,
            info,
            pending: Vec::new(),
        }))
    }

    /// Returns up to `limit` bytes of an import's rejects from `offset` on, as they were last saved; empty at the end.
    pub fn rejects(&self, id: EventId, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let Some(info) = self.info(id)? else {
            return Ok(Vec::new());
        };
        let left = info.progress.rejects_bytes.saturating_sub(offset);
        let mut bytes = vec![0; limit.min(usize::try_from(left).unwrap_or(limit))];
        if !bytes.is_empty() {
            File::open(self.path(id).join(REJECTS))?.read_exact_at(&mut bytes, offset)?;
        }
        Ok(bytes)
    }

    /// Removes imports that were done before `before`.
    pub fn sweep(&self, before: Timestamp) -> io::Result<usize> {
        let mut swept = 0;
        for (id, info) in self.list()? {
            if info.progress.done_at.is_some_and(|done| done < before) {
                fs::remove_dir_all(self.path(id))?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    fn path(&self, event: EventId) -> PathBuf {
        let partition = PartitionId::CATALOGUE;
        self.dir.join(PublicId { partition, event }.to_string())
    }
}

impl Upload {
    /// Adds bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.imports.medium.write_at(&self.rows, bytes, self.info.bytes)?;
        self.info.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Returns how many bytes were added.
    pub const fn bytes(&self) -> u64 {
        self.info.bytes
    }

    /// Makes the rows an import; they are durable on return.
    pub fn finish(mut self) -> io::Result<EventId> {
        let medium = &*self.imports.medium;
        medium.sync(&self.rows)?;
        save(medium, &self.dir, &self.info)?;
        medium.sync_dir(&self.imports.dir)?;
        self.finished = true;
        Ok(self.id)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = fs::remove_dir_all(&self.dir)
        {
            tracing::warn!(%error, "rows that were handed in by half could not be removed; the next start does");
        }
    }
}

impl Import {
    /// Returns what is known of it, as of the last save.
    pub const fn info(&self) -> &ImportInfo {
        &self.info
    }

    /// Reads rows from `offset` on into `buffer`; returns how many bytes, 0 at the end.
    pub fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.rows.read_at(buffer, offset)
    }

    /// Notes a row that was not taken; it is kept with the next save.
    pub fn reject(&mut self, reject: &Reject) {
        serde_json::to_writer(&mut self.pending, reject).expect("a row of plain text is always JSON");
        self.pending.push(b'\n');
    }

    /// Makes progress, and the rejects noted so far, durable. What `progress` says of rejects' bytes is set here. Once done, the rows
    /// themselves are removed.
    pub fn save(&mut self, progress: ImportProgress) -> io::Result<()> {
        let written = self.info.progress.rejects_bytes;
        if !self.pending.is_empty() {
            self.medium.write_at(&self.rejects, &self.pending, written)?;
            self.medium.sync(&self.rejects)?;
        }
        self.info.progress = ImportProgress {
            rejects_bytes: written + self.pending.len() as u64,
            ..progress
        };
        save(&*self.medium, &self.dir, &self.info)?;
        self.pending.clear();
        if progress.done_at.is_some() {
            fs::remove_file(self.dir.join(ROWS))?;
        }
        Ok(())
    }
}

fn save(medium: &dyn Medium, dir: &Path, info: &ImportInfo) -> io::Result<()> {
    replace(medium, dir, META, &serde_json::to_vec(info)?)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::medium::RealMedium;

    const SHOP: ShopNumber = ShopNumber(7);

    fn at(second: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + second * 1000)
    }

    fn imports(dir: &tempfile::TempDir) -> Imports {
        Imports::open_in(dir.path().join("imports"), Arc::new(RealMedium)).unwrap()
    }

    fn begin(imports: &Imports, id: u64) -> Upload {
        imports
            .begin(EventId::from_raw(id), SHOP, ImportFormat::Ndjson, at(0))
            .unwrap()
    }

    fn reject(line: u64) -> Reject {
        Reject {
            line,
            field: "fields.age".to_owned(),
            fault: "not a number".to_owned(),
        }
    }

    #[test]
    fn an_import_goes_on_from_its_last_save() {
        let dir = tempfile::tempdir().unwrap();
        let all = imports(&dir);
        let mut upload = begin(&all, 9);
        upload.write(b"{}\n").unwrap();
        upload.write(b"{\"a\"}\n{}\n").unwrap();
        let id = upload.finish().unwrap();

        let mut import = all.open(id).unwrap().unwrap();
        import.reject(&reject(2));
        let progress = ImportProgress {
            offset: 9,
            lines: 2,
            accepted: 1,
            rejected: 1,
            ..ImportProgress::default()
        };
        import.save(progress).unwrap();
        import.reject(&reject(3));
        drop(import);

        let again = imports(&dir);
        let mut import = again.open(id).unwrap().unwrap();
        let saved = import.info().progress;
        assert_eq!((saved.offset, saved.lines, saved.rejected), (9, 2, 1));
        let mut rest = [0; 16];
        assert_eq!(import.read(&mut rest, saved.offset).unwrap(), 3);
        let done = ImportProgress {
            done_at: Some(at(5)),
            ..saved
        };
        import.save(done).unwrap();
        let rejects = String::from_utf8(again.rejects(id, 0, 1000).unwrap()).unwrap();
        assert_eq!(
            rejects.lines().count(),
            1,
            "what was noted after the save is found again: {rejects}"
        );
        assert!(again.open(id).unwrap().is_none(), "it is done");
        assert_eq!(again.list().unwrap().len(), 1);
        assert_eq!(again.sweep(at(6)).unwrap(), 1);
        assert_eq!(again.info(id).unwrap(), None);
    }

    #[test]
    fn what_was_handed_in_by_half_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let all = imports(&dir);
        drop(begin(&all, 1));
        std::mem::forget(begin(&all, 2));
        let all = imports(&dir);
        assert_eq!(all.list().unwrap(), []);
        assert_eq!(fs::read_dir(dir.path().join("imports")).unwrap().count(), 0);
    }
}
