//! A Redis that answers some batches from a script: a RESP proxy in front of a real one, which gets the others.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the next batches get.
pub struct Faulty {
    pub port: u16,
    script: Arc<Mutex<VecDeque<Reply>>>,
}

/// How one batch is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// With this error, and it is not carried out.
    Error(&'static str),
    /// Not at all: it is carried out, and the connection ends.
    Lost,
}

impl Faulty {
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::<Mutex<VecDeque<Reply>>>::default();
        let replies = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                // Ends with its connection.
                tokio::spawn(serve(client, server, Arc::clone(&replies)));
            }
        });
        Self { port, script }
    }

    /// Answers the next `count` batches so.
    pub fn answer(&self, reply: &Reply, count: usize) {
        self.script
            .lock()
            .unwrap()
            .extend(std::iter::repeat_n(reply.clone(), count));
    }

    pub fn is_through(&self) -> bool {
        self.script.lock().unwrap().is_empty()
    }
}

async fn serve(client: TcpStream, server: TcpStream, script: Arc<Mutex<VecDeque<Reply>>>) -> io::Result<()> {
    let (client, mut to_client) = client.into_split();
    let (server, mut to_server) = server.into_split();
    let (mut client, mut server) = (BufReader::new(client), BufReader::new(server));
    loop {
        let mut command = Vec::new();
        value(&mut client, &mut command).await?;
        let batch = command.windows(7).take(32).any(|window| window == b"EVALSHA");
        let reply = if batch {
            script.lock().unwrap().pop_front()
        } else {
            None
        };
        let mut answer = Vec::new();
        if let Some(Reply::Error(error)) = reply {
            answer.extend_from_slice(format!("-{error}\r\n").as_bytes());
        } else {
            to_server.write_all(&command).await?;
            value(&mut server, &mut answer).await?;
            if let Some(Reply::Lost) = reply {
                return Ok(());
            }
        }
        to_client.write_all(&answer).await?;
    }
}

/// Copies one RESP value.
async fn value(from: &mut (impl AsyncBufReadExt + Unpin), out: &mut Vec<u8>) -> io::Result<()> {
    let mut left = 1;
    while left > 0 {
        left -= 1;
        let start = out.len();
        if from.read_until(b'\n', out).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = std::str::from_utf8(&out[start + 1..]).unwrap().trim_end();
        match out[start] {
            b'*' => left += line.parse::<i64>().unwrap().max(0),
            b'$' => {
                if let Ok(len) = line.parse::<usize>() {
                    let body = out.len();
                    out.resize(body + len + 2, 0);
                    from.read_exact(&mut out[body..]).await?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
