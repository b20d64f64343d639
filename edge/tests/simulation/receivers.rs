//! The network, and the mail servers behind it: each meets a session as chance has it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mta::ledger::Waiting;
use mta::world::{Net, Socket};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use smtp::server::{Answer, Event, Server, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Bytes that a connection holds on their way.
const WINDOW: usize = 64 << 10;

/// The network of one life.
pub struct SimNet {
    random: Mutex<StdRng>,
}

/// How a receiver meets one event.
enum Manner {
    Accept,
    Say(u16, &'static str),
    Slowly(Duration),
    HangUp,
    /// Takes the message and hangs up before it says so.
    TakeAndHangUp,
    Silence,
}

impl SimNet {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self {
            random: Mutex::new(StdRng::seed_from_u64(seed)),
        })
    }
}

impl Net for SimNet {
    fn connect(&self, _: SocketAddr) -> Waiting<io::Result<Box<dyn Socket>>> {
        let (fate, seed) = {
            let mut random = self.random.lock().unwrap();
            (random.random_range(0..100), random.random())
        };
        Box::pin(async move {
            match fate {
                0..4 => return Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                4..6 => std::future::pending::<()>().await,
                _ => tokio::time::sleep(Duration::from_millis(fate)).await,
            }
            let (ours, theirs) = tokio::io::duplex(WINDOW);
            tokio::spawn(async move {
                // A sender that breaks off is the sender's affair.
                let _ = receive(theirs, StdRng::seed_from_u64(seed)).await;
            });
            Ok(Box::new(ours) as Box<dyn Socket>)
        })
    }
}

async fn receive(mut stream: DuplexStream, mut random: StdRng) -> io::Result<()> {
    let mut server = Server::new(Settings::default());
    let mut buffer = vec![0; 16 << 10];
    loop {
        while let Some(event) = server.poll_event() {
            match manner(&event, &mut random) {
                Manner::Accept => server.answer(Answer::Default),
                Manner::Say(code, text) => server.answer(Answer::Line(code, text.to_owned())),
                Manner::Slowly(wait) => {
                    tokio::time::sleep(wait).await;
                    server.answer(Answer::Default);
                }
                Manner::HangUp | Manner::TakeAndHangUp => return Ok(()),
                Manner::Silence => std::future::pending().await,
            }
        }
        stream.write_all(server.output()).await?;
        let written = server.output().len();
        server.wrote(written);
        if server.is_closing() {
            return Ok(());
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        server.receive(buffer.get(..count).unwrap_or_default());
    }
}

fn manner(event: &Event, random: &mut StdRng) -> Manner {
    let fate = random.random_range(0..1000);
    match (event, fate) {
        (Event::Message(..), 0..20) => Manner::TakeAndHangUp,
        (Event::Message(..), 20..40) => Manner::Say(451, "4.3.0 try again later"),
        (Event::Message(..), 40..50) => Manner::Say(554, "5.7.1 refused as spam"),
        (Event::Message(..), 50..60) => Manner::Silence,
        (Event::Rcpt(_), 0..30) => Manner::Say(451, "4.7.1 Greylisted, try again in 60 seconds"),
        (Event::Rcpt(_), 30..50) => Manner::Say(550, "5.1.1 no such user"),
        (_, 980..985) => Manner::HangUp,
        (_, 985..990) => Manner::Say(421, "4.3.2 closing"),
        (_, 900..980) => Manner::Slowly(Duration::from_millis(random.random_range(1..3000))),
        _ => Manner::Accept,
    }
}
