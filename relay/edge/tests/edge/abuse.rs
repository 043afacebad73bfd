//! Visitors that take too long or too much (attacks 20, 43).

use std::process::Command;
use std::time::Duration;

use bore_edge::limits::{HEAD_BYTES_MAX, HEADERS_MAX};
use bore_edge::{Deadline, DeadlineLabels, EdgeSettings, Limit, LimitLabels};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::lab::{GET, Lab, Wire, eventually, header, within};

#[tokio::test]
async fn attack_20_silent_connections_are_dropped_and_others_served() {
    let lab = Lab::with(impatient()).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(lab.visitor().await);
    }
    lab.assert_serves().await;
    for visitor in &mut silent {
        visitor.assert_closed().await;
    }
    assert_eq!(expired(&lab, Deadline::Head), 200);
}

#[tokio::test]
async fn attack_20_a_head_that_trickles_is_dropped() {
    let lab = Lab::with(impatient()).await;
    let mut visitor = lab.visitor().await;
    visitor.send("GET / HTTP/1.1\r\nHost: app.example\r\n").await;
    let trickling = async {
        while visitor.stream.write_all(b"x: y\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("the drop", trickling).await;
    assert_eq!(expired(&lab, Deadline::Head), 1);
    assert_eq!(lab.counters.origins_opened.get(), 0);
}

#[tokio::test]
async fn attack_20_a_kept_connection_without_requests_is_closed() {
    let lab = Lab::with(impatient()).await;
    let mut visitor = lab.visitor().await;
    visitor.send("GET / HTTP/1.1\r\nHost: nobody.example\r\nAccept: */*\r\n\r\n").await;
    visitor.rest().await;
    assert_eq!(expired(&lab, Deadline::Idle), 1);
}

#[tokio::test]
async fn attack_20_a_body_that_trickles_is_dropped_and_the_origin_with_it() {
    let lab = Lab::with(impatient()).await;
    let (visitor, mut origin) =
        lab.pair("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 100000\r\n\r\n").await;
    origin.head().await;
    let (mut reader, mut writer) = visitor.stream.into_split();
    let trickling = async {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut answer = Vec::new();
    let reading = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut answer);
    let _ = within("the drop", async { tokio::join!(trickling, reading) }).await;
    origin.rest().await;
    assert_eq!(expired(&lab, Deadline::Body), 1);
}

#[tokio::test]
async fn a_streamed_body_may_pause_as_long_as_something_comes_in_each_window() {
    let lab = Lab::with(EdgeSettings {
        progress_window: Duration::from_millis(400),
        ..Default::default()
    })
    .await;
    let (mut visitor, mut origin) = lab
        .pair("POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    origin.head().await;
    for _ in 0..15 {
        visitor.send("1\r\nx\r\n").await;
        origin.until("x").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(expired(&lab, Deadline::Body), 0);
}

#[tokio::test]
async fn a_body_of_either_kind_may_pause_while_its_answer_is_coming() {
    for (framing, end) in [("Content-Length: 4", ""), ("Transfer-Encoding: chunked", "0\r\n\r\n")] {
        let is_chunked = !end.is_empty();
        let piece = if is_chunked { "2\r\nab\r\n" } else { "ab" };
        let lab = Lab::with(impatient()).await;
        let (mut visitor, mut origin) =
            lab.pair(&format!("POST / HTTP/1.1\r\nHost: app.example\r\n{framing}\r\n\r\n")).await;
        origin.head().await;
        visitor.send(piece).await;
        origin.until("ab").await;
        origin.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab").await;
        visitor.until("\r\n\r\nab").await;
        tokio::time::sleep(impatient().progress_window * 3).await;
        visitor.send(&format!("{piece}{end}")).await;
        origin.until("ab").await;
        origin.send("ab").await;
        assert_eq!(visitor.exactly(2).await, "ab", "{framing}");
        assert_eq!(expired(&lab, Deadline::Body), 0);
    }
}

#[tokio::test]
async fn attack_20_a_visitor_that_does_not_read_is_dropped_and_the_origin_with_it() {
    let lab = Lab::with(impatient()).await;
    let (visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
    let block = vec![b'x'; 64 * 1024];
    let sending = async { while origin.stream.write_all(&block).await.is_ok() {} };
    within("the drop", sending).await;
    assert_eq!(expired(&lab, Deadline::Drain), 1);
    drop(visitor);
}

#[tokio::test]
async fn attack_20_a_slow_origin_is_not_held_against_its_visitor() {
    let lab = Lab::with(impatient()).await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    tokio::time::sleep(impatient().head_max * 3).await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(visitor.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn an_origin_that_never_answers_gives_504() {
    let lab =
        Lab::with(EdgeSettings { response_max: Duration::from_millis(100), ..Default::default() })
            .await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    assert!(visitor.head().await.starts_with("HTTP/1.1 504 "));
    origin.assert_closed().await;
}

#[tokio::test]
async fn an_origin_that_stops_taking_an_upload_and_never_answers_gives_504() {
    let lab =
        Lab::with(EdgeSettings { response_max: Duration::from_millis(500), ..Default::default() })
            .await;
    let (visitor, mut origin) = lab
        .pair("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1000000000\r\n\r\n")
        .await;
    origin.head().await;
    let (reader, mut writer) = visitor.stream.into_split();
    let block = vec![b'x'; 64 * 1024];
    let sending = tokio::spawn(async move { while writer.write_all(&block).await.is_ok() {} });
    let answer = Wire::new(tokio::io::join(reader, tokio::io::sink())).head().await;
    sending.abort();
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
}

#[tokio::test]
async fn a_visitor_that_takes_its_time_with_an_upload_is_not_held_against_its_origin() {
    let settings = EdgeSettings { response_max: Duration::from_millis(50), ..Default::default() };
    let lab = Lab::with(settings.clone()).await;
    let (mut visitor, mut origin) =
        lab.pair("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 4\r\n\r\nxy").await;
    origin.until("xy").await;
    tokio::time::sleep(settings.response_max * 6).await;
    visitor.send("zw").await;
    origin.until("zw").await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert!(visitor.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn heads_beyond_their_limits_get_431_from_either_side() {
    let lab = Lab::new().await;
    for (fields, is_too_many) in [
        ("x: y\r\n".repeat(HEADERS_MAX), true),
        (format!("x: {}\r\n", "y".repeat(HEAD_BYTES_MAX)), false),
    ] {
        let visitor = lab.visitor().await;
        let request = format!("GET / HTTP/1.1\r\nHost: app.example\r\n{fields}\r\n");
        assert!(answer_to(visitor, &request).await.starts_with("HTTP/1.1 431 "));

        let (mut visitor, mut origin) = lab.pair(GET).await;
        origin.head().await;
        let _ = origin
            .stream
            .write_all(format!("HTTP/1.1 200 OK\r\ny: z\r\n{fields}\r\n").as_bytes())
            .await;
        // An origin may send more fields than a visitor.
        let status = if is_too_many { "HTTP/1.1 200 " } else { "HTTP/1.1 502 " };
        assert!(visitor.head().await.starts_with(status));
    }
}

#[tokio::test]
async fn one_source_gets_so_many_connections_and_no_more() {
    let lab = Lab::with(EdgeSettings { connections_per_source_max: 2, ..impatient() }).await;
    let (first, _first_origin) = lab.pair(GET).await;
    let (_second, _second_origin) = lab.pair(GET).await;
    lab.visitor().await.assert_closed().await;
    assert_eq!(limited(&lab, Limit::Source), 1);
    drop(first);
    eventually("the place of the first", || lab.counters.open.get() == 1).await;
    lab.assert_serves().await;
}

#[tokio::test]
async fn visitors_beyond_the_total_wait_for_their_turn() {
    let lab = Lab::with(EdgeSettings { connections_max: 1, ..impatient() }).await;
    let (first, first_origin) = lab.pair(GET).await;
    let mut second = lab.visitor().await;
    second.send(GET).await;
    eventually("the limit", || limited(&lab, Limit::Total) > 0).await;
    assert_eq!(lab.counters.accepted.get(), 1);
    drop((first, first_origin));
    lab.accept().await.head().await;
    assert_eq!(lab.counters.accepted.get(), 2);
}

/// Runs itself again in a process of its own that may have few descriptors.
#[test]
fn attack_43_without_descriptors_accepting_pauses_and_recovers() {
    if std::env::var_os(FEW_DESCRIPTORS).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        return runtime.block_on(with_64_descriptors());
    }
    let name = "abuse::attack_43_without_descriptors_accepting_pauses_and_recovers";
    let status = Command::new("sh")
        .args(["-c", &format!("ulimit -n 64 && exec \"$0\" --exact {name}")])
        .arg(std::env::current_exe().unwrap())
        .env(FEW_DESCRIPTORS, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

const FEW_DESCRIPTORS: &str = "BORE_TEST_FEW_DESCRIPTORS";

async fn with_64_descriptors() {
    let lab = Lab::new().await;
    let spare = std::fs::File::open("/dev/null").unwrap();
    let mut visitors = Vec::new();
    while let Ok(stream) = TcpStream::connect(lab.edge).await {
        visitors.push(Wire::new(stream));
    }
    assert!(visitors.len() < 64);
    // Whoever took the last descriptor, this visitor comes when there is none for the relay.
    drop(spare);
    visitors.extend(TcpStream::connect(lab.edge).await.map(Wire::new));
    eventually("exhaustion", || limited(&lab, Limit::Descriptors) > 0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let failures = limited(&lab, Limit::Descriptors);
    assert!(failures < 20, "{failures} failed accepts are a spin");
    drop(visitors);
    lab.assert_serves().await;
}

/// The answer, however the connection ends while the rest of the request is still on its way.
async fn answer_to(mut visitor: Wire, request: &str) -> String {
    let _ = visitor.stream.write_all(request.as_bytes()).await;
    let head = visitor.head().await;
    assert_eq!(header(&head, "connection"), Some("close"));
    head
}

fn impatient() -> EdgeSettings {
    let short = Duration::from_millis(300);
    EdgeSettings {
        head_max: short,
        idle_max: short,
        progress_window: short,
        half_closed_max: short,
        ..Default::default()
    }
}

fn expired(lab: &Lab, deadline: Deadline) -> u64 {
    lab.counters.expired.get_or_create(&DeadlineLabels { deadline }).get()
}

fn limited(lab: &Lab, limit: Limit) -> u64 {
    lab.counters.limited.get_or_create(&LimitLabels { limit }).get()
}
