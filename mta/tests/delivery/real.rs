//! Real receivers: Postfix's smtp-sink, and aiosmtpd with STARTTLS.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use types::event::Outcome;

use crate::support::{Engine, LIMIT, to};

/// A child process that ends with its test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn wait_for(address: SocketAddr) {
    let started = std::time::Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(started.elapsed() < LIMIT, "{address} does not answer");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts Postfix's smtp-sink; the package `postfix` brings it.
pub(crate) fn smtp_sink() -> (Running, SocketAddr) {
    let address = free_port();
    let child = Command::new("/usr/sbin/smtp-sink")
        .args(["-u", "nobody", &address.to_string(), "1000"])
        .stderr(Stdio::null())
        .spawn()
        .expect("smtp-sink: install the package postfix");
    wait_for(address);
    (Running(child), address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postfix_smtp_sink_takes_everything() {
    let (_sink, address) = smtp_sink();
    let mut engine = Engine::start(to(address));
    for id in 1..=500 {
        engine.send(engine.mail(id, "r@dest.example"));
    }
    for _ in 0..500 {
        assert_eq!(engine.terminal().await.outcome, Outcome::Delivered);
    }
}

const AIOSMTPD: &str = r#"
import asyncio, ssl, sys
from aiosmtpd.controller import Controller
class Handler:
    async def handle_DATA(self, server, session, envelope):
        print("got", int(session.ssl is not None), envelope.mail_from, envelope.rcpt_tos[0], envelope.original_content.hex(), flush=True)
        return "250 2.0.0 taken"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3])
controller = Controller(Handler(), hostname="127.0.0.1", port=int(sys.argv[1]), tls_context=context, require_starttls=True)
controller.start()
sys.stdin.read()
controller.stop()
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aiosmtpd_takes_mail_over_starttls_with_any_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["someone.else.example".to_owned()]).unwrap();
    let (cert, key, script) = (
        folder.path().join("cert"),
        folder.path().join("key"),
        folder.path().join("sink.py"),
    );
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::File::create(&script)
        .unwrap()
        .write_all(AIOSMTPD.as_bytes())
        .unwrap();
    let address = free_port();
    let python = std::env::var("STAFFETTA_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut child = Command::new(python)
        .arg(script)
        .arg(address.port().to_string())
        .args([cert, key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 with aiosmtpd 1.4.6");
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let _running = Running(child);
    wait_for(address);
    let mut engine = Engine::start(to(address));
    for id in 1..=5 {
        engine.send(engine.mail(id, "r@dest.example"));
        let ended = engine.end().await;
        assert_eq!(ended.outcome, Outcome::Delivered, "{ended:?}");
        assert_eq!(ended.tls.as_deref(), Some("TLSv1.3"), "{ended:?}");
        let line = said.next().unwrap().unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[..4], ["got", "1", "bounce@shop.example", "r@dest.example"]);
        let hex: String = engine
            .mail(id, "r@dest.example")
            .bytes
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(words[4], hex, "byte for byte");
    }
}
