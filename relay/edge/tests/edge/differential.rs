//! Ambiguous requests before nginx, haproxy and Node, and the same before the edge with each of them behind it (attacks 12 to 14).
//!
//! Rules: what the edge passes on, all of them read as the same requests, as many as the visitor gets answers to. What the edge refuses gets
//! one 400 and a close. The edge takes nothing that one of them refuses.

use bore_edge::EdgeSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, UnixStream};

use super::lab::{Lab, within};
use super::raw_http2::Raw;
use super::referees::{REFEREES, Record, Referee, Referees, statuses};

#[tokio::test]
async fn attack_12_everybody_reads_what_the_edge_passes_on_in_one_way() {
    let mut court = Court::new(|| Lab::with(settings())).await;
    let (mut passed, mut taken_elsewhere) = (0, 0);
    let mut differences = Vec::new();
    for case in http1_cases() {
        let shown = String::from_utf8_lossy(&case).into_owned();
        let verdict = court.try_http1(&case).await;
        differences.extend(verdict.differences(&shown));
        for referee in REFEREES {
            let taken = court.taken_by(referee, &case, verdict.taken()).await;
            if taken < verdict.taken() && !is_excused(referee, &shown) {
                differences.push(format!("{referee:?} refuses what the edge takes: {shown:?}"));
            }
            taken_elsewhere += usize::from(taken > verdict.taken());
        }
        passed += usize::from(!verdict.is_refused());
    }
    println!("attack 12: {passed} passed on, {taken_elsewhere} refused here and taken elsewhere");
    assert!(passed >= GOOD.len(), "the good ones pass: {passed}");
    assert!(differences.is_empty(), "{differences:#?}");
}

#[tokio::test]
async fn attack_13_everybody_reads_what_comes_by_http_2_in_one_way() {
    let mut court = Court::new(|| Lab::secure_with(settings())).await;
    let mut passed = 0;
    let mut differences = Vec::new();
    for (name, case) in http2_cases() {
        let verdict = court.try_http2(&case).await;
        differences.extend(verdict.differences(&name));
        assert!(!verdict.is_refused() || !name.starts_with("good"), "{name} is refused");
        passed += usize::from(!verdict.is_refused());
    }
    println!("attack 13: {passed} passed on");
    assert!(differences.is_empty(), "{differences:#?}");
}

/// One port for all of them: it is told to origins.
fn settings() -> EdgeSettings {
    EdgeSettings { public_port: Some(443), ..EdgeSettings::default() }
}

/// One edge in front of each referee.
struct Court {
    referees: Referees,
    labs: Vec<(Referee, Lab)>,
}

/// What the visitor got and what was read, with each referee behind the edge.
struct Verdict(Vec<(Referee, Vec<u16>, Vec<Record>)>);

/// Fields of a request by HTTP/2, pseudo-fields among them, and its body.
struct Http2Case {
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    body: Option<Vec<u8>>,
}

impl Court {
    async fn new(lab: impl AsyncFn() -> Lab) -> Self {
        let referees = Referees::start().await;
        let mut labs = Vec::new();
        for referee in REFEREES {
            let mut lab = lab().await;
            lead(&mut lab, referees.socket(referee)).await;
            labs.push((referee, lab));
        }
        Self { referees, labs }
    }

    async fn try_http1(&mut self, case: &[u8]) -> Verdict {
        let mut seen = Vec::new();
        for (referee, lab) in &self.labs {
            let mut stream = lab.visitor().await.stream;
            // The edge stops reading where it refuses.
            let _ = stream.write_all(case).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let _ = within("an answer", stream.read_to_end(&mut answer)).await;
            seen.push((*referee, statuses(&answer), self.referees.records().await));
        }
        Verdict(seen)
    }

