//! A receiving mail server for one process: takes mails over real SMTP on loopback and keeps them.
//!
//! What it answers is scripted by whoever starts it, so the tests make it greylist, refuse, stall or hang up.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smtp::server::{Answer, Envelope, Event, Server, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A mail that the sink answered with 250.
#[derive(Clone, Debug)]
pub struct Received {
    /// Reverse-path and recipients.
    pub envelope: Envelope,
    /// The message as it came, dot-stuffing undone.
    pub bytes: Bytes,
}

/// How the sink meets one event of a session.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Takes it.
    Accept,
    /// Answers this line.
    Say(u16, &'static str),
    /// Closes the connection without an answer.
    HangUp,
    /// Takes a message, but closes the connection instead of saying so.
    AcceptAndHangUp,
    /// Answers after a wait, as if accepting.
    Slowly(Duration),
}

/// Chooses the manner for an event.
pub type Script = Arc<dyn Fn(&Event) -> Manner + Send + Sync>;

/// A running sink; dropped, it stops.
#[derive(Debug)]
pub struct Sink {
    /// Where it listens.
    pub address: SocketAddr,
    /// The mails it took, in order.
    pub received: mpsc::UnboundedReceiver<Received>,
    _tasks: JoinSet<()>,
}

impl Sink {
    /// Listens on an ephemeral loopback port and accepts every mail.
    pub async fn start() -> anyhow::Result<Self> {
        Self::scripted(Arc::new(|_| Manner::Accept)).await
    }

    /// Listens on an ephemeral loopback port and meets each event as `script` says.
    pub async fn scripted(script: Script) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        #[expect(
            clippy::disallowed_methods,
            reason = "bounded by what the one service in the demo or test sends"
        )]
        let (keep, received) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut sessions = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let (script, keep) = (Arc::clone(&script), keep.clone());
                sessions.spawn(async move {
                    // A client that breaks off is the client's affair; what was taken is kept.
                    let _ = session(stream, &script, &keep).await;
                });
                while sessions.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address,
            received,
            _tasks: tasks,
        })
    }
}

async fn session(mut stream: TcpStream, script: &Script, keep: &mpsc::UnboundedSender<Received>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut server = Server::new(Settings::default());
    let mut buffer = vec![0; 64 << 10];
    loop {
        while let Some(event) = server.poll_event() {
            let manner = script(&event);
            if let Event::Message(envelope, bytes) = event
                && matches!(manner, Manner::Accept | Manner::AcceptAndHangUp | Manner::Slowly(_))
            {
                keep.send(Received {
                    envelope,
                    bytes: bytes.into(),
                })?;
            }
            match manner {
                Manner::Accept => server.answer(Answer::Default),
                Manner::Say(code, text) => server.answer(Answer::Line(code, text.to_owned())),
                Manner::HangUp | Manner::AcceptAndHangUp => return Ok(()),
                Manner::Slowly(wait) => {
                    tokio::time::sleep(wait).await;
                    server.answer(Answer::Default);
                }
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
