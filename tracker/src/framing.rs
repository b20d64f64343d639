//! What is refused beside what hyper refuses: requests that somebody before us might read as others.
//!
//! A request that says anything about a body is the last of its connection, whatever it says. So how a body is framed may be
//! read in as many ways as there are readers: behind it, no second request is ever seen. What is left are heads that end
//! where others see none, and those need line feeds without carriage returns, which [`crate::watched`] tells of.

use hyper::Version;
use hyper::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::http::request::Parts;

use crate::reply::{self, Reply};

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Nothing.
    Empty,
    /// A body, perhaps an empty one; after it, the connection ends.
    Last,
}

/// Returns how a request is framed and which host it names, or its refusal.
pub(crate) fn check(parts: &Parts, has_bare_lf: bool) -> Result<(Framing, &str), Reply> {
    let malformed = || reply::text(400, "Not a request.\n");
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    let framing = match (codings.next(), codings.next()) {
        (None, _) if !parts.headers.contains_key(CONTENT_LENGTH) => Framing::Empty,
        (None, _) => Framing::Last,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Framing::Last,
        (Some(_), None) => return Err(reply::text(501, "No such transfer coding.\n")),
        (Some(_), Some(_)) => return Err(malformed()),
    };
    // In a body they are its own affair.
    if has_bare_lf && framing == Framing::Empty {
        return Err(malformed());
    }
    let path = parts.uri.path();
    if !path.starts_with('/') && path != "*" {
        return Err(malformed());
    }
    let host = named_host(parts).ok_or_else(malformed)?;
    Ok((framing, host))
}

/// Returns the host that is asked, without port and final dot; empty if there is none or it is no host name. `None`: there
/// is none where one must be, or more than one.
fn named_host(parts: &Parts) -> Option<&str> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (Some(host), None) => std::str::from_utf8(host.as_bytes()).ok()?,
        (None, _) if parts.version == Version::HTTP_10 => "",
        _ => return None,
    };
    // The absolute form names the host itself, and outranks the header (RFC 9112 §3.2.2).
    let authority = parts.uri.authority().map_or("", hyper::http::uri::Authority::as_str);
    let of_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if !header.bytes().chain(authority.bytes()).all(of_host) {
        return None;
    }
    let named = if authority.is_empty() { header } else { authority };
    let host = named.split_once(':').map_or(named, |(host, _port)| host);
    let host = host.strip_suffix('.').unwrap_or(host);
    Some(if host.len() <= 253 { host } else { "" })
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    /// Checks a request with these header lines, separated by `|`; the status stands for a refusal.
    fn check(version: Version, target: &str, lines: &str) -> Result<(Framing, String), u16> {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in lines.split('|').filter_map(|line| line.split_once(": ")) {
            request = request.header(name, value);
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let checked = super::check(&parts, false);
        checked
            .map(|(framing, host)| (framing, host.to_owned()))
            .map_err(|refused| refused.status)
    }

    #[test]
    fn whatever_speaks_of_a_body_is_the_last() {
        for (lines, expected) in [
            ("host: a", Ok(Framing::Empty)),
            ("host: a|content-length: 0", Ok(Framing::Last)),
            ("host: a|content-length: 26", Ok(Framing::Last)),
            ("host: a|transfer-encoding: Chunked", Ok(Framing::Last)),
            ("host: a|transfer-encoding: gzip, chunked", Err(501)),
            (
                "host: a|transfer-encoding: chunked|transfer-encoding: chunked",
                Err(400),
            ),
        ] {
            let checked = check(Version::HTTP_11, "/", lines).map(|(framing, _)| framing);
            assert_eq!(checked, expected, "{lines}");
        }
    }

    #[test]
    fn the_host_is_named_once() {
        for (version, target, lines, expected) in [
            (
                Version::HTTP_11,
                "/",
                "host: Click.A.example.:8443",
                Ok("Click.A.example"),
            ),
            (Version::HTTP_11, "/", "host: a.example.", Ok("a.example")),
            (Version::HTTP_11, "http://b.example/", "host: a", Ok("b.example")),
            (Version::HTTP_10, "/", "", Ok("")),
            (Version::HTTP_11, "/", "", Err(400)),
            (Version::HTTP_11, "/", "host: a|host: a", Err(400)),
            (Version::HTTP_11, "/", "host: a b", Err(400)),
            (Version::HTTP_11, "http://u@b.example/", "host: a", Err(400)),
            (Version::HTTP_11, "b.example", "host: a", Err(400)),
            (Version::HTTP_11, "b.example:443", "host: a", Err(400)),
        ] {
            let checked = check(version, target, lines).map(|(_, host)| host);
            assert_eq!(checked, expected.map(str::to_owned), "{target} {lines}");
        }
    }
}
