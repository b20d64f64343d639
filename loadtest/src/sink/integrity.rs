//! Whether a mail's bytes are those that were sent, as far as the mail itself tells: by the digest that our injector writes into
//! it, and by the body hash of each DKIM signature.
//!
//! Both are cheap enough to be looked at on every mail. Canonicalisation (RFC 6376 §3.4) is done here: nearly all bodies need none,
//! which three searches tell, and the library errs on bodies that end in lines of blanks alone.

use std::borrow::Cow;

use aws_lc_rs::digest::{Digest, SHA256, digest};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use memchr::{memchr, memmem};

/// The header field in which the SHA-256 of the body stands, in hexadecimal.
pub(crate) const DIGEST_FIELD: &str = "X-Load-Digest";

/// What was compared, and what did not match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Integrity {
    pub(super) digests: u64,
    pub(super) digests_wrong: u64,
    pub(super) body_hashes: u64,
    pub(super) body_hashes_wrong: u64,
}

impl Integrity {
    pub(super) const fn is_damaged(self) -> bool {
        self.digests_wrong + self.body_hashes_wrong > 0
    }
}

/// Compares all that a mail says of its body with its body.
pub(super) fn check(mail: &[u8]) -> Integrity {
    let (head, body) = split(mail);
    let mut found = Integrity::default();
    let mut hashes = BodyHashes::new(body);
    for (name, value) in fields(head) {
        if name.eq_ignore_ascii_case(DIGEST_FIELD.as_bytes()) {
            found.digests += 1;
            let told = HEXLOWER_PERMISSIVE.decode(value.trim_ascii());
            found.digests_wrong += u64::from(told.ok().as_deref() != Some(digest(&SHA256, body).as_ref()));
        } else if name.eq_ignore_ascii_case(b"DKIM-Signature") {
            found.body_hashes += 1;
            found.body_hashes_wrong += u64::from(!hashes.matches(value));
        }
    }
    found
}

/// Parts a mail into head and body, the empty line between them in neither.
pub(super) fn split(mail: &[u8]) -> (&[u8], &[u8]) {
    if let Some(body) = mail.strip_prefix(b"\r\n") {
        return (&[], body);
    }
    match memmem::find(mail, b"\r\n\r\n") {
        Some(at) => (
            mail.get(..at + 2).unwrap_or_default(),
            mail.get(at + 4..).unwrap_or_default(),
        ),
        None => (mail, &[]),
    }
}

/// Returns each field of a head: its name, and its value with the line ends that are in it.
fn fields(mut head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        if head.is_empty() {
            return None;
        }
        let mut end = 0;
        loop {
            match memchr(b'\n', head.get(end..).unwrap_or_default()) {
                Some(at) => end += at + 1,
                None => end = head.len(),
            }
            // A line that begins with a blank goes on with the field before it (RFC 5322 §2.2.3).
            if !matches!(head.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (field, rest) = head.split_at(end);
        head = rest;
        let colon = memchr(b':', field).unwrap_or(field.len());
        let (name, value) = field.split_at(colon);
        Some((name.trim_ascii_end(), value.get(1..).unwrap_or_default()))
    })
}

/// The hashes of one body, each worked out once: most mails have two signatures of one kind.
struct BodyHashes<'a> {
    body: &'a [u8],
    simple: Option<Digest>,
    relaxed: Option<Digest>,
}

impl<'a> BodyHashes<'a> {
    const fn new(body: &'a [u8]) -> Self {
        Self {
            body,
            simple: None,
            relaxed: None,
        }
    }

