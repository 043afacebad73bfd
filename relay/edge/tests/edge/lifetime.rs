//! How long connections live, and who notices when the other side goes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bore_edge::limits::HELD_BYTES_MAX;
use bore_edge::{EdgeSettings, Outcome};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::lab::{GET, Lab, Wire, eventually, header, reset, within};

#[tokio::test]
async fn one_visitor_keeps_one_origin_connection_and_shares_it_with_nobody() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    for _ in 0..3 {
        origin.head().await;
        origin.send(OK).await;
        visitor.head().await;
        visitor.exactly(2).await;
        visitor.send(GET).await;
    }
    let (_other, mut other_origin) = lab.pair(GET).await;
    other_origin.head().await;
    assert_eq!(lab.counters.origins_opened.get(), 2);
    assert_eq!(lab.counters.accepted.get(), 2);
}

#[tokio::test]
async fn a_request_on_a_kept_connection_is_one_look_up() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    let asked = || lab.asked.load(Ordering::Relaxed);
    let mut before = 0;
    for request in 1..=5 {
        origin.head().await;
        origin.send(OK).await;
        visitor.head().await;
        visitor.exactly(2).await;
        // The first opens the connection as well.
        assert_eq!(asked() - before, if request == 1 { 2 } else { 1 }, "request {request}");
        before = asked();
        visitor.send(GET).await;
    }
}

#[tokio::test]
async fn a_request_for_another_publication_takes_another_connection() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    origin.send(OK).await;
    visitor.head().await;
    visitor.send("GET / HTTP/1.1\r\nHost: second.example\r\n\r\n").await;
    let mut second = lab.accept().await;
    assert_eq!(header(&second.head().await, "host"), Some("second.example"));
    second.send(OK).await;
    origin.assert_closed().await;
}

#[tokio::test]
async fn a_request_that_may_be_repeated_survives_a_kept_connection_that_closes() {
    let lab = Lab::new().await;
    let (mut visitor, mut first) = lab.pair(GET).await;
    first.head().await;
    first.send(OK).await;
    visitor.head().await;
    visitor.exactly(2).await;
    visitor.send(GET).await;
    first.head().await;
    drop(first);
    let mut second = lab.accept().await;
    second.head().await;
    second.send(OK).await;
    assert!(visitor.head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(lab.counters.retried.get(), 1);
}

#[tokio::test]
async fn a_request_that_may_not_be_repeated_is_not() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    origin.send(OK).await;
    visitor.head().await;
    visitor.exactly(2).await;
    visitor.send("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1\r\n\r\nx").await;
    origin.head().await;
    origin.exactly(1).await;
    drop(origin);
    assert!(visitor.head().await.starts_with("HTTP/1.1 502 "));
    assert_eq!(lab.counters.retried.get(), 0);
}

#[tokio::test]
async fn an_answer_that_had_begun_is_not_asked_for_twice() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    origin.send(OK).await;
    visitor.head().await;
    visitor.exactly(2).await;
    visitor.send(GET).await;
    origin.head().await;
    origin.send("HTTP/1.1 20").await;
    drop(origin);
    assert!(visitor.head().await.starts_with("HTTP/1.1 502 "));
    assert_eq!(lab.counters.retried.get(), 0);
}

#[tokio::test]
async fn what_is_not_http_gives_502() {
    let lab = Lab::new().await;
    for nonsense in ["SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"] {
        let (mut visitor, mut origin) = lab.pair(GET).await;
        origin.head().await;
        origin.send(nonsense).await;
        let head = visitor.head().await;
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        assert_eq!(header(&head, "bore-error"), Some("down"));
    }
}

#[tokio::test]
async fn an_origin_that_breaks_off_never_looks_complete() {
    let lab = Lab::new().await;
    // No part of a request's id, which stands in the head, looks like this.
    for head in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nxyz",
    ] {
        let (mut visitor, mut origin) = lab.pair(GET).await;
        origin.head().await;
        origin.send(head).await;
        visitor.until("xyz").await;
        drop(origin);
        assert!(!visitor.rest().await.contains('0'), "{head:?}");
    }
}

/// To HTTP/1.0 the end of the connection is the end of the answer.
#[tokio::test]
async fn an_answer_without_a_length_that_breaks_off_ends_with_a_reset() {
    let lab = Lab::new().await;
    for breaks in [true, false] {
        for framing in ["Transfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n", "X: y\r\n\r\nxyz"] {
            let (mut visitor, mut origin) =
                lab.pair("GET / HTTP/1.0\r\nHost: app.example\r\n\r\n").await;
            origin.head().await;
            origin.send(&format!("HTTP/1.1 200 OK\r\n{framing}")).await;
            visitor.until("xyz").await;
            if breaks {
                reset(origin);
            } else if framing.starts_with("T") {
                origin.send("0\r\n\r\n").await;
            } else {
                drop(origin);
            }
            assert_eq!(visitor.rest_and_end().await, (String::new(), !breaks), "{framing}");
        }
    }
}

