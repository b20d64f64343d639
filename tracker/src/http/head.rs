//! A request's head: the lines up to the empty one (RFC 9112 §3, §5), read where they lie.
//!
//! Lines end in CR LF and nothing else. No line is folded, no name is followed by a blank, no control stands anywhere.
//! `Host` comes once; so does `Content-Length`, in digits alone; `Transfer-Encoding` is `chunked`, once, in HTTP/1.1, and never
//! beside a length.

use std::str;

/// What a request wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    /// Any other: refused by every endpoint.
    Other,
}

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Without chunks, and with one request a connection if not said otherwise.
    Http10,
    Http11,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Nothing.
    Empty,
    /// So many bytes.
    Length(usize),
    /// Chunks, to the empty one.
    Chunked,
}

/// Why a head is refused; the connection ends with the answer, since nobody knows where the next request starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHead {
    /// Not what RFC 9112 calls a request, or one that could be read in two ways.
    Malformed,
    /// More header lines than [`LINES_MAX`].
    TooManyLines,
    /// HTTP, but not 1.0 or 1.1.
    Version,
    /// A transfer coding other than `chunked`.
    Coding,
}

/// The most header lines of a request: browsers send some twenty.
pub(super) const LINES_MAX: usize = 64;

/// A request without its body. Of its header lines, those that are read here.
#[derive(Clone, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) method: Method,
    pub(crate) version: Version,
    /// The path, up to the query.
    pub(crate) path: &'a str,
    /// What follows the `?`, or nothing.
    pub(crate) query: &'a str,
    /// The host that is asked, without port and final dot; empty if there is none or it is no host name.
    pub(crate) host: &'a str,
    pub(crate) framing: Framing,
    /// Whether the client wants the connection to stay.
    pub(crate) keeps: bool,
    /// Whether the client waits for a word before it sends the body.
    pub(crate) expects_continue: bool,
    /// Whether a browser says that it fetches in advance: `Sec-Purpose` (Fetch standard), or its older forms.
    pub(crate) in_advance: bool,
    pub(crate) user_agent: &'a [u8],
    /// The last one: what stands nearest to us wrote it.
    pub(crate) forwarded_for: Option<&'a str>,
    pub(crate) accept_language: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) origin: Option<&'a str>,
    pub(crate) referer: Option<&'a str>,
    pub(crate) if_none_match: Option<&'a str>,
    pub(crate) webhook_id: Option<&'a str>,
    pub(crate) webhook_timestamp: Option<&'a str>,
    pub(crate) webhook_signature: Option<&'a str>,
}

/// Returns how long the head at the start of `buffer` is, with its empty line, once that is there. The first `seen` bytes
/// were looked at before.
pub(super) fn end(buffer: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3);
    let found = memchr::memmem::find(buffer.get(from..)?, b"\r\n\r\n")?;
    Some(from + found + 4)
}

