//! Signs messages with DKIM (RFC 6376): RSA-2048, Ed25519 (RFC 8463), or both.
//!
//! A message that gets two signatures is canonicalised once, relaxed/relaxed, and its body is hashed once; what differs
//! per signature is the `DKIM-Signature` field itself, hashed on top of a copy of the header's hash.
//!
//! Signed are the fields in [`SIGNED`], each named once more than it occurs: a second `From` or `Subject` added on the
//! way breaks the signature. There is no `l=`: the whole body is signed. Signatures expire (`x=`), so that a mail that
//! leaks cannot be replayed for ever.

pub mod canonical;
mod key;
mod keys;

use std::fmt::Write;

use aws_lc_rs::digest;
use data_encoding::BASE64;

pub use key::{Algorithm, DkimRecord, GeneratedKey, KeyError, SigningKey, generate_keys};
pub use keys::{DkimKeys, KeyStore, Selectors, dkim_records};

/// The fields that signatures cover, in the order of `h=`.
pub const SIGNED: [&str; 12] = [
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "feedback-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
];

/// Where the lines of a signature are folded.
const LINE_MAX: usize = 76;

/// What all signatures of one message share.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The signing domain, `d=`.
    pub domain: &'a str,
    /// When the message was signed, `t=`, in seconds since 1970.
    pub signed_at: u64,
    /// When the signatures end, `x=`, in seconds since 1970.
    pub expires_at: u64,
}

/// Memory that signing uses again from message to message.
#[derive(Debug, Default)]
pub struct Scratch {
    canonical: Vec<u8>,
    fields: String,
}

/// Appends one `DKIM-Signature` field per key, to be put before `header`.
///
/// `header` is the header section without its empty line, `body` what follows the empty line, both with CR LF.
pub fn sign(
    header: &[u8],
    body: &[u8],
    terms: &Terms<'_>,
    keys: &[&SigningKey],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), KeyError> {
    let Scratch { canonical, fields } = scratch;
    canonical.clear();
    canonical::body(body, canonical);
    let body_hash = BASE64.encode(digest::digest(&digest::SHA256, canonical).as_ref());

    canonical.clear();
    fields.clear();
    canonical_header(header, canonical, fields);
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(canonical);

    for key in keys {
        let field = unsigned_field(terms, key, fields, &body_hash);
        canonical.clear();
        canonical::field(field.as_bytes(), canonical);
        let mut hash = hash.clone();
        hash.update(canonical);
        let signature = BASE64.encode(&key.sign(&hash.finish())?);
        out.extend_from_slice(field.as_bytes());
        let (first, rest) = signature.split_at(signature.len().min(LINE_MAX - " b=".len()));
        out.extend_from_slice(first.as_bytes());
        for line in rest.as_bytes().chunks(LINE_MAX - 1) {
            out.extend_from_slice(b"\r\n ");
            out.extend_from_slice(line);
        }
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

/// Writes the signed fields in relaxed form to `canonical`, and their names as `h=` holds them to `names`.
///
/// Of a field that occurs more than once, the last is taken first (RFC 6376 §5.4.2).
fn canonical_header(header: &[u8], canonical: &mut Vec<u8>, names: &mut String) {
    let is = |field: &[u8], name: &str| {
        field
            .split_at_checked(name.len())
            .is_some_and(|(start, rest)| start.eq_ignore_ascii_case(name.as_bytes()) && rest.starts_with(b":"))
    };
    let all: Vec<&[u8]> = canonical::fields(header).collect();
    let mut column = 4;
    for name in SIGNED {
        let mut occurrences = 0;
        for field in all.iter().rev().filter(|field| is(field, name)) {
            canonical::field(field, canonical);
            canonical.extend_from_slice(b"\r\n");
            occurrences += 1;
        }
        for _ in 0..=occurrences {
            if !names.is_empty() {
                names.push(':');
                column += 1;
            }
            if column + name.len() + 1 > LINE_MAX {
                names.push_str("\r\n ");
                column = 1;
            }
            names.push_str(name);
            column += name.len();
        }
    }
}

/// Returns the field up to the value of `b=`, which is empty while it is signed (RFC 6376 §3.7).
fn unsigned_field(terms: &Terms<'_>, key: &SigningKey, names: &str, body_hash: &str) -> String {
    let mut field = String::with_capacity(700);
    write!(
        field,
        "DKIM-Signature: v=1; a={}; c=relaxed/relaxed;\r\n d={}; s={};\r\n t={}; x={};\r\n h={};\r\n bh={};\r\n b=",
        key.algorithm().as_str(),
        terms.domain,
        key.selector(),
        terms.signed_at,
        terms.expires_at,
        names,
        body_hash,
    )
    .expect("writing to a string cannot fail");
    field
}
