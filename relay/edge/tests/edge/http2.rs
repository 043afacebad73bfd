//! HTTP/2 visitors: many requests on one connection, and what a hostile one tries (attacks 13, 15, 17, 19, 20).

use std::cell::Cell;
use std::time::{Duration, Instant};

use bore_edge::limits::H2_OVERHEAD_BYTES_MAX;
use bore_edge::{Deadline, DeadlineLabels, EdgeSettings, Limit, LimitLabels, Outcome};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::lab::{Lab, Wire, eventually, header, within};
use super::raw_http2::{DATA, END_STREAM, RST_STREAM, Raw, floods};

#[tokio::test]
async fn requests_of_one_connection_run_side_by_side() {
    let lab = Lab::secure().await;
    let mut visitor = speak::<Empty<Bytes>>(&lab).await;
    let (slow, quick) = (visitor.send_request(get("/slow")), visitor.send_request(get("/quick")));
    let (mut one, mut two) = (lab.accept().await, lab.accept().await);
    let (first, second) = (one.head().await, two.head().await);
    assert!(first.starts_with("GET /slow") != second.starts_with("GET /slow"));
    let (mut origin, mut quick_origin) =
        if first.starts_with("GET /slow") { (one, two) } else { (two, one) };
    quick_origin.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nquick").await;
    assert_eq!(text(within("quick", quick).await.unwrap()).await, "quick");
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").await;
    assert_eq!(text(within("slow", slow).await.unwrap()).await, "slow");
    assert_eq!(lab.counters.accepted.get(), 1);
}

#[tokio::test]
async fn requests_one_after_the_other_share_the_origin_connection() {
    let lab = Lab::secure().await;
    let mut visitor = speak::<Empty<Bytes>>(&lab).await;
    let mut origin = None;
    for number in 1..4 {
        let asked = tokio::spawn(visitor.send_request(get(&format!("/{number}"))));
        if number == 1 {
            origin = Some(lab.accept().await);
        }
        let origin = origin.as_mut().unwrap();
        assert!(origin.head().await.starts_with(&format!("GET /{number} HTTP/1.1\r\n")));
        origin.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let answer = within("an answer", asked).await.unwrap().unwrap();
        assert_eq!(text(answer).await, "ok");
    }
    assert_eq!(lab.counters.origins_opened.get(), 1);
}

#[tokio::test]
async fn the_origin_gets_an_http_1_request_with_one_host_and_one_cookie() {
    let lab = Lab::secure().await;
    let mut visitor = speak::<Empty<Bytes>>(&lab).await;
    let request = Request::get("https://APP.example/a?b")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x_real_ip", "6.6.6.6")
        .body(Empty::new())
        .unwrap();
    let asked = visitor.send_request(request);
    let mut origin = lab.accept().await;
    let head = origin.head().await;
    assert!(head.starts_with("GET /a?b HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "host"), Some("APP.example"), "as it came: {head}");
    assert_eq!(header(&head, "cookie"), Some("a=1; b=2"));
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("https"));
    assert_eq!(header(&head, "transfer-encoding"), None);
    assert!(!head.contains("6.6.6.6"), "{head}");
    origin
        .send("HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n")
        .await;
    let answer = within("the answer", asked).await.unwrap();
    assert!(
        !answer.headers().contains_key("connection") && !answer.headers().contains_key("x-hop")
    );
}

#[tokio::test]
async fn a_cookie_of_many_pieces_is_one_field_and_many_fields_are_too_many() {
    let lab = Lab::secure().await;
    let mut visitor = speak::<Empty<Bytes>>(&lab).await;
    let with = |name: &str| {
        let fields = (0..200).map(|number| (name.to_owned(), format!("c{number}=1")));
        let request = fields
            .fold(Request::get("https://app.example/"), |request, (name, value)| {
                request.header(name, value)
            });
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let refused = within("an answer", visitor.send_request(with("x-cookie"))).await.unwrap();
    assert_eq!(refused.status(), 431);
    let _asked = tokio::spawn(visitor.send_request(with("cookie")));
    let head = lab.accept().await.head().await;
    let cookie = header(&head, "cookie").unwrap();
    assert!(cookie.starts_with("c0=1; c1=1; ") && cookie.ends_with("; c199=1"), "{cookie}");
}

#[tokio::test]
async fn bodies_and_trailers_stream_both_ways() {
    let lab = Lab::secure().await;
    let mut visitor = speak(&lab).await;
    let (up, body) = channel();
    let mut announced = request(Method::POST, "/", body);
    announced.headers_mut().insert("trailer", "x-sum".parse().unwrap());
    let asked = tokio::spawn(visitor.send_request(announced));
    let mut origin = lab.accept().await;
    assert_eq!(header(&origin.head().await, "transfer-encoding"), Some("chunked"));
    up.send(Frame::data("one".into())).await.unwrap();
    origin.until("one\r\n").await;
    origin.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
    let mut answer = within("the answer", asked).await.unwrap().unwrap();
    assert_eq!(
        within("a piece", answer.frame()).await.unwrap().unwrap().into_data().unwrap(),
        "one"
    );
    up.send(Frame::data("two".into())).await.unwrap();
    origin.until("two\r\n").await;
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "up".parse().unwrap())]);
    up.send(Frame::trailers(trailers)).await.unwrap();
    drop(up);
    assert_eq!(origin.until("\r\n\r\n").await.to_lowercase(), "0\r\nx-sum: up\r\n\r\n");
    origin.send("0\r\nX-Sum: down\r\n\r\n").await;
    let last = within("trailers", answer.frame()).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(last["x-sum"], "down");
}