impl<'a> Head<'a> {
    /// Reads a head: all bytes up to and with the empty line.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, BadHead> {
        let mut rest = bytes.strip_suffix(b"\r\n").ok_or(BadHead::Malformed)?;
        let mut head = Self::request_line(line(&mut rest)?)?;
        let mut fields = Fields::default();
        for _ in 0..LINES_MAX {
            if rest.is_empty() {
                head.framing = head.framing(&fields)?;
                head.host = head.named_host(&fields)?;
                return Ok(head);
            }
            head.field(&mut fields, line(&mut rest)?)?;
        }
        Err(BadHead::TooManyLines)
    }

    fn request_line(line: &'a [u8]) -> Result<Self, BadHead> {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(BadHead::Malformed);
        };
        let version = match version {
            b"HTTP/1.1" => Version::Http11,
            b"HTTP/1.0" => Version::Http10,
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(BadHead::Version),
            _ => return Err(BadHead::Malformed),
        };
        let method = match method {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            other if is_token(other) => Method::Other,
            _ => return Err(BadHead::Malformed),
        };
        let target = str::from_utf8(target).map_err(|_| BadHead::Malformed)?;
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadHead::Malformed);
        }
        // The absolute form names the host itself, and outranks the header (RFC 9112 §3.2.2).
        let (authority, target) = match target
            .strip_prefix("http://")
            .or_else(|| target.strip_prefix("https://"))
        {
            Some(rest) => rest.find('/').map_or((rest, "/"), |at| rest.split_at(at)),
            None => ("", target),
        };
        if !target.starts_with('/') && target != "*" {
            return Err(BadHead::Malformed);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Self {
            method,
            version,
            path,
            query,
            host: authority,
            framing: Framing::Empty,
            keeps: version == Version::Http11,
            expects_continue: false,
            in_advance: false,
            user_agent: b"",
            forwarded_for: None,
            accept_language: "",
            content_type: "",
            origin: None,
            referer: None,
            if_none_match: None,
            webhook_id: None,
            webhook_timestamp: None,
            webhook_signature: None,
        })
    }

    /// Reads one header line. What is not known here is checked for its form alone.
    fn field(&mut self, fields: &mut Fields<'a>, line: &'a [u8]) -> Result<(), BadHead> {
        let colon = memchr::memchr(b':', line).ok_or(BadHead::Malformed)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if !is_token(name) {
            return Err(BadHead::Malformed);
        }
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // The length first: most lines are told apart by it.
        match name.len() {
            4 if is("host") => once(&mut fields.host, value)?,
            5 if is("x-moz") => self.in_advance |= says_in_advance(value),
            6 if is("origin") => self.origin = text(value),
            6 if is("expect") => self.expects_continue = value.eq_ignore_ascii_case(b"100-continue"),
            7 if is("referer") => self.referer = text(value),
            7 if is("purpose") => self.in_advance |= says_in_advance(value),
            9 if is("x-purpose") => self.in_advance |= says_in_advance(value),
            10 if is("user-agent") => self.user_agent = value,
            10 if is("connection") => self.connection(value),
            10 if is("webhook-id") => self.webhook_id = text(value),
            11 if is("sec-purpose") => self.in_advance |= says_in_advance(value),
            12 if is("content-type") => self.content_type = text(value).unwrap_or_default(),
            13 if is("if-none-match") => self.if_none_match = text(value),
            14 if is("content-length") => once(&mut fields.content_length, value)?,
            15 if is("x-forwarded-for") => self.forwarded_for = text(value),
            15 if is("accept-language") => self.accept_language = text(value).unwrap_or_default(),
            17 if is("transfer-encoding") => once(&mut fields.transfer_encoding, value)?,
            17 if is("webhook-timestamp") => self.webhook_timestamp = text(value),
            17 if is("webhook-signature") => self.webhook_signature = text(value),
            _ => {}
        }
        Ok(())
    }

    /// Reads what `Connection` says of this connection.
    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.keeps = false;
            } else if option.eq_ignore_ascii_case(b"keep-alive") && self.version == Version::Http10 {
                self.keeps = true;
            }
        }
    }

    /// Decides what follows the head; whatever could be read in two ways is refused (RFC 9112 §6.3).
    fn framing(&self, fields: &Fields<'_>) -> Result<Framing, BadHead> {
        match (fields.content_length, fields.transfer_encoding) {
            (None, None) => Ok(Framing::Empty),
            (Some(length), None) => match length_of(length).ok_or(BadHead::Malformed)? {
                0 => Ok(Framing::Empty),
                length => Ok(Framing::Length(length)),
            },
            (None, Some(coding)) if self.version == Version::Http11 => {
                let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
                is_chunked.then_some(Framing::Chunked).ok_or(BadHead::Coding)
            }
            (_, Some(_)) => Err(BadHead::Malformed),
        }
    }

    fn named_host(&self, fields: &Fields<'a>) -> Result<&'a str, BadHead> {
        let header = match fields.host {
            Some(host) => str::from_utf8(host).map_err(|_| BadHead::Malformed)?,
            None if self.version == Version::Http10 => "",
            None => return Err(BadHead::Malformed),
        };
        let of_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if !header.bytes().chain(self.host.bytes()).all(of_host) {
            return Err(BadHead::Malformed);
        }
        let named = if self.host.is_empty() { header } else { self.host };
        let host = named.split_once(':').map_or(named, |(host, _port)| host);
        let host = host.strip_suffix('.').unwrap_or(host);
        Ok(if host.len() <= 253 { host } else { "" })
    }
}

/// The header lines that decide how a request is read; each may stand there once.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
}

fn once<'a>(field: &mut Option<&'a [u8]>, value: &'a [u8]) -> Result<(), BadHead> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(BadHead::Malformed),
    }
}

