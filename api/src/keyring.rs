//! The secrets that the API works with: what keys persons, signs click ids, and is the operator's.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use store::Secrets;
use types::address::{EmailAddress, PersonKeyer};
use types::id::{PersonKey, ShopNumber};
use types::token::{ClickId, LandingSecret, TokenKeys};

/// Every secret that a handler uses. None of them leaves it, but for the landing secrets, which are made to be handed out.
pub(crate) struct Keyring {
    persons: PersonKeyer,
    tokens: Arc<TokenKeys>,
    /// SHA-256 of the operator's key, as it was at the start.
    operator_hash: Option<[u8; 32]>,
}

impl Keyring {
    /// Takes the secrets as they are now.
    pub(crate) fn new(secrets: &Secrets, tokens: Arc<TokenKeys>) -> Self {
        Self {
            persons: secrets.person_keyer(),
            tokens,
            operator_hash: secrets.operator_hash(),
        }
    }

    /// Returns the key of the person behind an address.
    pub(crate) fn person(&self, address: &EmailAddress) -> PersonKey {
        self.persons.key(address)
    }

    /// Returns whether a key with this SHA-256 is the operator's.
    pub(crate) fn is_operator(&self, hash: &[u8; 32]) -> bool {
        let own = self.operator_hash.as_ref();
        own.is_some_and(|own| verify_slices_are_equal(own, hash).is_ok())
    }

    /// Returns the click id, signed.
    pub(crate) fn click_id(&self, click: &ClickId) -> String {
        self.tokens.click_id(click)
    }

    /// Returns what an advertiser's server signs landing calls with: the newest secret.
    pub(crate) fn landing_secret(&self, advertiser: ShopNumber) -> Option<LandingSecret> {
        self.tokens.landing_secrets(advertiser).into_iter().next()
    }
}
