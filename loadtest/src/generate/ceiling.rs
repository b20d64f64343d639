//! What the generator can do at most on this machine: orders into a server that answers everything at once and does nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::lane::Lane;
use super::orders::Orders;
use super::pacer::{Leg, Track};
use super::people::People;
use super::{Origin, Target, launch};
use crate::books::Books;
use crate::ledger::Kind;
use crate::scenario::{Arrivals, Curve, Load, Mails, Send};
use crate::service::Addresses;

/// For how long it is measured.
const MEASURED_FOR: Duration = Duration::from_secs(2);
/// More orders than can be sent in that time.
const ORDERS: u32 = 500_000;
const CONNECTIONS: usize = 64;
/// What the server says to everything.
const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 39\r\n\r\n\
    {\"id\":\"aaaaaaaaaaaaaaaa\",\"order_id\":\"1\"}";

/// Returns orders a second.
pub(super) fn measure() -> anyhow::Result<f64> {
    let server = Null::at_once()?;
    let target = server.target();
    let books = Books::new([ORDERS, 0, 0, 0], Instant::now());
    let load = Load {
        send: Send::Orders,
        // All at once: each connection takes the next as soon as it is free, on the way that every order takes.
        arrivals: Arrivals::new(
            0.0,
            Curve::Batch {
                at_seconds: 0.0,
                count: ORDERS,
            },
            1,
            0,
        ),
        connections_max: CONNECTIONS,
        wait_seconds: 0,
        first: 0,
    };
    let origin = Origin::of(Instant::now());
    let tracks = vec![Track::new(0, load.arrivals, Leg::Main)];
    let people = Arc::new(People::of(&Mails::default()));
    let generation = launch(origin, tracks, move |shared| {
        let maker = Orders::new(&target, Kind::Order, 0, people, origin);
        let lane = Lane::new(&load, target.addresses.api, Box::new(maker), books, Rc::clone(&shared));
        vec![lane]
    })?;
    // The first moments are connections, which a run keeps.
    std::thread::sleep(MEASURED_FOR / 10);
    let (began, before) = (Instant::now(), generation.progress().answered);
    std::thread::sleep(MEASURED_FOR);
    let (lasted, after) = (began.elapsed(), generation.progress().answered);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = (after - before) as f64;
    Ok(count / lasted.as_secs_f64())
}

/// How a request is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    /// How long the answer is held back.
    pub(super) held: Duration,
    /// All of it.
    pub(super) bytes: &'static [u8],
}

impl Reply {
    /// 202, at once.
    pub(super) const AT_ONCE: Self = Self {
        held: Duration::ZERO,
        bytes: ACCEPTED,
    };
}

/// A server that reads requests and answers them. Dropped, it stops.
pub(crate) struct Null {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Null {
    /// Starts on loopback; `reply` says how a request that came at a moment is answered.
    pub(super) fn start(reply: impl Fn(Instant) -> Reply + std::marker::Send + 'static) -> anyhow::Result<Self> {
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), reply)
    }

    /// Starts at an address.
    pub(super) fn listen(
        address: SocketAddr,
        reply: impl Fn(Instant) -> Reply + std::marker::Send + 'static,
    ) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("null".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let Ok(listener) = TcpListener::from_std(listener) else {
                    return;
                };
                let reply = Rc::new(reply);
                let accept = async {
                    while let Ok((stream, _)) = listener.accept().await {
                        let reply = Rc::clone(&reply);
                        tokio::task::spawn_local(async move { answer(stream, &*reply).await.ok() });
                    }
                };
                tokio::select! {
                    () = accept => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Starts one that answers 202 at once, whatever it is asked.
    pub(crate) fn at_once() -> anyhow::Result<Self> {
        Self::start(|_| Reply::AT_ONCE)
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns it as what a generator drives.
    pub(super) fn target(&self) -> Target {
        Target {
            addresses: Addresses {
                api: self.address,
                tracker: self.address,
                tracker_tls: None,
                admin: self.address,
            },
            key: "x".repeat(43),
        }
    }
}

impl Drop for Null {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers the requests of one connection.
async fn answer(mut stream: TcpStream, reply: &impl Fn(Instant) -> Reply) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::with_capacity(16 << 10);
    while stream.read_buf(&mut buffer).await? > 0 {
        while let Some(length) = whole_request(&buffer)? {
            let _ = buffer.split_to(length);
            let Reply { held, bytes } = reply(Instant::now());
            if !held.is_zero() {
                tokio::time::sleep(held).await;
            }
            stream.write_all(bytes).await?;
        }
    }
    Ok(())
}

/// Returns the length of the request at the start of `buffer`, once it is whole.
fn whole_request(buffer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(buffer.get(..end).unwrap_or_default())?;
    let length = head
        .rsplit("\r\n")
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(Ok(0), str::parse).context("a request without a length")?;
    let whole = end + 4 + length;
    Ok((buffer.len() >= whole).then_some(whole))
}