#[tokio::test]
async fn a_request_that_is_taken_back_closes_its_origin_and_no_other() {
    let lab = Lab::secure().await;
    let mut visitor = speak::<Empty<Bytes>>(&lab).await;
    let taken_back = visitor.send_request(get("/1"));
    let mut first = lab.accept().await;
    first.head().await;
    let kept = visitor.send_request(get("/2"));
    let mut second = lab.accept().await;
    second.head().await;
    drop(taken_back);
    first.assert_closed().await;
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(text(within("the answer", kept).await.unwrap()).await, "ok");
}

#[tokio::test]
async fn each_host_of_a_connection_keeps_its_origin_connection() {
    let lab = Lab::secure().await;
    let mut visitor = speak::<Empty<Bytes>>(&lab).await;
    let hosts = ["app.example", "second.example"];
    let mut origins: Vec<Wire> = Vec::new();
    for turn in 0..6 {
        let host = hosts[turn % hosts.len()];
        let asked = tokio::spawn(visitor.send_request(get_of(host)));
        if turn < hosts.len() {
            origins.push(lab.accept().await);
        }
        let origin = &mut origins[turn % hosts.len()];
        assert_eq!(header(&origin.head().await, "host"), Some(host));
        origin.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let answer = within("the answer", asked).await.unwrap().unwrap();
        assert_eq!(text(answer).await, "ok");
    }
    assert_eq!(lab.counters.origins_opened.get(), 2);
}

#[tokio::test]
async fn attack_15_an_origin_that_answers_early_is_not_used_again() {
    let lab = Lab::secure().await;
    let mut visitor = speak(&lab).await;
    let (up, body) = channel();
    let asked = tokio::spawn(visitor.send_request(request(Method::POST, "/", body)));
    up.send(Frame::data("part".into())).await.unwrap();
    let mut origin = lab.accept().await;
    origin.head().await;
    origin.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await;
    let answer = within("the answer", asked).await.unwrap().unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(text(answer).await, "no");
    drop(up);
    origin.rest().await;
    let (next, body) = channel();
    drop(next);
    let _asked = tokio::spawn(visitor.send_request(request(Method::GET, "/", body)));
    lab.accept().await.head().await;
}

#[tokio::test]
async fn uploads_that_are_refused_are_no_flood() {
    let lab = Lab::secure().await;
    let mut raw = Raw::new(&lab).await;
    raw.settle().await;
    let part = vec![b'x'; 16 * 1024];
    for number in 0..20 {
        let stream = 2 * number + 1;
        raw.head_to("nobody.example", stream, "/", &[("content-length", b"229376")], false).await;
        for _ in 0..14 {
            raw.frame(DATA, 0, stream, &part).await;
        }
        raw.until_refused(stream).await;
        raw.until_reset(stream).await;
    }
    assert_eq!(flooded(&lab), 0);
    raw.head_to("nobody.example", 41, "/", &[], true).await;
    raw.until_refused(41).await;
    eventually("the outcomes", || lab.counted(Outcome::Misdirected) == 21).await;
}

