//! Whole DKIM verification (RFC 6376, RFC 8463) with public keys that were told, not looked up.
//!
//! It covers the signed header fields and the signature; that the body hash is the body's is looked at on every mail
//! ([`super::integrity`]).

use std::collections::HashMap;

use anyhow::Context;
use mail_auth::AuthenticatedMessage;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;

/// Public keys by the name of their record, without a final dot.
#[derive(Default)]
pub(super) struct Keys(HashMap<String, DomainKey>);

impl Keys {
    /// Adds the keys of `_domainkey` records: names and texts.
    pub(super) fn add(&mut self, records: &[(String, String)]) -> anyhow::Result<()> {
        for (name, text) in records {
            let key = DomainKey::parse(text.as_bytes())
                .map_err(|error| anyhow::anyhow!("{error}"))
                .with_context(|| format!("the DKIM record {name}"))?;
            self.0.insert(name.trim_end_matches('.').to_ascii_lowercase(), key);
        }
        Ok(())
    }

    /// Returns whether no key was told, so that no signature can be judged.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies each signature of a mail, and returns how many there are and how many of them are not good.
    pub(super) fn verify(&self, mail: &[u8]) -> (u64, u64) {
        let Some(parsed) = AuthenticatedMessage::parse(mail) else {
            return (0, 0);
        };
        let mut checked = 0;
        let mut failed = 0;
        for header in &parsed.dkim_headers {
            let signature = &header.header;
            let name = format!("{}._domainkey.{}", signature.s, signature.d).to_ascii_lowercase();
            let unsigned = without_signature(header.value);
            let mut headers = parsed.signed_headers(&signature.h, header.name, &unsigned);
            let good = self.0.get(&name).is_some_and(|key| {
                key.p
                    .verify(&mut headers, &signature.b, signature.ch, signature.a)
                    .is_ok()
            });
            checked += 1;
            failed += u64::from(!good);
        }
        // A signature that cannot be read at all is none.
        let unreadable = u64::from(parsed.has_dkim_errors);
        (checked + unreadable, failed + unreadable)
    }
}

/// Returns a signature's value as it was signed: without its line end, and with the value of its `b=` tag taken out (RFC 6376 §3.7).
fn without_signature(value: &[u8]) -> Vec<u8> {
    let value = value.strip_suffix(b"\r\n").unwrap_or(value);
    let mut unsigned = Vec::with_capacity(value.len());
    for tag in value.split_inclusive(|byte| *byte == b';') {
        let equals = tag.iter().position(|byte| *byte == b'=').unwrap_or(tag.len());
        let (name, rest) = tag.split_at(equals);
        if name.trim_ascii() == b"b" && !rest.is_empty() {
            unsigned.extend_from_slice(name);
            unsigned.push(b'=');
            if tag.ends_with(b";") {
                unsigned.push(b';');
            }
        } else {
            unsigned.extend_from_slice(tag);
        }
    }
    unsigned
}