    /// Returns whether the `bh=` of a signature's value is that of this body. False also where there is none to be compared.
    fn matches(&mut self, signature: &[u8]) -> bool {
        let value: Vec<u8> = signature
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let tag = |name: &[u8]| {
            value
                .split(|byte| *byte == b';')
                .find_map(|tag| tag.strip_prefix(name)?.strip_prefix(b"="))
        };
        let Some(told) = tag(b"bh").and_then(|told| BASE64.decode(told).ok()) else {
            return false;
        };
        if !tag(b"a").is_some_and(|algorithm| algorithm.ends_with(b"-sha256")) {
            return false;
        }
        let relaxed = match tag(b"c").map(|both| both.split(|byte| *byte == b'/').nth(1)) {
            Some(Some(b"relaxed")) => true,
            Some(Some(b"simple") | None) | None => false,
            Some(Some(_)) => return false,
        };
        let length = match tag(b"l").map(|length| std::str::from_utf8(length).ok()?.parse::<usize>().ok()) {
            None => None,
            Some(Some(length)) => Some(length),
            Some(None) => return false,
        };
        if let Some(length) = length {
            let whole = if relaxed { relax(self.body) } else { simple(self.body) };
            return whole
                .get(..length)
                .is_some_and(|signed| digest(&SHA256, signed).as_ref() == told);
        }
        let body = self.body;
        let known = if relaxed {
            self.relaxed.get_or_insert_with(|| digest(&SHA256, &relax(body)))
        } else {
            self.simple.get_or_insert_with(|| digest(&SHA256, &simple(body)))
        };
        told == known.as_ref()
    }
}

/// The `simple` body canonicalisation: one CRLF at the end, also of an empty body (RFC 6376 §3.4.3).
fn simple(body: &[u8]) -> Cow<'_, [u8]> {
    let end = without_empty_lines(body).len();
    match body.get(..end + 2) {
        Some(whole) => Cow::Borrowed(whole),
        None => Cow::Owned([body, b"\r\n"].concat()),
    }
}

/// The `relaxed` body canonicalisation: blanks at line ends go, others become one space, empty lines at the end go (§3.4.4).
fn relax(body: &[u8]) -> Cow<'_, [u8]> {
    let untouched = body.ends_with(b"\r\n")
        && memchr(b'\t', body).is_none()
        && memmem::find(body, b"  ").is_none()
        && memmem::find(body, b" \r\n").is_none();
    if untouched {
        return match without_empty_lines(body) {
            [] => Cow::Borrowed(&[]),
            _ => simple(body),
        };
    }
    let mut relaxed = Vec::with_capacity(body.len() + 2);
    let mut rest = body;
    while !rest.is_empty() {
        let (line, after) = match memmem::find(rest, b"\r\n") {
            Some(at) => (
                rest.get(..at).unwrap_or_default(),
                rest.get(at + 2..).unwrap_or_default(),
            ),
            None => (rest, &[][..]),
        };
        rest = after;
        relax_line(line, &mut relaxed);
        relaxed.extend_from_slice(b"\r\n");
    }
    // A body of empty lines alone is empty; of any other, the last line keeps its end.
    let end = match without_empty_lines(&relaxed).len() {
        0 => 0,
        end => end + 2,
    };
    relaxed.truncate(end);
    Cow::Owned(relaxed)
}

/// Returns a body up to the last line that is not empty, without the end of that line.
fn without_empty_lines(mut body: &[u8]) -> &[u8] {
    while let Some(shorter) = body.strip_suffix(b"\r\n") {
        body = shorter;
    }
    body
}

