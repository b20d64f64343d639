//! A TCP proxy that passes everything on after a while, in both directions, however much there is.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// A slow way to a server.
pub struct Proxy {
    pub port: u16,
}

impl Proxy {
    /// Starts passing on to a port, `delay` late in each direction.
    pub async fn start(to: u16, delay: Duration) -> Self {
        Self::listen(TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), to, delay)
    }

    /// Takes the place of a server that has ended, without a delay.
    pub async fn start_on(port: u16, to: u16) -> Self {
        Self::listen(
            TcpListener::bind(("127.0.0.1", port)).await.unwrap(),
            to,
            Duration::ZERO,
        )
    }

    fn listen(listener: TcpListener, to: u16, delay: Duration) -> Self {
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let (near, far) = (near.into_split(), far.into_split());
                tokio::spawn(pass(near.0, far.1, delay));
                tokio::spawn(pass(far.0, near.1, delay));
            }
        });
        Self { port }
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin + Send + 'static,
    mut to: impl AsyncWriteExt + Unpin,
    delay: Duration,
) {
    let (sender, mut receiver) = mpsc::channel(4096);
    tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + delay;
            if sender.send((due, buffer[..read].to_vec())).await.is_err() {
                return;
            }
        }
    });
    while let Some((due, bytes)) = receiver.recv().await {
        sleep_until(due).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
