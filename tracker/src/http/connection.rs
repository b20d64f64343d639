//! One connection: requests read, answered and written in turn, each wait with a deadline.
//!
//! A request's head, or the idle time before it, may take `header_timeout`; a body, or the reading of an answer,
//! `body_timeout`; everything together `connection_life`. All of it is watched by one timer that is moved only when it fires,
//! since nearly every wait ends long before.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::chunked::{self, Chunked};
use super::head::{self, BadHead, Framing};
use super::{Head, Method};
use crate::Server;
use crate::reply::{self, Reply};
use crate::stop::Stop;

/// The largest request head: a token and a browser's headers are some 1 KiB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The largest body: a one-click POST has 26 bytes, as multipart some 150; a landing call some 200.
const BODY_BYTES_MAX: usize = 8 * 1024;
/// What a connection's buffer starts with, and goes back to: most heads fit.
const BUFFER_BYTES: usize = 2048;
/// Answers to pipelined requests that wait to be written together.
const ANSWERS_BYTES: usize = 8 * 1024;
/// How much of a refused request is read after its answer, so that the answer is not lost in a reset.
const LINGER_BYTES: usize = 256 * 1024;

/// Serves requests until the client, a deadline or the stop ends it.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(server: &Server, stream: S, peer: IpAddr, stop: &Stop) {
    let began = Instant::now();
    let life = began + server.settings.connection_life;
    let connection = Connection {
        server,
        stream,
        peer,
        stop,
        stopped: Box::pin(stop.fired_owned()),
        watches_stop: false,
        timer: Box::pin(sleep_until((began + server.settings.header_timeout).min(life))),
        life,
        buffer: vec![0; BUFFER_BYTES],
        filled: 0,
        answers: Vec::with_capacity(1024),
    };
    connection.run(began).await;
}

struct Connection<'a, S> {
    server: &'a Server,
    stream: S,
    peer: IpAddr,
    stop: &'a Stop,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether `stopped` knows whom to wake: a task's waker stays the same, so asking once is enough.
    watches_stop: bool,
    timer: Pin<Box<Sleep>>,
    life: Instant,
    /// What was read and not yet answered: the first `filled` bytes.
    buffer: Vec<u8>,
    filled: usize,
    /// What was answered and not yet written.
    answers: Vec<u8>,
}

/// Why a connection ends.
enum End {
    /// The client went away, or was too slow or silent between requests; or the service stops. Nothing more is said.
    Quiet,
    /// A request is refused, with this answer.
    Refused(Reply),
}

