//! What the observer is told: each request and each connection that is passed through once, with its figures, however it ends.

use std::sync::Mutex;
use std::time::Duration;

use bore_edge::{AccessRecord, EdgeSettings, End, Observer, OriginId, Outcome};
use bytes::Bytes;
use http::{StatusCode, Version};
use http_body_util::Empty;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::http2::{get, speak, text};
use super::lab::{GET, Lab, eventually, header, reset, within};

/// Keeps every record.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Vec<AccessRecord>>);

impl Observer for Recorder {
    fn observe(&self, record: &AccessRecord) {
        self.0.lock().unwrap().push(record.clone());
    }
}

impl Recorder {
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Vec<AccessRecord>) -> T) -> T {
        look(&self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn each_request_of_a_kept_connection_has_its_own_record() {
    let lab = Lab::new().await;
    let post = "POST /a?b HTTP/1.1\r\nHost: app.example\r\nContent-Length: 5\r\n\r\nhello";
    let (mut visitor, mut origin) = lab.pair(post).await;
    let from = visitor.stream.local_addr().unwrap();
    let id = header(&origin.head().await, "x-request-id").unwrap().to_owned();
    origin.exactly(5).await;
    origin
        .send("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
        .await;
    visitor.until("0\r\n\r\n").await;
    visitor.send("HEAD / HTTP/1.1\r\nHost: nobody.example\r\n\r\n").await;
    visitor.head().await;
    drop(visitor);

    let records = lab.records().await;
    let [answered, unknown] = &records[..] else { panic!("{records:?}") };
    assert_eq!(seen(answered), (Outcome::Answered, Some(StatusCode::CREATED), 5, 2, End::Complete));
    assert_eq!(seen(unknown), (Outcome::Unknown, Some(StatusCode::NOT_FOUND), 0, 0, End::Complete));
    assert_eq!((answered.visitor, answered.origin), (from, Some(APP)));
    assert_eq!((unknown.visitor, unknown.origin), (from, None));
    let request = answered.request.as_ref().unwrap();
    assert_eq!((request.version, request.method.as_str()), (Version::HTTP_11, "POST"));
    assert_eq!(request.path_and_query.as_ref().unwrap(), "/a?b");
    assert_eq!(request.id.as_ref().unwrap(), &id);
    assert_eq!(format!("{:?}", answered.host).matches("app.example").count(), 1);
}

#[tokio::test]
async fn requests_of_an_http_2_connection_end_one_by_one() {
    let lab = Lab::secure().await;
    let mut visitor = speak::<Empty<Bytes>>(&lab).await;
    let taken_back = tokio::spawn(visitor.send_request(get("/back")));
    let mut left = lab.accept().await;
    left.head().await;
    let asked = tokio::spawn(visitor.send_request(get("/stays")));
    let mut origin = lab.accept().await;
    origin.head().await;
    taken_back.abort();
    left.assert_closed().await;
    eventually("a record", || lab.counted(Outcome::Abandoned) == 1).await;
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nstay").await;
    assert_eq!(text(within("an answer", asked).await.unwrap().unwrap()).await, "stay");
    drop(visitor);

    let records = lab.records().await;
    let [back, stays] = &records[..] else { panic!("{records:?}") };
    assert_eq!(seen(back), (Outcome::Abandoned, None, 0, 0, End::VisitorClosed));
    assert_eq!(seen(stays), (Outcome::Answered, Some(StatusCode::OK), 0, 4, End::Complete));
    let request = stays.request.as_ref().unwrap();
    assert_eq!((request.version, stays.origin), (Version::HTTP_2, Some(APP)));
    assert_eq!(request.path_and_query.as_ref().unwrap(), "/stays");
}

#[tokio::test]
async fn a_request_that_is_upgraded_ends_with_its_connection() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(UPGRADE).await;
    origin.head().await;
    origin.send(SWITCHING).await;
    visitor.head().await;
    visitor.send("hello").await;
    origin.exactly(5).await;
    origin.send("welcome").await;
    visitor.exactly(7).await;
    assert_eq!(lab.recorder.with(Vec::len), 0, "it goes on");
    visitor.stream.shutdown().await.unwrap();
    origin.assert_closed().await;
    drop(origin);
    visitor.assert_closed().await;
    assert_only(lab, (Outcome::Answered, SWITCHED, 5, 7, End::Complete)).await;
}

#[tokio::test]
async fn an_upgraded_connection_tells_which_side_broke_it_off() {
    for visitor_goes in [true, false] {
        let lab = Lab::new().await;
        let (mut visitor, mut origin) = lab.pair(UPGRADE).await;
        origin.head().await;
        origin.send(SWITCHING).await;
        visitor.head().await;
        visitor.send("hello").await;
        origin.exactly(5).await;
        let (goes, mut stays) = if visitor_goes { (visitor, origin) } else { (origin, visitor) };
        reset(goes);
        stays.assert_closed().await;
        let end = if visitor_goes { End::VisitorClosed } else { End::OriginClosed };
        assert_only(lab, (Outcome::Answered, SWITCHED, 5, 0, end)).await;
    }
}

#[tokio::test]
async fn an_upgraded_connection_that_is_cut_has_its_record_too() {
    let lab = Lab::with(EdgeSettings { drain_max: Duration::ZERO, ..Default::default() }).await;
    let (mut visitor, mut origin) = lab.pair(UPGRADE).await;
    origin.head().await;
    origin.send(SWITCHING).await;
    visitor.head().await;
    origin.send("bye").await;
    visitor.exactly(3).await;
    let recorder = lab.recorder.clone();
    lab.records().await;
    visitor.assert_closed().await;
    eventually("a record", || recorder.with(Vec::len) == 1).await;
    let cut = recorder.with(|records| seen(records.first().unwrap()));
    assert_eq!(cut, (Outcome::Answered, SWITCHED, 0, 3, End::VisitorClosed));
}

#[tokio::test]
async fn a_connection_that_is_passed_through_has_a_record_without_a_request() {
    let lab = Lab::secure().await;
    let stream = TcpStream::connect(lab.edge).await.unwrap();
    let from = stream.local_addr().unwrap();
    let visiting = lab.authority.connect(stream, "through.example", &[]);
    let serving = async {
        let mut origin = lab.accept().await.stream;
        origin.write_all(b"gone").await.unwrap();
        origin.shutdown().await.unwrap();
        let mut came = Vec::new();
        origin.read_to_end(&mut came).await.unwrap();
        came.len() as u64
    };
    let both = Box::pin(async { tokio::join!(visiting, serving) });
    let (visited, came) = within("the end", both).await;
    assert!(visited.is_err() && came > 0);

    let recorder = lab.recorder.clone();
    assert_only(lab, (Outcome::Answered, None, came, 4, End::Complete)).await;
    recorder.with(|records| {
        let record = records.first().unwrap();
        assert_eq!((record.visitor, record.origin), (from, Some(OriginId(Uuid::from_u128(4)))));
        assert!(record.request.is_none() && format!("{:?}", record.host).contains("through"));
    });
}

#[tokio::test]
async fn a_connection_whose_service_is_down_is_recorded_as_such() {
    let lab = Lab::secure().await;
    let stream = TcpStream::connect(lab.edge).await.unwrap();
    let visited = lab.authority.connect(stream, "gone-through.example", &[]);
    assert!(within("an alert", visited).await.is_err());
    assert_only(lab, (Outcome::Down, None, 0, 0, End::Complete)).await;
}

#[tokio::test]
async fn a_refusal_is_recorded_with_the_page_that_told_it() {
    let lab = Lab::new().await;
    let mut visitor = lab.visitor().await;
    visitor.send(&GET.replace("app.example", "hidden.example")).await;
    let head = visitor.head().await;
    let length: u64 = header(&head, "content-length").unwrap().parse().unwrap();
    drop(visitor);
    let refused = (Outcome::Denied, Some(StatusCode::FORBIDDEN), 0, length, End::Complete);
    assert_only(lab, refused).await;
}

#[tokio::test]
async fn an_answer_that_is_not_taken_to_its_end_tells_who_left() {
    for visitor_goes in [true, false] {
        let lab = Lab::new().await;
        let (mut visitor, mut origin) = lab.pair(GET).await;
        origin.head().await;
        origin.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome bytes").await;
        visitor.until("some bytes").await;
        let (goes, mut stays) = if visitor_goes { (visitor, origin) } else { (origin, visitor) };
        reset(goes);
        stays.assert_closed().await;
        let end = if visitor_goes { End::VisitorClosed } else { End::OriginClosed };
        assert_only(lab, (Outcome::Answered, Some(StatusCode::OK), 0, 10, end)).await;
    }
}

#[tokio::test]
async fn a_visitor_that_leaves_before_the_answer_is_recorded_without_a_status() {
    let lab = Lab::new().await;
    let (visitor, mut origin) = lab.pair(GET).await;
    origin.head().await;
    reset(visitor);
    origin.assert_closed().await;
    assert_only(lab, (Outcome::Abandoned, None, 0, 0, End::VisitorClosed)).await;
}

/// What a record says, in short.
type Seen = (Outcome, Option<StatusCode>, u64, u64, End);

fn seen(record: &AccessRecord) -> Seen {
    let status = record.request.as_ref().and_then(|request| request.status);
    (record.outcome, status, record.received_bytes, record.sent_bytes, record.end)
}

/// The edge has told of one thing, and of nothing else by the time that it has ended.
async fn assert_only(lab: Lab, wanted: Seen) {
    let records = lab.records().await;
    assert_eq!(records.iter().map(seen).collect::<Vec<_>>(), [wanted]);
    assert!(records.iter().all(|record| record.duration > Duration::ZERO));
}

const APP: OriginId = OriginId(Uuid::from_u128(1));
const SWITCHED: Option<StatusCode> = Some(StatusCode::SWITCHING_PROTOCOLS);
const UPGRADE: &str =
    "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\n";
const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\n";
