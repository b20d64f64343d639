//! A sorted set by due tick in a Redis of our own, over a Unix socket: the way timers are kept durable by those who keep them there.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::SPAN;
use super::figures::{Figures, cancelled, due_ticks};

/// Commands of a pipeline, and timers of a claim.
const BATCH: usize = 1000;

/// Takes the first timers that are due out of the set.
const CLAIM: &str = "local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
if #due > 0 then redis.call('ZREM', KEYS[1], unpack(due)) end
return due";

/// Ends the server when the measuring ends, however it does.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures; `None` if there is no `redis-server` here. Redis writes nothing to disk in this.
pub fn measure(timers: usize) -> Option<Figures> {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let server = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
        .arg(&socket)
        .arg("--dir")
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .ok()?;
    let _server = Server(server);
    let mut client = Client::connect(&socket);

    let due = due_ticks(timers);
    let before = client.used_memory();
    let started = Instant::now();
    let ids: Vec<_> = (0..timers).collect();
    client.pipeline(&ids, |id| {
        command(&[b"ZADD", b"t", due[id].to_string().as_bytes(), &member(id)])
    });
    let insert = started.elapsed();
    let bytes = (client.used_memory() - before) as f64 / timers as f64;

    let ended: Vec<_> = cancelled(timers).collect();
    let started = Instant::now();
    client.pipeline(&ended, |id| command(&[b"ZREM", b"t", &member(id)]));
    let cancel = started.elapsed();

    let left = timers - ended.len();
    let (limit, span) = (BATCH.to_string(), SPAN.to_string());
    let claim = command(&[b"EVAL", CLAIM.as_bytes(), b"1", b"t", span.as_bytes(), limit.as_bytes()]);
    let started = Instant::now();
    let mut fired = 0;
    loop {
        client.send(&claim);
        let Reply::Members(members) = client.reply() else {
            panic!("a claim returns members");
        };
        if members == 0 {
            break;
        }
        fired += members;
    }
    let fire = started.elapsed();
    assert_eq!(fired, left, "each fires once");
    Some(Figures {
        insert: insert.as_nanos() as f64 / timers as f64,
        cancel: Some(cancel.as_nanos() as f64 / ended.len() as f64),
        fire: fire.as_nanos() as f64 / left as f64,
        bytes,
    })
}

/// Eight bytes, as the other peers' values.
fn member(id: usize) -> [u8; 8] {
    (id as u64).to_be_bytes()
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n", word.len()).into_bytes());
        bytes.extend(*word);
        bytes.extend(b"\r\n");
    }
    bytes
}

/// What Redis answers, as far as it is looked at.
enum Reply {
    Number(usize),
    Text(Vec<u8>),
    Members(usize),
}

struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(socket: &Path) -> Self {
        for _ in 0..500 {
            if let Ok(stream) = UnixStream::connect(socket) {
                return Self(BufReader::with_capacity(1 << 16, stream));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not listen");
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Sends a command per timer, in pipelines; each has to change one.
    fn pipeline(&mut self, ids: &[usize], of: impl Fn(usize) -> Vec<u8>) {
        for batch in ids.chunks(BATCH) {
            let bytes: Vec<u8> = batch.iter().flat_map(|id| of(*id)).collect();
            self.send(&bytes);
            for _ in batch {
                assert!(matches!(self.reply(), Reply::Number(1)), "one timer is changed");
            }
        }
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let (kind, number) = line.trim_end().split_at(1);
        let number = number.parse().unwrap_or_else(|_| panic!("Redis says {line}"));
        match kind {
            ":" => Reply::Number(number),
            "$" => {
                let mut text = vec![0; number + 2];
                self.0.read_exact(&mut text).unwrap();
                Reply::Text(text)
            }
            "*" => {
                for _ in 0..number {
                    self.reply();
                }
                Reply::Members(number)
            }
            _ => panic!("Redis says {line}"),
        }
    }

    fn used_memory(&mut self) -> usize {
        self.send(&command(&[b"INFO", b"memory"]));
        let Reply::Text(text) = self.reply() else {
            panic!("INFO returns text");
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let value = text.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        value.parse().unwrap()
    }
}
