//! Signing keys: made, read, and published as DNS records.

use std::fmt;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use data_encoding::BASE64;

/// The PEM frame of a PKCS#8 key (RFC 7468 §10).
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
/// How many characters one string of a TXT record holds (RFC 1035 §3.3).
const TXT_STRING_MAX: usize = 255;

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA with 2,048 bits: what every receiver verifies.
    Rsa,
    /// Ed25519 (RFC 8463).
    Ed25519,
}

impl Algorithm {
    /// Returns the name in the `a=` tag.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rsa => "rsa-sha256",
            Self::Ed25519 => "ed25519-sha256",
        }
    }
}

/// Why there is no key, or no signature.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is not a PKCS#8 key in PEM.
    #[error("the key of {selector}._domainkey.{domain} is not a PKCS#8 private key in PEM")]
    NotPem {
        /// The signing domain.
        domain: String,
        /// The selector.
        selector: String,
    },
    /// The key is of another kind, or too small or too large.
    #[error("the key of {selector}._domainkey.{domain} is refused: {reason}")]
    Refused {
        /// The signing domain.
        domain: String,
        /// The selector.
        selector: String,
        /// What the cryptographic library says.
        reason: String,
    },
    /// No key could be made, or nothing signed: the library's own failure, which has no cause.
    #[error("the cryptographic library failed")]
    Library,
    /// The key could not be read from, or written to, where keys are kept.
    #[error("the key of {selector}._domainkey.{domain} cannot be kept: {reason}")]
    Store {
        /// The signing domain.
        domain: String,
        /// The selector.
        selector: String,
        /// What the store says.
        reason: String,
    },
}

/// A key that is ready to sign, under its name in DNS.
pub struct SigningKey {
    domain: String,
    selector: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Reads a PKCS#8 key in PEM. RSA keys have 2,048 to 8,192 bits.
    pub fn from_pem(domain: &str, selector: &str, algorithm: Algorithm, pem: &[u8]) -> Result<Self, KeyError> {
        let refused = |rejected: aws_lc_rs::error::KeyRejected| KeyError::Refused {
            domain: domain.to_owned(),
            selector: selector.to_owned(),
            reason: rejected.to_string(),
        };
        let der = pem_body(pem).ok_or_else(|| KeyError::NotPem {
            domain: domain.to_owned(),
            selector: selector.to_owned(),
        })?;
        let pair = match algorithm {
            Algorithm::Rsa => Pair::Rsa(RsaKeyPair::from_pkcs8(&der).map_err(refused)?),
            // Keys made by OpenSSL come without the public half.
            Algorithm::Ed25519 => Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(refused)?),
        };
        Ok(Self {
            domain: domain.to_owned(),
            selector: selector.to_owned(),
            pair,
        })
    }

    /// Returns the selector, `s=`.
    pub fn selector(&self) -> &str {
        &self.selector
    }

    /// Returns how it signs.
    pub const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Rsa(_) => Algorithm::Rsa,
            Pair::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// Returns the DNS record that verifiers look for.
    pub fn record(&self) -> Result<DkimRecord, KeyError> {
        let (kind, public) = match &self.pair {
            Pair::Rsa(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Library)?;
                ("rsa", BASE64.encode(der.as_ref()))
            }
            // RFC 8463 §4: the 32 bytes themselves.
            Pair::Ed25519(pair) => ("ed25519", BASE64.encode(pair.public_key().as_ref())),
        };
        Ok(DkimRecord {
            name: format!("{}._domainkey.{}", self.selector, self.domain),
            value: format!("v=DKIM1; k={kind}; p={public}"),
        })
    }

    /// Signs a SHA-256 digest. RFC 8463 §3: Ed25519 signs the digest as its message.
    pub(super) fn sign(&self, digest: &Digest) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(&RSA_PKCS1_SHA256, digest, &mut signature)
                    .map_err(|_| KeyError::Library)?;
                Ok(signature)
            }
            Pair::Ed25519(pair) => {
                let signature = pair.try_sign(digest.as_ref()).map_err(|_| KeyError::Library)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}._domainkey.{} ({})",
            self.selector,
            self.domain,
            self.algorithm().as_str()
        )
    }
}

/// A TXT record to publish, so that signatures can be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkimRecord {
    /// The record's name, such as `s1._domainkey.news.shop.example`.
    pub name: String,
    /// Its value in one piece.
    pub value: String,
}

impl DkimRecord {
    /// Returns the value as a zone file has it: in quoted strings of at most 255 characters, which verifiers join.
    pub fn zone_text(&self) -> String {
        let strings: Vec<String> = self
            .value
            .as_bytes()
            .chunks(TXT_STRING_MAX)
            .map(|string| format!("\"{}\"", String::from_utf8_lossy(string)))
            .collect();
        strings.join(" ")
    }
}

impl fmt::Display for DkimRecord {
    /// Writes the record as a line of a zone file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. IN TXT {}", self.name, self.zone_text())
    }
}

/// A new key, with what is to be kept secret and what is to be published.
pub struct GeneratedKey {
    /// Its selector.
    pub selector: String,
    /// The PKCS#8 key in PEM. Secret.
    pub pem: String,
    /// The record for DNS.
    pub record: DkimRecord,
    /// The key itself, ready to sign.
    pub key: SigningKey,
}

impl fmt::Debug for GeneratedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GeneratedKey({}, secret)", self.record.name)
    }
}

/// Makes new keys for a domain: one per selector and algorithm. An RSA key takes a tenth of a second and more.
pub fn generate_keys<'a>(
    domain: &str,
    wanted: impl IntoIterator<Item = (&'a str, Algorithm)>,
) -> Result<Vec<GeneratedKey>, KeyError> {
    wanted
        .into_iter()
        .map(|(selector, algorithm)| generate(domain, selector, algorithm))
        .collect()
}

fn generate(domain: &str, selector: &str, algorithm: Algorithm) -> Result<GeneratedKey, KeyError> {
    let pem = match algorithm {
        Algorithm::Rsa => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Library)?;
            let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Library)?;
            pem(der.as_ref())
        }
        Algorithm::Ed25519 => {
            // Version 1, without the public half, is what OpenSSL and other tools read.
            let der = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).map_err(|_| KeyError::Library)?;
            pem(der.as_ref())
        }
    };
    let key = SigningKey::from_pem(domain, selector, algorithm, pem.as_bytes())?;
    Ok(GeneratedKey {
        selector: selector.to_owned(),
        record: key.record()?,
        pem,
        key,
    })
}

fn pem(der: &[u8]) -> String {
    let mut out = format!("{PEM_BEGIN}\n");
    for line in BASE64.encode(der).as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(PEM_END);
    out.push('\n');
    out
}

fn pem_body(pem: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?;
    let (_, rest) = text.split_once(PEM_BEGIN)?;
    let (body, _) = rest.split_once(PEM_END)?;
    let body: String = body.split_ascii_whitespace().collect();
    BASE64.decode(body.as_bytes()).ok()
}
