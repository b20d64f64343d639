//! Refusals as RFC 9457 problem details.
//!
//! Every answer of 400 and above is made here, so all of them have one form: `type` names the problem (a URN that
//! clients may match on), `title` and `status` go with the type, `detail` says what happened this time, and `errors`
//! names each offending field with its fault. The set of types is closed: it is also a metric label and is listed in
//! the API's description.

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

/// The type of a problem. The name is the last part of the URN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 400: the request is no well-formed HTTP, JSON, query or path.
    Malformed,
    /// 401: no key, or an unknown one.
    Unauthenticated,
    /// 403: the key may not do this.
    Forbidden,
    /// 404: nothing there, or nothing that this key may see.
    NotFound,
    /// 405: the path has no such method.
    MethodNotAllowed,
    /// 408: the body came too slowly.
    TimedOut,
    /// 409: the name was used for something else.
    Conflict,
    /// 413: the body is larger than the limit.
    TooLarge,
    /// 415: not JSON, or encoded.
    UnsupportedMedia,
    /// 422: well-formed, but fields are wrong.
    Invalid,
    /// 429: more requests than the key may make.
    Limited,
    /// 429: too many failed attempts to authenticate from one address.
    AuthLimited,
    /// 500: our fault.
    Internal,
    /// 503: no place for more work just now.
    Busy,
    /// 503: shutting down, or not able to write.
    Closed,
    /// 507: the disk is almost full.
    DiskFull,
}

impl Kind {
    /// Every type.
    pub(crate) const ALL: [Self; 16] = [
        Self::Malformed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TimedOut,
        Self::Conflict,
        Self::TooLarge,
        Self::UnsupportedMedia,
        Self::Invalid,
        Self::Limited,
        Self::AuthLimited,
        Self::Internal,
        Self::Busy,
        Self::Closed,
        Self::DiskFull,
    ];

    /// Returns the URN and the title.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Malformed => ("urn:staffetta:problem:malformed", "The request cannot be read"),
            Self::Unauthenticated => ("urn:staffetta:problem:unauthenticated", "No valid API key"),
            Self::Forbidden => ("urn:staffetta:problem:forbidden", "The API key may not do this"),
            Self::NotFound => ("urn:staffetta:problem:not-found", "Nothing here"),
            Self::MethodNotAllowed => ("urn:staffetta:problem:method-not-allowed", "No such method here"),
            Self::TimedOut => ("urn:staffetta:problem:timed-out", "The body came too slowly"),
            Self::Conflict => ("urn:staffetta:problem:conflict", "The name was used for something else"),
            Self::TooLarge => ("urn:staffetta:problem:too-large", "The body is too large"),
            Self::UnsupportedMedia => (
                "urn:staffetta:problem:unsupported-media-type",
                "The body is not plain JSON",
            ),
            Self::Invalid => ("urn:staffetta:problem:invalid", "Fields are missing or wrong"),
            Self::Limited => ("urn:staffetta:problem:rate-limited", "Too many requests"),
            Self::AuthLimited => (
                "urn:staffetta:problem:auth-limited",
                "Too many failed attempts to authenticate",
            ),
            Self::Internal => ("urn:staffetta:problem:internal", "Something failed on our side"),
            Self::Busy => ("urn:staffetta:problem:busy", "No place for more work just now"),
            Self::Closed => ("urn:staffetta:problem:closed", "The service is not taking work"),
            Self::DiskFull => ("urn:staffetta:problem:disk-full", "The disk is almost full"),
        }
    }

    /// Returns the last part of the URN: the metric label.
    pub(crate) fn code(self) -> &'static str {
        let (urn, _) = self.names();
        urn.rsplit(':').next().unwrap_or(urn)
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Limited | Self::AuthLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy | Self::Closed => StatusCode::SERVICE_UNAVAILABLE,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

/// One refusal, on its way out.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    errors: Vec<Fault>,
    retry_after: Option<Duration>,
}

/// A problem as JSON (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document {
    /// A URN naming the type of problem; stable, meant for programs.
    #[serde(rename = "type")]
    #[schema(example = "urn:staffetta:problem:invalid")]
    kind: &'static str,
    /// The type in words.
    title: &'static str,
    /// The answer's status code.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened this time, for people.
    detail: Cow<'static, str>,
    /// What is wrong with which field. Empty when no field is to blame.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Fault>,
}

/// One field and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Fault {
    /// A JSON pointer into the body (RFC 6901; empty for the whole), or the name of a parameter or header.
    #[schema(example = "/customer/email")]
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) fault: String,
}

impl Fault {
    /// Blames `field`.
    pub(crate) fn new(field: impl Into<String>, fault: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            fault: fault.into(),
        }
    }
}

impl Problem {
    /// Makes a problem that blames no field.
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// Makes the 422 for these fields. `errors` is not empty.
    pub(crate) fn invalid(errors: Vec<Fault>) -> Self {
        let detail = match errors.as_slice() {
            [only] if only.field.is_empty() => format!("the body {}", only.fault),
            [only] => format!("{} {}", only.field, only.fault),
            several => format!("{} fields are missing or wrong", several.len()),
        };
        Self {
            errors,
            ..Self::new(Kind::Invalid, detail)
        }
    }

    /// Makes the 404 that says nothing about whether the thing exists for someone else.
    pub(crate) fn not_found(what: &'static str) -> Self {
        Self::new(Kind::NotFound, format!("there is no such {what}, or it is not yours"))
    }

    /// Adds a field to blame.
    pub(crate) fn with(mut self, fault: Fault) -> Self {
        self.errors.push(fault);
        self
    }

    /// Says when it is worth trying again; rounded up to whole seconds.
    pub(crate) const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Returns the fields that are to blame; one that blames none blames the whole.
    pub(crate) fn into_faults(self) -> Vec<Fault> {
        if self.errors.is_empty() {
            return vec![Fault::new("", self.detail)];
        }
        self.errors
    }

    /// Returns the type.
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns what is sent as JSON.
    pub(crate) fn into_document(self) -> Document {
        let (kind, title) = self.kind.names();
        Document {
            kind,
            title,
            status: self.kind.status().as_u16(),
            detail: self.detail,
            errors: self.errors,
        }
    }
}

impl IntoResponse for Problem {
    /// Writes the answer. The [`Kind`] stays in the response's extensions, where the metrics read it.
    fn into_response(self) -> Response {
        let (kind, retry_after) = (self.kind, self.retry_after);
        let body = serde_json::to_vec(&self.into_document()).expect("a problem is plain text and numbers");
        let mut response = Response::new(Bytes::from(body).into());
        *response.status_mut() = kind.status();
        response.extensions_mut().insert(kind);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        match kind {
            Kind::Unauthenticated => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"staffetta\""));
            }
            Kind::Forbidden => {
                let challenge = HeaderValue::from_static("Bearer realm=\"staffetta\", error=\"insufficient_scope\"");
                headers.insert(WWW_AUTHENTICATE, challenge);
            }
            Kind::TimedOut => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct() {
        let codes: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
    }

    #[test]
    fn waits_are_rounded_up_to_seconds() {
        let response = Problem::new(Kind::Busy, "full")
            .retry_after(Duration::from_millis(1100))
            .into_response();
        assert_eq!(response.headers().get(RETRY_AFTER), Some(&HeaderValue::from(2)));
    }
}