fn relax_line(line: &[u8], relaxed: &mut Vec<u8>) {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(last) = line.iter().rposition(|byte| !blank(byte)) else {
        return;
    };
    let mut rest = line.get(..=last).unwrap_or_default();
    while !rest.is_empty() {
        // Up to and with the first blank; what blanks follow it go.
        let (word, after) = match memchr::memchr2(b' ', b'\t', rest) {
            Some(at) => rest.split_at(at),
            None => (rest, &[][..]),
        };
        relaxed.extend_from_slice(word);
        let behind = after.iter().position(|byte| !blank(byte)).unwrap_or(after.len());
        if behind > 0 {
            relaxed.push(b' ');
        }
        rest = after.get(behind..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    #[test]
    fn bodies_are_made_canonical_as_the_standard_says() {
        // RFC 6376 §3.4.5, and what mail-auth's own tests do not reach.
        for (body, wanted_simple, wanted_relaxed) in [
            (&b""[..], &b"\r\n"[..], &b""[..]),
            (b"\r\n", b"\r\n", b""),
            (b"\r\n\r\n\r\n", b"\r\n", b""),
            (b" \r\n", b" \r\n", b""),
            (b"\t \r\n \r\n", b"\t \r\n \r\n", b""),
            (b" C \r\nD \t E\r\n\r\n\r\n", b" C \r\nD \t E\r\n", b" C\r\nD E\r\n"),
            (b"hello\r\n\t\r\n \r\n\r\n", b"hello\r\n\t\r\n \r\n", b"hello\r\n"),
            (b"a\r\n\r\n\r\nb\r\n", b"a\r\n\r\n\r\nb\r\n", b"a\r\n\r\n\r\nb\r\n"),
            (b"a\r\n\r\n", b"a\r\n", b"a\r\n"),
            (b"\r\n\r\nlate\r\n", b"\r\n\r\nlate\r\n", b"\r\n\r\nlate\r\n"),
            (b"no end", b"no end\r\n", b"no end\r\n"),
            (b"no end ", b"no end \r\n", b"no end\r\n"),
            (b"\t\tx  y\t", b"\t\tx  y\t\r\n", b" x y\r\n"),
            (
                b"bare\nline \nend\r\n",
                b"bare\nline \nend\r\n",
                b"bare\nline \nend\r\n",
            ),
        ] {
            let shown = String::from_utf8_lossy(body);
            assert_eq!(&*simple(body), wanted_simple, "{shown:?}");
            assert_eq!(&*relax(body), wanted_relaxed, "{shown:?}");
        }
    }

    fn digested(body: &[u8]) -> Vec<u8> {
        let digest = HEXLOWER.encode(digest(&SHA256, body).as_ref());
        [
            format!("From: a@b.test\r\nx-load-digest:\r\n {digest}\r\n\r\n").as_bytes(),
            body,
        ]
        .concat()
    }

    #[test]
    fn every_altered_byte_of_a_body_is_found() {
        let mail = digested(b"hello\r\n..dots\r\n");
        let whole = check(&mail);
        assert_eq!((whole.digests, whole.digests_wrong), (1, 0));
        let body_at = split(&mail).0.len() + 2;
        for at in body_at..mail.len() {
            let mut altered = mail.clone();
            altered[at] ^= 1;
            assert!(check(&altered).is_damaged(), "byte {at}");
        }
        assert!(check(&mail[..mail.len() - 1]).is_damaged());
        assert!(check(&[&mail[..], b"x"].concat()).is_damaged());
    }

    #[test]
    fn a_mail_that_says_nothing_of_its_body_proves_nothing() {
        assert_eq!(
            check(b"From: a@b.test\r\nX-Load-Digests: x\r\n\r\nX-Load-Digest: 00\r\n"),
            Integrity::default()
        );
        assert_eq!(check(b""), Integrity::default());
        assert_eq!(check(b"\r\nbody"), Integrity::default());
    }

    #[test]
    fn body_hashes_are_compared_in_the_way_that_the_signature_says() {
        let hash = |canonical: &[u8]| BASE64.encode(digest(&SHA256, canonical).as_ref());
        let body = b"hello  \t world \r\n\r\n";
        let (simple, relaxed) = (hash(b"hello  \t world \r\n"), hash(b"hello world\r\n"));
        let folded = format!("{}\r\n\t {}", &relaxed[..20], &relaxed[20..]);
        for (tags, good) in [
            (format!("v=1; a=rsa-sha256; c=relaxed/relaxed; bh={relaxed}; b=x"), true),
            (
                format!("v=1; a=ed25519-sha256; c=relaxed/relaxed; bh=\r\n {folded}; b=x"),
                true,
            ),
            (format!("a=rsa-sha256; c=relaxed/simple; bh={simple}"), true),
            (format!("a=rsa-sha256; c=relaxed; bh={simple}"), true),
            (format!("a=rsa-sha256; bh={simple};"), true),
            (
                format!("a=rsa-sha256; c=simple/relaxed; l=5; bh={}", hash(b"hello")),
                true,
            ),
            (format!("a=rsa-sha256; c=simple/relaxed; l=500; bh={relaxed}"), false),
            (format!("a=rsa-sha256; c=relaxed/relaxed; bh={simple}"), false),
            (format!("a=rsa-sha256; c=relaxed/odd; bh={relaxed}"), false),
            (format!("a=rsa-sha1; c=relaxed/relaxed; bh={relaxed}"), false),
            ("a=rsa-sha256; c=relaxed/relaxed".to_owned(), false),
        ] {
            let mail = [format!("Dkim-signature: {tags}\r\nTo: x\r\n\r\n").as_bytes(), body].concat();
            let found = check(&mail);
            assert_eq!(
                (found.body_hashes, found.body_hashes_wrong),
                (1, u64::from(!good)),
                "{tags}"
            );
        }
    }
}
