//! Signed return paths: a bounce tells which mail it is about, and nobody can invent one.
//!
//! VERP puts the message's id into the envelope's reverse-path, so that even a bounce without a usable report finds its
//! mail. The MAC stops strangers from suppressing people by made-up bounces. Receivers change the case of local parts,
//! so the form is base32 and compared without case.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;

use super::VERSION;
use super::keys::{derive, tag};
use crate::address::{EmailAddress, NotAnAddress};
use crate::id::{MessageId, PartitionId};

/// Version and kind of a return path: the first byte.
const TAG: u8 = (VERSION << 4) | 6;
/// Kind 1, message id 8, partition 2.
const FIELDS: usize = 11;
/// Fields and a MAC of 14 bytes: 40 base32 characters without padding.
const LEN: usize = 25;
/// What every return path's local part starts with.
const PREFIX: &str = "b-";

/// Makes and recognises return paths.
#[derive(Clone)]
pub struct VerpKey(hmac::Key);

impl VerpKey {
    /// Derives the key from its secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(derive(secret, b"staffetta return path", &[TAG]))
    }

    /// Returns the return path of a message: `b-` and 40 base32 characters at `domain`.
    ///
    /// The only error is a `domain` that no mail address can have.
    pub fn return_path(
        &self,
        message: MessageId,
        partition: PartitionId,
        domain: &str,
    ) -> Result<EmailAddress, NotAnAddress> {
        // The address type settles the domain's form, which the MAC covers.
        let domain = crate::address::ascii_domain(domain).ok_or(NotAnAddress::Domain)?;
        let mut bytes = [0; LEN];
        let (fields, mac) = bytes.split_at_mut(FIELDS);
        let message = message.raw().to_be_bytes();
        let partition = partition.number().to_be_bytes();
        let values = [TAG].into_iter().chain(message).chain(partition);
        fields.iter_mut().zip(values).for_each(|(to, from)| *to = from);
        let tag = tag(&self.0, fields, &domain);
        mac.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        let name = BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
        EmailAddress::try_from(format!("{PREFIX}{name}@{domain}"))
    }

    /// Returns which message an address is the return path of, if we made it; upper and lower case are the same.
    pub fn verify(&self, address: &EmailAddress) -> Option<(MessageId, PartitionId)> {
        let (prefix, name) = address.local().split_at_checked(PREFIX.len())?;
        if !prefix.eq_ignore_ascii_case(PREFIX) || BASE32_NOPAD.decode_len(name.len()) != Ok(LEN) {
            return None;
        }
        let mut bytes = [0; LEN];
        let name = name.to_ascii_uppercase();
        BASE32_NOPAD.decode_mut(name.as_bytes(), &mut bytes).ok()?;
        let (fields, mac) = bytes.split_at(FIELDS);
        let tag = tag(&self.0, fields, address.domain());
        let (expected, _) = tag.as_ref().split_at(mac.len());
        verify_slices_are_equal(expected, mac).ok()?;
        let ([TAG], rest) = fields.split_first_chunk()? else {
            return None;
        };
        let (message, partition) = rest.split_first_chunk()?;
        let partition = PartitionId::new(u16::from_be_bytes(partition.try_into().ok()?))?;
        Some((MessageId::from_raw(u64::from_be_bytes(*message)), partition))
    }
}

impl fmt::Debug for VerpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerpKey(secret)")
    }
}
