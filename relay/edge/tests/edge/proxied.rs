//! Visitors whom a load balancer brings (attack 17).

use bore_edge::{EdgeSettings, Limit, LimitLabels, Scheme};
use tokio::io::AsyncWriteExt;

use super::lab::{GET, Lab, Wire, eventually, header};

#[tokio::test]
async fn the_origin_is_told_the_visitor_that_a_trusted_balancer_names() {
    let lab = Lab::with(trusting()).await;
    for head in [TEXT.to_vec(), binary()] {
        let mut visitor = lab.visitor().await;
        visitor.stream.write_all(&[&head[..], GET.as_bytes()].concat()).await.unwrap();
        let mut origin = lab.accept().await;
        assert_eq!(header(&origin.head().await, "x-forwarded-for"), Some("192.0.2.7"));
        origin.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        assert!(visitor.head().await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test]
async fn the_header_stands_in_front_of_tls_as_well() {
    let lab = Lab::secure_with(EdgeSettings { scheme: Scheme::Https, ..trusting() }).await;
    let mut visitor = lab.visitor().await;
    visitor.stream.write_all(TEXT).await.unwrap();
    let shaken = lab.authority.connect(visitor.stream, "app.example", &["http/1.1"]).await;
    let mut visitor = Wire::new(shaken.unwrap());
    visitor.send(GET).await;
    let head = lab.accept().await.head().await;
    assert_eq!(header(&head, "x-forwarded-for"), Some("192.0.2.7"));
}

#[tokio::test]
async fn a_trusted_balancer_must_say_who_it_brings() {
    let lab = Lab::with(trusting()).await;
    let mut visitor = lab.visitor().await;
    visitor.send(GET).await;
    visitor.assert_closed().await;
    assert_eq!(lab.counters.unproxied.get(), 1);
    assert_eq!(lab.counters.origins_opened.get(), 0);
}

#[tokio::test]
async fn attack_17_a_header_from_anybody_else_is_a_malformed_request() {
    let lab = Lab::new().await;
    for head in [TEXT.to_vec(), binary()] {
        let mut visitor = lab.visitor().await;
        visitor.stream.write_all(&[&head[..], GET.as_bytes()].concat()).await.unwrap();
        assert!(visitor.rest().await.starts_with("HTTP/1.1 400 "));
    }
    assert_eq!(lab.counters.origins_opened.get(), 0);
}

#[tokio::test]
async fn each_visitor_of_a_balancer_has_places_of_its_own() {
    let lab = Lab::with(EdgeSettings { connections_per_source_max: 1, ..trusting() }).await;
    let mut first = lab.visitor().await;
    first.stream.write_all(&[TEXT, GET.as_bytes()].concat()).await.unwrap();
    let _origin = lab.accept().await;
    let mut second = lab.visitor().await;
    second.stream.write_all(&[TEXT, GET.as_bytes()].concat()).await.unwrap();
    second.assert_closed().await;
    let limit = LimitLabels { limit: Limit::Source };
    eventually("the limit", || lab.counters.limited.get_or_create(&limit).get() == 1).await;

    let other = String::from_utf8_lossy(TEXT).replace("192.0.2.7", "192.0.2.8");
    let mut third = lab.visitor().await;
    third.send(&format!("{other}{GET}")).await;
    assert_eq!(header(&lab.accept().await.head().await, "x-real-ip"), Some("192.0.2.8"));
}

const TEXT: &[u8] = b"PROXY TCP4 192.0.2.7 127.0.0.1 56324 80\r\n";

fn binary() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x21, 0x11, 0, 12, 192, 0, 2, 7, 127, 0, 0, 1, 0xdc, 0x04, 0, 80]);
    header
}

fn trusting() -> EdgeSettings {
    EdgeSettings { proxies: vec!["127.0.0.0/8".parse().unwrap()], ..Default::default() }
}
