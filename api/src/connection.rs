//! One accepted connection with its deadlines.
//!
//! [`Watched`] sits between the socket and hyper and knows where the connection stands: silent since it was accepted,
//! in the middle of a head, at work on a request, or idle between two. Each standing has its own deadline, kept by one
//! lazily armed timer, so that a busy connection pays a clock reading per request and no timer operation. When a
//! deadline passes, reading or writing fails and hyper ends the connection. The body's deadline is not here but where
//! the body is read, since its end deserves an answer (408).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::metrics::Listener;
use crate::settings::Settings;

/// Whether a request is being worked on; shared by the service, which knows, and the socket, which asks.
///
/// Counts beginnings and ends: odd means at work. The socket compares the count with the one it saw last, so that it
/// also notices a request that began and ended between two reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing(Arc<AtomicU32>);

impl Standing {
    /// Work on a request begins.
    pub(crate) fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Work on the request that began last has ended.
    pub(crate) fn end(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the connection waits for, while no request is being worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    /// The first byte of all.
    FirstByte,
    /// The rest of a head.
    Head,
    /// The next request's first byte.
    NextRequest,
    /// The answer that is being made; no deadline.
    Nothing,
}

/// A socket that ends when its peer is too slow.
pub(crate) struct Watched {
    stream: TcpStream,
    standing: Standing,
    /// The count of `standing` when it was last looked at.
    seen: u32,
    limits: Limits,
    awaits: Awaits,
    read_deadline: Instant,
    read_timer: Pin<Box<Sleep>>,
    /// Set while a write finds no room.
    write_deadline: Option<Instant>,
    write_timer: Pin<Box<Sleep>>,
    metrics: Listener,
}

/// The deadlines of a connection.
#[derive(Clone, Copy, Debug)]
struct Limits {
    header: Duration,
    idle: Duration,
    write: Duration,
}

impl Watched {
    /// Watches a connection that was accepted just now.
    pub(crate) fn new(stream: TcpStream, standing: Standing, settings: &Settings, metrics: Listener) -> Self {
        let first_byte = Instant::now() + settings.first_byte_timeout;
        Self {
            stream,
            standing,
            seen: 0,
            limits: Limits {
                header: settings.header_timeout,
                idle: settings.idle_timeout,
                write: settings.write_timeout,
            },
            awaits: Awaits::FirstByte,
            read_deadline: first_byte,
            read_timer: Box::pin(sleep_until(first_byte)),
            write_deadline: None,
            write_timer: Box::pin(sleep_until(first_byte)),
            metrics,
        }
    }

    /// Returns whether a request is being worked on; notices that one was.
    fn at_work(&mut self) -> bool {
        let count = self.standing.0.load(Ordering::Relaxed);
        if count != self.seen {
            self.seen = count;
            self.awaits = Awaits::Nothing;
        }
        count % 2 == 1
    }

    /// Bytes came: a head began or goes on, or a request is being worked on and these are its body.
    fn on_bytes(&mut self) {
        if !self.at_work() && self.awaits != Awaits::Head {
            self.awaits = Awaits::Head;
            self.read_deadline = Instant::now() + self.limits.header;
        }
    }

    /// Nothing came: fails if it should have, by now.
    fn on_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.at_work() {
            return Poll::Pending;
        }
        if self.awaits == Awaits::Nothing {
            self.awaits = Awaits::NextRequest;
            self.read_deadline = Instant::now() + self.limits.idle;
        }
        if passed(&mut self.read_timer, self.read_deadline, cx) {
            match self.awaits {
                Awaits::FirstByte => self.metrics.silent.inc(),
                Awaits::Head => self.metrics.slow_head.inc(),
                Awaits::NextRequest | Awaits::Nothing => self.metrics.idle.inc(),
            }
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    /// Passes a write's result on; fails when the peer left no room for too long.
    fn on_write<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_deadline = None;
            return written;
        }
        let limit = self.limits.write;
        let deadline = *self.write_deadline.get_or_insert_with(|| Instant::now() + limit);
        if passed(&mut self.write_timer, deadline, cx) {
            self.metrics.unread.inc();
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

/// Returns whether `deadline` has passed; if not, the task is woken when it does.
///
/// The timer may still stand at an earlier deadline: it is moved only when that has fired.
fn passed(timer: &mut Pin<Box<Sleep>>, deadline: Instant, cx: &mut Context<'_>) -> bool {
    if timer.deadline() > deadline {
        timer.as_mut().reset(deadline);
    }
    while timer.as_mut().poll(cx).is_ready() {
        if timer.deadline() >= deadline {
            return true;
        }
        timer.as_mut().reset(deadline);
    }
    false
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Pending => this.on_silence(cx),
            Poll::Ready(Ok(())) if buf.filled().len() > before => {
                this.on_bytes();
                // A drip of single bytes keeps the socket readable now and then, never the deadline away.
                if this.awaits == Awaits::Head && Instant::now() > this.read_deadline {
                    this.metrics.slow_head.inc();
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Ready(Ok(()))
            }
            end @ Poll::Ready(_) => end,
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.on_write(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.on_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
