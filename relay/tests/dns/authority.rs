//! Every kind of question to the authoritative server, by datagram and connection.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bore_relay::dns::counters::{DnsCounters, Truncation, TruncationLabels};
use bore_relay::dns::limits::{
    AMPLIFIED_BYTES_PER_SECOND, TCP_CONNECTIONS_PER_SOURCE_MAX, TCP_REQUESTS_MAX,
};
use bore_relay::dns::server::{Sockets, serve};
use bore_relay::dns::zone::{Issuer, Standing, Zone};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::dig::dig;

/// A server for `t.example.org` in which `app` is published.
pub(crate) struct Authority {
    pub(crate) at: SocketAddr,
    pub(crate) zone: Arc<Zone>,
    pub(crate) counters: DnsCounters,
    pub(crate) closing: watch::Sender<bool>,
    pub(crate) serving: JoinHandle<()>,
}

impl Authority {
    pub(crate) async fn start() -> Self {
        let standing = |name: &str| match name {
            "app.t.example.org" => Standing::Published,
            _ => Standing::Absent,
        };
        let zone = Zone::new("t.example.org", "relay.example.org", 7, Box::new(standing)).unwrap();
        let addresses = ["203.0.113.1", "2001:db8::1"].map(|address| address.parse().unwrap());
        zone.set_addresses(addresses.to_vec());
        Self::start_with(zone).await
    }

    pub(crate) async fn start_with(zone: Zone) -> Self {
        let sockets = Sockets::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let (at, zone, counters) =
            (sockets.local_addr().unwrap(), Arc::new(zone), DnsCounters::default());
        let (closing, closed) = watch::channel(false);
        let serving = tokio::spawn(serve(sockets, Arc::clone(&zone), counters.clone(), closed));
        Self { at, zone, counters, closing, serving }
    }

    fn truncated(&self, cause: Truncation) -> u64 {
        self.counters.truncated.get_or_create(&TruncationLabels { cause }).get()
    }
}

#[tokio::test]
async fn every_type_of_the_apex_is_answered_with_authority() {
    let authority = Authority::start().await;
    for (kind, data) in [
        ("A", "60 IN A 203.0.113.1"),
        ("AAAA", "60 IN AAAA 2001:db8::1"),
        ("NS", "3600 IN NS relay.example.org."),
        ("SOA", "3600 IN SOA relay.example.org. hostmaster.t.example.org. 7 3600 600 604800 5"),
    ] {
        for transport in ["+notcp", "+tcp"] {
            let dug = dig(authority.at, &format!("t.example.org {kind} {transport}")).await;
            assert_eq!((dug.status(), dug.flags()), ("NOERROR", "qr aa"), "{}", dug.text);
            assert_eq!(dug.answers(), [format!("t.example.org. {data}")]);
        }
    }
}

#[tokio::test]
async fn who_may_issue_is_said_for_names_and_for_wildcards() {
    let authority = Authority::start().await;
    let dug = dig(authority.at, "t.example.org CAA").await;
    assert_eq!((dug.status(), dug.answers().len()), ("NOERROR", 0), "nobody is named yet");
    authority.zone.set_issuers(vec![Issuer {
        authority: "ca.example".to_owned(),
        account_uri: Some("https://ca.example/acct/1".to_owned()),
    }]);
    let dug = dig(authority.at, "t.example.org CAA").await;
    let said = |tag: &str| {
        format!(
            "t.example.org. 60 IN CAA 0 {tag} \"ca.example; accounturi=https://ca.example/acct/1\""
        )
    };
    assert_eq!(dug.answers(), [said("issue"), said("issuewild")]);
}

#[tokio::test]
async fn a_published_name_resolves_in_whatever_case_it_is_asked() {
    let authority = Authority::start().await;
    let dug = dig(authority.at, "aPP.T.eXample.ORG A").await;
    assert_eq!(dug.answers(), ["aPP.T.eXample.ORG. 60 IN A 203.0.113.1"]);
    assert_eq!(dug.section("QUESTION"), [";aPP.T.eXample.ORG. IN A"]);
}

