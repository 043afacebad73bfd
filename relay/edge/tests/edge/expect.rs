//! Visitors that wait to be told to send their body, and answers that come before it.

use std::future::poll_fn;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest, handshake};
use h2::{Reason, SendStream};
use http::{Request, StatusCode};

use super::lab::{Lab, Wire, header, within};

#[tokio::test]
async fn an_expecting_visitor_is_told_to_go_on_when_its_origin_asks() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(EXPECTING).await;
    assert_eq!(header(&origin.head().await, "expect"), Some("100-continue"));
    origin.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(visitor.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    visitor.send("abc").await;
    assert_eq!(origin.exactly(3).await, "abc");
    origin.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
    assert!(visitor.head().await.starts_with("HTTP/1.1 201 "));
}

#[tokio::test]
async fn an_expecting_visitor_is_told_to_go_on_when_its_origin_knows_no_such_question() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(EXPECTING).await;
    origin.head().await;
    assert_eq!(visitor.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    visitor.send("abc").await;
    assert_eq!(origin.exactly(3).await, "abc");
}

#[tokio::test]
async fn an_origin_that_refuses_is_heard_before_any_of_the_body_is_sent() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(EXPECTING).await;
    origin.head().await;
    origin.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
    let head = visitor.head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "nothing may come before it: {head}");
    assert_eq!(header(&head, "connection"), Some("close"));
    assert_eq!(visitor.rest().await, "big");
    origin.assert_closed().await;
}

#[tokio::test]
async fn an_expecting_visitor_without_a_route_sends_no_body() {
    let lab = Lab::new().await;
    let mut visitor = lab.visitor().await;
    visitor.send(&EXPECTING.replace("app.", "nobody.")).await;
    let answer = visitor.rest().await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn an_http_2_visitor_is_told_to_go_on_when_its_origin_asks() {
    let lab = Lab::secure().await;
    let (mut answer, mut body, mut origin) = expecting(&lab).await;
    origin.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    let interim = within("100", poll_fn(|cx| answer.poll_informational(cx))).await;
    assert_eq!(interim.unwrap().unwrap().status(), StatusCode::CONTINUE);
    body.send_data("abc".into(), true).unwrap();
    origin.until("3\r\nabc\r\n0\r\n\r\n").await;
    origin.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(within("the answer", answer).await.unwrap().status(), StatusCode::CREATED);
}

#[tokio::test]
async fn an_origin_that_refuses_is_heard_by_http_2_before_any_of_the_body_is_sent() {
    let lab = Lab::secure().await;
    let (mut answer, mut body, mut origin) = expecting(&lab).await;
    origin.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").await;
    let interim = within("no 100", poll_fn(|cx| answer.poll_informational(cx))).await;
    assert!(interim.is_none(), "{interim:?}");
    assert_eq!(within("the answer", answer).await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    let reset = within("the end of the body", poll_fn(|cx| body.poll_reset(cx))).await;
    assert_eq!(reset.unwrap(), Reason::NO_ERROR, "RFC 9113 §8.1");
    origin.assert_closed().await;
}

#[tokio::test]
async fn attack_15_an_early_answer_ends_an_upload_of_http_2_and_nothing_else() {
    let lab = Lab::secure().await;
    let mut visitor = speak(&lab).await;
    let (answer, mut body) = visitor.send_request(post(), false).unwrap();
    body.send_data("part".into(), false).unwrap();
    let mut origin = lab.accept().await;
    origin.until("part\r\n").await;
    origin.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(within("the answer", answer).await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    let reset = within("the end of the body", poll_fn(|cx| body.poll_reset(cx))).await;
    assert_eq!(reset.unwrap(), Reason::NO_ERROR);
    origin.assert_closed().await;
    let mut visitor = within("room", visitor.ready()).await.unwrap();
    let (answer, _) = visitor.send_request(get(), true).unwrap();
    let mut origin = lab.accept().await;
    assert!(origin.head().await.starts_with("GET / "));
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(within("the answer", answer).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_upload_that_is_taken_back_never_looks_complete() {
    let lab = Lab::secure().await;
    for reason in [Reason::CANCEL, Reason::NO_ERROR, Reason::INTERNAL_ERROR] {
        let mut visitor = speak(&lab).await;
        let (_answer, mut body) = visitor.send_request(post(), false).unwrap();
        body.send_data("part".into(), false).unwrap();
        let mut origin = lab.accept().await;
        origin.until("part\r\n").await;
        body.send_reset(reason);
        assert_eq!(origin.rest().await, "", "{reason:?}");
    }
}

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: app.example\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";

async fn speak(lab: &Lab) -> SendRequest<Bytes> {
    let stream = lab.secured("app.example", "h2").await.stream;
    let (visitor, connection) = handshake(stream).await.unwrap();
    tokio::spawn(connection);
    within("the connection", visitor.ready()).await.unwrap()
}

/// A request that waits for its origin's word, and the origin that has read its head.
async fn expecting(lab: &Lab) -> (ResponseFuture, SendStream<Bytes>, Wire) {
    let mut visitor = speak(lab).await;
    let mut request = post();
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    let (answer, body) = visitor.send_request(request, false).unwrap();
    let mut origin = lab.accept().await;
    assert_eq!(header(&origin.head().await, "expect"), Some("100-continue"));
    (answer, body, origin)
}

fn post() -> Request<()> {
    Request::post("https://app.example/").body(()).unwrap()
}

fn get() -> Request<()> {
    Request::get("https://app.example/").body(()).unwrap()
}
