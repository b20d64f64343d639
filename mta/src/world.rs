//! What the mail engine has of the world around it: the real one, or its twin in a simulation.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::ledger::Waiting;

/// What the mail engine has of the world around it.
#[derive(Clone)]
pub struct World {
    /// What sessions connect over.
    pub net: Arc<dyn Net>,
    /// Where mails are made and read.
    pub place: Place,
    /// What is left to chance is drawn from it.
    pub seed: u64,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("place", &self.place)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl Default for World {
    /// The real world.
    #[expect(clippy::disallowed_methods, reason = "the one place that draws a seed")]
    fn default() -> Self {
        Self {
            net: Arc::new(Tcp),
            place: Place::Threads,
            seed: rand::random(),
        }
    }
}

/// Where mails are made and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On threads of their own.
    Threads,
    /// On the thread of whoever asks: mails are made by [`crate::Mta::make_next`]. For a simulation, in which nothing may depend on how
    /// threads run.
    Caller,
}

/// What sessions connect over.
pub trait Net: Send + Sync + 'static {
    /// Connects to an address.
    fn connect(&self, to: SocketAddr) -> Waiting<io::Result<Box<dyn Socket>>>;
}

/// A connection.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// The operating system's TCP.
struct Tcp;

impl Net for Tcp {
    fn connect(&self, to: SocketAddr) -> Waiting<io::Result<Box<dyn Socket>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(to).await?;
            // Without this each small write waits for the peer's delayed acknowledgement.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Socket>)
        })
    }
}
