//! Header fields: encoded words (RFC 2047) and folding (RFC 5322 §2.2.3).
//!
//! Every value here is printable ASCII when it is written, whatever came in: text that is anything else becomes encoded
//! words, and the callers' own values are of types that cannot hold a control character. So a value can never end its
//! header field or begin another.

use data_encoding::BASE64;
use types::address::EmailAddress;

use super::quoted_printable::escape;

/// Where lines are folded (RFC 5322 §2.1.1 asks for 78 at most).
const LINE_MAX: usize = 78;
/// The longest encoded word (RFC 2047 §2).
const WORD_MAX: usize = 75;
/// What every encoded word of ours has around its text: `=?utf-8?q?` and `?=`.
const WORD_FRAME: usize = 12;

/// Appends a field of free text, such as `Subject`.
pub fn text(name: &str, text: &str, out: &mut Vec<u8>) {
    let column = start(name, out);
    if text.is_empty() {
        // An encoded word must hold something (RFC 2047 §2).
    } else if is_plain_text(text) {
        fold_words(text, column, out);
    } else {
        encoded_words(text, column, out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a field that holds one mailbox, such as `From`.
pub fn mailbox(name: &str, display: &str, address: &EmailAddress, out: &mut Vec<u8>) {
    let mut column = start(name, out);
    if !display.is_empty() {
        column = phrase(display, column, out);
        // A space or, if the address does not fit on the line any more, a fold.
        if column + address.as_str().len() + 3 > LINE_MAX {
            out.extend_from_slice(b"\r\n");
        }
        out.push(b' ');
    }
    out.push(b'<');
    out.extend_from_slice(address.as_str().as_bytes());
    out.extend_from_slice(b">\r\n");
}

/// Appends a field of a value of ours: printable ASCII, without blanks it could be folded at. It moves to a line of its
/// own if it is long.
pub fn token(name: &str, value: &str, out: &mut Vec<u8>) {
    debug_assert!(
        value.bytes().all(|b| matches!(b, b' '..=b'~')),
        "{name} is made of printable ASCII"
    );
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    if name.len() + 2 + value.len() > LINE_MAX {
        out.extend_from_slice(b"\r\n");
    }
    out.push(b' ');
    // Whatever the caller did, a value cannot break its line.
    out.extend(value.bytes().filter(|b| matches!(b, b' '..=b'~')));
    out.extend_from_slice(b"\r\n");
}

fn start(name: &str, out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    name.len() + 2
}

/// Whether free text can stand as it is: printable ASCII in words that can be folded, nothing that looks encoded.
fn is_plain_text(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~'))
        && !text.contains("=?")
        && !text.is_empty()
        && text.split(' ').all(|word| (1..LINE_MAX - 10).contains(&word.len()))
}

/// Writes words of plain text, a fold before each that does not fit.
fn fold_words(text: &str, mut column: usize, out: &mut Vec<u8>) {
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            if column + 1 + word.len() > LINE_MAX {
                out.extend_from_slice(b"\r\n");
                column = 0;
            }
            out.push(b' ');
            column += 1;
        }
        out.extend_from_slice(word.as_bytes());
        column += word.len();
    }
}

/// Writes a display name and returns the column after it: quoted where that is enough, else as encoded words.
fn phrase(display: &str, column: usize, out: &mut Vec<u8>) -> usize {
    let quotable = is_plain_text(display) && column + display.len() * 2 < LINE_MAX;
    if !quotable {
        return encoded_words(display, column, out);
    }
    let before = out.len();
    out.push(b'"');
    for byte in display.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
    column + out.len() - before
}

/// Writes text as encoded words, one a line, never splitting a character, and returns the column after the last.
///
/// Texts that are mostly ASCII are encoded as Q, which people can read in the source; the rest as B, which is shorter.
fn encoded_words(text: &str, mut column: usize, out: &mut Vec<u8>) -> usize {
    let escaped = text.bytes().filter(|&b| b != b' ' && !is_q_plain(b)).count();
    let q = 3 * escaped <= text.len();
    let mut rest = text;
    loop {
        let room = WORD_MAX.min(LINE_MAX - 1 - column) - WORD_FRAME;
        let take = if q { q_prefix(rest, room) } else { b_prefix(rest, room) };
        let (word, after) = rest.split_at(take);
        out.extend_from_slice(if q { b"=?utf-8?q?" } else { b"=?utf-8?b?" });
        let before = out.len();
        if q {
            for byte in word.bytes() {
                match byte {
                    b' ' => out.push(b'_'),
                    byte if is_q_plain(byte) => out.push(byte),
                    byte => escape(byte, out),
                }
            }
        } else {
            out.extend_from_slice(BASE64.encode(word.as_bytes()).as_bytes());
        }
        column += WORD_FRAME + out.len() - before;
        out.extend_from_slice(b"?=");
        rest = after;
        if rest.is_empty() {
            return column;
        }
        out.extend_from_slice(b"\r\n ");
        column = 1;
    }
}

/// Returns how many bytes of whole characters fit into `room` in the Q encoding; at least one character.
fn q_prefix(text: &str, room: usize) -> usize {
    let mut width = 0;
    let fits = text.char_indices().find(|&(_, c)| {
        width += match u8::try_from(c) {
            Ok(byte) if c.is_ascii() && (byte == b' ' || is_q_plain(byte)) => 1,
            _ => 3 * c.len_utf8(),
        };
        width > room
    });
    at_least_one(text, fits.map(|(at, _)| at))
}

/// Returns how many bytes of whole characters fit into `room` in the B encoding; at least one character.
fn b_prefix(text: &str, room: usize) -> usize {
    let bytes = room / 4 * 3;
    let fits = text.char_indices().find(|(at, c)| at + c.len_utf8() > bytes);
    at_least_one(text, fits.map(|(at, _)| at))
}

fn at_least_one(text: &str, end: Option<usize>) -> usize {
    match end {
        None => text.len(),
        Some(0) => text.chars().next().map_or(0, char::len_utf8),
        Some(end) => end,
    }
}

/// What may stand in a Q-encoded word of a display name as it is (RFC 2047 §5, rule 3); the space is written `_`.
const fn is_q_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'*' | b'+' | b'-' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(value: &str) -> String {
        let mut out = Vec::new();
        text("Subject", value, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn from(display: &str) -> String {
        let mut out = Vec::new();
        mailbox(
            "From",
            display,
            &EmailAddress::try_from("a@b.example").unwrap(),
            &mut out,
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_text_stays_plain() {
        assert_eq!(subject("Your order 1"), "Subject: Your order 1\r\n");
        assert_eq!(
            subject("word ".repeat(20).trim_end()),
            format!(
                "Subject: {}\r\n {}\r\n",
                "word ".repeat(14).trim_end(),
                "word ".repeat(6).trim_end()
            )
        );
    }

    #[test]
    fn everything_else_is_encoded() {
        assert_eq!(subject("Viele Grüße"), "Subject: =?utf-8?q?Viele_Gr=C3=BC=C3=9Fe?=\r\n");
        assert_eq!(subject("注文"), "Subject: =?utf-8?b?5rOo5paH?=\r\n");
        assert_eq!(subject("a  b"), "Subject: =?utf-8?q?a__b?=\r\n");
        assert_eq!(
            subject("=?utf-8?q?x?="),
            "Subject: =?utf-8?b?PT91dGYtOD9xP3g/PQ==?=\r\n"
        );
        assert_eq!(subject("a\r\nBcc: b"), "Subject: =?utf-8?q?a=0D=0ABcc=3A_b?=\r\n");
        assert_eq!(subject(""), "Subject: \r\n");
    }

    #[test]
    fn lines_and_words_keep_their_limits() {
        for c in ["a", "è", "注", "🎁", "x y", "\u{1}"] {
            for length in 1..200 {
                let field = subject(&c.repeat(length));
                for line in field.lines() {
                    assert!(line.len() <= LINE_MAX, "{line}");
                    let word = line.trim_start_matches("Subject:").trim();
                    assert!(!word.starts_with("=?") || word.len() <= WORD_MAX, "{word}");
                }
                for line in from(&c.repeat(length)).lines() {
                    assert!(line.len() <= LINE_MAX, "{line}");
                }
            }
        }
    }

    #[test]
    fn names_are_quoted_or_encoded() {
        assert_eq!(from(""), "From: <a@b.example>\r\n");
        assert_eq!(from("Rossi, \"M\""), "From: \"Rossi, \\\"M\\\"\" <a@b.example>\r\n");
        assert_eq!(from("Città"), "From: =?utf-8?q?Citt=C3=A0?= <a@b.example>\r\n");
        assert_eq!(from("x> <evil@e"), "From: \"x> <evil@e\" <a@b.example>\r\n");
    }

    #[test]
    fn a_long_token_moves_to_its_own_line() {
        let mut out = Vec::new();
        token("List-Unsubscribe", &format!("<https://{}>", "x".repeat(60)), &mut out);
        assert!(out.starts_with(b"List-Unsubscribe:\r\n <https://"));
    }
}
