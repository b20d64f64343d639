//! Signed landing calls: how an advertiser's server proves that a report is its own.
//!
//! The form is that of Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`, the last one a list of
//! `v1,` and base64 of HMAC-SHA-256 over `id.timestamp.body`. Each advertiser has a secret for each live root, so a rotation
//! leaves the older one valid; nothing is stored.

use std::fmt;

use aws_lc_rs::hmac;
use data_encoding::BASE64;

use super::keys::derive_bytes;
use super::{TokenKeys, VERSION};
use crate::id::ShopNumber;

/// Distinguishes these secrets from the tokens' keys, which are derived from the same roots.
const TAG: u8 = (VERSION << 4) | 8;
/// How far a call's time may be from ours, in seconds.
const TOLERANCE: u64 = 5 * 60;

/// A landing call's headers.
#[derive(Clone, Copy, Debug)]
pub struct LandingSignature<'a> {
    /// `webhook-id`: names the call.
    pub id: &'a str,
    /// `webhook-timestamp`: seconds since 1970.
    pub timestamp: &'a str,
    /// `webhook-signature`: one or several, parted by blanks.
    pub signatures: &'a str,
}

/// Why a call is not an advertiser's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// The time is no number, or more than five minutes from ours.
    #[error("webhook-timestamp is not within five minutes of now")]
    Timestamp,
    /// No signature fits.
    #[error("webhook-signature does not fit")]
    Signature,
}

/// A secret that an advertiser signs with: `whsec_` and base64 when shown.
#[derive(Clone)]
pub struct LandingSecret([u8; 32]);

impl fmt::Display for LandingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "whsec_{}", BASE64.encode(&self.0))
    }
}

impl fmt::Debug for LandingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LandingSecret")
    }
}

impl TokenKeys {
    /// Returns an advertiser's secrets, the newest first: sign with that one, all of them verify.
    pub fn landing_secrets(&self, advertiser: ShopNumber) -> Vec<LandingSecret> {
        let roots = self.roots().iter().rev().filter(|root| !root.distrusted);
        let shop = advertiser.0.to_be_bytes();
        roots
            .map(|root| {
                let context = [[TAG, root.id].as_slice(), &shop].concat();
                LandingSecret(derive_bytes(&root.secret, b"staffetta landing", &context))
            })
            .collect()
    }

    /// Verifies an advertiser's call; `now` is in seconds since 1970.
    pub fn verify_landing(
        &self,
        advertiser: ShopNumber,
        signature: &LandingSignature<'_>,
        body: &[u8],
        now: u64,
    ) -> Result<(), BadSignature> {
        let at: u64 = signature.timestamp.parse().map_err(|_| BadSignature::Timestamp)?;
        if at.abs_diff(now) > TOLERANCE {
            return Err(BadSignature::Timestamp);
        }
        let signed = [
            signature.id.as_bytes(),
            b".",
            signature.timestamp.as_bytes(),
            b".",
            body,
        ]
        .concat();
        let given = signature
            .signatures
            .split(' ')
            .filter_map(|one| one.strip_prefix("v1,"));
        let given: Vec<_> = given
            .filter_map(|one| BASE64.decode(one.as_bytes()).ok())
            .take(8)
            .collect();
        let fits = self.landing_secrets(advertiser).iter().any(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
            given.iter().any(|given| hmac::verify(&key, &signed, given).is_ok())
        });
        if fits { Ok(()) } else { Err(BadSignature::Signature) }
    }
}
