//! The folder of certificates: one for each host, read again when its files change.
//!
//! | files | hold |
//! |---|---|
//! | `<host>.pem` | the chain, the host's certificate first, and its key |
//! | `<host>.crt` and `<host>.key` | the same in two |
//! | `default.pem`, or `default.crt` and `default.key` | what names without files of their own get |
//!
//! A file is changed when its inode, size or time is: those who renew certificates write a new file and rename it, or write in
//! place. What cannot be read, or does not fit its key, is logged and counted, once for each change, and the certificate
//! before it stays. A host whose files are gone is refused from then on.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use prometheus::{IntCounter, IntGaugeVec};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use types::time::Timestamp;

use super::expiry;
use crate::metrics::Metrics;

/// The name of the certificate for hosts without one.
const DEFAULT: &str = "default";
/// How many hosts have a gauge of their own; more are served all the same.
const GAUGES_MAX: usize = 1_000;
/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The certificates by host, swapped whole.
pub(super) struct Certificates {
    folder: Option<PathBuf>,
    by_host: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
    /// What was read last; only the reload takes this lock.
    read: Mutex<BTreeMap<String, Read>>,
    days: IntGaugeVec,
    faults: IntCounter,
}

/// What became of one host's files.
struct Read {
    mark: Mark,
    certificate: Option<Arc<CertifiedKey>>,
}

/// What tells one state of a host's files from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Mark(Vec<(PathBuf, u64, u64, i64, i64)>);

/// Why a host's files are not used.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("is no PEM file with certificates and a key: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    #[error("holds no certificate")]
    Empty,
    #[error("is not usable: {0}")]
    Tls(#[from] rustls::Error),
}

impl Certificates {
    pub(super) fn new(folder: Option<PathBuf>, metrics: &Metrics) -> Self {
        Self {
            folder,
            by_host: ArcSwap::default(),
            read: Mutex::default(),
            days: metrics.certificate_days.clone(),
            faults: metrics.certificate_faults.clone(),
        }
    }

    /// Reads what changed since the last time. Blocks on the disk.
    pub(super) fn reload(&self, now: Timestamp) {
        let Some(folder) = &self.folder else {
            return;
        };
        let hosts = match list(folder) {
            Ok(hosts) => hosts,
            Err(error) => {
                // Whatever was served goes on being served.
                self.faults.inc();
                tracing::error!(folder = %folder.display(), %error, "tracker: the folder of certificates cannot be read");
                return;
            }
        };
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_changed = false;
        read.retain(|host, _| {
            let stays = hosts.contains_key(host);
            if !stays {
                is_changed = true;
                let _ = self.days.remove_label_values(&[host]);
                tracing::info!(host, "tracker: the host's certificate is gone");
            }
            stays
        });
        for (host, mark) in hosts {
            if read.get(&host).is_some_and(|read| read.mark == mark) {
                continue;
            }
            is_changed = true;
            let before = read.get(&host).and_then(|read| read.certificate.clone());
            let certificate = self.read(&host, &mark).or(before);
            read.insert(host, Read { mark, certificate });
        }
        for (host, read) in read.iter().take(GAUGES_MAX) {
            let end = read.certificate.as_ref().and_then(|certificate| end(certificate));
            if let Some(end) = end {
                self.days.with_label_values(&[host]).set(days(now, end));
            }
        }
        if is_changed {
            let usable = read
                .iter()
                .filter_map(|(host, read)| Some((host.clone(), read.certificate.clone()?)));
            self.by_host.store(Arc::new(usable.collect()));
        }
    }

    fn read(&self, host: &str, mark: &Mark) -> Option<Arc<CertifiedKey>> {
        match load(mark) {
            Ok(certificate) => {
                tracing::info!(host, "tracker: certificate loaded");
                Some(Arc::new(certificate))
            }
            Err(fault) => {
                self.faults.inc();
                tracing::error!(host, %fault, "tracker: the host's certificate is not used; the one before it stays");
                None
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let by_host = self.by_host.load();
        // rustls gives the name in lower case.
        let own = hello.server_name().and_then(|name| by_host.get(name));
        own.or_else(|| by_host.get(DEFAULT)).cloned()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificates({:?})", self.folder)
    }
}

/// Lists the hosts of a folder with the state of their files, in the order in which those are read.
fn list(folder: &Path) -> std::io::Result<BTreeMap<String, Mark>> {
    let mut hosts: BTreeMap<String, Mark> = BTreeMap::new();
    let mut paths: Vec<_> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort_unstable();
    for path in paths {
        let kind = path.extension().and_then(|extension| extension.to_str());
        let Some(host) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        // Renamed into place or gone between the two looks: the next round sees it.
        let (Some("pem" | "crt" | "key"), Ok(metadata)) = (kind, fs::metadata(&path)) else {
            continue;
        };
        if metadata.is_file() {
            let state = (
                path.clone(),
                metadata.ino(),
                metadata.size(),
                metadata.mtime(),
                metadata.mtime_nsec(),
            );
            hosts.entry(host.to_ascii_lowercase()).or_default().0.push(state);
        }
    }
    Ok(hosts)
}

/// Reads a host's chain and key out of its files, whichever hold them.
fn load(mark: &Mark) -> Result<CertifiedKey, Fault> {
    let mut pem = Vec::new();
    for (path, _, size, ..) in &mark.0 {
        if *size > FILE_BYTES_MAX {
            return Err(Fault::TooLarge);
        }
        pem.extend_from_slice(&fs::read(path)?);
        pem.push(b'\n');
    }
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>()?;
    if chain.is_empty() {
        return Err(Fault::Empty);
    }
    let key = PrivateKeyDer::from_pem_slice(&pem)?;
    let key = aws_lc_rs::sign::any_supported_type(&key)?;
    let certificate = CertifiedKey::new(chain, key);
    certificate.keys_match()?;
    Ok(certificate)
}

fn end(certificate: &CertifiedKey) -> Option<Timestamp> {
    certificate.cert.first().and_then(|first| expiry::not_after(first))
}

/// Returns whole days from `now` to `end`, negative once it has passed.
fn days(now: Timestamp, end: Timestamp) -> i64 {
    const DAY_MILLIS: u64 = 86_400_000;
    let whole = |millis: u64| i64::try_from(millis / DAY_MILLIS).unwrap_or(i64::MAX);
    match end.as_millis().checked_sub(now.as_millis()) {
        Some(left) => whole(left),
        None => -1 - whole(now.as_millis() - end.as_millis()),
    }
}
