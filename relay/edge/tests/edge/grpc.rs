//! Origins that speak HTTP/2, as gRPC services do: trailers, streams both ways, cancellation.

use std::time::Duration;

use bore_edge::EdgeSettings;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::http2::{Pieces, channel, impatient, speak};
use super::lab::{GET, Lab, within};
use super::raw_http2::{DATA, GOAWAY, HEADERS, RST_STREAM, Raw, WINDOW_UPDATE};

#[tokio::test]
async fn grpc_reaches_its_origin_by_http_2_and_comes_back_with_trailers() {
    let mut lab = Lab::secure().await;
    let (mut calls, _origin) = serve(&mut lab).await;
    let mut visitor = speak(&lab).await;
    let (up, body) = channel();
    let asked =
        tokio::spawn(visitor.send_request(call("app.example", "application/grpc+proto", body)));
    let mut call = within("the call", calls.recv()).await.unwrap();
    assert_eq!(call.request.version(), http::Version::HTTP_2);
    assert_eq!(call.request.uri().authority().unwrap().as_str(), "app.example");
    assert_eq!(call.request.headers()["te"], "trailers");
    assert_eq!(call.request.headers()["x-forwarded-for"], "127.0.0.1");
    let (down, answer) = channel();
    assert!(call.answer.send(Response::new(answer)).is_ok());
    let mut answered = within("the answer", asked).await.unwrap().unwrap();
    for word in ["one", "two"] {
        up.send(Frame::data(word.into())).await.unwrap();
        let came = within("a message", call.request.frame()).await.unwrap().unwrap();
        assert_eq!(came.into_data().unwrap(), word);
        down.send(Frame::data(word.into())).await.unwrap();
        let back = within("an answer", answered.frame()).await.unwrap().unwrap();
        assert_eq!(back.into_data().unwrap(), word);
    }
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    down.send(Frame::trailers(trailers)).await.unwrap();
    drop((down, up));
    let last = within("trailers", answered.frame()).await.unwrap().unwrap();
    assert_eq!(last.into_trailers().unwrap()["grpc-status"], "0");
}

#[tokio::test]
async fn a_call_may_wait_with_its_first_message() {
    let mut lab = Lab::secure_with(impatient()).await;
    let (mut calls, _origin) = serve(&mut lab).await;
    let mut visitor = speak(&lab).await;
    let (up, body) = channel();
    let _asked = tokio::spawn(visitor.send_request(call("app.example", "application/grpc", body)));
    let mut call = within("the call", calls.recv()).await.unwrap();
    tokio::time::sleep(impatient().progress_window * 5).await;
    up.send(Frame::data("late".into())).await.unwrap();
    let came = within("a message", call.request.frame()).await.unwrap().unwrap();
    assert_eq!(came.into_data().unwrap(), "late");
}

#[tokio::test]
async fn many_small_messages_may_wait_for_their_origin() {
    let open_max = Duration::from_secs(1);
    let lab = Lab::secure_with(EdgeSettings { open_max, ..Default::default() }).await;
    lab.certify(1, &["app.example", "slow.example"]);
    let mut raw = Raw::new(&lab).await;
    raw.settle().await;
    raw.head_to("slow.example", 1, "/", GRPC, false).await;
    for _ in 0..MESSAGES {
        assert!(raw.frame(DATA, 0, 1, &MESSAGE).await, "the edge takes them");
    }
    let answered = async {
        loop {
            let (kind, stream, _) = raw.next().await.expect("an answer before an end");
            assert!(kind != GOAWAY && kind != RST_STREAM, "what waits is no flood: frame {kind}");
            if (kind, stream) == (HEADERS, 1) {
                return;
            }
        }
    };
    within("the answer", answered).await;
}

