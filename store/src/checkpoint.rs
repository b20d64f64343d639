//! Checkpoint copies: all of state in one file of our own, from which a lost database is made again.
//!
//! Journal segments may go only when a synced copy covers what they hold, so journal and newest copy together always
//! reach back to the first record. `docs/formats/state.md` draws the bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crc32fast::Hasher;
use fjall::Readable;

use crate::error::{Doing, OpenError};
use crate::frame::{put, u16_at};
use crate::medium::Medium;
use crate::state::Tables;
use crate::state::table;

const MAGIC: &[u8; 8] = b"STAFCKPT";
/// Version 1 had rows under keys of an earlier layout, and is read.
const VERSION: u16 = 2;
const HEADER: usize = 40;
/// Stands where a keyspace's number would: the end.
const END: u8 = 0xff;
const CHUNK: usize = 1 << 20;

/// Writes a copy of state as it is now; durable on return. Returns the position that it covers.
pub(crate) fn write(medium: &dyn Medium, dir: &Path, tables: &Tables, incarnation: [u8; 16]) -> table::Read<u64> {
    let snapshot = tables.db.snapshot();
    let through = tables.through_in(&snapshot)?;
    let draft = dir.join("copy.new");
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&draft)?;
    let mut out = Output {
        medium,
        file: &file,
        at: 0,
        buffer: Vec::with_capacity(CHUNK),
        hasher: Hasher::new(),
    };
    let mut header = [0; HEADER];
    put(&mut header, 0, MAGIC);
    put(&mut header, 8, &VERSION.to_le_bytes());
    put(&mut header, 16, &incarnation);
    put(&mut header, 32, &through.to_le_bytes());
    out.write(&header)?;
    let mut count: u64 = 0;
    for (table, keyspace) in tables.all() {
        for entry in snapshot.iter(keyspace) {
            let (key, value) = entry.into_inner()?;
            out.write(&[table.number])?;
            out.write(&len(&key).to_le_bytes())?;
            out.write(&len(&value).to_le_bytes())?;
            out.write(&key)?;
            out.write(&value)?;
            count += 1;
        }
    }
    out.write(&[END])?;
    out.write(&count.to_le_bytes())?;
    out.finish()?;
    medium.sync(&file)?;
    fs::rename(&draft, path(dir, through))?;
    medium.sync_dir(dir)?;
    Ok(through)
}

/// Returns the copies in `dir`, newest first. They are not checked.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut copies = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let through = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(through) = through.filter(|_| path.extension().is_some_and(|extension| extension == "copy")) {
            copies.push((through, path));
        }
    }
    copies.sort_unstable();
    copies.reverse();
    Ok(copies)
}

/// Removes the copies that are older than the newest.
pub(crate) fn remove_older(dir: &Path) -> io::Result<()> {
    for (_, path) in list(dir)?.into_iter().skip(1) {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Fills an empty database from a copy. Err: the copy is damaged or foreign, or writing failed.
pub(crate) fn restore(path: &Path, tables: &Tables, incarnation: [u8; 16]) -> Result<(), OpenError> {
    let reading = || format!("reading checkpoint copy {}", path.display());
    // Checked whole before a byte of it is believed.
    verify(path).doing(reading)?;
    let mut input = BufReader::with_capacity(CHUNK, File::open(path).doing(reading)?);
    let mut header = [0; HEADER];
    input.read_exact(&mut header).doing(reading)?;
    let version = u16_at(&header, 8).unwrap_or(0);
    if !(1..=VERSION).contains(&version) {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            version,
        });
    }
    if header.get(16..32) != Some(&incarnation) {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let mut batch = tables.db.batch();
    loop {
        let mut number = [0; 1];
        input.read_exact(&mut number).doing(reading)?;
        let [number] = number;
        if number == END {
            break;
        }
        let key_len = read_len(&mut input).doing(reading)?;
        let value_len = read_len(&mut input).doing(reading)?;
        let key = read_bytes(&mut input, key_len).doing(reading)?;
        let value = read_bytes(&mut input, value_len).doing(reading)?;
        // A keyspace that this version does not have was added by a newer one.
        if !tables.add_copied(&mut batch, number, key, &value)? {
            return Err(OpenError::Newer {
                path: path.to_owned(),
                version: u16::from(number),
            });
        }
        if batch.len() >= 1000 {
            std::mem::replace(&mut batch, tables.db.batch()).commit()?;
        }
    }
    batch.commit()?;
    Ok(())
}

fn path(dir: &Path, through: u64) -> PathBuf {
    dir.join(format!("{through:020}.copy"))
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("the database bounds keys to 64 KiB and values to 4 GiB")
}

fn verify(path: &Path) -> io::Result<()> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "the checksum does not match");
    let mut file = File::open(path)?;
    let total = file.metadata()?.len();
    let mut left = total
        .checked_sub(4)
        .filter(|left| *left >= HEADER as u64)
        .ok_or_else(bad)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; CHUNK];
    while left > 0 {
        let run = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
        let part = buffer.get_mut(..run).unwrap_or_default();
        file.read_exact(part)?;
        hasher.update(part);
        left -= run as u64;
    }
    let mut crc = [0; 4];
    file.read_exact(&mut crc)?;
    let magic = read_magic(path)?;
    (u32::from_le_bytes(crc) == hasher.finalize() && magic == *MAGIC)
        .then_some(())
        .ok_or_else(bad)
}

fn read_magic(path: &Path) -> io::Result<[u8; 8]> {
    let mut magic = [0; 8];
    File::open(path)?.read_exact(&mut magic)?;
    Ok(magic)
}

fn read_len(input: &mut impl Read) -> io::Result<usize> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes) as usize)
}

fn read_bytes(input: &mut impl Read, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

struct Output<'a> {
    medium: &'a dyn Medium,
    file: &'a File,
    at: u64,
    buffer: Vec<u8>,
    hasher: Hasher,
}

impl Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.medium.write_at(self.file, &self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        let crc = self.hasher.clone().finalize().to_le_bytes();
        self.buffer.extend_from_slice(&crc);
        self.flush()
    }
}
