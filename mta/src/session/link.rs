//! A connection and the machine that speaks over it.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use smtp::body::Body;
use smtp::client::{Client, Settings};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::client::TlsStream;
use types::address::EmailAddress;

use super::DurableClaim;
use crate::world::Socket;

/// What one read takes at most.
const READ_BYTES: usize = 4096;

/// The connection, in the clear or not.
pub(super) enum Conn {
    Plain(Box<dyn Socket>),
    Tls(Box<TlsStream<Box<dyn Socket>>>),
    /// Being changed from the one into the other.
    Gone,
}

/// A connection with its machine, buffer and timer.
pub(super) struct Link {
    pub(super) client: Client<DurableClaim>,
    pub(super) conn: Conn,
    /// The host's name.
    pub(super) host: String,
    /// Host name and address.
    pub(super) peer: String,
    buffer: Box<[u8; READ_BYTES]>,
    timer: Pin<Box<Sleep>>,
    /// When the timer rings. It is moved only if it must ring earlier; ringing too early costs nothing.
    rings_at: Instant,
    /// Writing failed; what the peer said before may still be read.
    write_failed: bool,
    unflushed: bool,
}

impl Link {
    pub(super) fn new(settings: Settings, stream: Box<dyn Socket>, host: &str, address: IpAddr) -> Self {
        let now = Instant::now();
        let client = Client::new(settings, now.into_std());
        Self {
            client,
            conn: Conn::Plain(stream),
            host: host.to_owned(),
            peer: format!("{host} [{address}]"),
            buffer: Box::new([0; READ_BYTES]),
            timer: Box::pin(sleep_until(now)),
            rings_at: now,
            write_failed: false,
            unflushed: false,
        }
    }

    pub(super) fn push(&mut self, key: u64, from: Option<&EmailAddress>, to: &EmailAddress, body: Body) {
        self.client.push(key, from, to, body, Instant::now().into_std());
    }

    pub(super) fn free(&mut self, claim: DurableClaim) {
        self.client.finish_data(claim, Instant::now().into_std());
    }

    pub(super) fn quit(&mut self) {
        self.client.quit(Instant::now().into_std());
    }

    /// Returns the TLS version, if TLS is used.
    pub(super) fn tls_version(&self) -> Option<&'static str> {
        let Conn::Tls(stream) = &self.conn else { return None };
        match stream.get_ref().1.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => Some("TLSv1.3"),
            Some(rustls::ProtocolVersion::TLSv1_2) => Some("TLSv1.2"),
            _ => Some("TLS"),
        }
    }

    pub(super) fn is_idle_over(&self, idle_until: Option<Instant>) -> bool {
        idle_until.is_some_and(|until| until <= Instant::now()) && self.client.is_idle()
    }

    /// Writes what is to be written, reads what came, minds the deadline. Ready if anything may have changed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, idle_until: Option<Instant>) -> Poll<()> {
        if self.client.is_closed() {
            return Poll::Ready(());
        }
        self.poll_write(cx);
        if self.poll_read(cx).is_ready() || self.client.is_closed() {
            return Poll::Ready(());
        }
        self.poll_deadline(cx, idle_until)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) {
        while !self.write_failed && !self.client.output().is_empty() {
            let output = self.client.output();
            let wrote = match &mut self.conn {
                Conn::Plain(stream) => Pin::new(stream).poll_write(cx, output),
                Conn::Tls(stream) => Pin::new(stream).poll_write(cx, output),
                Conn::Gone => return,
            };
            match wrote {
                Poll::Pending => return,
                Poll::Ready(Ok(count)) => {
                    self.client.wrote(count, Instant::now().into_std());
                    self.unflushed = matches!(self.conn, Conn::Tls(_));
                }
                Poll::Ready(Err(_)) => {
                    // TLS may have sent any part of it; a socket that errs has taken nothing.
                    if matches!(self.conn, Conn::Tls(_)) {
                        let all = self.client.output().len();
                        self.client.wrote(all, Instant::now().into_std());
                    }
                    self.write_failed = true;
                }
            }
        }
        if self.unflushed
            && let Conn::Tls(stream) = &mut self.conn
        {
            self.unflushed = Pin::new(stream).poll_flush(cx).is_pending();
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut buffer = ReadBuf::new(self.buffer.as_mut_slice());
        let read = match &mut self.conn {
            Conn::Plain(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Conn::Tls(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Conn::Gone => return Poll::Pending,
        };
        match read {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                self.client.receive(buffer.filled(), Instant::now().into_std());
            }
            Poll::Ready(Ok(()) | Err(_)) => self.client.connection_lost(),
        }
        Poll::Ready(())
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, idle_until: Option<Instant>) -> Poll<()> {
        let deadline = self.client.next_deadline().map(Instant::from_std);
        let Some(next) = deadline.into_iter().chain(idle_until).min() else {
            return Poll::Pending;
        };
        loop {
            if next < self.rings_at || self.timer.is_elapsed() {
                self.rings_at = next;
                self.timer.as_mut().reset(next);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if next <= now {
                self.client.on_deadline(now.into_std());
                return Poll::Ready(());
            }
        }
    }
}
