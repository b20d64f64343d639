//! Request smuggling: whatever a proxy before us might read otherwise, we see one request or none, never two.

#![allow(clippy::unwrap_used, reason = "a test states its expectations by unwrapping")]

mod support;

use support::{Client, World, start};

/// What hides behind a first request.
const HIDDEN: &str = "GET /robots.txt HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends bytes, then nothing more, and returns how many answers came back and the first one's status.
async fn answers(world: &World, bytes: &[u8]) -> (usize, String) {
    let mut client = Client::connect(world.address).await;
    client.write(bytes).await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    let said = client.closed().await;
    let said = String::from_utf8_lossy(&said);
    let first = said.split(' ').nth(1).unwrap_or_default().to_owned();
    (said.matches("HTTP/1.1 ").count(), first)
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused_whole() {
    let mut world = start().await;
    let path = format!("/u/{}", world.unsubscribe());
    let hidden_len = HIDDEN.len();
    let mut shapes: Vec<(String, &str)> = Vec::new();
    // Bodies that are framed twice, or oddly.
    for lines in [
        format!("Content-Length: {hidden_len}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {hidden_len}\r\n"),
        format!("Content-Length: 5\r\nContent-Length: {hidden_len}\r\n"),
        "Content-Length: 5\r\nContent-Length: 5\r\n".to_owned(),
        "Content-Length: 5, 5\r\n".to_owned(),
        "Content-Length: +5\r\n".to_owned(),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 0x5\r\n".to_owned(),
        "Content-Length: 5 5\r\n".to_owned(),
        "Content-Length: \r\n".to_owned(),
        "Content-Length: 5;\r\n".to_owned(),
        "Content-Length: 18446744073709551621\r\n".to_owned(),
        "Content-Length : 5\r\n".to_owned(),
        "Content-Length\t: 5\r\n".to_owned(),
        " Content-Length: 5\r\n".to_owned(),
        "X: y\r\n Content-Length: 5\r\n".to_owned(),
        "X: y\r\n\tfolded\r\n".to_owned(),
        "X: y\nContent-Length: 5\r\n".to_owned(),
        "X: y\rContent-Length: 5\r\n".to_owned(),
        "X: y\0Content-Length: 5\r\n".to_owned(),
        "Content-Length: 5\n".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
        "Transfer-Encoding: identity\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        "Transfer-Encoding: gzip, chunked\r\n".to_owned(),
        "Transfer-Encoding: \"chunked\"\r\n".to_owned(),
        "Transfer-Encoding: \u{b}chunked\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
        "Transfer-Encoding\r\n: chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked;q=1\r\n".to_owned(),
        "Host: b\r\n".to_owned(),
        ": empty\r\n".to_owned(),
        "no colon\r\n".to_owned(),
    ] {
        shapes.push((format!("POST {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n{HIDDEN}"), "4"));
    }
    // Chunks that are none.
    for chunks in [
        "5;x=y\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "0\r\nX: trailer\r\n\r\n",
        "ffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
        "-1\r\n",
        "\r\n",
    ] {
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}{HIDDEN}");
        shapes.push((request, "4"));
    }
    // First lines that are none.
    for line in [
        "GET /robots.txt",
        "GET  /robots.txt HTTP/1.1",
        "GET /robots.txt HTTP/1.1 x",
        "GET /a\tb HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1\r",
        "GET\0 / HTTP/1.1",
        "GET robots.txt HTTP/1.1",
        "CONNECT a:443 HTTP/1.1",
    ] {
        shapes.push((format!("{line}\r\nHost: a\r\n\r\n{HIDDEN}"), "4"));
    }
    shapes.push((format!("GET / HTTP/2.0\r\nHost: a\r\n\r\n{HIDDEN}"), "4"));
    // The start of HTTP/2 gets no answer in HTTP/1.1.
    shapes.push((format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{HIDDEN}"), ""));
    shapes.push((
        format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        "4",
    ));
    shapes.push((format!("GET /robots.txt HTTP/1.1\r\n\r\n{HIDDEN}"), "4"));
    assert!(shapes.len() >= 40, "{}", shapes.len());
    for (shape, status) in &shapes {
        let (count, first) = answers(&world, shape.as_bytes()).await;
        let expected = first.starts_with(status) || (*status == "4" && first == "501");
        let is_one = count == usize::from(!status.is_empty());
        assert!(is_one && expected, "{count} answers, {first}: {shape:?}");
    }
    assert_eq!(world.waiting(), []);
}

#[tokio::test]
async fn a_body_framed_in_two_ways_hides_nothing_behind_it() {
    let mut world = start().await;
    let path = format!("/u/{}", world.unsubscribe());
    let hidden_len = HIDDEN.len();
    // What hyper repairs: it takes one of the two, and a proxy the other. Whichever, nothing comes after.
    for framed in [
        format!("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {hidden_len}\r\n\r\n0\r\n\r\n{HIDDEN}"),
        format!("Content-Length: 0\r\n\r\n{HIDDEN}"),
        format!("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello{HIDDEN}"),
        format!("X: y\nContent-Length: 5\r\n\r\nhello{HIDDEN}"),
        format!("Content-Length: 5\n\nhello{HIDDEN}"),
        format!("Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n{HIDDEN}"),
        format!("Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n{HIDDEN}"),
        format!("Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n{HIDDEN}"),
        format!("Transfer-Encoding: chunked\r\n\r\n0\r\nX: trailer\r\n\r\n{HIDDEN}"),
    ] {
        let bytes = format!("POST {path} HTTP/1.1\r\nHost: {}\r\n{framed}", support::HOST);
        // Nothing is asked for in these bodies.
        let expected = (1, "400".to_owned());
        assert_eq!(answers(&world, bytes.as_bytes()).await, expected, "{bytes:?}");
    }
    assert_eq!(world.waiting(), []);
}

#[tokio::test]
async fn a_head_that_ends_where_others_see_none_is_refused() {
    let world = start().await;
    for head in [
        "GET /robots.txt HTTP/1.1\r\nHost: a\r\nX: y\n\n",
        "GET /robots.txt HTTP/1.1\r\nHost: a\r\nX: y\n\r\n",
        "GET /robots.txt HTTP/1.1\r\nHost: a\r\nX: y\r\n\n",
        "GET /robots.txt HTTP/1.1\nHost: a\n\n",
        "\nGET /robots.txt HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /robots.txt HTTP/1.1\r\nHost: a\r\nX: y\nZ: y\r\n\r\n",
    ] {
        let answered = answers(&world, format!("{head}{HIDDEN}").as_bytes()).await;
        assert_eq!(answered, (1, "400".to_owned()), "{head:?}");
    }
    assert_eq!(world.counter("tracker_refused_requests_total", &["status=\"400\""]), 6);
    // Requests one after the other are none of these.
    let answered = answers(&world, HIDDEN.repeat(3).as_bytes()).await;
    assert_eq!(answered, (3, "200".to_owned()));
}

#[tokio::test]
async fn a_request_with_a_body_is_answered_and_is_the_last() {
    let mut world = start().await;
    let path = format!("/u/{}", world.unsubscribe());
    // Nothing is asked for by it, but it is read to its end; what follows has to come again on another connection.
    for framed in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let bytes = format!("POST {path} HTTP/1.1\r\nHost: {}\r\n{framed}{HIDDEN}", support::HOST);
        assert_eq!(
            answers(&world, bytes.as_bytes()).await,
            (1, "400".to_owned()),
            "{framed:?}"
        );
    }
    // So is one where none is wanted.
    let bytes = format!("GET /robots.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello{HIDDEN}");
    assert_eq!(answers(&world, bytes.as_bytes()).await, (1, "200".to_owned()));
    assert_eq!(world.waiting(), []);
}

#[tokio::test]
async fn what_is_too_long_is_refused_and_harms_nobody() {
    let world = start().await;
    for (request, status) in [
        (
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(17_000)),
            "431",
        ),
        (
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(10_000_000)),
            "431",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(17_000)),
            "431",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(65)),
            "431",
        ),
        (
            "POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n".to_owned(),
            "413",
        ),
    ] {
        let mut client = Client::connect(world.address).await;
        // It may stop reading before we stop writing.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, request.as_bytes()).await;
        let said = client.closed().await;
        let said = String::from_utf8_lossy(&said);
        // A flood of ten million bytes may be cut off without a word.
        let is_cut_off = said.is_empty() && request.len() > 1_000_000;
        assert!(
            is_cut_off || said.starts_with(&format!("HTTP/1.1 {status}")),
            "{status}: {said}"
        );
    }
    let long = format!("/c/{}", "a".repeat(8_000));
    assert_eq!(world.get(&long).await.status, 302);
    assert_eq!(world.get("/robots.txt").await.status, 200);
}
