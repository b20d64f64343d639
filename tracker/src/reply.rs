//! Answers: every one with the headers that keep tokens out of caches, referrers and search engines.

use std::borrow::Cow;

use serde_json::json;

/// What is sent back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    content_type: &'static str,
    body: Cow<'static, [u8]>,
    /// Only ASCII without controls and blanks.
    location: Option<String>,
    /// What only some answers have.
    extra: Vec<(&'static str, &'static str)>,
    keeping: Keeping,
    /// Whether the connection ends with this answer, whatever the client wishes.
    pub(crate) closes: bool,
}

/// Who may keep an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    /// Nobody: it was for one person, once.
    Nobody,
    /// Everybody, for an hour.
    Everybody,
}

/// A transparent GIF of one pixel.
const PIXEL: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
    \x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";
const PLAIN: &str = "text/plain; charset=utf-8";

impl Reply {
    fn new(status: u16, content_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self {
            status,
            content_type,
            body: body.into(),
            location: None,
            extra: Vec::new(),
            keeping: Keeping::Nobody,
            closes: false,
        }
    }

    /// Adds a header line.
    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.extra.push((name, value));
        self
    }

    /// Appends the answer as it goes over the wire, but for the `Date` and the empty line, which [`Reply::finish`] adds.
    pub(crate) fn begin(&self, keeps: bool, out: &mut Vec<u8>) {
        let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
        put(status_line(self.status));
        if !keeps {
            put("connection: close\r\n");
        }
        put(match self.keeping {
            Keeping::Nobody => "cache-control: no-store\r\n",
            Keeping::Everybody => "cache-control: public, max-age=3600\r\n",
        });
        put("referrer-policy: no-referrer\r\nx-robots-tag: noindex, nofollow\r\nx-content-type-options: nosniff\r\n");
        if self.has_body() {
            put("content-type: ");
            put(self.content_type);
            put("\r\ncontent-length: ");
            decimal(self.body.len(), &mut put);
            put("\r\n");
        }
        if let Some(location) = &self.location {
            put("location: ");
            put(location);
            put("\r\n");
        }
        for (name, value) in &self.extra {
            put(name);
            put(": ");
            put(value);
            put("\r\n");
        }
    }

    /// Appends the empty line and the body; to HEAD, the line alone.
    pub(crate) fn finish(&self, is_head: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        if self.has_body() && !is_head {
            out.extend_from_slice(&self.body);
        }
    }

    /// Statuses that never have a body have no length either (RFC 9110 §8.6).
    const fn has_body(&self) -> bool {
        !matches!(self.status, 204 | 304)
    }
}

/// Writes a number without allocating.
fn decimal(mut number: usize, put: &mut impl FnMut(&str)) {
    let mut digits = [b'0'; 20];
    let mut len = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        len += 1;
        if number == 0 {
            break;
        }
    }
    let digits = digits.last_chunk::<20>().and_then(|digits| digits.get(20 - len..));
    put(digits
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .unwrap_or("0"));
}

const fn status_line(status: u16) -> &'static str {
    match status {
        200 => "HTTP/1.1 200 OK\r\n",
        204 => "HTTP/1.1 204 No Content\r\n",
        302 => "HTTP/1.1 302 Found\r\n",
        304 => "HTTP/1.1 304 Not Modified\r\n",
        400 => "HTTP/1.1 400 Bad Request\r\n",
        401 => "HTTP/1.1 401 Unauthorized\r\n",
        404 => "HTTP/1.1 404 Not Found\r\n",
        405 => "HTTP/1.1 405 Method Not Allowed\r\n",
        408 => "HTTP/1.1 408 Request Timeout\r\n",
        413 => "HTTP/1.1 413 Content Too Large\r\n",
        414 => "HTTP/1.1 414 URI Too Long\r\n",
        429 => "HTTP/1.1 429 Too Many Requests\r\n",
        431 => "HTTP/1.1 431 Request Header Fields Too Large\r\n",
        501 => "HTTP/1.1 501 Not Implemented\r\n",
        503 => "HTTP/1.1 503 Service Unavailable\r\n",
        505 => "HTTP/1.1 505 HTTP Version Not Supported\r\n",
        _ => "HTTP/1.1 500 Internal Server Error\r\n",
    }
}

/// Returns a line of plain text, bland on purpose.
pub(crate) fn text(status: u16, line: &'static str) -> Reply {
    Reply::new(status, PLAIN, line.as_bytes())
}

/// Returns an answer that says all by its status.
pub(crate) fn nothing(status: u16) -> Reply {
    Reply::new(status, PLAIN, &b""[..])
}

/// Returns the pixel.
pub(crate) fn pixel() -> Reply {
    Reply::new(200, "image/gif", &PIXEL[..])
}

/// Returns a redirect, or a bland 404 if the URL cannot stand in a header (it always can: landing URLs are ASCII).
pub(crate) fn redirect(url: String) -> Reply {
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return gone();
    }
    let mut reply = nothing(302);
    reply.location = Some(url);
    reply
}

/// Returns a script that everybody may keep for an hour, and load from any page.
pub(crate) fn script(source: &'static str, etag: &'static str, is_known: bool) -> Reply {
    let mut reply = if is_known {
        nothing(304)
    } else {
        Reply::new(200, "text/javascript; charset=utf-8", source.as_bytes())
    };
    reply.keeping = Keeping::Everybody;
    reply
        .with("etag", etag)
        .with("cross-origin-resource-policy", "cross-origin")
}

/// Returns a page that may load nothing, be framed by nobody and post only to where it came from.
pub(crate) fn page(html: String, policy: &'static str) -> Reply {
    Reply::new(200, "text/html; charset=utf-8", html.into_bytes())
        .with("content-security-policy", policy)
        .with("x-frame-options", "DENY")
}

/// Returns a problem (RFC 9457), in the form of the API's, that names the field and the fault. Both are our own words.
pub(crate) fn problem(status: u16, field: &str, fault: &str) -> Reply {
    let (kind, title) = match status {
        401 => ("unauthenticated", "The call is not signed by the advertiser"),
        503 => ("closed", "The service is not taking work"),
        _ => ("invalid", "Fields are missing or wrong"),
    };
    let mut problem = json!({ "type": format!("urn:staffetta:problem:{kind}"), "title": title, "status": status });
    if let Some(problem) = problem.as_object_mut() {
        let detail = format!("{field} {fault}");
        problem.insert("detail".to_owned(), detail.trim_start().into());
        if !field.is_empty() {
            problem.insert("errors".to_owned(), json!([{ "field": field, "fault": fault }]));
        }
    }
    Reply::new(status, "application/problem+json", problem.to_string().into_bytes())
}

/// Returns what a link that is none, or no more, gets where there is no page to lead to.
pub(crate) fn gone() -> Reply {
    text(404, "This link is not valid.\n")
}

/// Returns a refusal that says what is allowed.
pub(crate) fn not_allowed(methods: &'static str) -> Reply {
    text(405, "Method not allowed.\n").with("allow", methods)
}

/// Returns a refusal that asks to come again.
pub(crate) fn later(status: u16, seconds: &'static str) -> Reply {
    text(status, "Please try again in a moment.\n").with("retry-after", seconds)
}
