//! Receivers that drop what comes before their reply to a final dot, as Haraka does.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mta::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use types::event::Outcome;

use crate::support::{Engine, to};

/// How long the receiver works on a message, while what comes is dropped.
const WORK: Duration = Duration::from_millis(20);
const REFUSAL: &str = "503 Bad sequence of commands - pipelined after end of DATA\r\n";

/// What the receiver saw.
#[derive(Default)]
struct Seen {
    /// How often each message was taken.
    taken: HashMap<String, usize>,
    /// Commands that came too early, by connection.
    early: Vec<usize>,
}

async fn receiver() -> (SocketAddr, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = {
                let mut seen = shared.lock().unwrap();
                seen.early.push(0);
                seen.early.len() - 1
            };
            tokio::spawn(serve(stream, number, Arc::clone(&shared)));
        }
    });
    (address, seen)
}

fn lines(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count() - 1
}

async fn serve(mut stream: TcpStream, number: usize, seen: Arc<Mutex<Seen>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(b"220 mx.dest.example ESMTP\r\n").await?;
    let (mut input, mut message) = (Vec::new(), None::<String>);
    let (mut mail, mut rcpt) = (false, false);
    loop {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let line = String::from_utf8(input.drain(..=end).collect()).unwrap();
        let line = line.trim_end();
        if let Some(text) = &mut message {
            if line != "." {
                text.push_str(line);
                text.push('\n');
                continue;
            }
            let until = tokio::time::Instant::now() + WORK;
            while let Ok(read) = tokio::time::timeout_at(until, stream.read_buf(&mut input)).await {
                if read? == 0 {
                    break;
                }
            }
            let early = lines(&input);
            input.clear();
            {
                let mut seen = seen.lock().unwrap();
                seen.early[number] += early;
                *seen.taken.entry(message.take().unwrap()).or_default() += 1;
            }
            (mail, rcpt) = (false, false);
            let replies = "250 Message Queued\r\n".to_owned() + &REFUSAL.repeat(early);
            stream.write_all(replies.as_bytes()).await?;
            continue;
        }
        let reply = match line.split([' ', ':']).next().unwrap() {
            "EHLO" => "250-mx.dest.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
            "RSET" => {
                (mail, rcpt) = (false, false);
                "250 ok\r\n"
            }
            "MAIL" if !mail => {
                mail = true;
                "250 ok\r\n"
            }
            "RCPT" if mail => {
                rcpt = true;
                "250 ok\r\n"
            }
            "DATA" if rcpt => {
                message = Some(String::new());
                "354 go ahead, make my day\r\n"
            }
            "QUIT" => "221 bye\r\n",
            "MAIL" | "RCPT" | "DATA" => "503 Bad sequence of commands\r\n",
            _ => "500 Unrecognized command\r\n",
        };
        stream.write_all(reply.as_bytes()).await?;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_drops_what_comes_early_gets_each_mail_once_and_then_in_turn() {
    let (address, seen) = receiver().await;
    let mut engine = Engine::start(Settings {
        connections_max: 1,
        messages_per_connection_max: 10,
        ..to(address)
    });
    for id in 1..=40 {
        engine.send(engine.mail(id, "r@dest.example"));
    }
    for _ in 0..40 {
        let ended = engine.end().await;
        assert_eq!(ended.outcome, Outcome::Delivered, "{ended:?}");
        assert_eq!(ended.attempt.0, 1, "{ended:?}");
    }
    assert!(
        timeout(Duration::from_millis(50), engine.end()).await.is_err(),
        "no other end"
    );
    let seen = seen.lock().unwrap();
    assert_eq!(seen.taken.len(), 40);
    assert!(seen.taken.values().all(|times| *times == 1));
    // The first session learns it at its first dot, once; it and those after it say nothing more ahead.
    assert_eq!(seen.early, [3, 0, 0, 0], "commands that came too early, by connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_may_be_tried_again_after_its_time() {
    let (address, seen) = receiver().await;
    let mut engine = Engine::start(Settings {
        connections_max: 1,
        messages_per_connection_max: 10,
        ahead_refusal_memory: Duration::ZERO,
        ..to(address)
    });
    for id in 1..=20 {
        engine.send(engine.mail(id, "r@dest.example"));
    }
    for _ in 0..20 {
        assert_eq!(engine.end().await.outcome, Outcome::Delivered);
    }
    assert_eq!(seen.lock().unwrap().early, [3, 3]);
}
