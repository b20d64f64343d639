//! Mail addresses: the one type through which an address enters the system.
//!
//! An [`EmailAddress`] follows RFC 5321 §4.1.2 and §4.5.3.1 with the forms of RFC 6531 left out: an ASCII local part
//! (dot-string or quoted-string, at most 64 bytes) and a domain of letters, digits and hyphens (an A-label where it was
//! international; at most 255 bytes). There are no address literals, comments or routes, and never a control
//! character, so an address can be written into an SMTP command or a header as it stands.

use std::fmt;

use aws_lc_rs::hmac;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::id::{PersonKey, ShopNumber, VisitorKey};

/// A syntactically valid mail address, its domain in lower case and as A-labels, its local part as written.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cbor(transparent)]
pub struct EmailAddress(#[n(0)] String);

/// Why a text is not an [`EmailAddress`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddress {
    /// There is no `@` between two parts.
    #[error("is not of the form local-part@domain")]
    Form,
    /// The local part is empty, too long, or has a character that RFC 5321 does not allow there.
    #[error("has a local part that RFC 5321 does not allow (at most 64 ASCII characters, no controls)")]
    Local,
    /// The domain is no DNS name with at least two labels.
    #[error("has a domain that is not a DNS name with at least two labels")]
    Domain,
}

impl EmailAddress {
    /// Returns the address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what stands before the last `@`.
    pub fn local(&self) -> &str {
        self.split().0
    }

    /// Returns the domain, in lower case.
    pub fn domain(&self) -> &str {
        self.split().1
    }

    fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('@').expect("has an @: checked when made")
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        let (local, domain) = text.trim_matches(' ').rsplit_once('@').ok_or(NotAnAddress::Form)?;
        if local.len() > 64 || !(is_dot_string(local) || is_quoted_string(local)) {
            return Err(NotAnAddress::Local);
        }
        let domain = ascii_domain(domain).ok_or(NotAnAddress::Domain)?;
        Ok(Self(format!("{local}@{domain}")))
    }
}

impl TryFrom<&str> for EmailAddress {
    type Error = NotAnAddress;

    fn try_from(text: &str) -> Result<Self, NotAnAddress> {
        text.to_owned().try_into()
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EmailAddress {
    /// Shows the domain alone: whole addresses stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…@{}", self.domain())
    }
}

/// Returns the domain in lower case as A-labels, if it is a DNS host name of two labels or more.
pub fn ascii_domain(domain: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::STD3).ok()?;
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    let valid = ascii.len() <= 253
        && ascii.contains('.')
        && ascii.split('.').all(label)
        && !ascii.rsplit('.').next().is_some_and(numeric);
    valid.then(|| ascii.into_owned())
}

fn is_dot_string(local: &str) -> bool {
    let atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(atext))
}

fn is_quoted_string(local: &str) -> bool {
    let Some(inner) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return false;
    };
    let mut bytes = inner.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'\\' if !bytes.next().is_some_and(|escaped| matches!(escaped, 32..=126)) => return false,
            b'"' | 0..=31 | 127.. => return false,
            _ => {}
        }
    }
    !inner.is_empty()
}

/// Makes [`PersonKey`]s: HMAC-SHA-256 under one 256-bit key, made at the first start and never rotated.
#[derive(Clone)]
pub struct PersonKeyer(hmac::Key);

impl PersonKeyer {
    /// Takes the secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Returns the key of the person behind an address: trimmed, NFC, lower-cased, domain as A-labels.
    ///
    /// Dots and plus-tags are kept: folding them would join people who share nothing but a habit of their provider.
    pub fn key(&self, address: &EmailAddress) -> PersonKey {
        let normalised: String = address.as_str().nfc().flat_map(char::to_lowercase).collect();
        let tag = hmac::sign(&self.0, normalised.as_bytes());
        let (first, _) = tag.as_ref().split_at(16);
        PersonKey::from_bytes(first.try_into().expect("split at 16"))
    }
}

impl fmt::Debug for PersonKeyer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonKeyer(secret)")
    }
}

/// Makes the keys under which advertisers' first visits are kept.
#[derive(Clone)]
pub struct VisitorKeyer(hmac::Key);

