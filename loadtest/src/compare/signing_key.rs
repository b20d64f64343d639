//! The key that peers sign with: RSA-2048, as PEM for them and as the DNS record that the sink verifies by.

use std::fmt::Write as _;

use anyhow::Context;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use data_encoding::BASE64;

/// Whose mail is signed, in the settings of every peer.
pub(super) const DOMAIN: &str = "sender.test";

/// An RSA-2048 key of selector `s1` of [`DOMAIN`].
#[derive(Clone, Debug)]
pub(super) struct SigningKey {
    /// PKCS #8, PEM.
    pub(super) pem: String,
    /// The name and the text of its DNS record.
    pub(super) record: (String, String),
}

impl SigningKey {
    /// Makes one.
    pub(super) fn generate() -> anyhow::Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048).context("making an RSA key")?;
        let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)?;
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key())?;
        let encoded = BASE64.encode(private.as_ref());
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, tail) = rest.split_at(rest.len().min(64));
            writeln!(pem, "{line}")?;
            rest = tail;
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        let text = format!("v=DKIM1; k=rsa; p={}", BASE64.encode(public.as_ref()));
        Ok(Self {
            pem,
            record: (format!("s1._domainkey.{DOMAIN}"), text),
        })
    }
}
