//! `staffetta events`: what happens in a running service, one line of JSON for each event.
//!
//! With `--follow` a connection that breaks is made again, from the last event that was printed: nothing is missed that the
//! service's journal still holds, and nothing is printed twice.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use http_body_util::{BodyExt, Collected};
use hyper::body::Incoming;
use hyper::{Response, StatusCode};

use crate::client::Client;

/// The wait before a connection is made again.
const RECONNECT: Duration = Duration::from_secs(1);
/// Longer than the service is ever silent: it says that it is alive every 15 seconds.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// The longest line that is taken for one of ours.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Prints events as `path` tells them; with `follow` until `out` is closed or the service refuses.
pub async fn print(client: &Client, path: &str, follow: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let mut last = None;
    loop {
        let headers: Vec<_> = last.iter().map(|id: &String| ("last-event-id", id.as_str())).collect();
        let told = match client.open(path, &headers).await {
            Ok(answer) if answer.status() == StatusCode::OK => copy(answer, &mut last, out).await?,
            Ok(answer) if follow && answer.status().is_server_error() && last.is_some() => Told::Broken,
            Ok(answer) => {
                let status = answer.status();
                let body = answer
                    .into_body()
                    .collect()
                    .await
                    .map(Collected::to_bytes)
                    .unwrap_or_default();
                bail!("the service answered {status}: {}", String::from_utf8_lossy(&body));
            }
            Err(_) if follow && last.is_some() => Told::Broken,
            Err(error) => return Err(error),
        };
        match told {
            Told::ReaderGone => return Ok(()),
            Told::Broken if !follow => bail!("the connection broke: not all events were printed"),
            Told::Ended if !follow => return Ok(()),
            Told::Broken | Told::Ended => tokio::time::sleep(RECONNECT).await,
        }
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The service ended it.
    Ended,
    /// The connection did.
    Broken,
    /// Nobody reads what is printed.
    ReaderGone,
}

/// Prints what a stream tells until it ends, and keeps the id up to which all is printed.
async fn copy(answer: Response<Incoming>, last: &mut Option<String>, out: &mut impl Write) -> anyhow::Result<Told> {
    let (mut body, mut lines) = (answer.into_body(), Lines::default());
    loop {
        let frame = match tokio::time::timeout(SILENCE_MAX, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => return Ok(Told::Ended),
            Ok(Some(Err(_))) | Err(_) => return Ok(Told::Broken),
        };
        let Ok(data) = frame.into_data() else { continue };
        lines.bytes.extend_from_slice(&data);
        while let Some(line) = lines.next() {
            if let Some(id) = line.strip_prefix("id: ") {
                lines.id = Some(id.to_owned());
            } else if let Some(event) = line.strip_prefix("data: ") {
                lines.data = Some(event.to_owned());
            } else if line.is_empty() {
                if let Some(data) = lines.data.take()
                    && (writeln!(out, "{data}").is_err() || out.flush().is_err())
                {
                    return Ok(Told::ReaderGone);
                }
                *last = lines.id.take().or(last.take());
            }
        }
        if lines.bytes.len() > LINE_BYTES_MAX {
            bail!("the service sent a line that is too long to be one of ours");
        }
    }
}

/// What was received and not yet read, and the block that is being read.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    id: Option<String>,
    data: Option<String>,
}

impl Lines {
    fn next(&mut self) -> Option<String> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        Some(String::from_utf8_lossy(&line).trim_end().to_owned())
    }
}
