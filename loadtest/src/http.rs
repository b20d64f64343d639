//! One kept HTTP/1.1 connection, as lean as it can be: the generator shares the machine with what it measures.
//!
//! It reads answers with a `Content-Length`, or without a body, which is what the service and its peers send here.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// Where a redirect leads.
    pub(crate) location: Option<Box<str>>,
    /// Whether it is the last on its connection.
    pub(crate) closes: bool,
    /// For how long 429 and 503 ask to wait.
    pub(crate) retry_after: Option<Duration>,
}

impl Answer {
    /// Returns the body as JSON. Err: the status is no success, or the body no JSON; both are told.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        let text = String::from_utf8_lossy(&self.body);
        if !(200..300).contains(&self.status) {
            bail!("answered {}: {text}", self.status);
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
    }
}

/// What bytes go over: plain or TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
}

impl Connection {
    /// Connects in the clear.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self::over(Box::new(stream)))
    }

    /// Speaks over a stream that is connected.
    pub(crate) fn over(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            buffer: BytesMut::with_capacity(4096),
        }
    }

    /// Sends a whole request, head and body as made by [`request`], and returns its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.stream.write_all(request).await?;
        loop {
            if let Some((answer, length)) = whole_answer(&self.buffer)? {
                let _ = self.buffer.split_to(length);
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection was closed in the middle of an answer");
            }
        }
    }
}

/// Returns the headers of what is sent to the API as JSON, with a key.
pub(crate) fn json_headers(key: &str) -> String {
    format!("authorization: Bearer {key}\r\ncontent-type: application/json\r\n")
}

/// Writes a request.
pub(crate) fn request(method: &str, path: &str, host: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = if body.is_empty() && method == "GET" {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}{length}\r\n").into_bytes();
    request.extend_from_slice(body);
    request
}

/// Returns the answer at the start of `buffer` and its length, once it is whole.
pub(crate) fn whole_answer(buffer: &[u8]) -> anyhow::Result<Option<(Answer, usize)>> {
    let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(buffer.get(..end).unwrap_or_default()).context("an answer's head is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .context("an answer without a status")?
        .parse()?;
    let field = |wanted: &str| {
        let mut fields = lines.clone().filter_map(|line| line.split_once(':'));
        fields.find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then_some(value.trim()))
    };
    let length = match field("content-length") {
        Some(value) => value.parse::<usize>()?,
        None if matches!(status, 204 | 304) => 0,
        None => bail!("an answer {status} without a content-length"),
    };
    let total = end + 4 + length;
    Ok(buffer.get(end + 4..total).map(|body| {
        let answer = Answer {
            status,
            body: Bytes::copy_from_slice(body),
            location: field("location")
                .filter(|_| (300..400).contains(&status))
                .map(Into::into),
            closes: field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
            retry_after: field("retry-after")
                .filter(|_| matches!(status, 429 | 503))
                .and_then(|value| Some(Duration::from_secs(value.parse().ok()?))),
        };
        (answer, total)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 ";
        assert!(whole_answer(&answer[..44]).unwrap().is_none());
        let (whole, length) = whole_answer(answer).unwrap().unwrap();
        assert_eq!((whole.status, &whole.body[..], length), (202, &b"{}"[..], 46));
        let (empty, length) = whole_answer(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap();
        assert_eq!((empty.status, empty.body.len(), length), (204, 0, 27));
        let moved = b"HTTP/1.1 302 Found\r\nLocation: https://a.test/?c=1\r\ncontent-length: 0\r\n\r\n";
        let (moved, _) = whole_answer(moved).unwrap().unwrap();
        assert_eq!(moved.location.as_deref(), Some("https://a.test/?c=1"));
        assert!(!moved.closes);
        let busy =
            b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nConnection: close\r\ncontent-length: 0\r\n\r\n";
        let (busy, _) = whole_answer(busy).unwrap().unwrap();
        assert_eq!(
            (busy.location, busy.retry_after, busy.closes),
            (None, Some(Duration::from_secs(5)), true)
        );
    }

    #[test]
    fn a_request_tells_its_length_unless_it_is_a_get() {
        assert_eq!(
            request("GET", "/o/x.gif", "t.test", "", b""),
            b"GET /o/x.gif HTTP/1.1\r\nhost: t.test\r\n\r\n"
        );
        assert_eq!(
            request("POST", "/l", "t.test", "a: b\r\n", b"x"),
            b"POST /l HTTP/1.1\r\nhost: t.test\r\na: b\r\ncontent-length: 1\r\n\r\nx"
        );
    }
}
