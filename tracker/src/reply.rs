//! Answers: every one with the headers that keep tokens out of caches, referrers and search engines.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

/// What is sent back.
pub(crate) type Reply = Response<Full<Bytes>>;

/// A transparent GIF of one pixel.
const PIXEL: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
    \x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// Returns an answer with the common headers.
fn reply(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    // Said outright, so that an answer to HEAD has the same headers as one to GET.
    let length = HeaderValue::from(body.len());
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex, nofollow"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// Returns a line of plain text, bland on purpose.
pub(crate) fn text(status: StatusCode, line: &'static str) -> Reply {
    reply(status, "text/plain; charset=utf-8", Bytes::from_static(line.as_bytes()))
}

/// Returns the pixel.
pub(crate) fn pixel() -> Reply {
    reply(StatusCode::OK, "image/gif", Bytes::from_static(PIXEL))
}

/// Returns a redirect, or a bland 404 if the URL cannot stand in a header (it always can: landing URLs are ASCII).
pub(crate) fn redirect(url: &str) -> Reply {
    let Ok(location) = HeaderValue::from_str(url) else {
        return gone();
    };
    let mut reply = reply(StatusCode::FOUND, "text/plain; charset=utf-8", Bytes::new());
    reply.headers_mut().insert(LOCATION, location);
    reply
}

/// Returns a page that may load nothing, be framed by nobody and post only to where it came from.
pub(crate) fn page(html: String, policy: &HeaderValue) -> Reply {
    let mut reply = reply(StatusCode::OK, "text/html; charset=utf-8", html.into());
    let headers = reply.headers_mut();
    headers.insert("content-security-policy", policy.clone());
    headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
    reply
}

/// Returns what a link that is none, or no more, gets where there is no page to lead to.
pub(crate) fn gone() -> Reply {
    text(StatusCode::NOT_FOUND, "This link is not valid.\n")
}

/// Returns a refusal that says what is allowed.
pub(crate) fn not_allowed(methods: &'static str) -> Reply {
    let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed.\n");
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    reply
}

/// Returns a refusal that asks to come again.
pub(crate) fn later(status: StatusCode, seconds: &'static str) -> Reply {
    let mut reply = text(status, "Please try again in a moment.\n");
    reply
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    reply
}
