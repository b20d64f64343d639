//! Many requests to one server, as fast as it answers or at a fixed rate: on kept connections, or on a fresh one for each, over TCP or
//! TLS 1.3.
//!
//! Without a rate it is a closed loop: each connection asks again as soon as it is answered, for throughput and CPU. With one, requests
//! are due at fixed moments and their latency counts from there, whoever is late.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::generate::Null;
use crate::http::{Answer, Connection, Stream, whole_answer};

/// How connections are used.
#[derive(Clone)]
pub(super) enum Connections {
    /// Each is kept for all its requests.
    Kept,
    /// A fresh one for each request, over TLS 1.3, never resumed.
    FreshTls(TlsConnector, ServerName<'static>),
}

impl Connections {
    /// Fresh ones over TLS 1.3 to a server that shows this certificate (PEM) for `host`.
    pub(super) fn fresh_tls(certificate: &str, host: &str) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(certificate.as_bytes()) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self::FreshTls(
            TlsConnector::from(Arc::new(config)),
            ServerName::try_from(host.to_owned())?,
        ))
    }
}

/// Makes request number n: its head and body.
pub(super) type Make = Arc<dyn Fn(usize) -> Vec<u8> + Send + Sync>;
/// Hears of the answer to request number n. Err: it is not as it must be.
pub(super) type Hear = Arc<dyn Fn(usize, &Answer) -> anyhow::Result<()> + Send + Sync>;

/// What is asked.
#[derive(Clone)]
pub(super) struct Requests {
    pub(super) address: SocketAddr,
    pub(super) connections: Connections,
    /// At once.
    pub(super) at_once: usize,
    pub(super) count: usize,
    /// A second, together; None: as many as are answered.
    pub(super) rate: Option<f64>,
    pub(super) make: Make,
    pub(super) hear: Hear,
    /// All of it may take no longer.
    pub(super) patience: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) seconds: f64,
    /// Of the answers, in microseconds.
    pub(super) micros: Histogram<u64>,
}

/// What all connections share.
struct Run {
    requests: Requests,
    next: AtomicUsize,
    started: Instant,
}

/// Returns how many requests a second are answered by a server that does nothing, in a thread of this process: more than that nobody
/// can be seen to answer.
pub(super) fn ceiling() -> anyhow::Result<f64> {
    let server = Null::at_once()?;
    let answered = ask(Requests {
        address: server.address(),
        connections: Connections::Kept,
        at_once: 32,
        count: 100_000,
        rate: None,
        make: Arc::new(|number| {
            format!("GET /c/{number:060} HTTP/1.1\r\nhost: null.test\r\ncontent-length: 0\r\n\r\n").into_bytes()
        }),
        hear: expect_status(202),
        patience: Duration::from_mins(1),
    })?;
    #[expect(clippy::cast_precision_loss, reason = "counts here stay far below 2^52")]
    let count = answered.micros.len() as f64;
    Ok(count / answered.seconds)
}

/// Asks everything and returns once all is answered; a runtime of its own runs on this thread meanwhile.
pub(super) fn ask(requests: Requests) -> anyhow::Result<Answered> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let patience = requests.patience;
    let run = Arc::new(Run {
        requests,
        next: AtomicUsize::new(0),
        started: Instant::now(),
    });
    runtime.block_on(async move {
        let mut tasks = JoinSet::new();
        for _ in 0..run.requests.at_once {
            tasks.spawn(Arc::clone(&run).connection());
        }
        let mut micros = Histogram::<u64>::new(3)?;
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                micros.add(ended??)?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(patience, all)
            .await
            .context("the answers did not come in time")??;
        Ok(Answered {
            seconds: run.started.elapsed().as_secs_f64(),
            micros,
        })
    })
}

impl Run {
    /// Asks on one connection after another, or on a kept one, until all requests are taken.
    async fn connection(self: Arc<Self>) -> anyhow::Result<Histogram<u64>> {
        let mut micros = Histogram::<u64>::new(3)?;
        let mut kept = None;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.requests.count {
                return Ok(micros);
            }
            let due = match self.requests.rate {
                None => Instant::now(),
                Some(rate) => {
                    let due = self.started + Duration::from_secs_f64(1.0 / rate) * u32::try_from(number)?;
                    tokio::time::sleep_until(due.into()).await;
                    due
                }
            };
            let request = (self.requests.make)(number);
            let answer = loop {
                let answer = self.exchange(&mut kept, &request).await;
                let answer = answer.with_context(|| format!("request {number}"))?;
                if !matches!(answer.status, 429 | 503) {
                    break answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            (self.requests.hear)(number, &answer).with_context(|| format!("request {number}"))?;
            micros.record(u64::try_from(due.elapsed().as_micros())?)?;
        }
    }

    async fn exchange(&self, kept: &mut Option<Connection>, request: &[u8]) -> anyhow::Result<Answer> {
        match &self.requests.connections {
            Connections::Kept => {
                let connection = match kept {
                    Some(connection) => connection,
                    None => kept.insert(Connection::open(self.requests.address).await?),
                };
                connection.exchange(request).await
            }
            Connections::FreshTls(connector, host) => {
                let stream = TcpStream::connect(self.requests.address).await.context("connecting")?;
                stream.set_nodelay(true)?;
                let mut stream = connector.connect(host.clone(), stream).await.context("the handshake")?;
                stream.write_all(request).await?;
                last_answer(&mut stream).await
            }
        }
    }
}

/// Reads the last answer of a connection, to its end.
async fn last_answer(stream: &mut impl Stream) -> anyhow::Result<Answer> {
    let mut read = Vec::with_capacity(4096);
    // A peer that closes TLS without saying so has still answered.
    while stream.read_buf(&mut read).await.unwrap_or(0) > 0 {}
    match whole_answer(&read)? {
        Some((answer, length)) if length == read.len() => Ok(answer),
        _ => bail!("the connection ended before its answer, or after more than that"),
    }
}

/// Takes answers of one status alone.
pub(super) fn expect_status(status: u16) -> Hear {
    Arc::new(move |_, answer| {
        if answer.status == status {
            return Ok(());
        }
        bail!("answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// A server that answers requests of one connection with these statuses in turn.
    fn server(statuses: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for status in statuses {
                let mut request = [0; 1024];
                if stream.read(&mut request).unwrap() == 0 {
                    return;
                }
                write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n").unwrap();
            }
        });
        address
    }

    fn requests(address: SocketAddr, count: usize) -> Requests {
        Requests {
            address,
            connections: Connections::Kept,
            at_once: 1,
            count,
            rate: None,
            make: Arc::new(|number| format!("GET /{number} HTTP/1.1\r\n\r\n").into_bytes()),
            hear: expect_status(200),
            patience: Duration::from_secs(30),
        }
    }

    #[test]
    fn what_is_put_off_is_asked_again_and_counts_once() {
        let answered = ask(requests(server(&["200", "503", "429", "200"]), 2)).unwrap();
        assert_eq!(answered.micros.len(), 2);
    }

    #[test]
    fn another_answer_than_the_expected_one_ends_it() {
        let error = ask(requests(server(&["200", "404"]), 2)).unwrap_err();
        assert!(format!("{error:#}").contains("request 1: answered 404"), "{error:#}");
    }

    #[test]
    fn a_rate_is_kept() {
        let mut requests = requests(server(&["200"; 20]), 20);
        requests.rate = Some(100.0);
        assert!(ask(requests).unwrap().seconds >= 0.19);
    }
}
