//! Writes messages: header fields and a body of text, HTML, or both as alternatives.
//!
//! Our own writer, for two reasons. The crates there are write some fields as they come, so a line end in a value makes
//! a new field; here no value can ([`mod@header`]). And the same mail must come to the same bytes, since it is rendered again
//! when it was not yet spooled at a crash: date, ids and boundary are arguments, nothing is drawn or read from a clock.

pub mod header;
pub mod quoted_printable;

use types::address::EmailAddress;
use types::time::Timestamp;

/// What a message says in its header fields.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    /// The sender's display name, and the address whose domain signs.
    pub from: (&'a str, &'a EmailAddress),
    /// The recipient's display name, possibly empty, and address.
    pub to: (&'a str, &'a EmailAddress),
    /// Where answers go.
    pub reply_to: Option<&'a EmailAddress>,
    /// The subject.
    pub subject: &'a str,
    /// `Date`.
    pub date: Timestamp,
    /// The id that `Message-ID` and the boundary are made of: letters and digits.
    pub id: &'a str,
    /// The one-click address (RFC 8058): an `https` URL.
    pub unsubscribe: Option<&'a str>,
    /// `Feedback-ID`, as Gmail groups complaints by it.
    pub feedback: &'a str,
}

/// What a message says in its body.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// Plain text alone.
    Text(&'a str),
    /// The same in plain text and in HTML.
    Alternative {
        /// The plain text.
        text: &'a str,
        /// The HTML.
        html: &'a str,
    },
}

/// Appends the header fields, without the empty line that ends them.
pub fn header(fields: &Fields<'_>, content: &Content<'_>, out: &mut Vec<u8>) {
    let domain = fields.from.1.domain();
    header::mailbox("From", fields.from.0, fields.from.1, out);
    header::mailbox("To", fields.to.0, fields.to.1, out);
    if let Some(address) = fields.reply_to {
        header::mailbox("Reply-To", "", address, out);
    }
    header::text("Subject", fields.subject, out);
    header::token("Date", &fields.date.rfc5322(), out);
    header::token("Message-ID", &format!("<{}@{domain}>", fields.id), out);
    if let Some(url) = fields.unsubscribe {
        header::token("List-Unsubscribe", &format!("<{url}>"), out);
        header::token("List-Unsubscribe-Post", "List-Unsubscribe=One-Click", out);
    }
    header::token("Feedback-ID", fields.feedback, out);
    header::token("MIME-Version", "1.0", out);
    match content {
        Content::Text(_) => part_header("plain", out),
        Content::Alternative { .. } => {
            let value = format!("multipart/alternative; boundary=\"{}\"", boundary(fields.id));
            header::token("Content-Type", &value, out);
        }
    }
}

/// Appends the body. It ends in a line end.
pub fn body(id: &str, content: &Content<'_>, out: &mut Vec<u8>) {
    match content {
        Content::Text(text) => quoted_printable::encode(text, out),
        Content::Alternative { text, html } => {
            let boundary = boundary(id);
            for (subtype, part) in [("plain", text), ("html", html)] {
                // The line end before a delimiter is the delimiter's (RFC 2046 §5.1.1), so the text's own stays.
                delimiter(if subtype == "plain" { "" } else { "\r\n" }, &boundary, "\r\n", out);
                part_header(subtype, out);
                out.extend_from_slice(b"\r\n");
                quoted_printable::encode(part, out);
            }
            delimiter("\r\n", &boundary, "--\r\n", out);
        }
    }
}

/// Returns the boundary. `=_` never occurs in quoted-printable text, so no text can hold it (RFC 2045 §6.7).
fn boundary(id: &str) -> String {
    format!("=_{id}")
}

fn delimiter(start: &str, boundary: &str, end: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(start.as_bytes());
    out.extend_from_slice(b"--");
    out.extend_from_slice(boundary.as_bytes());
    out.extend_from_slice(end.as_bytes());
}

fn part_header(subtype: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Type: text/");
    out.extend_from_slice(subtype.as_bytes());
    out.extend_from_slice(b"; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n");
}