#[tokio::test]
async fn attack_16_coalesced_requests_reach_only_what_the_certificate_names() {
    let lab = Lab::secure().await;
    let mut visitor = speak::<Full<Bytes>>(&lab).await;
    let ask = |host: &str| {
        Request::get(format!("https://{host}/")).body(Full::new(Bytes::new())).unwrap()
    };
    let other = within("an answer", visitor.send_request(ask("other.example"))).await.unwrap();
    assert_eq!(other.status(), 421);
    let mut contradicting = ask("app.example");
    contradicting.headers_mut().insert("host", "second.example".parse().unwrap());
    let answer = within("an answer", visitor.send_request(contradicting)).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(lab.counters.origins_opened.get(), 0);
    let second = tokio::spawn(visitor.send_request(ask("second.example")));
    assert_eq!(header(&lab.accept().await.head().await, "host"), Some("second.example"));
    drop(second);
}

#[tokio::test]
async fn attack_16_a_name_that_is_passed_through_is_not_served_by_the_wildcard_s_connection() {
    let lab = Lab::secure().await;
    let mut visitor = speak_for::<Empty<Bytes>>(&lab, "app.wild.example").await;
    for (host, status) in [("through.wild.example", 421), ("nobody.wild.example", 404)] {
        let answer = within("an answer", visitor.send_request(get_of(host))).await;
        assert_eq!(answer.unwrap().status(), status, "{host}");
    }
}

#[tokio::test]
async fn attack_13_what_http_1_would_read_otherwise_never_reaches_the_origin() {
    let lab = Lab::secure().await;
    let cases: &[&[(&str, &[u8])]] = &[
        &[("x-a", b"b\r\nX-Evil: 1")],
        &[("x-a", b"b\nX-Evil: 1")],
        &[("x-a", b"b\0c")],
        &[("x-a\r\nx-evil", b"1")],
        &[("x a", b"1")],
        &[("X-Upper", b"1")],
        &[("te", b"gzip")],
        &[("transfer-encoding", b"chunked")],
        &[("connection", b"close")],
        &[("keep-alive", b"1")],
        &[("upgrade", b"websocket")],
        &[("content-length", b"5")],
        &[("content-length", b"1"), ("content-length", b"2")],
        &[("content-length", b"+5")],
        &[("host", b"second.example")],
        &[("host", b"app.example"), ("host", b"app.example")],
    ];
    for fields in cases {
        let mut raw = Raw::new(&lab).await;
        raw.head(1, "/", fields, true).await;
        raw.until_refused(1).await;
    }
    for path in ["/a b", "/a\r\nX-Evil: 1", "", "/\0", "a"] {
        let mut raw = Raw::new(&lab).await;
        raw.head(1, path, &[], true).await;
        raw.until_refused(1).await;
    }
    assert_eq!(lab.counters.origins_opened.get(), 0, "no origin saw any of them");
    lab.assert_serves_https().await;
}

#[tokio::test]
async fn attack_13_a_body_that_contradicts_its_length_ends_at_the_edge() {
    let lab = Lab::secure().await;
    for body in [&b"abcdef"[..], b"ab"] {
        let mut raw = Raw::new(&lab).await;
        raw.head(1, "/", &[("content-length", b"4")], false).await;
        raw.frame(DATA, END_STREAM, 1, body).await;
        let reading = async {
            if let Ok((stream, _)) = lab.origin.accept().await {
                let seen = Wire::new(stream).rest().await;
                assert!(!seen.ends_with("abcd"), "it must not look complete: {seen}");
            }
        };
        tokio::select! {
            () = raw.until_refused(1) => {}
            () = async { reading.await; std::future::pending().await } => {}
        }
    }
}

#[tokio::test]
async fn attack_19_floods_are_closed_within_bounds_while_others_are_served() {
    let lab = Lab::secure().await;
    let mut other = speak::<Empty<Bytes>>(&lab).await;
    for (name, frames) in floods() {
        let mut raw = Raw::new(&lab).await;
        raw.prepare(name).await;
        let (memory, received, closed) =
            (resident_bytes(), lab.counters.received.get(), flooded(&lab));
        let began = Instant::now();
        let (is_told, mut waits) = beside(&mut other, raw.flood(&frames)).await;
        let took = began.elapsed();
        let grown = resident_bytes().saturating_sub(memory);
        let taken = lab.counters.received.get() - received;
        waits.sort();
        let slowest = waits.last().unwrap();
        println!(
            "attack 19: {name}: {taken} bytes, {took:.2?}, {} KiB more, others wait {:.2?}, at most {slowest:.2?}",
            grown / 1024,
            waits[waits.len() / 2]
        );
        assert_eq!(is_told, flooded(&lab) == closed, "{name}: h2 says so, or the ledger counts it");
        assert!(taken < H2_OVERHEAD_BYTES_MAX + (512 << 10), "{name}: {taken} bytes");
        assert!(grown < 16 << 20, "{name}: {grown} bytes");
    }
    lab.assert_serves_https().await;
}