#[tokio::test]
async fn many_small_messages_may_wait_for_their_visitor() {
    let mut lab = Lab::secure().await;
    let (mut calls, _origin) = serve(&mut lab).await;
    let mut raw = Raw::with_window(&lab, 0).await;
    raw.head(1, "/pkg.Service/Method", GRPC, true).await;
    let call = within("the call", calls.recv()).await.unwrap();
    let (down, answer) = channel();
    assert!(call.answer.send(Response::new(answer)).is_ok());
    let sending = async {
        for _ in 0..MESSAGES {
            down.send(Frame::data(MESSAGE.to_vec().into())).await.expect("the edge takes them");
        }
    };
    within("the messages", sending).await;
    drop(down);
    let mut came = 0;
    let reading = async {
        raw.frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes()).await;
        raw.frame(WINDOW_UPDATE, 0, 1, &(1_u32 << 20).to_be_bytes()).await;
        while came < MESSAGES * MESSAGE.len() {
            let (kind, _, payload) = raw.next().await.expect("all of the answer");
            assert!(kind != RST_STREAM && kind != GOAWAY, "frame {kind} after {came} bytes");
            came += if kind == DATA { payload.len() } else { 0 };
        }
    };
    within("the answer", reading).await;
}

#[tokio::test]
async fn a_call_that_is_cancelled_is_cancelled_at_the_origin() {
    let mut lab = Lab::secure().await;
    let (mut calls, _origin) = serve(&mut lab).await;
    let mut visitor = speak(&lab).await;
    let (_up, body) = channel();
    let asked = tokio::spawn(visitor.send_request(call("app.example", "application/grpc", body)));
    let mut call = within("the call", calls.recv()).await.unwrap();
    asked.abort();
    let ended = within("the end", call.request.frame()).await;
    assert!(ended.is_none_or(|frame| frame.is_err()), "a cancelled call never looks complete");
}

#[tokio::test]
async fn what_is_not_grpc_reaches_a_plain_origin_by_http_1() {
    let lab = Lab::secure().await;
    let mut visitor: SendRequest<Full<Bytes>> = speak(&lab).await;
    for kind in ["application/grpc-web", "application/grpcx", "text/plain"] {
        let asked = tokio::spawn(visitor.send_request(call("app.example", kind, Full::default())));
        let head = lab.accept().await.head().await;
        assert!(head.starts_with("POST /pkg.Service/Method HTTP/1.1\r\n"), "{head}");
        asked.abort();
    }
}

#[tokio::test]
async fn an_h2c_origin_gets_http_2_from_every_visitor() {
    let mut lab = Lab::secure().await;
    let (mut calls, _origin) = serve(&mut lab).await;
    let mut visitor = lab.secured("h2c.example", "http/1.1").await;
    for _ in 0..2 {
        visitor.send(&GET.replace("app.example", "h2c.example")).await;
        let call = within("the call", calls.recv()).await.unwrap();
        assert_eq!(call.request.version(), http::Version::HTTP_2);
        let (down, answer) = channel();
        assert!(call.answer.send(Response::new(answer)).is_ok());
        down.send(Frame::data("ok".into())).await.unwrap();
        drop(down);
        assert!(visitor.head().await.starts_with("HTTP/1.1 200 "));
        assert!(visitor.until("0\r\n\r\n").await.contains("ok"));
    }
    assert_eq!(lab.counters.origins_opened.get(), 1, "a connection on which nothing runs is kept");
}

const GRPC: &[(&str, &[u8])] = &[("content-type", b"application/grpc"), ("te", b"trailers")];
const MESSAGES: usize = 4_000;
const MESSAGE: [u8; 30] = [0; 30];

/// A request at the origin, and the place for its answer.
struct Call {
    request: Request<Incoming>,
    answer: oneshot::Sender<Response<Pieces>>,
}

/// Serves HTTP/2 at the lab's origin.
async fn serve(lab: &mut Lab) -> (mpsc::Receiver<Call>, JoinHandle<()>) {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = std::mem::replace(&mut lab.origin, elsewhere);
    let (calls, receiver) = mpsc::channel(8);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let calls = calls.clone();
            let service = service_fn(move |request| {
                let calls = calls.clone();
                async move {
                    let (answer, answered) = oneshot::channel();
                    calls.send(Call { request, answer }).await.unwrap();
                    answered.await
                }
            });
            let builder = Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
    (receiver, serving)
}

fn call<B>(host: &str, kind: &str, body: B) -> Request<B> {
    Request::post(format!("https://{host}/pkg.Service/Method"))
        .header("content-type", kind)
        .header("te", "trailers")
        .body(body)
        .unwrap()
}