impl VisitorKeyer {
    /// Takes the person secret, from which each advertiser's key is derived.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Returns a person's key at one advertiser.
    pub fn key(&self, advertiser: ShopNumber, person: &PersonKey) -> VisitorKey {
        let label = [b"staffetta visitor".as_slice(), &advertiser.0.to_be_bytes()].concat();
        let own = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&self.0, &label).as_ref());
        let tag = hmac::sign(&own, person.as_bytes());
        let (first, _) = tag.as_ref().split_at(16);
        VisitorKey::from_bytes(first.try_into().expect("split at 16"))
    }
}

impl fmt::Debug for VisitorKeyer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VisitorKeyer(secret)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Result<&str, NotAnAddress>) {
        assert_eq!(
            EmailAddress::try_from(text).as_ref().map(EmailAddress::as_str),
            expected.as_ref().copied(),
            "{text:?}"
        );
    }

    #[test]
    fn addresses_are_normalised_in_the_domain_alone() {
        check("Mario.Rossi+x@Example.IT", Ok("Mario.Rossi+x@example.it"));
        check(" mario@example.it ", Ok("mario@example.it"));
        check("mario@bücher.example", Ok("mario@xn--bcher-kva.example"));
        check("\"a b\\\"c\"@example.it", Ok("\"a b\\\"c\"@example.it"));
    }

    #[test]
    fn what_rfc_5321_does_not_allow_is_refused() {
        check("mario", Err(NotAnAddress::Form));
        for bad in [
            "@example.it",
            ".a@example.it",
            "a..b@example.it",
            "a b@example.it",
            "a\r\n@example.it",
            "\"a\r\n\"@example.it",
            "\"a\"b\"@example.it",
            "é@example.it",
            "a@b>, <evil@example.it",
            &format!("{}@example.it", "a".repeat(65)),
        ] {
            check(bad, Err(NotAnAddress::Local));
        }
        for bad in [
            "a@localhost",
            "a@-x.it",
            "a@x-.it",
            "a@x..it",
            "a@[127.0.0.1]",
            "a@127.0.0.1",
            "a@exa mple.it",
            "a@example.it\r\n",
            "a@x_y.it",
            &format!("a@{}.it", "x".repeat(64)),
        ] {
            check(bad, Err(NotAnAddress::Domain));
        }
    }

    #[test]
    fn one_person_is_one_key() {
        let keyer = PersonKeyer::new(&[7; 32]);
        let key = |text: &str| keyer.key(&EmailAddress::try_from(text).expect("valid"));
        assert_eq!(key("Mario@Example.it"), key("mario@example.it"));
        assert_ne!(key("mario+x@example.it"), key("mario@example.it"));
    }

    #[test]
    fn a_person_is_another_visitor_at_each_advertiser() {
        let keyer = VisitorKeyer::new(&[7; 32]);
        let person = PersonKey::from_bytes([3; 16]);
        let key = keyer.key(ShopNumber(1), &person);
        assert_eq!(keyer.key(ShopNumber(1), &person), key);
        assert_ne!(keyer.key(ShopNumber(2), &person), key);
        assert_ne!(keyer.key(ShopNumber(1), &PersonKey::from_bytes([4; 16])), key);
        assert_ne!(VisitorKeyer::new(&[8; 32]).key(ShopNumber(1), &person), key);
        assert_ne!(key.as_bytes(), person.as_bytes());
        assert_eq!(format!("{keyer:?}"), "VisitorKeyer(secret)");
    }

    proptest! {
        #[test]
        fn visitors_of_two_advertisers_have_nothing_in_common(person: [u8; 16], one: u32, other: u32) {
            let keyer = VisitorKeyer::new(&[7; 32]);
            let key = |shop| keyer.key(ShopNumber(shop), &PersonKey::from_bytes(person));
            prop_assert_eq!(key(one) == key(other), one == other);
        }

        #[test]
        fn no_address_carries_a_control_or_a_bracket_outside_quotes(text in "\\PC*|.*@[a-z]{1,9}\\.it") {
            if let Ok(address) = EmailAddress::try_from(text) {
                prop_assert!(!address.as_str().bytes().any(|b| b.is_ascii_control() || !b.is_ascii()));
                if !address.local().starts_with('"') {
                    prop_assert!(!address.as_str().contains(['<', '>', ',', ' ', '"']));
                }
            }
        }
    }
}