#[tokio::test]
async fn the_head_of_an_answer_that_breaks_off_reaches_the_visitor() {
    let lab = Lab::new().await;
    for (answer, shown) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nxyz", "xyz"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n?", ""),
    ] {
        let (mut visitor, mut origin) = lab.pair(POST).await;
        origin.head().await;
        origin.exactly(1).await;
        origin.send(answer).await;
        drop(origin);
        let got = visitor.rest().await;
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n") && got.ends_with(shown), "{got:?}");
    }
}

#[tokio::test]
async fn what_came_of_a_large_answer_that_breaks_off_reaches_a_slow_visitor() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 40000000\r\n\r\n").await;
    let sending = tokio::spawn(async move {
        origin.stream.write_all(&vec![b'x'; 30_000_000]).await.unwrap();
    });
    visitor.head().await;
    let received = || lab.counters.sent.get();
    eventually("a full socket", || received() > 1_000_000).await;
    let got = visitor.rest().await;
    sending.await.unwrap();
    assert_eq!(got.len(), 30_000_000);
}

#[tokio::test]
async fn an_idle_connection_that_is_to_close_by_its_origins_word_takes_no_request() {
    let lab = Lab::new().await;
    for request in [GET, POST] {
        let (mut visitor, mut origin) = lab.pair(GET).await;
        origin.head().await;
        origin
            .send("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok")
            .await;
        visitor.head().await;
        visitor.exactly(2).await;
        visitor.send(request).await;
        let mut fresh = lab.accept().await;
        fresh.head().await;
        origin.assert_closed().await;
    }
}

#[tokio::test]
async fn a_visitor_that_resets_closes_its_origin() {
    let lab = Lab::new().await;
    for answer in ["", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let (visitor, mut origin) = lab.pair(GET).await;
        origin.head().await;
        origin.send(answer).await;
        socket2::SockRef::from(&visitor.stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(visitor);
        origin.assert_closed().await;
    }
}

#[tokio::test]
async fn a_visitor_that_breaks_off_its_upload_closes_its_origin() {
    let lab = Lab::new().await;
    let (visitor, mut origin) =
        lab.pair("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 10\r\n\r\nabc").await;
    origin.head().await;
    drop(visitor);
    assert_eq!(origin.rest().await, "abc");
    eventually("the outcome", || lab.counted(Outcome::Invalid) == 1).await;
    assert_eq!(lab.counted(Outcome::Down), 0, "the service is not at fault");
}

#[tokio::test]
async fn a_visitor_that_stops_in_its_upload_is_told_so() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) =
        lab.pair("POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 10\r\n\r\nabc").await;
    origin.head().await;
    visitor.stream.shutdown().await.unwrap();
    assert_eq!(origin.rest().await, "abc");
    let head = visitor.head().await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}