#[tokio::test]
async fn negative_answers_say_how_long_they_hold_and_foreign_names_are_refused() {
    let authority = Authority::start().await;
    let soa =
        "t.example.org. 5 IN SOA relay.example.org. hostmaster.t.example.org. 7 3600 600 604800 5";
    for (question, status) in [
        ("app.t.example.org MX", "NOERROR"),
        ("app.t.example.org TXT", "NOERROR"),
        ("t.example.org DS", "NOERROR"),
        ("other.t.example.org A", "NXDOMAIN"),
        ("_acme-challenge.t.example.org TXT", "NXDOMAIN"),
    ] {
        let dug = dig(authority.at, question).await;
        assert_eq!((dug.status(), dug.flags()), (status, "qr aa"), "{question}");
        assert_eq!((dug.answers().len(), dug.section("AUTHORITY")), (0, vec![soa.to_owned()]));
    }
    for question in ["example.org A", "version.bind CH TXT", ". NS", "t.example.org AXFR +tcp"] {
        let dug = dig(authority.at, question).await;
        assert!(dug.answers().is_empty(), "{}", dug.text);
        let refused = dug.text.contains("REFUSED") || dug.text.contains("Transfer failed");
        assert!(refused, "{question}: {}", dug.text);
    }
}

#[tokio::test]
async fn several_proofs_are_seen_and_gone_when_they_are_withdrawn() {
    let (authority, name) = (Authority::start().await, "_acme-challenge.t.example.org");
    authority.zone.publish_txt(name, "apex").unwrap();
    authority.zone.publish_txt(name, "wildcard").unwrap();
    let dug = dig(authority.at, &format!("{name} TXT")).await;
    let line = |value: &str| format!("{name}. 5 IN TXT \"{value}\"");
    assert_eq!(dug.answers(), [line("apex"), line("wildcard")]);
    authority.zone.withdraw_txt(name, "apex").unwrap();
    assert_eq!(dig(authority.at, &format!("{name} TXT")).await.answers(), [line("wildcard")]);
    authority.zone.withdraw_txt(name, "wildcard").unwrap();
    assert_eq!(dig(authority.at, &format!("{name} TXT")).await.status(), "NXDOMAIN");
}

#[tokio::test]
async fn what_does_not_fit_is_cut_and_comes_whole_by_tcp() {
    let (authority, name) = (Authority::start().await, "_acme-challenge.t.example.org");
    for number in 0..12 {
        authority.zone.publish_txt(name, &format!("{number:0>120}")).unwrap();
    }
    for (edns, most) in [("+noedns", 512), ("+bufsize=1232", 1232), ("+bufsize=65535", 1232)] {
        let dug = dig(authority.at, &format!("{name} TXT +ignore {edns}")).await;
        assert_eq!(dug.flags(), "qr aa tc", "{}", dug.text);
        assert!(dug.answers().is_empty() && dug.size() <= most);
    }
    assert_eq!(authority.truncated(Truncation::Size), 3);
    let dug = dig(authority.at, &format!("{name} TXT")).await;
    assert_eq!(dug.answers().len(), 12, "dig comes again by TCP: {}", dug.text);
}

#[tokio::test]
async fn edns_is_spoken_where_it_is_asked_for_and_its_version_is_told() {
    let authority = Authority::start().await;
    let dug = dig(authority.at, "t.example.org A +edns=0").await;
    assert!(dug.text.contains("EDNS: version: 0, flags:; udp: 1232"), "{}", dug.text);
    let dug = dig(authority.at, "t.example.org A +noedns").await;
    assert!(!dug.text.contains("EDNS:"), "{}", dug.text);
    let dug = dig(authority.at, "t.example.org A +edns=1 +noednsnegotiation").await;
    assert_eq!(dug.status(), "BADVERS", "{}", dug.text);
    let dug = dig(authority.at, "t.example.org A +ednsopt=65001:c0ffee +dnssec").await;
    assert_eq!(dug.status(), "NOERROR", "unknown options are ignored");
}

