//! Text that came from outside and is safe to put into a header or a page.

use std::fmt;
use std::ops::Deref;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// One line of text: no control characters (so no CR, LF or NUL), at most `MAX` characters.
///
/// A header built from a `Line` cannot become two. Whether it is empty is the field's own business.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cbor(transparent)]
pub struct Line<const MAX: usize>(#[n(0)] String);

/// Why a text is not a [`Line`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotALine {
    /// CR, LF, NUL, ESC and their like, or a Unicode line or paragraph separator.
    #[error("contains the control character U+{0:04X}")]
    Control(u32),
    /// More characters than the field takes.
    #[error("is longer than {max} characters")]
    TooLong {
        /// The field's limit.
        max: usize,
    },
}

impl<const MAX: usize> TryFrom<String> for Line<MAX> {
    type Error = NotALine;

    fn try_from(text: String) -> Result<Self, NotALine> {
        if let Some(c) = text
            .chars()
            .find(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
        {
            return Err(NotALine::Control(c.into()));
        }
        if text.chars().count() > MAX {
            return Err(NotALine::TooLong { max: MAX });
        }
        Ok(Self(text))
    }
}

impl<const MAX: usize> TryFrom<&str> for Line<MAX> {
    type Error = NotALine;

    fn try_from(text: &str) -> Result<Self, NotALine> {
        text.to_owned().try_into()
    }
}

impl<const MAX: usize> From<Line<MAX>> for String {
    fn from(line: Line<MAX>) -> Self {
        line.0
    }
}

impl<const MAX: usize> Deref for Line<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Display for Line<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id a caller gives a shop, campaign or template: 1 to 64 of `a-z A-Z 0-9 . _ -`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cbor(transparent)]
pub struct Slug(#[n(0)] String);

/// Why a text is not a [`Slug`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit")]
pub struct NotASlug;

impl Slug {
    /// Returns the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Slug {
    type Error = NotASlug;

    fn try_from(text: String) -> Result<Self, NotASlug> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if starts && text.len() <= 64 && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err(NotASlug)
        }
    }
}

impl TryFrom<&str> for Slug {
    type Error = NotASlug;

    fn try_from(text: &str) -> Result<Self, NotASlug> {
        text.to_owned().try_into()
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> Self {
        slug.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An absolute `https` URL of at most 2,000 bytes with a host and without credentials, controls, blanks or quotes.
///
/// Braces are allowed, since landing URLs hold macros such as `{click_id}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cbor(transparent)]
pub struct HttpsUrl(#[n(0)] String);

/// Why a text is not an [`HttpsUrl`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAUrl {
    /// Another scheme, or none.
    #[error("must start with https://")]
    Scheme,
    /// No host, credentials before it, or something that is no host name.
    #[error("has no valid host")]
    Host,
    /// A character that must be percent-encoded.
    #[error("contains a blank, control, quote, backslash or non-ASCII character")]
    Character,
    /// More than 2,000 bytes.
    #[error("is longer than 2000 bytes")]
    TooLong,
}

impl HttpsUrl {
    /// Returns the URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the host, without the port.
    pub fn host(&self) -> &str {
        authority(&self.0).expect("has a host: checked when made").0
    }

    /// Returns the port, 443 if it names none.
    pub fn port(&self) -> u16 {
        authority(&self.0).expect("has a host: checked when made").1
    }
}

/// Returns the host and the port of an `https` URL, if it is one.
fn authority(url: &str) -> Option<(&str, u16)> {
    let rest = url.strip_prefix("https://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    let valid = !host.is_empty() && host.bytes().all(name) && !host.starts_with('.');
    // A sign is no digit, though a number may have one.
    let port = port.bytes().all(|b| b.is_ascii_digit()).then(|| port.parse().ok())??;
    valid.then_some((host, port))
}

impl TryFrom<String> for HttpsUrl {
    type Error = NotAUrl;

    fn try_from(url: String) -> Result<Self, NotAUrl> {
        if url.len() > 2000 {
            return Err(NotAUrl::TooLong);
        }
        if !url.starts_with("https://") {
            return Err(NotAUrl::Scheme);
        }
        if url
            .bytes()
            .any(|b| !b.is_ascii_graphic() || matches!(b, b'"' | b'\'' | b'<' | b'>' | b'\\' | b'`'))
        {
            return Err(NotAUrl::Character);
        }
        authority(&url).ok_or(NotAUrl::Host)?;
        Ok(Self(url))
    }
}

impl TryFrom<&str> for HttpsUrl {
    type Error = NotAUrl;

    fn try_from(text: &str) -> Result<Self, NotAUrl> {
        text.to_owned().try_into()
    }
}

impl From<HttpsUrl> for String {
    fn from(url: HttpsUrl) -> Self {
        url.0
    }
}

/// Appends `text` with all but unreserved characters (RFC 3986 §2.3) percent-encoded.
///
/// What it appends ends no part of a URL, whatever the text holds.
pub fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte.into());
        } else {
            const HEX: [char; 16] = [
                '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
            ];
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or('0');
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_every_script_and_no_control() {
        assert!(Line::<20>::try_from("Grüße, 田中さん").is_ok());
        for bad in ["a\r\nBcc: x", "a\nb", "a\0", "a\u{1b}[1m", "a\u{2028}b", "a\u{85}b"] {
            assert!(
                matches!(Line::<20>::try_from(bad), Err(NotALine::Control(_))),
                "{bad:?}"
            );
        }
        assert_eq!(Line::<3>::try_from("abcd"), Err(NotALine::TooLong { max: 3 }));
    }

    #[test]
    fn slugs_are_ids() {
        assert!(Slug::try_from("scarpe-roma.it_2").is_ok());
        for bad in ["", "-a", "a b", "a/b", "é", &"a".repeat(65)] {
            assert_eq!(Slug::try_from(bad), Err(NotASlug), "{bad:?}");
        }
    }

    #[test]
    fn only_https_urls_with_a_host_pass() {
        assert_eq!(
            HttpsUrl::try_from("https://a.example:8443/x?y={click_id}").map(|u| u.host().to_owned()),
            Ok("a.example".to_owned())
        );
        for bad in [
            "http://a.example/",
            "https://",
            "https://u:p@a.example/",
            "https://a.example/\r\nX: y",
            "https://a.example/\"",
            "javascript:alert(1)",
            "https://a.example:99999/",
        ] {
            assert!(HttpsUrl::try_from(bad).is_err(), "{bad:?}");
        }
    }
}