    /// How many requests of `case` a referee takes. It is asked again while that is less than `wanted`: haproxy leaves requests unread when
    /// it sees the visitor's end before them.
    async fn taken_by(&mut self, referee: Referee, case: &[u8], wanted: usize) -> usize {
        let mut most = 0;
        for _ in 0..SHOWN_MAX {
            let answered = good(&self.referees.show(referee, case).await);
            // Node keeps the answer to a good request back when a bad one comes right behind it.
            most = most.max(answered).max(self.referees.records().await.len());
            if most >= wanted {
                break;
            }
        }
        most
    }

    async fn try_http2(&mut self, case: &Http2Case) -> Verdict {
        let mut seen = Vec::new();
        for (referee, lab) in &self.labs {
            let mut raw = Raw::new(lab).await;
            let fields: Vec<(&[u8], &[u8])> =
                case.fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            raw.fields(1, &fields, case.body.is_none()).await;
            if let Some(body) = &case.body {
                raw.last_data(1, body).await;
            }
            let status = if raw.is_answered(1).await { 200 } else { 400 };
            seen.push((*referee, vec![status], self.referees.records().await));
        }
        Verdict(seen)
    }
}

impl Verdict {
    fn is_refused(&self) -> bool {
        self.taken() == 0
    }

    /// How many requests the edge took, and the referees behind it.
    fn taken(&self) -> usize {
        self.0.iter().map(|(_, statuses, _)| good(statuses)).max().unwrap_or_default()
    }

    /// What breaks the rules.
    fn differences(&self, shown: &str) -> Vec<String> {
        let mut found = Vec::new();
        let Some((_, first_statuses, first)) = self.0.first() else { return found };
        for (referee, statuses, records) in &self.0 {
            if (statuses != first_statuses || records != first) && !is_excused(*referee, shown) {
                found.push(format!("{referee:?} reads {shown:?} otherwise: {statuses:?} {records:?}, and not {first_statuses:?} {first:?}"));
            }
            if records.len() != good(statuses) {
                found.push(format!("{referee:?}: {shown:?}: {statuses:?} {records:?}"));
            }
            // One answer to what is refused, and nothing behind it.
            let refusals = statuses.iter().position(|status| *status != 200);
            if refusals.is_some_and(|at| at + 1 != statuses.len()) {
                found.push(format!("{referee:?}: {shown:?}: {statuses:?}"));
            }
        }
        found
    }
}

fn good(statuses: &[u16]) -> usize {
    statuses.iter().filter(|status| **status == 200).count()
}

/// nginx decodes a target to find files, and refuses whole what it cannot decode. Others hand it to applications, some of which want it.
fn is_excused(referee: Referee, shown: &str) -> bool {
    referee == Referee::Nginx && (shown.contains("%b") || shown == "0x25 in a target")
}

/// Puts a referee where the lab's origin is.
async fn lead(lab: &mut Lab, socket: std::path::PathBuf) {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = std::mem::replace(&mut lab.origin, elsewhere);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut far = UnixStream::connect(socket).await.unwrap();
                // Either side may break off.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
}

fn http1_cases() -> Vec<Vec<u8>> {
    let good = GOOD.iter().map(|case| case.as_bytes().to_vec());
    let heads = HEADS.iter().map(|head| format!("{head}\r\n\r\n").into_bytes());
    let framings = FRAMINGS.iter().flat_map(|framing| {
        BODIES.iter().map(move |body| {
            format!("POST / HTTP/1.1\r\nHost: app.example\r\n{framing}\r\n\r\n{body}").into_bytes()
        })
    });
    let bytes = (0..=255_u8).filter(|byte| *byte != b'\n').flat_map(|byte| {
        [
            [b"GET / HTTP/1.1\r\nHost: app.example\r\nX-A: a", &[byte][..], b"b\r\n\r\n"].concat(),
            [b"GET / HTTP/1.1\r\nHost: app.example\r\nX-A", &[byte][..], b": b\r\n\r\n"].concat(),
            [b"GET /a", &[byte][..], b"b HTTP/1.1\r\nHost: app.example\r\n\r\n"].concat(),
            [b"GE", &[byte][..], b"T / HTTP/1.1\r\nHost: app.example\r\n\r\n"].concat(),
        ]
    });
    good.chain(heads).chain(framings).chain(bytes).collect()
}

