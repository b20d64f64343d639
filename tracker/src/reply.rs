//! Answers: every one with the headers that keep tokens out of caches, referrers and search engines.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde_json::json;

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// What is sent back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    content_type: &'static str,
    body: Bytes,
    location: Option<HeaderValue>,
    /// What only some answers have.
    extra: Vec<(HeaderName, &'static str)>,
    keeping: Keeping,
}

/// Who may keep an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    /// Nobody: it was for one person, once.
    Nobody,
    /// Everybody, for an hour.
    Everybody,
}

impl Keeping {
    const fn value(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Nobody => "no-store",
            Self::Everybody => "public, max-age=3600",
        })
    }
}

/// A transparent GIF of one pixel.
const PIXEL: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
    \x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";
const PLAIN: &str = "text/plain; charset=utf-8";

impl Reply {
    fn new(status: u16, content_type: &'static str, body: Bytes) -> Self {
        Self {
            status,
            content_type,
            body,
            location: None,
            extra: Vec::new(),
            keeping: Keeping::Nobody,
        }
    }

    /// Adds a header line.
    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.extra.push((HeaderName::from_static(name), value));
        self
    }

    /// Makes the answer that hyper sends. `headers` are those of the request: their room is used again, and goes round with
    /// the connection.
    pub(crate) fn into_response(self, mut headers: HeaderMap, closes: bool) -> Response<Full<Bytes>> {
        headers.clear();
        headers.insert(CACHE_CONTROL, self.keeping.value());
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(ROBOTS, HeaderValue::from_static("noindex, nofollow"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if !self.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        if let Some(location) = self.location {
            headers.insert(LOCATION, location);
        }
        for (name, value) in self.extra {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = StatusCode::from_u16(self.status).expect("statuses are written in this file");
        *response.headers_mut() = headers;
        response
    }
}

/// Returns a line of plain text, bland on purpose.
pub(crate) fn text(status: u16, line: &'static str) -> Reply {
    Reply::new(status, PLAIN, Bytes::from_static(line.as_bytes()))
}

/// Returns an answer that says all by its status.
pub(crate) fn nothing(status: u16) -> Reply {
    Reply::new(status, PLAIN, Bytes::new())
}

/// Returns the pixel.
pub(crate) fn pixel() -> Reply {
    Reply::new(200, "image/gif", Bytes::from_static(PIXEL))
}

/// Returns a redirect, or a bland 404 if the URL cannot stand in a header (it always can: landing URLs are ASCII).
pub(crate) fn redirect(url: String) -> Reply {
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return gone();
    }
    let Ok(location) = HeaderValue::from_maybe_shared(Bytes::from(url)) else {
        return gone();
    };
    let mut reply = nothing(302);
    reply.location = Some(location);
    reply
}

/// Returns a script that everybody may keep for an hour, and load from any page.
pub(crate) fn script(source: &'static str, etag: &'static str, is_known: bool) -> Reply {
    let mut reply = if is_known {
        nothing(304)
    } else {
        Reply::new(
            200,
            "text/javascript; charset=utf-8",
            Bytes::from_static(source.as_bytes()),
        )
    };
    reply.keeping = Keeping::Everybody;
    reply
        .with("etag", etag)
        .with("cross-origin-resource-policy", "cross-origin")
}

/// Returns a page that may load nothing, be framed by nobody and post only to where it came from.
pub(crate) fn page(html: String, policy: &'static str) -> Reply {
    Reply::new(200, "text/html; charset=utf-8", html.into())
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
    Reply::new(status, "application/problem+json", problem.to_string().into())
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