#[tokio::test]
async fn attack_19_requests_that_are_taken_back_at_once_end_the_connection() {
    let lab = Lab::secure().await;
    let mut raw = Raw::new(&lab).await;
    let began = Instant::now();
    let mut stream = 1;
    let resetting = async {
        loop {
            raw.head_to("nobody.example", stream, "/", &[], true).await;
            raw.frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).await;
            stream += 2;
            if raw.is_closed().await {
                return;
            }
        }
    };
    within("the end", resetting).await;
    println!("attack 19: rapid reset: {} requests, {:.2?}", stream / 2, began.elapsed());
    assert!(stream / 2 < 2_000, "{} requests", stream / 2);
    lab.assert_serves_https().await;
}

#[tokio::test]
async fn attack_20_an_http_2_visitor_that_asks_for_nothing_is_dropped() {
    let lab = Lab::secure_with(impatient()).await;
    let mut raw = Raw::new(&lab).await;
    raw.until_closed().await;
    assert_eq!(expired(&lab, Deadline::Head), 1);
}

#[tokio::test]
async fn attack_20_an_idle_http_2_visitor_is_told_to_go() {
    let lab = Lab::secure_with(impatient()).await;
    let mut visitor = speak::<Empty<Bytes>>(&lab).await;
    let answer = within("an answer", visitor.send_request(get_of("nobody.example"))).await;
    assert_eq!(answer.unwrap().status(), 421);
    let gone = async {
        while !visitor.is_closed() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the end", gone).await;
}

#[tokio::test]
async fn attack_20_a_window_that_stays_closed_is_dropped_and_the_origin_with_it() {
    let lab = Lab::secure_with(impatient()).await;
    let mut raw = Raw::with_window(&lab, 0).await;
    raw.head(1, "/", &[], true).await;
    let mut origin = lab.accept().await;
    origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
    let block = vec![b'x'; 64 * 1024];
    let sending = async { while origin.stream.write_all(&block).await.is_ok() {} };
    within("the drop", sending).await;
    assert_eq!(expired(&lab, Deadline::Drain), 1);
}

#[tokio::test]
async fn attack_20_an_answer_of_one_frame_does_not_wait_for_ever() {
    let lab = Lab::secure_with(impatient()).await;
    let mut raw = Raw::with_window(&lab, 0).await;
    raw.head_to("nobody.example", 1, "/", &[], true).await;
    raw.until_closed().await;
    assert_eq!(expired(&lab, Deadline::Drain), 1);
}

#[tokio::test]
async fn attack_20_the_last_frame_of_an_origin_s_answer_does_not_wait_for_ever() {
    let lab = Lab::secure_with(impatient()).await;
    let mut raw = Raw::with_window(&lab, 0).await;
    raw.head(1, "/", &[], true).await;
    let mut origin = lab.accept().await;
    origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    raw.until_closed().await;
    assert_eq!(expired(&lab, Deadline::Drain), 1);
    origin.rest().await;
}

#[tokio::test]
async fn attack_20_a_body_that_does_not_come_gets_408() {
    let lab = Lab::secure_with(impatient()).await;
    let mut visitor = speak(&lab).await;
    let (_up, body) = channel();
    let asked = tokio::spawn(visitor.send_request(request(Method::POST, "/", body)));
    let mut origin = lab.accept().await;
    origin.head().await;
    let answer = within("an answer", asked).await.unwrap().unwrap();
    assert_eq!(answer.status(), 408);
    origin.rest().await;
}

#[tokio::test]
async fn a_stream_without_end_may_pause_once_the_origin_has_begun_to_answer() {
    let lab = Lab::secure_with(impatient()).await;
    let mut visitor = speak(&lab).await;
    let (up, body) = channel();
    let asked = tokio::spawn(visitor.send_request(request(Method::POST, "/", body)));
    let mut origin = lab.accept().await;
    origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let mut answer = within("the answer", asked).await.unwrap().unwrap();
    tokio::time::sleep(impatient().progress_window * 5).await;
    up.send(Frame::data("late".into())).await.unwrap();
    origin.until("late\r\n").await;
    origin.send("2\r\nok\r\n").await;
    assert_eq!(
        within("a piece", answer.frame()).await.unwrap().unwrap().into_data().unwrap(),
        "ok"
    );
}

#[tokio::test]
async fn draining_lets_the_requests_in_hand_finish() {
    let mut lab = Lab::secure().await;
    let mut visitor = speak::<Empty<Bytes>>(&lab).await;
    let asked = visitor.send_request(get("/"));
    let mut origin = lab.accept().await;
    origin.head().await;
    lab.stop.take().unwrap().send(()).unwrap();
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    assert_eq!(text(within("the answer", asked).await.unwrap()).await, "ok");
    within("the end", &mut lab.serving).await.unwrap();
}

#[tokio::test]
async fn a_head_request_has_no_body_whoever_answers() {
    let lab = Lab::secure().await;
    let mut visitor = speak::<Empty<Bytes>>(&lab).await;
    let request = request(Method::HEAD, "/nothing", Empty::new());
    let mut of_nobody = request.clone();
    *of_nobody.uri_mut() = "https://other.example/".parse().unwrap();
    let answer = within("an answer", visitor.send_request(of_nobody)).await.unwrap();
    assert_eq!(answer.status(), 421);
    assert_eq!(text(answer).await, "");
    let asked = visitor.send_request(request);
    let mut origin = lab.accept().await;
    origin.head().await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n").await;
    let answer = within("an answer", asked).await.unwrap();
    assert_eq!(answer.headers()["content-length"], "500");
    assert_eq!(text(answer).await, "");
}

pub(crate) type Pieces = StreamBody<
    futures_util::stream::Unfold<
        mpsc::Receiver<Frame<Bytes>>,
        fn(mpsc::Receiver<Frame<Bytes>>) -> NextPiece,
        NextPiece,
    >,
>;
pub(crate) type NextPiece = std::pin::Pin<
    Box<
        dyn Future<
                Output = Option<(Result<Frame<Bytes>, hyper::Error>, mpsc::Receiver<Frame<Bytes>>)>,
            > + Send,
    >,
>;

/// A body that is sent piece by piece.
pub(crate) fn channel() -> (mpsc::Sender<Frame<Bytes>>, Pieces) {
    fn next(mut pieces: mpsc::Receiver<Frame<Bytes>>) -> NextPiece {
        Box::pin(async move { pieces.recv().await.map(|piece| (Ok(piece), pieces)) })
    }
    let (sender, pieces) = mpsc::channel(8);
    (sender, StreamBody::new(futures_util::stream::unfold(pieces, next as fn(_) -> _)))
}

pub(crate) async fn speak<B>(lab: &Lab) -> SendRequest<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    speak_for(lab, "app.example").await
}

