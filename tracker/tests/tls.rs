//! TLS: the right certificate for each name, both versions, tickets, certificates renewed while it runs.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod support;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore};
use support::{HOST, OTHER_HOST, World, start_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracker::Settings;

/// A tracker that serves TLS from a folder.
struct Served {
    world: World,
    folder: tempfile::TempDir,
    address: SocketAddr,
}

async fn serve(settings: Settings, hosts: &[&str]) -> Served {
    let folder = tempfile::tempdir().unwrap();
    for host in hosts {
        certify(folder.path(), host, &KeyPair::generate().unwrap());
    }
    let settings = Settings {
        certificates: Some(folder.path().to_owned()),
        ..settings
    };
    let world = start_with(settings).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(world.tracker.clone().serve_tls(listener, world.stop.clone()));
    Served { world, folder, address }
}

/// Writes a self-signed certificate for `host`, as `<host>.pem`, by renaming it into place.
fn certify(folder: &Path, host: &str, key: &KeyPair) -> Vec<u8> {
    let certificate = CertificateParams::new(vec![host.to_owned()])
        .unwrap()
        .self_signed(key)
        .unwrap();
    let name = folder.join(format!(".{host}.new"));
    std::fs::write(&name, certificate.pem() + &key.serialize_pem()).unwrap();
    std::fs::rename(name, folder.join(format!("{host}.pem"))).unwrap();
    certificate.der().to_vec()
}

impl Served {
    /// Returns a client that trusts what the folder holds now.
    fn client(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let pem = std::fs::read(entry.unwrap().path()).unwrap();
            for certificate in CertificateDer::pem_slice_iter(&pem).flatten() {
                roots.add(certificate).unwrap();
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    async fn connect(&self, config: &Arc<ClientConfig>, host: &str) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let host = ServerName::try_from(host.to_owned()).unwrap();
        let connecting = TlsConnector::from(Arc::clone(config)).connect(host, stream);
        tokio::time::timeout(Duration::from_secs(20), connecting).await.unwrap()
    }

    /// Returns the certificate that `host` gets.
    async fn certificate(&self, host: &str) -> io::Result<Vec<u8>> {
        let stream = self.connect(&Arc::new(self.client(rustls::ALL_VERSIONS)), host).await?;
        Ok(stream
            .get_ref()
            .1
            .peer_certificates()
            .unwrap()
            .first()
            .unwrap()
            .to_vec())
    }

    fn handshakes(&self, result: &str) -> u64 {
        let label = format!("result=\"{result}\"");
        self.world.counter("tracker_tls_handshakes_total", &[&label])
    }
}

/// Asks for robots.txt; returns the answer.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    let request = format!("GET /robots.txt HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut said))
        .await
        .unwrap()
        .unwrap();
    said
}

/// Waits until a condition holds, for as long as a slow machine may take.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within twenty seconds");
}

#[tokio::test]
async fn each_name_gets_its_certificate_and_strangers_none() {
    let served = serve(Settings::default(), &[HOST, OTHER_HOST]).await;
    let (own, other) = (
        served.certificate(HOST).await.unwrap(),
        served.certificate(OTHER_HOST).await.unwrap(),
    );
    assert_ne!(own, other);
    served.certificate("click.evil.example").await.unwrap_err();
    assert_eq!(served.handshakes("unknown_host"), 1);
    // With a default, names without their own get that one.
    certify(served.folder.path(), "default", &KeyPair::generate().unwrap());
    let config = Arc::new(served.client(rustls::ALL_VERSIONS));
    until(async || {
        // It is of another name, which the client minds; we did not.
        let error = served.connect(&config, "click.evil.example").await.unwrap_err();
        error.to_string().contains("not valid for")
    })
    .await;
}

