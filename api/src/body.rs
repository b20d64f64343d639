//! Reading a request's body within its limits of size, time and memory.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Body as _;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;
use crate::json;
use crate::problem::{Kind, Problem};

/// How much of an oversized body is read and thrown away, so that its sender gets to see the 413.
const DISCARDED_BYTES_MAX: u64 = 16 << 20;
/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// A JSON body of ordinary size, read and checked.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let limit = app.settings.body_bytes_max;
        let Raw { bytes, .. } = Raw::read(request, app, limit).await?;
        json::parse(&bytes).map(Self)
    }
}

/// A JSON body that may be as large as a batch, read and checked.
pub(crate) struct LargeJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for LargeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let Raw { bytes, .. } = Raw::from_request(request, app).await?;
        json::parse(&bytes).map(Self)
    }
}

/// The bytes of a JSON body that may be as large as a batch, not looked at yet.
pub(crate) struct Raw {
    pub(crate) bytes: Bytes,
    /// Its share of the memory for bodies, until it is dropped.
    _places: OwnedSemaphorePermit,
}

impl FromRequest<App> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        Self::read(request, app, app.settings.batch_bytes_max).await
    }
}

impl Raw {
    /// Reads a JSON body of at most `limit` bytes.
    async fn read(request: Request, app: &App, limit: usize) -> Result<Self, Problem> {
        let (head, mut body) = request.into_parts();
        is_json(&head.headers)?;
        // What the sender announces, or, if it announces nothing, all it may send.
        let announced = body.size_hint().upper();
        let size = announced.map_or(limit, |size| usize::try_from(size).unwrap_or(usize::MAX));
        if size > limit {
            if !head.headers.contains_key(EXPECT) {
                discard(&mut body).await;
            }
            return Err(too_large(limit));
        }
        let places = app.admission.body(size)?;
        let limit_time = app.settings.body_timeout;
        match tokio::time::timeout(limit_time, collect(&mut body, limit)).await {
            Ok(Ok(bytes)) => Ok(Self { bytes, _places: places }),
            Ok(Err(Refused::TooLarge)) => {
                discard(&mut body).await;
                Err(too_large(limit))
            }
            Ok(Err(Refused::Broken)) => Err(Problem::new(
                Kind::Malformed,
                "the body ended before its announced length",
            )),
            Err(_) => {
                let detail = format!("the body was not complete after {} s", limit_time.as_secs_f32());
                Err(Problem::new(Kind::TimedOut, detail))
            }
        }
    }
}

enum Refused {
    TooLarge,
    Broken,
}

/// Gathers the body; one that came in one piece is not copied.
async fn collect(body: &mut Body, limit: usize) -> Result<Bytes, Refused> {
    let mut only = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refused::Broken)?.into_data() else {
            continue;
        };
        if only.len() + joined.len() + data.len() > limit {
            return Err(Refused::TooLarge);
        }
        if only.is_empty() && joined.is_empty() {
            only = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut only));
            joined.extend_from_slice(&data);
        }
    }
    Ok(if joined.is_empty() { only } else { joined.freeze() })
}

/// Reads on for a while: a sender in the middle of writing would take a closed connection for an answer.
async fn discard(body: &mut Body) {
    let reading = async {
        let mut left = DISCARDED_BYTES_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(size) {
                Some(still) => left = still,
                None => break,
            }
        }
    };
    // Best effort: whoever sends for longer sees the connection close.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, reading).await;
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Kind::TooLarge, format!("the body is larger than {limit} bytes"))
}

/// Refuses bodies that say they are something other than plain JSON in UTF-8.
fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported = |detail: &'static str| Err(Problem::new(Kind::UnsupportedMedia, detail));
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return unsupported("the body is encoded; send it as it is, without Content-Encoding");
    }
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return unsupported("Content-Type is missing; send application/json");
    };
    if value == "application/json" {
        return Ok(());
    }
    let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        return unsupported("Content-Type is not application/json");
    }
    let charset = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"'))
    });
    match charset {
        Some(charset) if !charset.eq_ignore_ascii_case("utf-8") => unsupported("the charset of JSON is UTF-8"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn only_plain_json_is_read() {
        let check = |kind: &'static str, passes: bool| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_json(&headers).is_ok(), passes, "{kind}");
        };
        check("application/json", true);
        check("Application/JSON; charset=UTF-8", true);
        check("application/json; charset=\"utf-8\"", true);
        check("application/json; charset=latin1", false);
        check("application/problem+json", false);
        check("text/plain", false);
        check("", false);
        assert!(is_json(&HeaderMap::new()).is_err());
    }
}