fn http2_cases() -> Vec<(String, Http2Case)> {
    let mut cases = vec![
        ("good GET".to_owned(), request(&[], None)),
        ("good POST".to_owned(), request(&[(":method", b"POST")], Some(b"body"))),
        (
            "good POST with a length".to_owned(),
            request(&[(":method", b"POST"), ("content-length", b"4")], Some(b"body")),
        ),
        ("good cookies".to_owned(), request(&[("cookie", b"a=1"), ("cookie", b"b=2")], None)),
        ("GET with a body".to_owned(), request(&[], Some(b"GET /x HTTP/1.1\r\n\r\n"))),
        (
            "two lengths".to_owned(),
            request(&[("content-length", b"4"), ("content-length", b"5")], Some(b"body")),
        ),
        (
            "a length twice".to_owned(),
            request(&[("content-length", b"4"), ("content-length", b"4")], Some(b"body")),
        ),
        ("a list of lengths".to_owned(), request(&[("content-length", b"4, 4")], Some(b"body"))),
        ("a signed length".to_owned(), request(&[("content-length", b"+4")], Some(b"body"))),
        ("chunked".to_owned(), request(&[("transfer-encoding", b"chunked")], Some(b"0\r\n\r\n"))),
    ];
    for byte in 0..=255_u8 {
        cases.extend([
            (format!("{byte:#04x} in a value"), request(&[("x-a", &[b'a', byte, b'b'])], None)),
            (format!("{byte:#04x} in a target"), request(&[(":path", &[b'/', byte, b'b'])], None)),
            (format!("{byte:#04x} in a method"), request(&[(":method", &[b'G', byte])], None)),
            (format!("{byte:#04x} in a name"), named(&[b'x', byte, b'a'])),
        ]);
    }
    cases
}

/// A request with these fields beside, or in place of, the usual ones.
fn request(fields: &[(&str, &[u8])], body: Option<&[u8]>) -> Http2Case {
    let usual: [(&str, &[u8]); 4] = [
        (":method", b"GET"),
        (":scheme", b"https"),
        (":authority", b"app.example"),
        (":path", b"/"),
    ];
    let replaced = |name: &str| fields.iter().find(|(other, _)| *other == name);
    let pseudo = usual.iter().map(|field| replaced(field.0).unwrap_or(field));
    let others = fields.iter().filter(|(name, _)| !name.starts_with(':'));
    let fields =
        pseudo.chain(others).map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()));
    Http2Case { fields: fields.collect(), body: body.map(<[u8]>::to_vec) }
}

fn named(name: &[u8]) -> Http2Case {
    let mut case = request(&[], None);
    case.fields.push((name.to_vec(), b"1".to_vec()));
    case
}

const GOOD: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: app.example\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: app.example\r\n\r\n",
    "DELETE /a?b=c HTTP/1.1\r\nHost: app.example\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: app.example\r\nContent-Length: 0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n00003\r\nabc\r\n0\r\n\r\n",
    "GET /1 HTTP/1.1\r\nHost: app.example\r\n\r\nGET /2 HTTP/1.1\r\nHost: app.example\r\n\r\n",
    "POST /1 HTTP/1.1\r\nHost: app.example\r\nContent-Length: 4\r\n\r\nGET GET /2 HTTP/1.1\r\nHost: app.example\r\n\r\n",
];

