//! The TLS port: who gets which certificate, and who gets nobody's (attacks 16, 20, 22, 23).

use std::sync::Arc;
use std::time::Duration;

use bore_edge::tls::TlsMinimum;
use bore_edge::{
    Deadline, DeadlineLabels, Door, DoorLabels, EdgeSettings, Handshake, HandshakeLabels,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::lab::{ADDRESS, GET, Lab, Wire, eventually, header, reset, within};

#[tokio::test]
async fn a_visitor_gets_the_certificate_of_the_name_that_it_asks_for() {
    let lab = Lab::secure().await;
    for name in ["app.example", "other.example", "a.wild.example"] {
        let visitor = lab.secured(name, "http/1.1").await;
        let shown = visitor.stream.get_ref().1.peer_certificates().unwrap().first().cloned();
        let wanted = lab.tls.certificates().for_name(name).unwrap();
        assert_eq!(shown.as_ref(), wanted.cert.first(), "{name}");
    }
    lab.assert_serves_https().await;
    assert_eq!(doors(&lab, Door::Https), 4);
}

#[tokio::test]
async fn the_origin_is_told_that_the_visitor_came_by_https() {
    let lab = Lab::secure().await;
    let mut visitor = lab.secured("app.example", "http/1.1").await;
    visitor.send(GET).await;
    let head = lab.accept().await.head().await;
    assert_eq!(header(&head, "x-forwarded-proto"), Some("https"));
    assert_eq!(header(&head, "forwarded"), Some("for=127.0.0.1;host=\"app.example\";proto=https"));
}

#[tokio::test]
async fn attack_22_no_name_and_unknown_names_get_nobodys_certificate() {
    let lab = Lab::secure().await;
    for name in ["nobody.example", "wild.example", "a.b.wild.example", "127.0.0.1"] {
        let error = refused(&lab, name).await;
        assert!(error.contains("UnrecognisedName"), "{name}: {error}");
    }
    assert_eq!(doors(&lab, Door::UnknownName), 3);
    assert_eq!(doors(&lab, Door::NoName), 1);
    lab.assert_serves_https().await;
}

#[tokio::test]
async fn an_address_with_a_certificate_of_its_own_is_served_without_a_name() {
    let lab = Lab::secure().await;
    lab.certify(4, &["127.0.0.1"]);
    let mut visitor = lab.secured("127.0.0.1", "http/1.1").await;
    visitor.send("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
    assert!(visitor.head().await.starts_with("HTTP/1.1 404 "), "nothing is published under it");
    let mut other = lab.secured("127.0.0.1", "http/1.1").await;
    other.send(&GET.replace("app.example", ADDRESS)).await;
    assert!(other.head().await.starts_with("HTTP/1.1 421 "), "the certificate is not for it");
    assert!(refused(&lab, "192.0.2.1").await.is_empty(), "it is the dialled address that counts");
}

#[tokio::test]
async fn behind_a_nat_the_relay_s_own_address_is_meant() {
    let address = Some(ADDRESS.parse().unwrap());
    let lab = Lab::secure_with(EdgeSettings { address, ..Default::default() }).await;
    lab.certify(4, &[ADDRESS]);
    let mut visitor = lab.secured(ADDRESS, "http/1.1").await;
    visitor.send(&GET.replace("app.example", ADDRESS)).await;
    let head = lab.accept().await.head().await;
    assert_eq!(header(&head, "host"), Some(ADDRESS));
    assert_eq!(header(&head, "x-forwarded-host"), Some(ADDRESS));
    let mut probe = lab.secured(ADDRESS, "http/1.1").await;
    let ask = format!("GET /.well-known/bore/expected HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n");
    probe.send(&ask).await;
    assert!(probe.head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn attack_22_tls_1_2_is_for_those_who_ask_for_it_and_older_ones_for_nobody() {
    let strict = Lab::secure().await;
    let connect = async |lab: &Lab, version| {
        let stream = TcpStream::connect(lab.edge).await.unwrap();
        lab.authority.connect_speaking(stream, "app.example", &[version]).await
    };
    assert!(connect(&strict, &TLS12).await.is_err());
    assert!(connect(&strict, &TLS13).await.is_ok());

    let lenient = Lab::secure_speaking(EdgeSettings::default(), TlsMinimum::Tls12).await;
    assert!(connect(&lenient, &TLS12).await.is_ok());
    for lab in [&strict, &lenient] {
        let mut visitor = lab.visitor().await;
        visitor.stream.write_all(TLS_1_0_HELLO).await.unwrap();
        let mut answer = Vec::new();
        within("an alert", visitor.stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer.first(), Some(&0x15), "an alert and no certificate: {answer:?}");
    }
}

#[tokio::test]
async fn attack_22_a_publication_decides_by_its_name_how_old_tls_may_be() {
    let strict = Lab::secure().await;
    let lenient = Lab::secure_speaking(EdgeSettings::default(), TlsMinimum::Tls12).await;
    for (lab, name, is_served) in [
        (&strict, "old.example", true),
        (&strict, "app.example", false),
        (&strict, "new.example", false),
        (&lenient, "old.example", true),
        (&lenient, "app.example", true),
        (&lenient, "new.example", false),
    ] {
        let stream = TcpStream::connect(lab.edge).await.unwrap();
        let shaken = lab.authority.connect_speaking(stream, name, &[&TLS12]).await;
        assert_eq!(shaken.is_ok(), is_served, "{name}: {shaken:?}");
        lab.secured(name, "http/1.1").await;
    }
}

#[tokio::test]
async fn attack_16_old_tls_that_one_publication_permits_is_no_way_to_another() {
    let lab = Lab::secure().await;
    let stream = TcpStream::connect(lab.edge).await.unwrap();
    let shaken = lab.authority.connect_speaking(stream, "old.example", &[&TLS12]).await;
    let mut visitor = Wire::new(shaken.unwrap());
    for host in ["app.example", "new.example"] {
        visitor.send(&GET.replace("app.example", host)).await;
        let head = visitor.head().await;
        assert!(head.starts_with("HTTP/1.1 421 "), "{host}: {head}");
        let length = header(&head, "content-length").unwrap().parse().unwrap();
        visitor.exactly(length).await;
    }
    visitor.send(&GET.replace("app.example", "old.example")).await;
    assert!(lab.accept().await.head().await.starts_with("GET / "));
    assert_eq!(lab.counters.origins_opened.get(), 1, "nobody else's origin was asked");
}

#[tokio::test]
async fn attack_22_a_hello_in_pieces_is_read_and_one_without_end_is_not() {
    let lab = Lab::secure().await;
    let (mut relayed, near) = tokio::io::duplex(64 * 1024);
    let mut far = TcpStream::connect(lab.edge).await.unwrap();
    far.set_nodelay(true).unwrap();
    let edge = async {
        // Byte for byte towards the edge.
        let mut buffer = [0; 16 * 1024];
        loop {
            tokio::select! {
                read = relayed.read(&mut buffer[..1]) => {
                    let Ok(1) = read else { return };
                    far.write_all(&buffer[..1]).await.unwrap();
                }
                ready = far.readable() => {
                    ready.unwrap();
                    let Ok(bytes) = far.try_read(&mut buffer) else { continue };
                    if bytes == 0 || relayed.write_all(&buffer[..bytes]).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    let shaking = lab.authority.connect(near, "app.example", &["http/1.1"]);
    let shaken = async {
        tokio::select! { shaken = shaking => shaken.unwrap(), () = edge => panic!("closed") }
    };
    within("a handshake", Box::pin(shaken)).await;

    let mut visitor = lab.visitor().await;
    let mut endless = vec![0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff];
    endless.extend([0x16, 3, 1, 0, 1, 0].repeat(64 * 1024));
    let _ = visitor.stream.write_all(&endless).await;
    within("the end", async { while visitor.stream.read_u8().await.is_ok() {} }).await;
    eventually("the count", || doors(&lab, Door::Malformed) == 1).await;
    lab.assert_serves_https().await;
}

#[tokio::test]
async fn plain_http_at_the_tls_port_is_no_tls() {
    let lab = Lab::secure().await;
    let mut visitor = lab.visitor().await;
    visitor.send(GET).await;
    within("the end", async { while visitor.stream.read_u8().await.is_ok() {} }).await;
    eventually("the count", || doors(&lab, Door::Malformed) == 1).await;
}

#[tokio::test]
async fn attack_20_a_visitor_that_does_not_shake_hands_is_dropped_on_its_deadline() {
    let settings = EdgeSettings { head_max: Duration::from_secs(2), ..Default::default() };
    let lab = Lab::secure_with(settings).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(lab.visitor().await);
    }
    let mut half = lab.visitor().await;
    half.stream.write_all(&TLS_1_0_HELLO[..20]).await.unwrap();
    let mut shaken = lab.secured("app.example", "http/1.1").await;
    for visitor in &mut silent {
        visitor.assert_closed().await;
    }
    half.assert_closed().await;
    shaken.assert_closed().await;
    let head = DeadlineLabels { deadline: Deadline::Head };
    eventually("52 of them", || lab.counters.expired.get_or_create(&head).get() == 52).await;
}

#[tokio::test]
async fn attack_16_a_host_that_the_certificate_does_not_name_is_misdirected() {
    let lab = Lab::secure().await;
    for host in ["other.example", "a.wild.example", "nobody.example", "app.example.evil"] {
        let mut visitor = lab.secured("app.example", "http/1.1").await;
        visitor.send(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let head = visitor.head().await;
        assert!(head.starts_with("HTTP/1.1 421 "), "{host}: {head}");
        assert_eq!(header(&head, "bore-error"), Some("misdirected"));
    }
    assert_eq!(lab.counters.origins_opened.get(), 0);

    let mut visitor = lab.secured("app.example", "http/1.1").await;
    visitor.send("GET / HTTP/1.1\r\nHost: second.example\r\n\r\n").await;
    let head = lab.accept().await.head().await;
    assert_eq!(header(&head, "host"), Some("second.example"), "named by the same certificate");
}

#[tokio::test]
async fn a_connection_that_is_passed_through_ends_at_the_origin() {
    let lab = Lab::secure().await;
    let certificate = lab.authority.issue(&["through.example"]);
    let stream = TcpStream::connect(lab.edge).await.unwrap();
    let visiting = async {
        let shaken = lab.authority.connect(stream, "through.example", &["imap"]).await.unwrap();
        let mut visitor = Wire::new(shaken);
        visitor.send("hello").await;
        assert_eq!(visitor.exactly(5).await, "HELLO");
        visitor.stream.shutdown().await.unwrap();
        visitor.assert_closed().await;
    };
    let serving = async {
        let wire = lab.accept().await;
        let mut config = server(certificate);
        config.alpn_protocols = vec![b"imap".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut origin = Wire::new(acceptor.accept(wire.stream).await.unwrap());
        assert_eq!(origin.exactly(5).await, "hello");
        origin.send("HELLO").await;
        assert_eq!(origin.rest().await, "");
        origin.stream.shutdown().await.unwrap();
    };
    within("the exchange", Box::pin(async { tokio::join!(visiting, serving) })).await;
    assert_eq!(doors(&lab, Door::Passthrough), 1);
    assert_eq!(handshakes(&lab, Handshake::Full), 0);
}

#[tokio::test]
async fn a_reset_of_either_side_passes_through_behind_the_last_words() {
    let lab = Lab::secure().await;
    for visitor_goes in [true, false] {
        let certificate = lab.authority.issue(&["through.example"]);
        let stream = TcpStream::connect(lab.edge).await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server(certificate)));
        let (visitor, origin) = within(
            "a handshake",
            Box::pin(async {
                let visiting = lab.authority.connect(stream, "through.example", &[]);
                let serving = async { acceptor.accept(lab.accept().await.stream).await };
                tokio::join!(visiting, serving)
            }),
        )
        .await;
        let (mut visitor, mut origin) = (Wire::new(visitor.unwrap()), Wire::new(origin.unwrap()));
        visitor.send("ask").await;
        assert_eq!(origin.exactly(3).await, "ask");
        origin.send("answer").await;
        assert_eq!(visitor.exactly(6).await, "answer");
        let error = if visitor_goes {
            reset(Wire::new(visitor.stream.into_inner().0));
            origin.stream.read_u8().await.unwrap_err()
        } else {
            reset(Wire::new(origin.stream.into_inner().0));
            visitor.stream.read_u8().await.unwrap_err()
        };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{visitor_goes}");
    }
}

#[tokio::test]
async fn an_expected_visit_to_a_name_that_is_passed_through_troubles_nobody() {
    let lab = Lab::secure().await;
    for name in ["through.example", "hidden-through.example"] {
        assert_eq!(said_to(&lab, name, &["bore-visit/expected"]).await, b"expected", "{name}");
    }
    assert_eq!(doors(&lab, Door::Visit), 2);
    assert_eq!(lab.counters.origins_opened.get(), 0);

    let alert = said_to(&lab, "through.example", &["bore-visit/broken"]).await;
    assert_eq!(alert.first(), Some(&ALERT), "the agent did not answer: {alert:?}");
    assert_eq!(lab.counters.origins_opened.get(), 0);
}

#[tokio::test]
async fn a_visit_that_nobody_expects_is_a_visitor_like_any_other() {
    let lab = Lab::secure().await;
    for protocols in [["bore-visit/other"].as_slice(), &["bore-visit/expected", "h2"]] {
        let asking = said_to(&lab, "through.example", protocols);
        let serving = async {
            let mut origin = lab.accept().await;
            assert_eq!(origin.stream.read_u8().await.unwrap(), HANDSHAKE, "its own ClientHello");
            origin.send("gone").await;
            origin.stream.shutdown().await.unwrap();
            origin
        };
        let (said, _origin) =
            within("the origin", Box::pin(async { tokio::join!(asking, serving) })).await;
        assert_eq!(said, b"gone", "{protocols:?}");
    }
    assert_eq!(doors(&lab, Door::Visit), 0);
    let alert = said_to(&lab, "hidden-through.example", &["bore-visit/other"]).await;
    assert_eq!(alert.first(), Some(&ALERT));
    assert_eq!(doors(&lab, Door::Denied), 1);
    let before = lab.counters.origins_opened.get();
    let https = said_to(&lab, "app.example", &["bore-visit/expected"]).await;
    let has_token = https.windows(8).any(|bytes| bytes == b"expected");
    assert!(!has_token, "TLS ends here, and speaks no such protocol: {https:?}");
    assert_eq!(lab.counters.origins_opened.get(), before);
}

#[tokio::test]
async fn nothing_is_passed_through_before_the_decision() {
    let lab = Lab::secure().await;
    let error = refused(&lab, "hidden-through.example").await;
    assert!(error.contains("AccessDenied"), "{error}");
    assert_eq!(doors(&lab, Door::Denied), 1);
    assert_eq!(lab.counters.origins_opened.get(), 0);
}

#[tokio::test]
async fn attack_23_acme_tls_gets_the_certificate_of_a_standing_order_and_is_never_forwarded() {
    let lab = Lab::secure().await;
    let certificate = lab.authority.issue(&["app.example"]);
    let connect = async |name: &str, protocols: &[&str]| {
        let stream = TcpStream::connect(lab.edge).await.unwrap();
        lab.authority.connect(stream, name, protocols).await
    };
    let standing = lab.tls.challenges().answer_tls_alpn01("app.example", Arc::clone(&certificate));
    let mut shaken = connect("app.example", &["acme-tls/1"]).await.unwrap();
    assert_eq!(shaken.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    assert_eq!(shaken.get_ref().1.peer_certificates().unwrap().first(), certificate.cert.first());
    assert_eq!(shaken.read(&mut [0; 1]).await.unwrap(), 0, "it is good for nothing else");
    assert_eq!(doors(&lab, Door::Challenge), 1);

    for name in ["through.example", "other.example", "nobody.example"] {
        assert!(connect(name, &["acme-tls/1"]).await.is_err(), "{name}");
    }
    drop(standing);
    assert!(connect("app.example", &["acme-tls/1"]).await.is_err());
    assert_eq!(lab.counters.origins_opened.get(), 0);
}

#[tokio::test]
async fn the_place_of_the_carrier_is_kept_and_its_visitors_are_counted() {
    let lab = Lab::secure().await;
    for name in ["app.example", "through.example", "127.0.0.1"] {
        let stream = TcpStream::connect(lab.edge).await.unwrap();
        assert!(lab.authority.connect(stream, name, &["bore/1"]).await.is_err());
    }
    assert_eq!(doors(&lab, Door::Carrier), 3);
    assert_eq!(lab.counters.origins_opened.get(), 0);
}

#[tokio::test]
async fn a_second_visit_resumes_the_session_of_the_first() {
    let lab = Lab::secure().await;
    for _ in 0..2 {
        lab.assert_serves_https().await;
    }
    assert_eq!(handshakes(&lab, Handshake::Full), 1);
    assert_eq!(handshakes(&lab, Handshake::Resumed), 1);
}

#[tokio::test]
async fn a_new_certificate_answers_from_the_next_handshake_on() {
    let lab = Lab::secure().await;
    let mut before = lab.secured("app.example", "http/1.1").await;
    lab.certify(1, &["third.example"]);
    assert!(refused(&lab, "app.example").await.contains("UnrecognisedName"));
    lab.secured("third.example", "http/1.1").await;
    before.send(GET).await;
    lab.accept().await.head().await;
}

#[tokio::test]
async fn a_visitor_that_ends_tls_and_waits_gets_its_whole_answer() {
    let lab = Lab::secure().await;
    let mut visitor = lab.secured("app.example", "http/1.1").await;
    visitor.send(GET).await;
    let mut origin = lab.accept().await;
    origin.head().await;
    visitor.stream.shutdown().await.unwrap();
    origin.send("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n").await;
    let sending = async { origin.stream.write_all(&vec![b'x'; 300_000]).await.unwrap() };
    let reading = async {
        visitor.head().await;
        visitor.exactly(300_000).await;
    };
    within("the answer", async { tokio::join!(sending, reading) }).await;
}

impl Lab {
    pub(crate) async fn assert_serves_https(&self) {
        let mut visitor = self.secured("app.example", "http/1.1").await;
        visitor.send(GET).await;
        let mut origin = self.accept().await;
        origin.head().await;
        origin.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert!(visitor.head().await.starts_with("HTTP/1.1 200 OK"));
        assert_eq!(visitor.exactly(2).await, "ok");
    }
}

/// Why a visitor got no session; empty when rustls has nothing to say.
async fn refused(lab: &Lab, name: &str) -> String {
    let stream = TcpStream::connect(lab.edge).await.unwrap();
    let shaken = within("an end", lab.authority.connect(stream, name, &["http/1.1"])).await;
    let error = shaken.err().unwrap();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::AlertReceived(alert)) => format!("{alert:?}"),
        Some(rustls::Error::InvalidCertificate(_)) => String::new(),
        other => panic!("{name}: {other:?} {error}"),
    }
}

fn server(certificate: Arc<rustls::sign::CertifiedKey>) -> rustls::ServerConfig {
    let provider = Arc::new(default_provider());
    let resolver = rustls::sign::SingleCertAndKey::from((*certificate).clone());
    rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver))
}

fn doors(lab: &Lab, door: Door) -> u64 {
    lab.counters.doors.get_or_create(&DoorLabels { door }).get()
}

fn handshakes(lab: &Lab, handshake: Handshake) -> u64 {
    lab.counters.handshakes.get_or_create(&HandshakeLabels { handshake }).get()
}

/// A ClientHello of TLS 1.0 for `app.example` with one cipher suite.
const TLS_1_0_HELLO: &[u8] = &[
    0x16, 3, 1, 0, 65, 1, 0, 0, 61, 3, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 0, 0, 2, 0, 0x2f, 1, 0, 0, 18,
    0, 0, 0, 14, 0, 12, 0, 0, 9, b'a', b'.', b'e', b'x', b'a', b'm', b'p', b'l', b'e',
];

/// What comes back for a ClientHello of rustls that offers these protocols, in the clear, up to the end of the connection.
async fn said_to(lab: &Lab, name: &str, protocols: &[&str]) -> Vec<u8> {
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();

    let mut stream = TcpStream::connect(lab.edge).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    let mut said = Vec::new();
    within("an answer", stream.read_to_end(&mut said)).await.unwrap();
    said
}

/// Types of records (RFC 8446 §5.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
