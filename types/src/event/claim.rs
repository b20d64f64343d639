//! Names that one request holds.

use minicbor::{Decode, Encode};

/// A name that one request holds for at least 72 hours: of an order, or an `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Claim {
    /// SHA-256, 16 bytes kept, of what is claimed: kind, owner and name, length-prefixed.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub name: [u8; 16],
    /// SHA-256, 16 bytes kept, of the request's canonical content: another body under the same name is a conflict.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub body: [u8; 16],
}
