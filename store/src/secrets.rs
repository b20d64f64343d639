//! The secrets: a directory of small files that only the store opens, made at the first start.
//!
//! `secrets/` has mode 0700, each file 0600. They are never in journal, state or logs. Losing `person.key` makes every
//! stored person a stranger, so a data directory without it but with a journal is not opened.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::rand;
use types::address::{PersonKeyer, VisitorKeyer};

use crate::medium::{Medium, RealMedium, replace};
use crate::segment::Kind;

const PERSON: &str = "person.key";
const VERP: &str = "verp.key";
const OPERATOR: &str = "operator.sha256";
const TOKENS: &str = "token";
const DKIM: &str = "dkim";

/// The secrets of a data directory.
#[derive(Clone)]
pub struct Secrets {
    dir: PathBuf,
    medium: Arc<dyn Medium>,
    person: [u8; 32],
    verp: [u8; 32],
    tokens: BTreeMap<u8, [u8; 32]>,
    distrusted: Vec<u8>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// Opens the secrets of `data_dir` for a command that runs beside the service or before its first start; makes the
    /// directory and the secrets if no journal is there yet.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
        let first_start = Kind::Journal
            .list(&data_dir.join("journal"))
            .is_ok_and(|segments| segments.is_empty())
            || !data_dir.join("journal").exists();
        let medium: Arc<dyn Medium> = Arc::new(RealMedium);
        medium.sync_dir(data_dir)?;
        Self::open_in(data_dir.join("secrets"), medium, first_start)
    }

    /// Reads the secrets, and makes those that are missing if this is the `first_start`. Err otherwise.
    pub(crate) fn open_in(dir: PathBuf, medium: Arc<dyn Medium>, first_start: bool) -> io::Result<Self> {
        for dir in [dir.clone(), dir.join(TOKENS), dir.join(DKIM)] {
            match DirBuilder::new().mode(0o700).create(&dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        medium.sync_dir(&dir)?;
        let person = key(&*medium, &dir, PERSON, first_start)?;
        let verp = key(&*medium, &dir, VERP, first_start)?;
        let (mut tokens, mut distrusted) = (BTreeMap::new(), Vec::new());
        for entry in fs::read_dir(dir.join(TOKENS))? {
            let path = entry?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            match (id, path.extension().and_then(|extension| extension.to_str())) {
                (Some(id), Some("key")) => drop(tokens.insert(id, exact(&path)?)),
                (Some(id), Some("distrusted")) => distrusted.push(id),
                _ => {}
            }
        }
        if tokens.is_empty() {
            tokens.insert(1, key(&*medium, &dir.join(TOKENS), "001.key", first_start)?);
        }
        Ok(Self {
            dir,
            medium,
            person,
            verp,
            tokens,
            distrusted,
        })
    }

    /// Returns what makes person keys from addresses.
    pub fn person_keyer(&self) -> PersonKeyer {
        PersonKeyer::new(&self.person)
    }

    /// Returns what makes the keys under which advertisers' first visits are kept.
    pub fn visitor_keyer(&self) -> VisitorKeyer {
        VisitorKeyer::new(&self.person)
    }

    /// Returns the ids of token keys that others know: their links lead on, and count for nothing.
    pub fn distrusted_tokens(&self) -> &[u8] {
        &self.distrusted
    }

    /// Distrusts a token key from the next start on. Durable on return.
    pub fn distrust_token_secret(&self, id: u8) -> io::Result<()> {
        replace(
            &*self.medium,
            &self.dir.join(TOKENS),
            &format!("{id:03}.distrusted"),
            &[],
        )
    }

    /// Returns the token keys by id, rising; the last signs, all verify. Never empty.
    pub fn token_secrets(&self) -> Vec<(u8, [u8; 32])> {
        self.tokens.iter().map(|(id, secret)| (*id, *secret)).collect()
    }

    /// Makes a new token key, which signs from the next start on. Durable on return. Err: all 255 ids are used, or the
    /// disk failed.
    pub fn rotate_token_secret(&self) -> io::Result<u8> {
        let last = self.tokens.last_key_value().map_or(0, |(id, _)| *id);
        let id = last
            .checked_add(1)
            .ok_or_else(|| io::Error::other("all 255 token keys are used"))?;
        let dir = self.dir.join(TOKENS);
        replace(&*self.medium, &dir, &format!("{id:03}.key"), &random()?)?;
        Ok(id)
    }

    /// Returns the secret that signs return paths.
    pub fn verp_secret(&self) -> [u8; 32] {
        self.verp
    }

    /// Reads a DKIM key (PEM, PKCS#8), or `None` if there is none of that domain and selector, or it cannot be read.
    pub fn dkim_key(&self, domain: &str, selector: &str) -> Option<Vec<u8>> {
        let (dir, name) = self.dkim_file(domain, selector)?;
        fs::read(dir.join(name)).ok()
    }

    /// Stores a DKIM key (PEM, PKCS#8), replacing an older one. Durable on return.
    pub fn put_dkim_key(&self, domain: &str, selector: &str, pem: &[u8]) -> io::Result<()> {
        let (dir, name) = self
            .dkim_file(domain, selector)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "domain or selector is not a DNS name"))?;
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => self.medium.sync_dir(&self.dir.join(DKIM))?,
        }
        replace(&*self.medium, &dir, &name, pem)
    }

    /// Returns domain and selector of every DKIM key.
    pub fn dkim_keys(&self) -> io::Result<Vec<(String, String)>> {
        let mut keys = Vec::new();
        for domain in fs::read_dir(self.dir.join(DKIM))? {
            let domain = domain?;
            for file in fs::read_dir(domain.path())? {
                let file = file?.file_name().to_string_lossy().into_owned();
                if let Some(selector) = file.strip_suffix(".pem") {
                    keys.push((domain.file_name().to_string_lossy().into_owned(), selector.to_owned()));
                }
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// Returns the SHA-256 of the operator's key, or `None` before it was set.
    pub fn operator_hash(&self) -> Option<[u8; 32]> {
        exact(&self.dir.join(OPERATOR)).ok()
    }

    /// Sets the SHA-256 of the operator's key. Durable on return.
    pub fn set_operator_hash(&self, hash: &[u8; 32]) -> io::Result<()> {
        replace(&*self.medium, &self.dir, OPERATOR, hash)
    }

    /// Returns directory and name of a key's file, if both parts are DNS names: no path can be made of those.
    fn dkim_file(&self, domain: &str, selector: &str) -> Option<(PathBuf, String)> {
        let is_name = |text: &str| {
            (1..=253).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && !text.split('.').any(str::is_empty)
        };
        (is_name(domain) && is_name(selector)).then(|| {
            let dir = self.dir.join(DKIM).join(domain.to_ascii_lowercase());
            (dir, format!("{}.pem", selector.to_ascii_lowercase()))
        })
    }
}

fn key(medium: &dyn Medium, dir: &Path, name: &str, first_start: bool) -> io::Result<[u8; 32]> {
    match exact(&dir.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && first_start => {
            let secret = random()?;
            replace(medium, dir, name, &secret)?;
            Ok(secret)
        }
        read => read.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", dir.join(name).display()))),
    }
}

fn exact(path: &Path) -> io::Result<[u8; 32]> {
    fs::read(path)?
        .try_into()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a secret of 32 bytes is expected"))
}

fn random() -> io::Result<[u8; 32]> {
    let mut secret = [0; 32];
    rand::fill(&mut secret).map_err(|_| io::Error::other("the system gives no randomness"))?;
    Ok(secret)
}