/// Takes the next line off `rest`, without its CR LF.
fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], BadHead> {
    let end = memchr::memchr(b'\n', rest).ok_or(BadHead::Malformed)?;
    let (line, after) = rest.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    let line = line.strip_suffix(b"\r").ok_or(BadHead::Malformed)?;
    // Without a way out in the middle, the compiler looks at many bytes at once.
    let is_control = |byte: u8| u8::from(byte < b' ' && byte != b'\t' || byte == 0x7f);
    let has_control = line.iter().fold(0, |has, byte| has | is_control(*byte)) != 0;
    if has_control { Err(BadHead::Malformed) } else { Ok(line) }
}

/// Returns whether this is a name or a method (RFC 9110 §5.6.2).
fn is_token(name: &[u8]) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128_u8 {
            let is = byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
            #[expect(clippy::indexing_slicing, reason = "computed at compile time")]
            {
                table[byte as usize] = is;
            }
            byte += 1;
        }
        table
    };
    !name.is_empty()
        && name
            .iter()
            .all(|byte| TOKEN.get(usize::from(*byte)).is_some_and(|is| *is))
}

/// Returns a length in digits alone. What does not fit is as good as the largest that does: both are too much.
fn length_of(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

fn text(value: &[u8]) -> Option<&str> {
    str::from_utf8(value).ok()
}

fn says_in_advance(value: &[u8]) -> bool {
    let value = value.to_ascii_lowercase();
    let says = |word: &[u8]| value.windows(word.len()).any(|part| part == word);
    says(b"prefetch") || says(b"prerender") || says(b"preview")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Head<'_>, BadHead> {
        Head::parse(text.as_bytes())
    }

    fn check_bad(text: &str, expected: BadHead) {
        match parse(text) {
            Err(bad) => assert_eq!(bad, expected, "{text:?}"),
            Ok(head) => panic!("{text:?} was taken: {head:?}"),
        }
    }

    #[test]
    fn a_request_says_what_where_and_who() {
        let head = parse(
            "GET /l?c=x%20y HTTP/1.1\r\nHost: Click.A.example.:8443\r\nUser-Agent:  curl/8 \r\nX-Forwarded-For: 1.2.3.4\r\n\
             x-forwarded-for: 5.6.7.8\r\nSec-Purpose: prefetch;prerender\r\nCookie: ignored\r\n\r\n",
        )
        .expect("a request");
        assert_eq!((head.method, head.path, head.query), (Method::Get, "/l", "c=x%20y"));
        assert_eq!((head.host, head.user_agent), ("Click.A.example", b"curl/8".as_slice()));
        assert_eq!(head.forwarded_for, Some("5.6.7.8"));
        assert!(head.in_advance && head.keeps);
        assert_eq!(head.framing, Framing::Empty);
    }

    #[test]
    fn the_connection_stays_as_the_client_says() {
        for (line, keeps) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, Close\r\n", false),
            ("GET / HTTP/1.0\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", true),
        ] {
            assert_eq!(
                parse(&format!("{line}\r\n")).expect("a request").keeps,
                keeps,
                "{line:?}"
            );
        }
    }

    #[test]
    fn the_absolute_form_outranks_the_header() {
        let head = parse("GET http://b.example HTTP/1.1\r\nHost: a\r\n\r\n").expect("a request");
        assert_eq!((head.host, head.path), ("b.example", "/"));
    }

    #[test]
    fn a_body_is_framed_in_one_way_or_refused() {
        let framed =
            |lines: &str| parse(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).map(|head| head.framing);
        assert_eq!(framed("Content-Length: 0\r\n"), Ok(Framing::Empty));
        assert_eq!(framed("Content-Length: 26\r\n"), Ok(Framing::Length(26)));
        assert_eq!(framed("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
        assert_eq!(framed("Transfer-Encoding: gzip, chunked\r\n"), Err(BadHead::Coding));
        for lines in [
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 0x1\r\n",
            "Content-Length: \r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(framed(lines), Err(BadHead::Malformed), "{lines:?}");
        }
        check_bad(
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            BadHead::Malformed,
        );
    }

    #[test]
    fn nothing_is_repaired() {
        for text in [
            "\r\n",
            "GET /\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        ] {
            check_bad(text, BadHead::Malformed);
        }
        check_bad("GET / HTTP/2.0\r\nHost: a\r\n\r\n", BadHead::Version);
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(LINES_MAX));
        check_bad(&many, BadHead::TooManyLines);
    }

    #[test]
    fn the_end_is_found_across_reads() {
        assert_eq!(end(b"GET / HTTP/1.1\r\n\r", 0), None);
        assert_eq!(end(b"GET / HTTP/1.1\r\n\r\nrest", 17), Some(18));
    }
}