#[tokio::test]
async fn a_visitor_that_vanishes_while_waiting_is_noticed() {
    let settings =
        EdgeSettings { half_closed_max: Duration::from_millis(100), ..Default::default() };
    let lab = Lab::with(settings).await;
    let (visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    drop(visitor);
    origin.assert_closed().await;
}

#[tokio::test]
async fn a_visitor_that_leaves_while_waiting_is_told_to_the_origin_at_once() {
    let settings = EdgeSettings {
        half_close_window: Duration::ZERO,
        half_closed_max: Duration::from_secs(3_600),
        ..Default::default()
    };
    let lab = Lab::with(settings).await;
    for answer in ["", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"] {
        let (visitor, mut origin) = lab.pair(GET).await;
        origin.head().await;
        origin.send(answer).await;
        drop(visitor);
        origin.assert_closed().await;
    }
}

#[tokio::test]
async fn a_visitor_that_leaves_behind_a_request_that_came_too_early_is_told_to_the_origin_at_once()
{
    let settings = EdgeSettings {
        half_close_window: Duration::ZERO,
        half_closed_max: Duration::from_secs(3_600),
        ..Default::default()
    };
    for resets in [true, false] {
        for answer in ["", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"] {
            let lab = Lab::with(settings.clone()).await;
            let (mut visitor, mut origin) = lab.pair(GET).await;
            origin.head().await;
            origin.send(answer).await;
            visitor.send(GET).await;
            let came = 2 * GET.len() as u64;
            eventually("the second request", || lab.counters.received.get() == came).await;
            if resets {
                reset(visitor);
            } else {
                drop(visitor);
            }
            origin.assert_closed().await;
        }
    }
}

#[tokio::test]
async fn requests_that_come_too_early_are_answered_in_their_order_however_many_they_are() {
    let lab = Lab::new().await;
    let request = |at: usize| {
        let body = "x".repeat(at);
        format!("POST /{at} HTTP/1.1\r\nHost: app.example\r\nContent-Length: {at}\r\n\r\n{body}")
    };
    let requests: String = (0..COUNT).map(request).collect();
    assert!(requests.len() > 4 * HELD_BYTES_MAX);
    let mut visitor = lab.visitor().await;
    let visiting = async {
        let (mut reader, mut writer) = visitor.stream.split();
        let sending = async {
            writer.write_all(requests.as_bytes()).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let mut answers = String::new();
        let (_, read) = tokio::join!(sending, reader.read_to_string(&mut answers));
        read.unwrap();
        answers
    };
    let serving = async {
        let mut origin = lab.accept().await;
        for at in 0..COUNT {
            assert!(origin.head().await.starts_with(&format!("POST /{at} ")));
            origin.exactly(at).await;
            let answer = format!("[{at}]");
            let length = answer.len();
            origin
                .send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{answer}"))
                .await;
        }
    };
    let (answers, ()) = within("the answers", async { tokio::join!(visiting, serving) }).await;
    let found = answers.split('[').skip(1).map(|answer| answer.split(']').next().unwrap());
    assert!(found.eq((0..COUNT).map(|at| at.to_string())), "{answers}");
}

#[tokio::test]
async fn a_visitor_that_stops_sending_behind_its_requests_gets_all_answers() {
    let lab = Lab::new().await;
    let mut visitor = lab.visitor().await;
    visitor.send(&GET.repeat(2)).await;
    visitor.stream.shutdown().await.unwrap();
    let mut origin = lab.accept().await;
    for _ in 0..2 {
        origin.head().await;
        origin.send(OK).await;
    }
    let answers = visitor.rest().await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
}

#[tokio::test]
async fn a_half_closed_visitor_gets_its_whole_answer() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    visitor.stream.shutdown().await.unwrap();
    origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n").await;
    let sending = async {
        origin.stream.write_all(&vec![b'x'; 3_000_000]).await.unwrap();
    };
    let (head, ()) = tokio::join!(visitor.head(), sending);
    assert!(head.starts_with("HTTP/1.1 200 "));
    assert_eq!(visitor.rest().await.len(), 3_000_000);
}

#[tokio::test]
async fn a_half_closed_visitor_without_room_gets_the_end_of_its_answer() {
    // However slow the machine is, the visitor has not given up.
    let settings = EdgeSettings {
        half_close_window: Duration::from_secs(3_600),
        half_closed_max: Duration::from_secs(3_600),
        ..Default::default()
    };
    let old = GET.replace("HTTP/1.1", "HTTP/1.0");
    let refused = GET.replace("\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\n");
    for request in [GET, &old, &refused] {
        for stops_at_once in [true, false] {
            let lab = Lab::with(settings.clone()).await;
            let visitor = lab.visitor().await;
            assert_gets_the_end(&lab, visitor, (request, stops_at_once), STUCK).await;
        }
    }
    let lab = Lab::secure_with(settings).await;
    let visitor = lab.secured("app.example", "http/1.1").await;
    assert_gets_the_end(&lab, visitor, (GET, false), STUCK).await;
}

#[tokio::test]
async fn a_half_closed_visitor_without_room_has_the_time_of_any_visitor() {
    let half_close_window = Duration::from_secs(3_600);
    let half_closed_max = Duration::from_secs(2);
    let lab =
        Lab::with(EdgeSettings { half_close_window, half_closed_max, ..Default::default() }).await;
    let visitor = lab.visitor().await;
    assert_gets_the_end(&lab, visitor, (GET, true), 2 * half_closed_max).await;
}

/// The visitor does not read until it has no room for more of the answer, and then for `pause`; only the end of the answer comes behind that.
async fn assert_gets_the_end<S>(
    lab: &Lab,
    mut visitor: Wire<S>,
    (request, stops_at_once): (&str, bool),
    pause: Duration,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    visitor.send(request).await;
    if stops_at_once {
        visitor.stream.shutdown().await.unwrap();
    }
    let mut origin = lab.accept().await;
    origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    visitor.head().await;
    if !stops_at_once {
        visitor.stream.shutdown().await.unwrap();
    }
    let chunk = format!("{CHUNK_BYTES:x}\r\n{}\r\n", "x".repeat(CHUNK_BYTES));
    let mut given = 0;
    let has_taken = async |bytes: usize| {
        while lab.counters.sent.get() < bytes as u64 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    while timeout(STUCK, has_taken(given)).await.is_ok() {
        origin.send(&chunk).await;
        given += CHUNK_BYTES;
    }
    sleep(pause).await;
    origin.send("0\r\n\r\n").await;
    sleep(STUCK).await;
    let (got, ends) = visitor.rest_and_end().await;
    let case = format!("{request:?}, {stops_at_once}");
    assert_eq!((got.matches('x').count(), ends), (given, true), "{case}");
}

#[tokio::test]
async fn shutting_down_lets_the_request_in_hand_finish() {
    let mut lab = Lab::new().await;
    let mut idle = lab.visitor().await;
    idle.send("GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n").await;
    idle.head().await;
    let (mut visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    lab.stop.take().unwrap().send(()).unwrap();
    idle.rest().await;
    origin.send(OK).await;
    assert!(visitor.rest().await.ends_with("ok"));
    within("the end of serving", lab.serving).await.unwrap();
}

const COUNT: usize = 500;
/// Much less than hyper takes of an answer ahead of the visitor.
const CHUNK_BYTES: usize = 16 * 1024;
/// What makes no progress for so long has no room.
const STUCK: Duration = Duration::from_millis(200);
const POST: &str = "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 1\r\n\r\nx";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
