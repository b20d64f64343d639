//! A sink in this process: takes every mail and tells at once for whom, when and what.

use std::time::Instant;

use anyhow::Context;
use smtp::server::{Answer, Event, Server, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A mail that was taken.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Its first recipient.
    pub(crate) recipient: String,
    /// When its 250 was written.
    pub(crate) at: Instant,
    pub(crate) bytes: Vec<u8>,
}

/// Listens at `address` and reports each mail. Dropped, it stops.
pub(crate) async fn start(address: &str, arrived: mpsc::Sender<Arrival>) -> anyhow::Result<JoinSet<()>> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut sessions = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let arrived = arrived.clone();
            sessions.spawn(async move {
                if let Err(error) = session(stream, &arrived).await {
                    eprintln!("a session with the service broke: {error:#}");
                }
            });
            while sessions.try_join_next().is_some() {}
        }
    });
    Ok(tasks)
}

async fn session(mut stream: TcpStream, arrived: &mpsc::Sender<Arrival>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut server = Server::new(Settings::default());
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mut mails = Vec::new();
        while let Some(event) = server.poll_event() {
            if let Event::Message(envelope, bytes) = event {
                mails.extend(envelope.to.into_iter().next().map(|recipient| (recipient, bytes)));
            }
            server.answer(Answer::Default);
        }
        let output = server.output().to_vec();
        stream.write_all(&output).await?;
        server.wrote(output.len());
        let at = Instant::now();
        for (recipient, bytes) in mails {
            arrived.send(Arrival { recipient, at, bytes }).await?;
        }
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
