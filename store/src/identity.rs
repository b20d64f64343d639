//! The data directory's identity: a random incarnation, which every segment and copy of it carries.

use std::fs;
use std::io;
use std::path::Path;

use aws_lc_rs::rand;

use crate::error::{Doing, OpenError};
use crate::frame::{put, u16_at, u32_at};
use crate::medium::{Medium, replace};

const NAME: &str = "identity";
const MAGIC: &[u8; 8] = b"STAFDATA";
const VERSION: u16 = 1;
const LEN: usize = 32;

/// Reads the incarnation, or makes one. `found` is what existing segments say, for a directory whose file was lost.
pub(crate) fn open(medium: &dyn Medium, dir: &Path, found: Option<[u8; 16]>) -> Result<[u8; 16], OpenError> {
    let path = dir.join(NAME);
    match fs::read(&path) {
        Ok(bytes) => read(&path, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let incarnation = match found {
                Some(found) => found,
                None => random().doing(|| "making an identity".to_owned())?,
            };
            replace(medium, dir, NAME, &encode(incarnation)).doing(|| format!("writing {}", path.display()))?;
            Ok(incarnation)
        }
        Err(source) => Err(OpenError::Io {
            doing: format!("reading {}", path.display()),
            source,
        }),
    }
}

fn read(path: &Path, bytes: &[u8]) -> Result<[u8; 16], OpenError> {
    let valid = bytes.len() == LEN && bytes.starts_with(MAGIC) && u32_at(bytes, 12) == Some(crc(bytes));
    let version = u16_at(bytes, 8).unwrap_or(0);
    let incarnation = bytes.get(16..LEN).and_then(|bytes| bytes.try_into().ok());
    match incarnation.filter(|_| valid) {
        Some(_) if version != VERSION => Err(OpenError::Newer {
            path: path.to_owned(),
            version,
        }),
        Some(incarnation) => Ok(incarnation),
        None => Err(OpenError::Foreign(path.to_owned())),
    }
}

fn encode(incarnation: [u8; 16]) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    put(&mut bytes, 0, MAGIC);
    put(&mut bytes, 8, &VERSION.to_le_bytes());
    put(&mut bytes, 16, &incarnation);
    let crc = crc(&bytes).to_le_bytes();
    put(&mut bytes, 12, &crc);
    bytes
}

fn crc(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes.get(..12).unwrap_or_default());
    hasher.update(bytes.get(16..LEN).unwrap_or_default());
    hasher.finalize()
}

fn random() -> io::Result<[u8; 16]> {
    let mut incarnation = [0; 16];
    rand::fill(&mut incarnation).map_err(|_| io::Error::other("the system gives no randomness"))?;
    Ok(incarnation)
}
