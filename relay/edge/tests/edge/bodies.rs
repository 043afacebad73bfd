//! Bodies, heads without bodies, trailers and interim answers on their way through.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::lab::{GET, Lab, header, within};

#[tokio::test]
async fn a_length_beside_chunks_is_not_believed() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    origin
        .send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n")
        .await;
    let head = visitor.head().await;
    assert_eq!(header(&head, "content-length"), None, "{head}");
    assert_eq!(visitor.until("0\r\n\r\n").await, "5\r\nwhole\r\n0\r\n\r\n");
}

#[tokio::test]
async fn an_event_arrives_before_the_next_is_produced() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    visitor.head().await;
    for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
        origin.send(&format!("{:x}\r\n{event}\r\n", event.len())).await;
        visitor.until(event).await;
    }
}

#[tokio::test]
async fn an_upload_arrives_piece_by_piece_and_may_be_answered_while_it_runs() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab
        .pair("POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let head = origin.head().await;
    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    origin.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    visitor.head().await;
    for piece in ["one", "two"] {
        visitor.send(&format!("3\r\n{piece}\r\n")).await;
        origin.until(piece).await;
        origin.send(&format!("3\r\n{piece}\r\n")).await;
        visitor.until(piece).await;
    }
}

#[tokio::test]
async fn a_body_with_get_is_not_lost() {
    let lab = Lab::new().await;
    let (_visitor, mut origin) = lab
        .pair("GET / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        .await;
    assert_eq!(header(&origin.head().await, "transfer-encoding"), Some("chunked"));
    assert_eq!(origin.until("0\r\n\r\n").await, "3\r\nabc\r\n0\r\n\r\n");
}

#[tokio::test]
async fn sixty_four_mebibytes_pass_both_ways_in_flat_memory() {
    let lab = Lab::new().await;
    let request =
        format!("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: {BYTES}\r\n\r\n");
    let (mut visitor, mut origin) = lab.pair(&request).await;
    origin.head().await;
    assert!(origin.buffer.is_empty());
    let before = resident_bytes();

    let (up, ()) = tokio::join!(drain(&mut origin.stream), fill(&mut visitor.stream));
    origin.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n")).await;
    visitor.head().await;
    let early = std::mem::take(&mut visitor.buffer);
    let (down, ()) = tokio::join!(drain_from(&mut visitor.stream, early), fill(&mut origin.stream));

    assert_eq!((up, down), (checksum_of_fill(), checksum_of_fill()));
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "resident memory grew by {grown} bytes");
}

#[tokio::test]
async fn a_reader_that_stops_stops_its_origin() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    origin.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n")).await;
    visitor.head().await;
    let block = vec![b'x'; 64 * 1024];
    let mut sent = 0_usize;
    // Socket buffers and the edge's own take some; then the window closes for good.
    while let Ok(written) =
        tokio::time::timeout(std::time::Duration::from_secs(1), origin.stream.write(&block)).await
    {
        sent += written.unwrap();
        assert!(sent < BYTES / 2, "{sent} bytes are in flight and nobody reads");
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab
        .pair("POST / HTTP/1.1\r\nHost: app.example\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: up\r\n\r\n")
        .await;
    assert_eq!(header(&origin.head().await, "te"), Some("trailers"));
    assert!(origin.until("0\r\n").await.contains("a\r\n"));
    assert_eq!(origin.head().await.to_lowercase(), "x-sum: up\r\n\r\n");
    origin.send("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\nX-Sum: down\r\n\r\n").await;
    visitor.head().await;
    visitor.until("0\r\n").await;
    assert_eq!(visitor.head().await.to_lowercase(), "x-sum: down\r\n\r\n");
}

#[tokio::test]
async fn attack_17_trailers_make_no_claims_either() {
    let lab = Lab::new().await;
    let (_visitor, mut origin) = lab
        .pair("POST / HTTP/1.1\r\nHost: app.example\r\nTrailer: X-Sum, X-Forwarded-For, X_Real_Ip, Host\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nX_Real_Ip: 6.6.6.6\r\nHost: evil\r\nX-Sum: up\r\n\r\n")
        .await;
    origin.head().await;
    assert_eq!(origin.head().await.to_lowercase(), "0\r\nx-sum: up\r\n\r\n");
}

#[tokio::test]
async fn interim_answers_of_the_origin_do_not_disturb_the_final_one() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    origin.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").await;
    assert!(visitor.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(visitor.exactly(1).await, "x");
}

#[tokio::test]
async fn answers_without_a_body_leave_both_connections_usable() {
    let lab = Lab::new().await;
    let mut visitor = lab.visitor().await;
    visitor.send("HEAD / HTTP/1.1\r\nHost: app.example\r\n\r\n").await;
    let mut origin = lab.accept().await;
    for (answer, next) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", GET),
        ("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", GET),
        ("HTTP/1.1 204 No Content\r\n\r\n", GET),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", GET),
    ] {
        origin.head().await;
        origin.send(answer).await;
        let head = visitor.head().await;
        let first_line = answer.lines().next().unwrap();
        assert!(head.starts_with(first_line), "{head}");
        assert_eq!(header(&head, "content-length"), header(answer, "content-length"));
        visitor.send(next).await;
    }
    assert_eq!(lab.counters.origins_opened.get(), 1);
}

#[tokio::test]
async fn http_1_0_gets_a_body_that_ends_with_the_connection() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair("GET / HTTP/1.0\r\nHost: app.example\r\n\r\n").await;
    assert!(origin.head().await.starts_with("GET / HTTP/1.1\r\n"));
    origin.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await;
    let head = visitor.head().await;
    assert_eq!(header(&head, "transfer-encoding"), None);
    assert_eq!(visitor.rest().await, "abc");
}

#[tokio::test]
async fn an_origin_that_ends_its_body_by_closing_is_passed_on_as_chunks() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    origin.send("HTTP/1.0 200 OK\r\n\r\nabc").await;
    drop(origin);
    assert_eq!(header(&visitor.head().await, "transfer-encoding"), Some("chunked"));
    assert!(visitor.until("0\r\n\r\n").await.contains("abc"));
}

const BYTES: usize = 64 << 20;

/// Every block differs, so that a lost or doubled one shows.
fn block(number: usize) -> Vec<u8> {
    (number as u64).to_le_bytes().repeat(8 * 1024)
}

async fn fill(stream: &mut TcpStream) {
    for number in 0..BYTES / block(0).len() {
        within("room to send", stream.write_all(&block(number))).await.unwrap();
    }
}

fn checksum_of_fill() -> u64 {
    (0..BYTES / block(0).len()).fold(SEED, |sum, number| add(sum, &block(number)))
}

async fn drain(stream: &mut TcpStream) -> u64 {
    drain_from(stream, Vec::new()).await
}

async fn drain_from(stream: &mut TcpStream, early: Vec<u8>) -> u64 {
    let mut sum = add(SEED, &early);
    let mut left = BYTES - early.len();
    let mut buffer = vec![0; 256 * 1024];
    while left > 0 {
        let bytes = within("bytes", stream.read(&mut buffer)).await.unwrap();
        assert_ne!(bytes, 0, "{left} bytes short");
        sum = add(sum, buffer.get(..bytes).unwrap());
        left -= bytes;
    }
    sum
}

/// FNV-1a, which does not care how the bytes were cut.
fn add(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