/// How a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Deadline,
    Stop,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    async fn run(mut self, began: Instant) {
        let mut end = self.requests(began).await;
        if let End::Refused(refusal) = &mut end {
            let status = refusal.status.to_string();
            self.server.metrics.refused.with_label_values(&[&status]).inc();
            refusal.closes = true;
            self.put(refusal, false, false);
        }
        if self.write().await.is_ok() {
            let _ = poll_fn(|context| Pin::new(&mut self.stream).poll_shutdown(context)).await;
            if matches!(end, End::Refused(_)) {
                self.linger().await;
            }
        }
    }

    /// Answers requests until the connection is to end.
    async fn requests(&mut self, began: Instant) -> End {
        let mut deadline = began + self.server.settings.header_timeout;
        loop {
            let head_len = match self.head(deadline).await {
                Ok(head_len) => head_len,
                Err(end) => return end,
            };
            let began = Instant::now();
            match self.request(head_len, began).await {
                Ok(true) => {}
                Ok(false) => return End::Quiet,
                Err(end) => return end,
            }
            deadline = began + self.server.settings.header_timeout;
        }
    }

    /// Waits for a whole head at the start of the buffer and returns its length.
    async fn head(&mut self, deadline: Instant) -> Result<usize, End> {
        let mut seen = 0;
        loop {
            let read = self.buffer.get(..self.filled).unwrap_or_default();
            if let Some(len) = head::end(read, seen) {
                return if len > HEAD_BYTES_MAX {
                    Err(too_long(read))
                } else {
                    Ok(len)
                };
            }
            if read.len() > HEAD_BYTES_MAX {
                return Err(too_long(read));
            }
            seen = self.filled;
            // Everything is answered that can be: now the client has to see it.
            self.write().await.map_err(|_| End::Quiet)?;
            let is_idle = seen == 0;
            match self.read(deadline, is_idle).await {
                Ok(true) => {}
                Err(Cut::Deadline) if !is_idle => return Err(End::Refused(reply::text(408, "Too slow.\n"))),
                Ok(false) | Err(_) => return Err(End::Quiet),
            }
        }
    }

    /// Answers the request whose head is the first `head_len` bytes of the buffer; returns whether the connection goes on.
    async fn request(&mut self, head_len: usize, began: Instant) -> Result<bool, End> {
        let framing = {
            let head = self.parse(head_len)?;
            match head.framing {
                Framing::Empty => None,
                framing => Some((framing, head.expects_continue)),
            }
        };
        let (chunks, request_len) = match framing {
            None => (None, head_len),
            Some((framing, expects_continue)) => self.body(head_len, framing, expects_continue).await?,
        };
        let bytes = self.buffer.get(..request_len).unwrap_or_default();
        let (head, body) = bytes.split_at(head_len);
        let head = Head::parse(head).map_err(|bad| End::Refused(refusal(bad)))?;
        let reply = self
            .server
            .answer(self.peer, &head, chunks.as_deref().unwrap_or(body), began)
            .await;
        let keeps = head.keeps && !reply.closes && !self.stop.has_fired();
        let is_head = head.method == Method::Head;
        self.put(&reply, keeps, is_head);
        self.consume(request_len);
        if self.answers.len() > ANSWERS_BYTES {
            self.write().await.map_err(|_| End::Quiet)?;
        }
        Ok(keeps)
    }

    fn parse(&self, head_len: usize) -> Result<Head<'_>, End> {
        Head::parse(self.buffer.get(..head_len).unwrap_or_default()).map_err(|bad| End::Refused(refusal(bad)))
    }

    /// Waits for a whole body behind the head; returns it if it came in chunks, and the length of the whole request.
    async fn body(
        &mut self,
        head_len: usize,
        framing: Framing,
        expects_continue: bool,
    ) -> Result<(Option<Vec<u8>>, usize), End> {
        let too_much = || End::Refused(reply::text(413, "Too much was sent.\n"));
        if matches!(framing, Framing::Length(length) if length > BODY_BYTES_MAX) {
            return Err(too_much());
        }
        if expects_continue && self.filled == head_len {
            self.answers.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        let deadline = Instant::now() + self.server.settings.body_timeout;
        loop {
            let read = self.buffer.get(head_len..self.filled).unwrap_or_default();
            match framing {
                Framing::Empty => return Ok((None, head_len)),
                Framing::Length(length) if read.len() >= length => return Ok((None, head_len + length)),
                Framing::Length(_) => {}
                Framing::Chunked => match chunked::read(read, BODY_BYTES_MAX) {
                    Chunked::Whole { body, taken } => return Ok((Some(body), head_len + taken)),
                    Chunked::Bad => return Err(End::Refused(reply::text(400, "Not a request.\n"))),
                    Chunked::Part if read.len() > 2 * BODY_BYTES_MAX => return Err(too_much()),
                    Chunked::Part => {}
                },
            }
            self.write().await.map_err(|_| End::Quiet)?;
            match self.read(deadline, false).await {
                Ok(true) => {}
                Err(Cut::Deadline) => return Err(End::Refused(reply::text(408, "Too slow.\n"))),
                Ok(false) | Err(Cut::Stop) => return Err(End::Quiet),
            }
        }
    }

    /// Appends an answer to those that wait to be written.
    fn put(&mut self, reply: &Reply, keeps: bool, is_head: bool) {
        reply.begin(keeps, &mut self.answers);
        let now = self.server.deps.clock.now();
        self.server.date.write(now, &mut self.answers);
        reply.finish(is_head, &mut self.answers);
    }

    /// Forgets an answered request; what the client sent behind it moves to the front.
    fn consume(&mut self, len: usize) {
        if len < self.filled {
            self.buffer.copy_within(len..self.filled, 0);
        }
        self.filled = self.filled.saturating_sub(len);
        if self.filled == 0 && self.buffer.len() > BUFFER_BYTES {
            self.buffer = vec![0; BUFFER_BYTES];
        }
    }

    /// Reads what is there; `false` at the end of what the client sends. The stop cuts it short only while `is_idle`.
    async fn read(&mut self, deadline: Instant, is_idle: bool) -> Result<bool, Cut> {
        if self.filled == self.buffer.len() {
            // The head's and the body's bounds are what keeps this small.
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = poll_fn(|context| {
            let mut free = ReadBuf::new(self.buffer.get_mut(self.filled..).unwrap_or_default());
            match Pin::new(&mut self.stream).poll_read(context, &mut free) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(free.filled().len())),
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(0)),
                Poll::Pending => {}
            }
            poll_cut(
                &mut self.timer,
                deadline.min(self.life),
                is_idle.then_some((self.stop, &mut self.stopped, &mut self.watches_stop)),
                context,
            )
            .map(Err)
        })
        .await?;
        self.filled += read;
        Ok(read > 0)
    }

    /// Writes all answers that wait. Err: the client is gone, or does not read them.
    async fn write(&mut self) -> io::Result<()> {
        if self.answers.is_empty() {
            return Ok(());
        }
        let mut written = 0;
        let mut deadline = None;
        poll_fn(|context| {
            loop {
                let rest = self.answers.get(written..).unwrap_or_default();
                let polled = if rest.is_empty() {
                    // TLS may still hold what the socket did not take.
                    Pin::new(&mut self.stream).poll_flush(context).map_ok(|()| 0)
                } else {
                    Pin::new(&mut self.stream).poll_write(context, rest)
                };
                match polled {
                    Poll::Ready(Ok(_)) if rest.is_empty() => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(count)) => written += count,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => break,
                }
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.server.settings.body_timeout);
            let cut = poll_cut(&mut self.timer, deadline.min(self.life), None, context);
            cut.map(|_| Err(io::ErrorKind::TimedOut.into()))
        })
        .await?;
        self.answers.clear();
        Ok(())
    }

    /// Reads and forgets what a refused client still sends, for a moment.
    async fn linger(&mut self) {
        let deadline = Instant::now() + self.server.settings.body_timeout.min(std::time::Duration::from_secs(2));
        for _ in 0..LINGER_BYTES / BUFFER_BYTES {
            self.filled = 0;
            if !matches!(self.read(deadline, true).await, Ok(true)) {
                return;
            }
        }
    }
}