#[tokio::test]
async fn both_versions_and_both_kinds_of_keys_are_spoken() {
    let served = serve(Settings::default(), &[HOST]).await;
    // An RSA key, in two files, as some tools write them.
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let certificate = CertificateParams::new(vec![OTHER_HOST.to_owned()])
        .unwrap()
        .self_signed(&rsa)
        .unwrap();
    std::fs::write(
        served.folder.path().join(format!("{OTHER_HOST}.crt")),
        certificate.pem(),
    )
    .unwrap();
    std::fs::write(
        served.folder.path().join(format!("{OTHER_HOST}.key")),
        rsa.serialize_pem(),
    )
    .unwrap();
    until(async || served.certificate(OTHER_HOST).await.is_ok()).await;
    for host in [HOST, OTHER_HOST] {
        for (version, expected) in [
            (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
            (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        ] {
            let config = Arc::new(served.client(&[version]));
            let mut stream = served.connect(&config, host).await.unwrap();
            assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
            assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
        }
    }
    assert_eq!(served.handshakes("tls12"), 2);
}

#[tokio::test]
async fn who_comes_back_resumes() {
    let served = serve(Settings::default(), &[HOST]).await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut config = served.client(&[version]);
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        let mut first = served.connect(&config, HOST).await.unwrap();
        ask(&mut first).await;
        let mut second = served.connect(&config, HOST).await.unwrap();
        ask(&mut second).await;
        let kinds = (first.get_ref().1.handshake_kind(), second.get_ref().1.handshake_kind());
        assert_eq!(kinds, (Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)));
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_served_and_a_broken_one_is_not() {
    let served = serve(Settings::default(), &[HOST]).await;
    let first = served.certificate(HOST).await.unwrap();
    let second = certify(served.folder.path(), HOST, &KeyPair::generate().unwrap());
    assert_ne!(first, second);
    until(async || served.certificate(HOST).await.is_ok_and(|now| now == second)).await;
    let trusting = Arc::new(served.client(rustls::ALL_VERSIONS));
    // A key that is not the certificate's, and no PEM at all: each is told once, and the one before it stays.
    let path = served.folder.path().join(format!("{HOST}.pem"));
    let pem = std::fs::read_to_string(&path).unwrap();
    let foreign = KeyPair::generate().unwrap().serialize_pem();
    let mismatched = pem.split("-----BEGIN PRIVATE KEY").next().unwrap().to_owned() + &foreign;
    for (broken, faults) in [(mismatched, 1), ("nothing".to_owned(), 2)] {
        std::fs::write(&path, broken).unwrap();
        until(async || served.world.counter("tracker_certificate_faults_total", &[]) == faults).await;
        let stream = served.connect(&trusting, HOST).await.unwrap();
        assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0].as_ref(), second);
    }
    // Gone is gone.
    std::fs::remove_file(&path).unwrap();
    until(async || served.connect(&trusting, HOST).await.is_err()).await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut_off() {
    let settings = Settings {
        handshake_timeout: Duration::from_millis(200),
        connections_max: 2,
        ..Settings::default()
    };
    let served = serve(settings, &[HOST]).await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(&[0x16, 3, 1]).await.unwrap();
        slow.push(stream);
    }
    // Both places are taken; the honest client's turn comes when their time is over.
    let mut stream = served
        .connect(&Arc::new(served.client(rustls::ALL_VERSIONS)), HOST)
        .await
        .unwrap();
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(served.handshakes("timeout"), 2);
    // What is no TLS is no handshake either.
    let mut plain = support::Client::connect(served.address).await;
    plain.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    plain.closed().await;
    until(async || served.handshakes("failed") == 1).await;
}

#[tokio::test]
async fn a_stop_ends_the_tls_listener_too() {
    let served = serve(Settings::default(), &[HOST]).await;
    let config = Arc::new(served.client(rustls::ALL_VERSIONS));
    let mut idle = served.connect(&config, HOST).await.unwrap();
    let request = format!("GET /robots.txt HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    assert!(idle.read(&mut answer).await.unwrap() > 0);
    served.world.stop.cancel();
    let mut said = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), idle.read_to_end(&mut said))
        .await
        .unwrap()
        .unwrap();
    assert!(said.is_empty());
    until(async || TcpStream::connect(served.address).await.is_err()).await;
}
