//! What a sink counts beside the ledger.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::ledger::Tag;

/// What a sink has done so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Tally {
    /// Mails answered with 250, those among them that are then forgotten included.
    pub(crate) mails: u64,
    /// Bytes of these mails.
    pub(crate) bytes: u64,
    /// From the first of them to the last.
    pub(crate) seconds: f64,
    /// Connections taken.
    pub(crate) sessions: u64,
    /// Refusals by provider and code, whatever was refused: the connection, the sender, a recipient, the mail.
    #[serde(serialize_with = "refusals")]
    pub(crate) refused: BTreeMap<(&'static str, u16), u64>,
    /// Mails for somebody whose address holds no tag, or one that nobody asked for.
    pub(crate) strangers: u64,
    /// Mails that had come before.
    pub(crate) copies: u64,
    /// Mails of which any of the following did not match.
    pub(crate) damaged: u64,
    /// Mails without a digest and without a signature, of which nothing can be compared.
    pub(crate) unproven: u64,
    /// Digests in `X-Load-Digest` that were compared with the body.
    pub(crate) digests: u64,
    /// Those that did not match.
    pub(crate) digests_wrong: u64,
    /// Body hashes of DKIM signatures that were compared: each one of every mail.
    pub(crate) body_hashes: u64,
    /// Those that did not match.
    pub(crate) body_hashes_wrong: u64,
    /// DKIM signatures that were verified whole, with the public key.
    pub(crate) dkim_checked: u64,
    /// Those that were not good, whether for the signature or for a key that nobody told.
    pub(crate) dkim_failed: u64,
    /// Mails of which it said 250 and told nobody, as a broken receiver would.
    #[serde(serialize_with = "tags")]
    pub(crate) dropped: Vec<Tag>,
}

fn refusals<S: Serializer>(refused: &BTreeMap<(&'static str, u16), u64>, serializer: S) -> Result<S::Ok, S::Error> {
    let lines = refused
        .iter()
        .map(|((provider, code), count)| (format!("{provider} {code}"), count));
    serializer.collect_map(lines)
}

fn tags<S: Serializer>(tags: &[Tag], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(tags.iter().map(ToString::to_string))
}