/// Whether the service stops, asked only while a connection is idle.
type StopWatch<'a> = (&'a Stop, &'a mut Pin<Box<WaitForCancellationFutureOwned>>, &'a mut bool);

/// Ends a wait at its deadline, or at the stop. The timer is moved only when it has to fire earlier, or has fired.
fn poll_cut(
    timer: &mut Pin<Box<Sleep>>,
    deadline: Instant,
    stop: Option<StopWatch<'_>>,
    context: &mut Context<'_>,
) -> Poll<Cut> {
    if let Some((stop, stopped, watches)) = stop {
        if !*watches {
            *watches = true;
            let _ = stopped.as_mut().poll(context);
        }
        if stop.has_fired() {
            return Poll::Ready(Cut::Stop);
        }
    }
    if timer.deadline() > deadline {
        timer.as_mut().reset(deadline);
    }
    while timer.as_mut().poll(context).is_ready() {
        if Instant::now() >= deadline {
            return Poll::Ready(Cut::Deadline);
        }
        timer.as_mut().reset(deadline);
    }
    Poll::Pending
}

fn refusal(bad: BadHead) -> Reply {
    match bad {
        BadHead::Malformed => reply::text(400, "Not a request.\n"),
        BadHead::TooManyLines => reply::text(431, "Too many header lines.\n"),
        BadHead::Version => reply::text(505, "HTTP/1.1, please.\n"),
        BadHead::Coding => reply::text(501, "No such transfer coding.\n"),
    }
}

fn too_long(read: &[u8]) -> End {
    let is_first_line = memchr::memchr(b'\n', read.get(..HEAD_BYTES_MAX).unwrap_or(read)).is_none();
    End::Refused(if is_first_line {
        reply::text(414, "The address is too long.\n")
    } else {
        reply::text(431, "The head is too long.\n")
    })
}
