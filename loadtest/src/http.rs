//! One kept HTTP/1.1 connection, as lean as it can be: the generator shares the machine with what it measures.
//!
//! It reads answers with a `Content-Length` only, which is what the service sends.

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection to the API with its credentials.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    head: String,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects to the API listener.
    pub(crate) async fn open(address: &str, key: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let head = format!(
            "POST /v1/orders HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
        );
        Ok(Self {
            stream,
            head,
            out: Vec::with_capacity(2048),
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Posts one order and returns the answer's status.
    pub(crate) async fn post(&mut self, body: &str) -> anyhow::Result<u16> {
        self.out.clear();
        self.out.extend_from_slice(self.head.as_bytes());
        self.out
            .extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        self.out.extend_from_slice(body.as_bytes());
        self.stream.write_all(&self.out).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<u16> {
        loop {
            if let Some((status, length)) = whole_answer(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(status);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the service closed the connection in the middle of an answer");
            }
        }
    }
}

/// Returns status and total length of the answer at the start of `buffer`, once it is whole.
pub(crate) fn whole_answer(buffer: &[u8]) -> anyhow::Result<Option<(u16, usize)>> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(buffer.get(..end).unwrap_or_default()).context("an answer's head is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .context("an answer without a status")?
        .parse()?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("an answer without a content-length")?
        .1
        .trim()
        .parse::<usize>()?;
    let total = end + 4 + length;
    Ok((buffer.len() >= total).then_some((status, total)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 ";
        assert_eq!(whole_answer(&answer[..44]).unwrap(), None);
        assert_eq!(whole_answer(answer).unwrap(), Some((202, 46)));
    }
}
