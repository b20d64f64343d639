//! Signed calls: how an advertiser's server proves that a report of a landing is its own, and how we prove that a webhook is ours.
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

    /// Signs a call of ours to a shop's page with the shop's newest secret: the value of `webhook-signature`. `at` is in seconds since
    /// 1970, as `webhook-timestamp` says it.
    pub fn sign_call(&self, shop: ShopNumber, id: &str, at: u64, body: &[u8]) -> Option<String> {
        let secret = self.landing_secrets(shop).into_iter().next()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
        let signed = [id.as_bytes(), b".", at.to_string().as_bytes(), b".", body].concat();
        Some(format!("v1,{}", BASE64.encode(hmac::sign(&key, &signed).as_ref())))
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

#[cfg(test)]
mod tests {
    use super::*;

    const ADVERTISER: ShopNumber = ShopNumber(7);
    const BODY: &[u8] = br#"{"click_id":"x"}"#;
    const NOW: u64 = 1_800_000_000;

    fn keys() -> TokenKeys {
        TokenKeys::new(&[(1, [1; 32]), (2, [2; 32])])
    }

    /// Signs as an advertiser does, with a secret as it was shown.
    fn sign(secret: &LandingSecret, id: &str, timestamp: &str, body: &[u8]) -> String {
        let shown = secret.to_string();
        let secret = BASE64
            .decode(shown.trim_start_matches("whsec_").as_bytes())
            .expect("base64");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let tag = hmac::sign(&key, &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat());
        format!("v1,{}", BASE64.encode(tag.as_ref()))
    }

    fn newest() -> LandingSecret {
        keys()
            .landing_secrets(ADVERTISER)
            .first()
            .expect("one for each root")
            .clone()
    }

    fn check(signatures: &str, timestamp: &str, body: &[u8]) -> Result<(), BadSignature> {
        let signature = LandingSignature {
            id: "msg_1",
            timestamp,
            signatures,
        };
        keys().verify_landing(ADVERTISER, &signature, body, NOW)
    }

    #[test]
    fn an_advertisers_own_call_is_taken() {
        let timestamp = NOW.to_string();
        let good = sign(&newest(), "msg_1", &timestamp, BODY);
        assert_eq!(check(&good, &timestamp, BODY), Ok(()));
        assert_eq!(
            check(&format!("v1,AAAA v2,x {good}"), &timestamp, BODY),
            Ok(()),
            "one of several"
        );
    }

    #[test]
    fn whatever_was_signed_cannot_be_changed() {
        let timestamp = NOW.to_string();
        let good = sign(&newest(), "msg_1", &timestamp, BODY);
        let later = (NOW + 1).to_string();
        let other_id = sign(&newest(), "msg_2", &timestamp, BODY);
        let other_shop = keys().landing_secrets(ShopNumber(8));
        let other_shop = sign(
            other_shop.first().expect("one for each root"),
            "msg_1",
            &timestamp,
            BODY,
        );
        for (signatures, timestamp, body) in [
            (good.as_str(), timestamp.as_str(), b"{}".as_slice()),
            (&good, &later, BODY),
            (&other_id, &timestamp, BODY),
            (&other_shop, &timestamp, BODY),
            (good.trim_start_matches("v1,"), &timestamp, BODY),
            (&good[..good.len() - 4], &timestamp, BODY),
            ("", &timestamp, BODY),
        ] {
            assert_eq!(
                check(signatures, timestamp, body),
                Err(BadSignature::Signature),
                "{signatures}"
            );
        }
    }

    #[test]
    fn the_time_may_be_five_minutes_off() {
        for (at, expected) in [
            (NOW - TOLERANCE, Ok(())),
            (NOW + TOLERANCE, Ok(())),
            (NOW - TOLERANCE - 1, Err(BadSignature::Timestamp)),
            (NOW + TOLERANCE + 1, Err(BadSignature::Timestamp)),
        ] {
            let timestamp = at.to_string();
            assert_eq!(
                check(&sign(&newest(), "msg_1", &timestamp, BODY), &timestamp, BODY),
                expected
            );
        }
        assert_eq!(check("", "now", BODY), Err(BadSignature::Timestamp));
    }

    #[test]
    fn secrets_rotate_with_the_roots() {
        let timestamp = NOW.to_string();
        let secrets = keys().landing_secrets(ADVERTISER);
        assert_eq!(secrets.len(), 2);
        for secret in &secrets {
            assert_eq!(
                check(&sign(secret, "msg_1", &timestamp, BODY), &timestamp, BODY),
                Ok(())
            );
        }
        let oldest = TokenKeys::new(&[(1, [1; 32])]).landing_secrets(ADVERTISER);
        assert_eq!(
            oldest.first().map(ToString::to_string),
            secrets.last().map(ToString::to_string),
            "the newest comes first"
        );
        let distrusting = keys().distrust(&[1]);
        assert_eq!(distrusting.landing_secrets(ADVERTISER).len(), 1);
        assert_eq!(format!("{:?}", newest()), "LandingSecret");
    }

    #[test]
    fn only_so_many_signatures_are_tried() {
        let timestamp = NOW.to_string();
        let good = sign(&newest(), "msg_1", &timestamp, BODY);
        let many = "v1,AAAA ".repeat(8);
        assert_eq!(
            check(&format!("{many}{good}"), &timestamp, BODY),
            Err(BadSignature::Signature)
        );
    }

    #[test]
    fn what_we_sign_verifies_as_what_the_shop_signs() {
        let signatures = keys().sign_call(ADVERTISER, "call-1", NOW, BODY).expect("a live root");
        let timestamp = NOW.to_string();
        let signature = LandingSignature {
            id: "call-1",
            timestamp: &timestamp,
            signatures: &signatures,
        };
        assert_eq!(keys().verify_landing(ADVERTISER, &signature, BODY, NOW), Ok(()));
        assert!(keys().verify_landing(ShopNumber(8), &signature, BODY, NOW).is_err());
    }
}
