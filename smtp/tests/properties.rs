//! What holds for every body, every reply and every way of splitting bytes.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test says what it expects"
)]

use std::time::Instant;

use bytes::Bytes;
use proptest::prelude::*;
use smtp::body::{Body, NotABody, Unstuffer};
use smtp::client::{Client, End, Envelopes, Event, Proof, Settings, Timeouts, Tls};
use smtp::reply::{BYTES_MAX, NotAReply, ReplyParser, TEXT_BYTES_MAX};
use smtp::server::{self, Answer, Server};
use types::address::EmailAddress;

struct Freed(u64);

impl Proof for Freed {
    fn key(&self) -> u64 {
        self.0
    }
}

/// Pieces that smuggling attempts are made of.
fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b".".to_vec()),
        Just(b"\r\n.\r\n".to_vec()),
        Just(b"\n.\r\n".to_vec()),
        Just(b"\r.\r".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"MAIL FROM:<a@b.c>\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Returns the largest message that can be made of these pieces: with all line ends repaired.
fn repaired(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut before = 0;
    for &byte in bytes {
        match byte {
            b'\n' if before == b'\r' => {}
            b'\n' | b'\r' => out.extend_from_slice(b"\r\n"),
            other => out.push(other),
        }
        before = byte;
    }
    out
}

fn client(now: Instant) -> Client<Freed> {
    let settings = Settings {
        helo: "mta.example".into(),
        tls: Tls::Never,
        timeouts: Timeouts::default(),
        envelopes: Envelopes::Ahead,
    };
    Client::new(settings, now)
}

/// Runs a client against a server, `step` bytes at a time, and returns what the server got and how the messages ended.
fn exchange(bodies: &[Body], offers: server::Settings, step: usize) -> (Vec<Vec<u8>>, Vec<(u64, End)>) {
    let now = Instant::now();
    let (from, to) = (
        EmailAddress::try_from("s@shop.example").expect("valid"),
        EmailAddress::try_from("r@dest.example").expect("valid"),
    );
    let mut client = client(now);
    let mut server = Server::new(offers);
    for (key, body) in bodies.iter().enumerate() {
        client.push(key as u64, Some(&from), &to, body.clone(), now);
        client.finish_data(Freed(key as u64), now);
    }
    let (mut got, mut ends) = (Vec::new(), Vec::new());
    loop {
        let mut moved = false;
        while let Some(event) = server.poll_event() {
            if let server::Event::Message(_, bytes) = event {
                got.push(bytes);
            }
            server.answer(Answer::Default);
        }
        while !server.output().is_empty() {
            let chunk: Vec<u8> = server.output().iter().copied().take(step).collect();
            server.wrote(chunk.len());
            client.receive(&chunk, now);
            moved = true;
        }
        while let Some(event) = client.poll_event() {
            if let Event::Ended { key, end } = event {
                ends.push((key, end));
            }
        }
        let chunk: Vec<u8> = client.output().iter().copied().take(step).collect();
        if !chunk.is_empty() {
            client.wrote(chunk.len(), now);
            server.receive(&chunk);
            moved = true;
        }
        if !moved {
            return (got, ends);
        }
    }
}

proptest! {
    #[test]
    fn a_body_has_no_bare_line_end(bytes in nasty()) {
        let bare = repaired(&bytes) != bytes;
        match Body::try_from(Bytes::from(bytes.clone())) {
            Ok(_) => prop_assert!(!bare),
            Err(NotABody::Empty) => prop_assert!(bytes.is_empty()),
            Err(NotABody::BareLineEnd(at)) => prop_assert!(bare && matches!(bytes[at], b'\r' | b'\n')),
        }
    }

    #[test]
    fn what_leaves_ends_nowhere_but_at_its_end(bytes in nasty()) {
        let Ok(body) = Body::try_from(Bytes::from(repaired(&bytes))) else { return Ok(()) };
        // What stands before the body on the wire is the end of the DATA line.
        let mut wire = b"\r\n".to_vec();
        body.write(&mut wire);
        prop_assert!(wire.ends_with(b"\r\n"));
        prop_assert!(!wire.windows(5).any(|five| five == b"\r\n.\r\n"));
        for (at, byte) in wire.iter().enumerate() {
            match byte {
                b'\r' => prop_assert_eq!(wire.get(at + 1), Some(&b'\n')),
                b'\n' => prop_assert_eq!(wire.get(at - 1), Some(&b'\r')),
                _ => {}
            }
        }
    }

    #[test]
    fn one_message_in_is_the_same_message_out(
        bytes in prop::collection::vec(nasty(), 1..4), pipelining: bool, step in prop_oneof![1_usize..9, Just(4096)],
    ) {
        let bodies: Vec<Body> =
            bytes.iter().filter_map(|b| Body::try_from(Bytes::from(repaired(b))).ok()).collect();
        let sent: Vec<Vec<u8>> = bytes.iter().map(|b| repaired(b)).filter(|b| !b.is_empty()).map(|mut b| {
            if !b.ends_with(b"\r\n") {
                b.extend_from_slice(b"\r\n");
            }
            b
        }).collect();
        let (got, ends) = exchange(&bodies, server::Settings { pipelining, ..Default::default() }, step);
        prop_assert_eq!(got, sent);
        prop_assert_eq!(ends.len(), bodies.len());
        prop_assert!(ends.iter().all(|(_, end)| matches!(end, End::Accepted(_))));
    }

    #[test]
    fn a_message_over_the_limit_is_never_kept(bytes in nasty(), max in 1_usize..64, step in 1_usize..9) {
        let mut wire = Vec::new();
        let Ok(body) = Body::try_from(Bytes::from(repaired(&bytes))) else { return Ok(()) };
        body.write(&mut wire);
        wire.extend_from_slice(b".\r\nNEXT");
        let mut unstuffer = Unstuffer::default();
        let mut result = None;
        let mut rest = Vec::new();
        for chunk in wire.chunks(step) {
            let mut input = chunk;
            if result.is_none() {
                result = unstuffer.feed(&mut input, max);
            }
            rest.extend_from_slice(input);
        }
        prop_assert_eq!(rest, b"NEXT");
        let result = result.expect("the end was sent");
        prop_assert_eq!(result.is_ok(), body.len() <= max);
    }

    #[test]
    fn a_reply_is_the_same_however_it_is_split(
        bytes in "(2[0-9]{2}[- ][ -~\u{0}-\u{1f}é]{0,30}\r?\n|[ -~]{0,9}\r\n|250[- ]SIZE [0-9]{0,9}\r\n){0,6}",
        splits in prop::collection::vec(1_usize..20, 1..40),
    ) {
        let read = |chunks: &mut dyn Iterator<Item = &[u8]>| {
            let mut parser = ReplyParser::default();
            let mut replies = Vec::new();
            for chunk in chunks {
                let mut input = chunk;
                while !input.is_empty() {
                    match parser.feed(&mut input) {
                        Ok(true) => replies.push(Ok((parser.reply().clone(), parser.capabilities()))),
                        Ok(false) => break,
                        Err(fault) => {
                            replies.push(Err(fault));
                            return replies;
                        }
                    }
                }
            }
            replies
        };
        let whole = read(&mut std::iter::once(bytes.as_bytes()));
        let mut rest = bytes.as_bytes();
        let chunks: Vec<&[u8]> = splits.iter().map(|at| {
            let (chunk, after) = rest.split_at((*at).min(rest.len()));
            rest = after;
            chunk
        }).collect();
        let split = read(&mut chunks.into_iter().chain([rest]));
        prop_assert_eq!(&whole, &split);
        for (reply, _) in whole.into_iter().flatten() {
            prop_assert!(reply.text.bytes().all(|b| (b' '..=b'~').contains(&b)));
        }
    }

    #[test]
    fn no_bytes_break_the_parser_or_the_client(bytes in prop::collection::vec(any::<u8>(), 0..600), step in 1_usize..64) {
        let now = Instant::now();
        let mut client = client(now);
        let to = EmailAddress::try_from("r@dest.example").expect("valid");
        client.push(1, None, &to, Body::try_from(Bytes::from_static(b"a\r\n")).expect("a body"), now);
        client.receive(b"220 x\r\n", now);
        client.wrote(client.output().len(), now);
        client.receive(b"250-x\r\n250 PIPELINING\r\n", now);
        client.wrote(client.output().len(), now);
        for chunk in bytes.chunks(step) {
            client.receive(chunk, now);
        }
        client.connection_lost();
        let mut ended = 0;
        while let Some(event) = client.poll_event() {
            if let Event::Ended { end, .. } = event {
                ended += 1;
                prop_assert!(!matches!(end, End::Accepted(_) | End::InDoubt), "no dot was freed");
            }
        }
        prop_assert_eq!(ended, 1);
    }

    #[test]
    fn no_bytes_break_the_server(bytes in nasty(), step in 1_usize..64) {
        let mut server = Server::new(server::Settings { size_max: 64, ..Default::default() });
        for chunk in [b"EHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n", bytes.as_slice()].concat().chunks(step) {
            server.receive(chunk);
            while server.poll_event().is_some() {
                server.answer(Answer::Default);
            }
        }
    }
}

fn fed(parser: &mut ReplyParser, bytes: &[u8]) -> Result<bool, NotAReply> {
    let mut input = bytes;
    parser.feed(&mut input)
}

/// Feeds `bytes` in chunks of `step` until a reply or a fault; returns it, and how many bytes were taken.
fn fed_in_steps(parser: &mut ReplyParser, bytes: &[u8], step: usize) -> (Result<bool, NotAReply>, usize) {
    let mut taken = 0;
    for chunk in bytes.chunks(step) {
        let mut input = chunk;
        let read = parser.feed(&mut input);
        taken += chunk.len() - input.len();
        if read != Ok(false) {
            return (read, taken);
        }
    }
    (Ok(false), taken)
}

#[test]
fn a_long_reply_is_read_and_cut_and_its_code_decides() {
    let long_line = format!("250 2.0.0 queued as {}\r\n", "x".repeat(5_000));
    let long_lines = format!("250-2.0.0 {}\r\n", "x".repeat(9_000)).repeat(6) + "250 2.0.0 queued\r\n";
    let many_lines = "250-2.0.0 more\r\n".repeat(40_000) + "250 2.0.0 queued\r\n";
    let one_line = format!("250 2.0.0 {}\r\n", "x".repeat(1_000_000));
    for reply in [long_line, long_lines, many_lines, one_line] {
        for step in [1, 4096, usize::MAX] {
            let mut parser = ReplyParser::default();
            let (read, taken) = fed_in_steps(&mut parser, reply.as_bytes(), step);
            assert_eq!((read, taken), (Ok(true), reply.len()), "{step} bytes at a time");
            assert!(!parser.is_cut_off());
            let reply = parser.take();
            assert_eq!((reply.code, reply.enhanced.map(|code| code.0)), (250, Some(2)));
            assert!(
                reply.text.len() <= TEXT_BYTES_MAX && reply.text.len() > 500,
                "{}",
                reply.text.len()
            );
            // What comes behind it is read as before.
            assert_eq!(fed(&mut parser, b"550 5.1.1 no\r\n"), Ok(true));
            assert_eq!(parser.take().to_string(), "550 5.1.1 no");
        }
    }
}

#[test]
fn an_endless_reply_counts_by_its_code_and_is_the_last() {
    let endless = [
        "250-2.0.0 more\r\n".repeat(2 * BYTES_MAX / 10),
        format!("250 {}", "x".repeat(2 * BYTES_MAX)),
        format!("250-{}\r\n", "x".repeat(4_000)).repeat(BYTES_MAX / 2_000),
    ];
    for bytes in endless {
        for step in [999, usize::MAX] {
            let mut parser = ReplyParser::default();
            assert_eq!(fed_in_steps(&mut parser, bytes.as_bytes(), step).0, Ok(true));
            assert!(parser.is_cut_off());
            assert_eq!(parser.reply().code, 250);
            assert_eq!(fed(&mut parser, b"250 more\r\n"), Err(NotAReply::TooLong));
        }
    }
}

#[test]
fn an_endless_line_without_a_code_is_no_reply() {
    for bytes in [vec![b'x'; 2 * BYTES_MAX], vec![b'2'; 2 * BYTES_MAX]] {
        let mut parser = ReplyParser::default();
        assert_eq!(fed_in_steps(&mut parser, &bytes, 4096).0, Err(NotAReply::Malformed));
    }
}

#[test]
fn keywords_beyond_the_sixty_fourth_are_not_looked_at() {
    let mut parser = ReplyParser::default();
    let mut ehlo = "250-mx\r\n".to_owned() + &"250-XNOISE\r\n".repeat(64) + "250 PIPELINING\r\n";
    assert_eq!(fed(&mut parser, ehlo.as_bytes()), Ok(true));
    assert!(!parser.capabilities().pipelining);
    ehlo = "250-mx\r\n".to_owned() + &"250-XNOISE\r\n".repeat(63) + "250 PIPELINING\r\n";
    assert_eq!(fed(&mut parser, ehlo.as_bytes()), Ok(true));
    assert!(parser.capabilities().pipelining);
}

#[test]
fn a_final_reply_of_any_length_is_the_answer() {
    let long = format!("250 2.0.0 {}\r\n", "x".repeat(5_000));
    let lines = "250-2.0.0 more\r\n".repeat(1_000) + "250 2.0.0 queued\r\n";
    let endless = "250-2.0.0 more\r\n".repeat(BYTES_MAX / 10);
    let refusal = "550-5.7.1 no\r\n".repeat(BYTES_MAX / 10);
    for (reply, accepted, goes_on) in [
        (long, true, true),
        (lines, true, true),
        (endless, true, false),
        (refusal, false, false),
    ] {
        let now = Instant::now();
        let mut client = client(now);
        let to = EmailAddress::try_from("r@dest.example").expect("valid");
        let body = Body::try_from(Bytes::from_static(b"Subject: x\r\n\r\nx\r\n")).expect("a body");
        client.push(1, None, &to, body, now);
        client.finish_data(Freed(1), now);
        for said in [
            &b"220 mx\r\n"[..],
            b"250 mx\r\n",
            b"250 ok\r\n",
            b"250 ok\r\n",
            b"354 go\r\n",
        ] {
            client.receive(said, now);
            client.wrote(client.output().len(), now);
        }
        for chunk in reply.as_bytes().chunks(4096) {
            client.receive(chunk, now);
        }
        let ends: Vec<End> = std::iter::from_fn(|| client.poll_event())
            .filter_map(|event| match event {
                Event::Ended { end, .. } => Some(end),
                _ => None,
            })
            .collect();
        assert!(
            matches!(
                (&ends[..], accepted),
                ([End::Accepted(_)], true) | ([End::Refused { .. }], false)
            ),
            "{ends:?}"
        );
        assert_eq!(client.is_ready(), goes_on);
    }
}
