//! Connections that leave HTTP.

use std::time::Duration;

use bore_relay::edge::EdgeSettings;
use bore_relay::edge::limits::HELD_BYTES_MAX;
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use super::lab::{Lab, eventually, header, within};

#[tokio::test]
async fn a_websocket_echoes_through_the_edge() {
    let lab = Lab::new().await;
    let visitor = lab.visitor().await;
    let connecting = tokio_tungstenite::client_async("ws://app.example/chat", visitor.stream);
    let serving = async {
        let origin = lab.accept().await;
        let mut socket = tokio_tungstenite::accept_async(origin.stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    };
    let visiting = async {
        let (mut socket, _) = connecting.await.unwrap();
        for message in [Message::text("hello"), Message::binary(vec![7; 300_000])] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), message);
        }
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
    };
    within("the echo", Box::pin(async { tokio::join!(serving, visiting) })).await;
    assert_eq!(lab.counters.upgraded.get(), 1);
    assert!(lab.counters.received.get() > 300_000 && lab.counters.sent.get() > 300_000);
}

#[tokio::test]
async fn attack_14_bytes_sent_before_the_101_arrive_behind_it() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(&format!("{UPGRADE}early")).await;
    let head = origin.head().await;
    assert_eq!(header(&head, "connection"), Some("upgrade"));
    assert_eq!(header(&head, "upgrade"), Some("tunnel"));
    assert!(origin.buffer.is_empty(), "nothing may come before the answer");
    origin.send(SWITCHING).await;
    assert_eq!(origin.exactly(5).await, "early");
    let head = visitor.head().await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(header(&head, "upgrade"), Some("tunnel"));
}

#[tokio::test]
async fn a_visitor_that_leaves_before_the_101_is_noticed() {
    for early in ["", "early"] {
        let half_closed_max = Duration::from_millis(100);
        let lab = Lab::with(EdgeSettings { half_closed_max, ..Default::default() }).await;
        let (visitor, mut origin) = lab.pair(&format!("{UPGRADE}{early}")).await;
        origin.head().await;
        drop(visitor);
        origin.assert_closed().await;
    }
}

#[tokio::test]
async fn what_a_visitor_sends_before_the_101_arrives_though_it_stops_sending() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(UPGRADE).await;
    origin.head().await;
    let early = "early".repeat(HELD_BYTES_MAX);
    let sending = async {
        visitor.send(&early).await;
        visitor.stream.shutdown().await.unwrap();
    };
    let granting = async {
        // The edge holds some of it, and leaves the rest where it is.
        let held = HELD_BYTES_MAX as u64;
        eventually("the early bytes", || lab.counters.received.get() >= held).await;
        origin.send(SWITCHING).await;
        origin.rest().await
    };
    let ((), came) = within("the early bytes", async { tokio::join!(sending, granting) }).await;
    assert_eq!(came, early);
}

#[tokio::test]
async fn each_side_may_stop_sending_and_still_be_sent_to() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(UPGRADE).await;
    origin.head().await;
    origin.send(SWITCHING).await;
    visitor.head().await;
    visitor.send("last").await;
    visitor.stream.shutdown().await.unwrap();
    assert_eq!(origin.rest().await, "last");
    origin.send("answer").await;
    drop(origin);
    assert_eq!(visitor.rest().await, "answer");
}

#[tokio::test]
async fn either_side_that_goes_away_takes_the_other_along() {
    let lab = Lab::new().await;
    for visitor_goes in [true, false] {
        let (mut visitor, mut origin) = lab.pair(UPGRADE).await;
        origin.head().await;
        origin.send(SWITCHING).await;
        visitor.head().await;
        if visitor_goes {
            drop(visitor);
            origin.assert_closed().await;
        } else {
            drop(origin);
            visitor.assert_closed().await;
        }
    }
}

const UPGRADE: &str =
    "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\n";
const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\n";
