//! A small HTTP/1.1 client for our own listeners: what the commands and the demo speak to a running service with.
//!
//! One connection per request, plain TCP, a deadline on the whole exchange. It is not for the public internet.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How long one request may take in all.
const EXCHANGE_MAX: Duration = Duration::from_secs(30);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Speaks to one listener.
#[derive(Clone, Debug)]
pub struct Client {
    address: String,
    host: Option<String>,
    key: Option<String>,
}

/// What a listener answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// Returns the body as JSON; an answer that is none is an error.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("status {} with a body that is not JSON", self.status))
    }

    /// Returns the body as JSON if the status is 2xx, and an error that tells the problem otherwise.
    pub fn success(&self) -> anyhow::Result<serde_json::Value> {
        if self.status.is_success() {
            return if self.body.is_empty() {
                Ok(serde_json::Value::Null)
            } else {
                self.json()
            };
        }
        bail!(
            "the service answered {}: {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        )
    }
}

impl Client {
    /// Makes a client for the listener at `address` (`host:port`), with a bearer key if one is given.
    pub fn new(address: impl Into<String>, key: Option<String>) -> Self {
        Self {
            address: address.into(),
            host: None,
            key,
        }
    }

    /// Names another `Host`, as a proxy in front of the listener passes it on.
    #[must_use]
    pub fn speaking_of(self, host: &str) -> Self {
        Self {
            host: Some(host.to_owned()),
            ..self
        }
    }

    /// Asks with GET.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// Sends JSON with the method given.
    pub async fn json(&self, method: Method, path: &str, body: &serde_json::Value) -> anyhow::Result<Answer> {
        self.send(
            method,
            path,
            &[(CONTENT_TYPE.as_str(), "application/json")],
            body.to_string().into(),
        )
        .await
    }

    /// Sends one request on a connection of its own and reads the whole answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        tokio::time::timeout(EXCHANGE_MAX, self.exchange(method, path, headers, body))
            .await
            .with_context(|| format!("{} did not answer within {EXCHANGE_MAX:?}", self.address))?
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let (answer, connection) = self.ask(method, path, headers, body).await?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!(error))?
            .to_bytes();
        // The answer is whole; whether the peer closed politely changes nothing.
        drop(connection.await);
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    /// Asks with GET for an answer that may have no end, and returns it once its head is there.
    pub async fn open(&self, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Response<Incoming>> {
        let asked = self.ask(Method::GET, path, headers, Bytes::new());
        let asked = tokio::time::timeout(EXCHANGE_MAX, asked).await;
        let (answer, _) =
            asked.with_context(|| format!("{} did not answer within {EXCHANGE_MAX:?}", self.address))??;
        Ok(answer)
    }

    /// Sends a request; the connection lives until its answer was read.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<(Response<Incoming>, JoinHandle<hyper::Result<()>>)> {
        let stream = TcpStream::connect(&self.address)
            .await
            .with_context(|| format!("nobody listens on {}: is the service running?", self.address))?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.host.as_ref().unwrap_or(&self.address));
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = sender.send_request(request.body(Full::new(body))?).await?;
        Ok((answer, connection))
    }
}