#[tokio::test]
async fn any_and_other_operations_get_little() {
    let authority = Authority::start().await;
    let dug = dig(authority.at, "t.example.org ANY +notcp").await;
    assert_eq!(dug.answers(), ["t.example.org. 3600 IN HINFO \"RFC8482\" \"\""]);
    for opcode in ["status", "notify", "update"] {
        let dug = dig(authority.at, &format!("t.example.org A +opcode={opcode}")).await;
        assert_eq!(dug.status(), "NOTIMP", "{}", dug.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_neither_stops_the_server_nor_gets_more_than_it_sent() {
    let authority = Authority::start().await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(authority.at).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    for seed in 0..2_000_u32 {
        let junk = junk(seed);
        socket.send(&junk).unwrap();
        let mut buffer = [0; 2048];
        if let Ok(count) = socket.recv(&mut buffer) {
            assert!(count <= 300, "an answer of {count} bytes");
        }
    }
    let mut stream = TcpStream::connect(authority.at).unwrap();
    stream.write_all(&[0xff; 64]).unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "a request of 65,535 bytes is cut");
    let dug = dig(authority.at, "app.t.example.org A").await;
    assert_eq!(dug.status(), "NOERROR", "it still answers");
}

/// A source that may be forged is sent what it sent, and a named budget on top; TCP still serves it.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_not_amplified_beyond_the_budget() {
    let (authority, name) = (Authority::start().await, "_acme-challenge.t.example.org");
    for number in 0..7 {
        authority.zone.publish_txt(name, &format!("{number:0>120}")).unwrap();
    }
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(authority.at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (question, started) = (question(name), Instant::now());
    let (mut sent, mut received, mut buffer) = (0, 0, [0; 2048]);
    for _ in 0..2_000 {
        sent += socket.send(&question).unwrap();
        received += socket.recv(&mut buffer).unwrap();
    }
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap() + 2;
    let most = sent + seconds * usize::try_from(AMPLIFIED_BYTES_PER_SECOND).unwrap();
    assert!(received <= most, "sent {sent}, received {received}, allowed {most}");
    assert!(authority.truncated(Truncation::Budget) > 0);
    let dug = dig(authority.at, &format!("{name} TXT")).await;
    assert_eq!(dug.answers().len(), 7, "dig comes again by TCP");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_in_number_and_in_requests() {
    let authority = Authority::start().await;
    let held: Vec<_> = (0..TCP_CONNECTIONS_PER_SOURCE_MAX)
        .map(|_| {
            let mut stream = TcpStream::connect(authority.at).unwrap();
            assert_ne!(ask(&mut stream), 0);
            stream
        })
        .collect();
    let mut refused = TcpStream::connect(authority.at).unwrap();
    assert_eq!(refused.read(&mut [0; 2]).unwrap_or(0), 0);
    assert_eq!(authority.counters.connections_refused.get(), 1);
    drop(held);
    let mut busy = loop {
        let mut stream = TcpStream::connect(authority.at).unwrap();
        if ask(&mut stream) != 0 {
            break stream;
        }
    };
    let answered = (1..).find(|_| ask(&mut busy) == 0).unwrap();
    assert_eq!(answered, TCP_REQUESTS_MAX);
}

#[tokio::test]
async fn it_ends_with_the_relay() {
    let authority = Authority::start().await;
    authority.closing.send(true).unwrap();
    authority.serving.await.unwrap();
    UdpSocket::bind(authority.at).unwrap();
}

/// Asks for A; the size of the answer, 0 where there is none.
fn ask(stream: &mut TcpStream) -> usize {
    let question = question("app.t.example.org");
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    if stream.write_all(&[&length, question.as_slice()].concat()).is_err() {
        return 0;
    }
    let mut length = [0; 2];
    if stream.read_exact(&mut length).is_err() {
        return 0;
    }
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    answer.len()
}

fn question(name: &str) -> Vec<u8> {
    let mut message = Message::query();
    let kind = if name.starts_with('_') { RecordType::TXT } else { RecordType::A };
    message.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), kind));
    let mut edns = hickory_proto::op::Edns::new();
    edns.set_max_payload(4096);
    message.set_edns(edns);
    message.to_vec().unwrap()
}

/// The same bytes every time.
fn junk(seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed) << 20 | 0x9e37_79b9;
    let next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u8::try_from(state >> 56).unwrap()
    };
    std::iter::repeat_with(next).take(usize::try_from(seed % 300).unwrap()).collect()
}
