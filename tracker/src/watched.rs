//! A socket with deadlines, between the client and hyper.
//!
//! From the connection's start, or from one request's head, the next head has `header_timeout` to be whole, and may stay away
//! as long; what is written has `body_timeout` to be taken; everything together `connection_life`. One timer watches all of
//! it, and is moved only when it fires, since nearly every wait ends long before. When a deadline passes, reading or
//! writing fails and hyper ends the connection. The deadline of a body is kept where the body is read: its end deserves an
//! answer.
//!
//! It also looks for line feeds without a carriage return, which hyper takes for the end of a line, and others do not.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::Settings;
use crate::stop::Stop;

/// How much a refused client may still send before the connection ends, so that the answer is not lost in a reset.
const LINGER_BYTES: usize = 256 * 1024;
/// How long it may take for that.
const LINGER: Duration = Duration::from_secs(2);

/// Where a connection stands: told by the service, asked by the socket, and the other way round.
///
/// Both run in one task, so there is no order to keep.
pub(crate) struct Standing {
    began: Instant,
    /// When the last request's head was there, in microseconds since the connection began.
    last_head: AtomicU64,
    /// A request is being answered.
    at_work: AtomicBool,
    /// Bytes came since the last request.
    in_head: AtomicBool,
    /// A line ended in LF alone.
    bare_lf: AtomicBool,
    /// A head took too long.
    slow: AtomicBool,
    /// A request was refused for its form.
    refused: AtomicBool,
}

impl Standing {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            last_head: AtomicU64::new(0),
            at_work: AtomicBool::new(false),
            in_head: AtomicBool::new(false),
            bare_lf: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            refused: AtomicBool::new(false),
        }
    }

    /// Work on a request begins; returns how old the connection is.
    pub(crate) fn begin(&self, now: Instant) -> Duration {
        let age = now - self.began;
        set(&self.at_work, true);
        set(&self.in_head, false);
        let micros = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        self.last_head.store(micros, Ordering::Relaxed);
        age
    }

    /// The answer is made.
    pub(crate) fn end(&self) {
        set(&self.at_work, false);
    }

    /// The request's form is refused: what follows it is read and forgotten.
    pub(crate) fn refuse(&self) {
        set(&self.refused, true);
    }

    pub(crate) fn was_refused(&self) -> bool {
        is(&self.refused)
    }

    pub(crate) fn was_slow(&self) -> bool {
        is(&self.slow)
    }

    /// Returns whether a line ended in LF alone, in a head or in a body.
    pub(crate) fn has_bare_lf(&self) -> bool {
        is(&self.bare_lf)
    }

    fn last_head(&self) -> Instant {
        self.began + Duration::from_micros(self.last_head.load(Ordering::Relaxed))
    }
}

fn is(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed)
}

fn set(flag: &AtomicBool, value: bool) {
    flag.store(value, Ordering::Relaxed);
}

/// A socket that ends when its client is too slow, or between two requests when the service stops.
pub(crate) struct Watched<'a, S> {
    stream: S,
    standing: &'a Standing,
    header_timeout: Duration,
    write_timeout: Duration,
    life: Instant,
    timer: Pin<Box<Sleep>>,
    /// Set while a write finds no room.
    write_deadline: Option<Instant>,
    stop: &'a Stop,
    /// Set once it knows whom to wake: a task's waker stays the same, so asking once is enough.
    stopped: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    last_byte: u8,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Watched<'a, S> {
    pub(crate) fn new(stream: S, standing: &'a Standing, settings: &Settings, stop: &'a Stop) -> Self {
        let life = standing.began + settings.connection_life;
        Self {
            stream,
            standing,
            header_timeout: settings.header_timeout,
            write_timeout: settings.body_timeout,
            life,
            timer: Box::pin(sleep_until(life.min(standing.began + settings.header_timeout))),
            write_deadline: None,
            stop,
            stopped: None,
            last_byte: 0,
        }
    }

    /// Reads and forgets what a refused client still sends, for a moment.
    pub(crate) async fn linger(mut self) {
        let rest = async {
            let mut left = LINGER_BYTES;
            let mut bytes = [0; 2048];
            while left > 0 && !self.stop.has_fired() {
                match self.stream.read(&mut bytes).await {
                    Ok(read @ 1..) => left = left.saturating_sub(read),
                    Ok(0) | Err(_) => return,
                }
            }
        };
        // Whether it ends by itself or not, the connection does.
        let _ = tokio::time::timeout(self.write_timeout.min(LINGER), rest).await;
    }

    /// Bytes came.
    fn on_bytes(&mut self, bytes: &[u8]) {
        if !is(&self.standing.at_work) {
            set(&self.standing.in_head, true);
        }
        for at in memchr::memchr_iter(b'\n', bytes) {
            let before = at.checked_sub(1).and_then(|at| bytes.get(at)).copied();
            if before.unwrap_or(self.last_byte) != b'\r' {
                set(&self.standing.bare_lf, true);
            }
        }
        self.last_byte = bytes.last().copied().unwrap_or(self.last_byte);
    }

    /// Nothing came: ends the connection if something should have, by now.
    fn on_silence(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if is(&self.standing.at_work) {
            return Poll::Pending;
        }
        let is_idle = !is(&self.standing.in_head);
        if is_idle {
            if self.stopped.is_none() {
                let mut stopped = Box::pin(self.stop.fired_owned());
                let _ = stopped.as_mut().poll(context);
                self.stopped = Some(stopped);
            }
            if self.stop.has_fired() {
                // To hyper, the client has sent all it will.
                return Poll::Ready(Ok(()));
            }
        }
        let deadline = self.life.min(self.standing.last_head() + self.header_timeout);
        ready!(passed(&mut self.timer, deadline, context));
        set(&self.standing.slow, !is_idle);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Passes a write's result on; fails when the client left no room for too long.
    fn on_write<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_deadline = None;
            return written;
        }
        let timeout = self.write_timeout;
        let deadline = *self.write_deadline.get_or_insert_with(|| Instant::now() + timeout);
        ready!(passed(&mut self.timer, deadline.min(self.life), context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// Waits for a deadline. The timer is moved only when it has to fire earlier, or has fired.
fn passed(timer: &mut Pin<Box<Sleep>>, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
    if timer.deadline() > deadline {
        timer.as_mut().reset(deadline);
    }
    loop {
        ready!(timer.as_mut().poll(context));
        if timer.deadline() >= deadline {
            return Poll::Ready(());
        }
        timer.as_mut().reset(deadline);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = out.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, out) {
            Poll::Pending => this.on_silence(context),
            Poll::Ready(Ok(())) => {
                this.on_bytes(out.filled().get(before..).unwrap_or_default());
                Poll::Ready(Ok(()))
            }
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.on_write(written, context)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        // TLS may still hold what the socket did not take.
        match flushed {
            Poll::Ready(_) => flushed,
            Poll::Pending => this.on_write(flushed, context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(context);
        this.on_write(shut, context)
    }
}
