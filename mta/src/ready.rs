//! The seam between making mails and delivering them.

use bytes::Bytes;
use types::address::EmailAddress;
use types::id::{MessageId, PartitionId};
use types::order::Stream;
use types::time::Timestamp;

/// A mail whose final bytes were appended to the spool and which may be delivered.
///
/// The bytes need not be durable yet: the session's claim shares the commit round that makes them so, and no final dot
/// precedes that round.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Its id.
    pub message: MessageId,
    /// The partition that its events go to: the person's.
    pub partition: PartitionId,
    /// The domain whose mail exchangers are asked; lower-case A-labels.
    pub recipient_domain: String,
    /// The envelope's return path; `None` is the null path `<>`.
    pub reverse_path: Option<EmailAddress>,
    /// The envelope's one recipient.
    pub recipient: EmailAddress,
    /// The signed RFC 5322 message with CRLF line ends, not dot-stuffed.
    pub bytes: Bytes,
    /// Its stream.
    pub stream: Stream,
    /// When it is no longer worth sending.
    pub expires: Timestamp,
    /// When its cause was accepted: the start of the clock for the time from POST to the remote 250.
    pub accepted_at: Timestamp,
    /// Attempts that were claimed so far.
    pub attempts: u16,
    /// Whether a final dot of it has gone unanswered already: after the next such one it is not tried again.
    pub doubted: bool,
}
