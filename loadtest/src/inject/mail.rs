//! A mail of a given size that tells which one it is and what its bytes are.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use types::address::EmailAddress;

use crate::ledger::Tag;
use crate::sink::DIGEST_FIELD;

/// A line of the body, its end included.
const LINE: &str = "Tre miscele tostate a legna, macinate il giorno della spedizione: 1 kg.\r\n";

/// Makes the mail of a tag, whose body has about so many bytes, and carries the body's digest.
///
/// It begins with a line of a dot, which a relay must take for text, and no two bodies are alike.
pub(crate) fn mail(tag: Tag, from: &EmailAddress, to: &EmailAddress, bytes: usize) -> Vec<u8> {
    let mut body = format!(".\r\n..{tag}\r\n");
    while body.len() < bytes {
        body.push_str(LINE);
    }
    let digest = HEXLOWER.encode(digest(&SHA256, body.as_bytes()).as_ref());
    let mut mail = String::with_capacity(body.len() + 400);
    let _ = write!(
        mail,
        "From: Loadtest <{from}>\r\nTo: <{to}>\r\nSubject: Mail {tag}\r\nDate: Sat, 21 Nov 2026 20:15:01 +0000\r\n\
         Message-ID: <{tag}@{}>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n{DIGEST_FIELD}: {digest}\r\n\r\n",
        from.domain()
    );
    mail.push_str(&body);
    mail.into_bytes()
}
