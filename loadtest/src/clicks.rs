//! Clicks and pixels, on kept connections or on a fresh one for each, over TCP or TLS 1.3.
//!
//! Closed loop without `--rate`: each connection asks again as soon as it is answered, for throughput and CPU. With it, an
//! open loop: requests are due at fixed moments and their latency counts from there, whoever is late.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use hdrhistogram::Histogram;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::throughput::{percentiles, rate};

const AGENT: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148";

#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    /// The tracker's listener, or a peer's.
    #[arg(long)]
    address: String,
    /// The host that is asked, which the tokens are bound to.
    #[arg(long, default_value = "track.localhost")]
    host: String,
    /// A file of paths, one a line; they are asked for in turn, from the start again after the last.
    #[arg(long)]
    paths: PathBuf,
    /// Only paths that start with this, `/c/` or `/o/`.
    #[arg(long, default_value = "")]
    only: String,
    /// How many requests.
    #[arg(long, default_value_t = 100_000)]
    requests: usize,
    /// On how many connections at once.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Requests a second, together; without it, as many as are answered.
    #[arg(long)]
    rate: Option<f64>,
    /// A fresh connection for each request.
    #[arg(long)]
    fresh: bool,
    /// TLS 1.3, trusting this certificate alone; sessions are not resumed.
    #[arg(long)]
    tls: Option<PathBuf>,
    /// The status that every answer must have.
    #[arg(long)]
    status: u16,
    /// The whole run may take no longer.
    #[arg(long, default_value_t = 600)]
    seconds_max: u64,
}

/// What all connections share.
struct Run {
    arguments: Arguments,
    requests: Vec<Vec<u8>>,
    next: AtomicUsize,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    started: Instant,
}

/// Asks for all paths and returns rate and latencies.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<serde_json::Value> {
    let text =
        std::fs::read_to_string(&arguments.paths).with_context(|| format!("reading {}", arguments.paths.display()))?;
    let requests: Vec<_> = text
        .lines()
        .filter(|path| path.starts_with(&arguments.only))
        .map(|path| request(path, &arguments))
        .collect();
    if requests.is_empty() {
        bail!("there is no such path in {}", arguments.paths.display());
    }
    let distinct = requests.len();
    let tls = arguments
        .tls
        .as_ref()
        .map(|certificate| connector(certificate, &arguments.host))
        .transpose()?;
    let (total, seconds_max) = (arguments.requests, arguments.seconds_max);
    let connections = arguments.connections;
    let run = Arc::new(Run {
        arguments,
        requests,
        next: AtomicUsize::new(0),
        tls,
        started: Instant::now(),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(Arc::clone(&run).connection());
    }
    let mut latencies = Histogram::<u64>::new(3)?;
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            latencies.add(ended??)?;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(seconds_max), all)
        .await
        .context("the answers did not come in time")??;
    let seconds = run.started.elapsed().as_secs_f64();
    Ok(json!({
        "requests": total,
        "distinct": distinct.min(total),
        "seconds": seconds,
        "requests_per_second": rate(latencies.len(), seconds),
        "latency_ms": percentiles(&latencies),
    }))
}

fn request(path: &str, arguments: &Arguments) -> Vec<u8> {
    let connection = if arguments.fresh { "connection: close\r\n" } else { "" };
    format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: {AGENT}\r\naccept: */*\r\naccept-language: it-IT,it;q=0.9\r\n\
         accept-encoding: gzip, deflate, br\r\n{connection}\r\n",
        arguments.host
    )
    .into_bytes()
}

fn connector(certificate: &PathBuf, host: &str) -> anyhow::Result<(TlsConnector, ServerName<'static>)> {
    let pem = std::fs::read(certificate).with_context(|| format!("reading {}", certificate.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok((
        TlsConnector::from(Arc::new(config)),
        ServerName::try_from(host.to_owned())?,
    ))
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Run {
    /// Asks on one connection after another, or on a kept one, until all requests are taken.
    async fn connection(self: Arc<Self>) -> anyhow::Result<Histogram<u64>> {
        let mut latencies = Histogram::<u64>::new(3)?;
        let mut kept: Option<Box<dyn Stream>> = None;
        let mut answer = vec![0; 4096];
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.arguments.requests {
                return Ok(latencies);
            }
            let due = match self.arguments.rate {
                None => Instant::now(),
                Some(rate) => {
                    let due = self.started + Duration::from_secs_f64(1.0 / rate) * u32::try_from(number)?;
                    tokio::time::sleep_until(due.into()).await;
                    due
                }
            };
            let mut stream = match kept.take() {
                Some(stream) => stream,
                None => self.open().await?,
            };
            let request = self
                .requests
                .get(number % self.requests.len())
                .context("an index below the length")?;
            stream.write_all(request).await?;
            let status = read_answer(&mut *stream, &mut answer, self.arguments.fresh).await?;
            if status != self.arguments.status {
                bail!("request {number} was answered with {status}");
            }
            latencies.record(u64::try_from(due.elapsed().as_micros())?)?;
            if !self.arguments.fresh {
                kept = Some(stream);
            }
        }
    }

    async fn open(&self) -> anyhow::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(&self.arguments.address)
            .await
            .context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some((connector, host)) => {
                Box::new(connector.connect(host.clone(), stream).await.context("the handshake")?)
            }
        })
    }
}

/// Reads one answer, to the end of the connection if that is to follow, and returns its status.
async fn read_answer(stream: &mut dyn Stream, buffer: &mut [u8], to_the_end: bool) -> anyhow::Result<u16> {
    let mut filled = 0;
    loop {
        let count = stream.read(buffer.get_mut(filled..).unwrap_or_default()).await;
        // A peer that closes TLS without saying so has still answered.
        let count = if to_the_end { count.unwrap_or(0) } else { count? };
        filled += count;
        let read = buffer.get(..filled).unwrap_or_default();
        if count == 0 || !to_the_end {
            if let Some((status, length)) = crate::http::whole_answer(read)?
                && length == filled
            {
                return Ok(status);
            }
            if count == 0 {
                bail!("the connection ended before its answer");
            }
        }
    }
}