/// Whole heads, without the empty line at their end.
const HEADS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: app.example\r\nHost: app.example",
    "GET / HTTP/1.1\r\nHost : app.example",
    "GET / HTTP/1.1\r\n Host: app.example",
    "GET / HTTP/1.1\r\nHost:\r\n app.example",
    "GET http://app.example/ HTTP/1.1\r\nHost: app.example",
    "GET http://second.example/ HTTP/1.1\r\nHost: app.example",
    "GET  / HTTP/1.1\r\nHost: app.example",
    "GET / HTTP/1.1 \r\nHost: app.example",
    "GET / HTTP/1.2\r\nHost: app.example",
    "GET / HTTP/2.0\r\nHost: app.example",
    "GET / HTTP/01.1\r\nHost: app.example",
    "GET / http/1.1\r\nHost: app.example",
    "GET /\r\nHost: app.example",
    "GET a HTTP/1.1\r\nHost: app.example",
    "GET /#a HTTP/1.1\r\nHost: app.example",
    "GET * HTTP/1.1\r\nHost: app.example",
    "GET //second.example/ HTTP/1.1\r\nHost: app.example",
    "GET / HTTP/1.1\r\nHost: app.example\r\nX-A: a\r\n\tb",
    "GET / HTTP/1.1\r\nHost: app.example\r\nX-A",
    "GET / HTTP/1.1\r\nHost: app.example\r\n: a",
    "GET / HTTP/1.1\r\nHost: app.example\r\nX-A:",
    "GET / HTTP/1.1\r\nHost: app.example\r\nX-A: \t a \t ",
    "GET / HTTP/1.1\nHost: app.example",
    "GET / HTTP/1.1\r\nHost: app.example\nX-A: b",
    "GET / HTTP/1.1\r\nHost: app.example\rX-A: b",
    "\r\nGET / HTTP/1.1\r\nHost: app.example",
    "\r\n\r\nGET / HTTP/1.1\r\nHost: app.example",
    "\nGET / HTTP/1.1\r\nHost: app.example",
    " GET / HTTP/1.1\r\nHost: app.example",
    "CONNECT app.example:80 HTTP/1.1\r\nHost: app.example",
    "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: Host",
    "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close, X-A\r\nX-A: 1",
    "GET / HTTP/1.1\r\nHost: app.example\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings",
    "PRI * HTTP/2.0",
];

/// What says where a body ends, in every way that has ever been read in two.
const FRAMINGS: &[&str] = &[
    "Content-Length: 6\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 6",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked;a=b",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: chunked\x0b",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding:chunked ",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\r\n chunked",
    " Transfer-Encoding: chunked",
    "Transfer-Encoding: ,chunked",
    "Transfer-Encoding: chunked,",
    "Transfer_Encoding: chunked",
    "Content-Length: 6\r\nContent-Length: 6",
    "Content-Length: 6\r\nContent-Length: 5",
    "Content-Length: 6, 6",
    "Content-Length: +6",
    "Content-Length: -6",
    "Content-Length: 0x6",
    "Content-Length: 6.0",
    "Content-Length: 06",
    "Content-Length: \t6 ",
    "Content-Length: 6 6",
    "Content-Length:",
    "Content-Length : 6",
    "Content-Length: 18446744073709551622",
    "Content-Length: 6\r\nContent_Length: 5",
    "Content-Length: 6\r\nConnection: content-length",
    "Transfer-Encoding: chunked\r\nConnection: transfer-encoding",
];

const BODIES: &[&str] = &[
    "abcdef",
    "0\r\n\r\nX",
    "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: app.example\r\n\r\n",
    "1\r\na\r\n0\r\n\r\n",
    "1;a=\"\n\"\r\na\r\n0\r\n\r\n",
    "1\na\n0\n\n",
    "0x1\r\na\r\n0\r\n\r\n",
    "+1\r\na\r\n0\r\n\r\n",
    "1 \r\na\r\n0\r\n\r\n",
    "1\r\naX0\r\n\r\n",
    "10000000000000001\r\na\r\n0\r\n\r\n",
    "0\r\nContent-Length: 9\r\nX : a\r\n\r\n",
    "0\r\n\nGET /smuggled HTTP/1.1\r\nHost: app.example\r\n\r\n",
];

/// A referee that refuses something does so every time.
const SHOWN_MAX: usize = 8;