pub(crate) async fn speak_for<B>(lab: &Lab, name: &str) -> SendRequest<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = lab.secured(name, "h2").await.stream;
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) fn get(path: &str) -> Request<Empty<Bytes>> {
    request(Method::GET, path, Empty::new())
}

pub(crate) fn get_of(host: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://{host}/")).body(Empty::new()).unwrap()
}

fn request<B>(method: Method, path: &str, body: B) -> Request<B> {
    Request::builder().method(method).uri(format!("https://app.example{path}")).body(body).unwrap()
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    let body = within("a body", response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

pub(crate) fn impatient() -> EdgeSettings {
    EdgeSettings {
        head_max: Duration::from_secs(2),
        idle_max: Duration::from_millis(500),
        progress_window: Duration::from_millis(500),
        ..Default::default()
    }
}

fn flooded(lab: &Lab) -> u64 {
    lab.counters.limited.get_or_create(&LimitLabels { limit: Limit::Flood }).get()
}

/// How long each request of `visitor` took beside `hostile`, from its beginning to its end.
async fn beside<T>(
    visitor: &mut SendRequest<Empty<Bytes>>,
    hostile: impl Future<Output = T>,
) -> (T, Vec<Duration>) {
    let is_over = Cell::new(false);
    let attacking = async {
        let came = hostile.await;
        is_over.set(true);
        came
    };
    let asking = async {
        let mut waits = Vec::new();
        while !is_over.get() || waits.is_empty() {
            let began = Instant::now();
            let asked = visitor.send_request(get_of("nobody.example"));
            assert_eq!(within("an answer", asked).await.unwrap().status(), 421);
            waits.push(began.elapsed());
        }
        waits
    };
    tokio::join!(attacking, asking)
}

fn expired(lab: &Lab, deadline: Deadline) -> u64 {
    lab.counters.expired.get_or_create(&DeadlineLabels { deadline }).get()
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
