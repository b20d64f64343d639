//! TLS 1.3 and 1.2 on the public listener, with a certificate for each tracking host.
//!
//! The certificate is the one of the name that the client asks for (SNI). Names without one are refused, unless there is a
//! default: a stranger's host pointed at us gets nothing. Session tickets spare those who come back the full handshake; their
//! keys live in memory, turn every six hours, and are gone with the process.

mod certificates;
mod expiry;

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use types::time::Clock;

use crate::Server;
use crate::stop::Stop;
use certificates::Certificates;

/// How often the folder is looked at.
const RELOAD: Duration = Duration::from_secs(2);

/// What connections are wrapped with.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    certificates: Arc<Certificates>,
}

impl Tls {
    /// Loads the folder's certificates; what is wrong with them is logged and counted.
    pub(crate) async fn new(server: &Server) -> Result<Self, rustls::Error> {
        let certificates = Arc::new(Certificates::new(server.settings.certificates.clone(), &server.metrics));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as Arc<_>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        // A mail client comes back once, if at all.
        config.send_tls13_tickets = 1;
        let tls = Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificates,
        };
        tls.reload(&*server.deps.clock).await;
        Ok(tls)
    }

    /// Looks at the folder every few seconds, for ever.
    pub(crate) async fn keep_fresh(&self, clock: &dyn Clock) {
        loop {
            tokio::time::sleep(RELOAD).await;
            self.reload(clock).await;
        }
    }

    async fn reload(&self, clock: &dyn Clock) {
        let (certificates, now) = (Arc::clone(&self.certificates), clock.now());
        // Reading a folder may take as long as a disk likes.
        let read = tokio::task::spawn_blocking(move || certificates.reload(now)).await;
        if let Err(error) = read {
            tracing::error!(%error, "tracker: reading certificates ended early");
        }
    }

    /// Does the handshake, within its deadline.
    pub(crate) async fn accept(&self, server: &Server, stream: TcpStream, stop: &Stop) -> Option<TlsStream<TcpStream>> {
        let handshake = tokio::time::timeout(server.settings.handshake_timeout, self.acceptor.accept(stream));
        let ended = tokio::select! {
            biased;
            ended = handshake => ended,
            () = stop.fired_owned() => return None,
        };
        let (result, stream) = match ended {
            Ok(Ok(stream)) => (version(&stream), Some(stream)),
            Ok(Err(error)) => (fault(&error), None),
            Err(_elapsed) => ("timeout", None),
        };
        server.metrics.handshakes.with_label_values(&[result]).inc();
        stream
    }
}

fn version(stream: &TlsStream<TcpStream>) -> &'static str {
    match stream.get_ref().1.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "tls12",
        _ => "tls13",
    }
}

fn fault(error: &std::io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        // What rustls says when the resolver knows no certificate.
        Some(rustls::Error::General(text)) if text.contains("no server certificate chain resolved") => "unknown_host",
        _ => "failed",
    }
}
