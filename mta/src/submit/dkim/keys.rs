//! The keys of all sender domains, read once and kept ready.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use store::Secrets;
use types::catalogue::DkimSignatures;

use super::super::settings::Settings;
use super::key::{Algorithm, DkimRecord, KeyError, SigningKey, generate_keys};

/// Under which selectors keys are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selectors {
    /// Of RSA keys.
    pub rsa: String,
    /// Of Ed25519 keys.
    pub ed25519: String,
}

impl Default for Selectors {
    fn default() -> Self {
        Self {
            rsa: "s1".to_owned(),
            ed25519: "s1e".to_owned(),
        }
    }
}

/// Where keys are kept: the store's secrets, or memory in tests and tools.
pub trait KeyStore: Send + Sync + 'static {
    /// Returns the PKCS#8 key in PEM of a domain and selector, if there is one. May read the disk.
    fn load(&self, domain: &str, selector: &str) -> Result<Option<Vec<u8>>, String>;

    /// Keeps a new key; it is durable on return.
    fn save(&self, domain: &str, selector: &str, pem: &[u8]) -> Result<(), String>;
}

/// The keys of all sender domains.
///
/// A key, once read, stays: under a selector there is never another key, since what was signed with it may be verified
/// for weeks; to change keys, change the selector. A missing key is made on the spot, with a warning that shows the
/// record to publish: a mail that fails verification until then is better than one that does not go out, and nothing
/// ever goes out unsigned. The cache is bounded by the sender domains there are.
pub struct DkimKeys {
    store: Box<dyn KeyStore>,
    selectors: Selectors,
    ready: RwLock<HashMap<(String, Algorithm), Arc<SigningKey>>>,
}

impl DkimKeys {
    /// Takes where keys are kept.
    pub fn new(store: impl KeyStore, selectors: Selectors) -> Self {
        Self {
            store: Box::new(store),
            selectors,
            ready: RwLock::default(),
        }
    }

    /// Returns the keys that a sender's mail is signed with, the most widely verified first. Makes what is missing.
    pub fn of(&self, domain: &str, signatures: DkimSignatures) -> Result<Vec<Arc<SigningKey>>, KeyError> {
        algorithms(signatures)
            .iter()
            .map(|algorithm| self.key(domain, *algorithm))
            .collect()
    }

    /// Returns the DNS records of a sender's keys, making what is missing. For when a shop is put.
    pub fn records(&self, domain: &str, signatures: DkimSignatures) -> Result<Vec<DkimRecord>, KeyError> {
        self.of(domain, signatures)?.iter().map(|key| key.record()).collect()
    }

    fn key(&self, domain: &str, algorithm: Algorithm) -> Result<Arc<SigningKey>, KeyError> {
        let name = (domain.to_owned(), algorithm);
        if let Some(key) = self.cached(&name) {
            return Ok(key);
        }
        let key = Arc::new(read_or_make(&*self.store, &self.selectors, domain, algorithm)?);
        self.ready
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, Arc::clone(&key));
        Ok(key)
    }

    fn cached(&self, name: &(String, Algorithm)) -> Option<Arc<SigningKey>> {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        ready.get(name).cloned()
    }
}

/// Returns the DNS records of a domain's keys of both algorithms, making what is missing: for `staffetta keygen dkim`, and
/// for when a shop is put.
pub fn dkim_records(settings: &Settings, secrets: &Secrets, domain: &str) -> Result<Vec<DkimRecord>, KeyError> {
    algorithms(DkimSignatures::RsaAndEd25519)
        .iter()
        .map(|algorithm| read_or_make(secrets, &settings.selectors, domain, *algorithm)?.record())
        .collect()
}

/// Held while a key is looked for and made, whoever asks: two threads must not make two keys of one name.
static MAKING: Mutex<()> = Mutex::new(());

fn read_or_make(
    store: &dyn KeyStore,
    selectors: &Selectors,
    domain: &str,
    algorithm: Algorithm,
) -> Result<SigningKey, KeyError> {
    let selector = match algorithm {
        Algorithm::Rsa => &selectors.rsa,
        Algorithm::Ed25519 => &selectors.ed25519,
    };
    let failed = |reason| KeyError::Store {
        domain: domain.to_owned(),
        selector: selector.clone(),
        reason,
    };
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pem) = store.load(domain, selector).map_err(failed)? {
        return SigningKey::from_pem(domain, selector, algorithm, &pem);
    }
    let mut made = generate_keys(domain, [(selector.as_str(), algorithm)])?;
    let made = made.pop().ok_or(KeyError::Library)?;
    store.save(domain, selector, made.pem.as_bytes()).map_err(failed)?;
    tracing::warn!(
        record = %made.record,
        "made a DKIM key: publish its DNS record, until then receivers cannot verify this sender"
    );
    Ok(made.key)
}

impl KeyStore for Secrets {
    fn load(&self, domain: &str, selector: &str) -> Result<Option<Vec<u8>>, String> {
        if let Some(pem) = self.dkim_key(domain, selector) {
            return Ok(Some(pem));
        }
        // A key that is there and cannot be read must not be replaced by another under the same name.
        let kept = self.dkim_keys().map_err(|error| error.to_string())?;
        if kept.iter().any(|(of, name)| of == domain && name == selector) {
            return Err("the file is there, but cannot be read".to_owned());
        }
        Ok(None)
    }

    fn save(&self, domain: &str, selector: &str, pem: &[u8]) -> Result<(), String> {
        self.put_dkim_key(domain, selector, pem)
            .map_err(|error| error.to_string())
    }
}

impl fmt::Debug for DkimKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DkimKeys")
            .field("selectors", &self.selectors)
            .finish_non_exhaustive()
    }
}

const fn algorithms(signatures: DkimSignatures) -> &'static [Algorithm] {
    match signatures {
        DkimSignatures::Rsa => &[Algorithm::Rsa],
        DkimSignatures::RsaAndEd25519 => &[Algorithm::Rsa, Algorithm::Ed25519],
        DkimSignatures::Ed25519 => &[Algorithm::Ed25519],
    }
}
