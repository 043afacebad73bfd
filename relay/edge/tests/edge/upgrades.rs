//! Connections that leave HTTP.

use std::time::Duration;

use bore_edge::EdgeSettings;
use bore_edge::limits::HELD_BYTES_MAX;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::lab::{Lab, eventually, header, reset, within};

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
async fn a_visitor_that_stops_sending_gets_the_whole_answer_in_place_of_a_101() {
    for stops_at_once in [true, false] {
        let half_close_window = Duration::from_secs(60);
        let lab = Lab::with(EdgeSettings { half_close_window, ..Default::default() }).await;
        let (mut visitor, mut origin) = lab.pair(UPGRADE).await;
        if stops_at_once {
            visitor.stream.shutdown().await.unwrap();
        }
        origin.head().await;
        origin.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await;
        visitor.until("first").await;
        if !stops_at_once {
            visitor.stream.shutdown().await.unwrap();
        }
        sleep(TURN).await;
        origin.send(" last").await;
        assert_eq!(visitor.rest_and_end().await, (" last".to_owned(), true), "{stops_at_once}");
    }
}

#[tokio::test]
async fn a_visitor_that_leaves_behind_a_refused_upgrade_is_told_to_the_origin_at_once() {
    let settings = EdgeSettings {
        half_close_window: Duration::ZERO,
        half_closed_max: Duration::from_secs(3_600),
        ..Default::default()
    };
    for early in ["", "early"] {
        let lab = Lab::with(settings.clone()).await;
        let (mut visitor, mut origin) = lab.pair(UPGRADE).await;
        origin.head().await;
        origin.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        visitor.head().await;
        visitor.send(early).await;
        sleep(TURN).await;
        drop(visitor);
        origin.assert_closed().await;
    }
}

#[tokio::test]
async fn only_the_target_is_encoded_and_no_byte_behind_the_101() {
    let lab = Lab::new().await;
    let (mut visitor, mut origin) = lab.pair(&UPGRADE.replacen("/", "/\"x\"", 1)).await;
    assert!(origin.head().await.starts_with("GET /%22x%22"));
    origin.send(SWITCHING).await;
    visitor.head().await;
    let quotes = "\"".repeat(100);
    visitor.send(&quotes).await;
    assert_eq!(origin.exactly(100).await, quotes);
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

#[tokio::test]
async fn a_reset_stays_a_reset_and_an_end_an_end_behind_the_last_words() {
    let lab = Lab::new().await;
    for (visitor_goes, is_reset) in [(true, true), (true, false), (false, true), (false, false)] {
        let (mut visitor, mut origin) = lab.pair(UPGRADE).await;
        origin.head().await;
        origin.send(SWITCHING).await;
        visitor.head().await;
        let (mut goes, mut stays) =
            if visitor_goes { (visitor, origin) } else { (origin, visitor) };
        goes.send("last words").await;
        assert_eq!(stays.exactly(10).await, "last words");
        if is_reset {
            reset(goes);
            assert_eq!(stays.rest_and_end().await, (String::new(), false), "{visitor_goes}");
        } else {
            goes.stream.shutdown().await.unwrap();
            assert_eq!(stays.rest_and_end().await, (String::new(), true), "{visitor_goes}");
        }
    }
}

#[tokio::test]
async fn a_visitor_that_is_cut_off_at_the_end_of_draining_does_not_take_it_for_the_end() {
    let mut lab = Lab::with(EdgeSettings { drain_max: Duration::ZERO, ..Default::default() }).await;
    let (mut visitor, mut origin) = lab.pair(UPGRADE).await;
    origin.head().await;
    origin.send(SWITCHING).await;
    visitor.head().await;
    lab.stop.take();
    assert!(!visitor.rest_and_end().await.1 && !origin.rest_and_end().await.1);
}

/// The edge never looks into what it has switched to: nothing there can make it keep more than it copies at a time, or change a byte.
#[tokio::test]
async fn attack_21_hostile_frames_pass_unread_and_in_bounded_memory() {
    for from_visitor in [true, false] {
        let lab = Lab::new().await;
        let (mut visitor, mut origin) = lab.pair(UPGRADE).await;
        origin.head().await;
        origin.send(SWITCHING).await;
        visitor.head().await;
        let (near, far) = (visitor.stream, origin.stream);
        let (mut writer, mut reader) = if from_visitor { (near, far) } else { (far, near) };
        let before = resident_bytes();
        // Nobody reads: whoever writes must stop soon.
        let mut sent = 0;
        let mut frames = Frames::default();
        while let Ok(written) = timeout(STUCK, writer.write(frames.rest())).await {
            sent += written.unwrap();
            frames.skip(sent);
            assert!(sent < FRAMES_BYTES / 2, "{sent} bytes are held for nobody");
        }
        let grown = resident_bytes().saturating_sub(before);
        println!("attack 21: {sent} bytes in flight, {} KiB more", grown / 1024);
        assert!(grown < 16 << 20, "{grown} bytes");
        let writing = async {
            while sent < FRAMES_BYTES {
                sent += writer.write(frames.rest()).await.unwrap();
                frames.skip(sent);
            }
            writer.shutdown().await.unwrap();
            sent
        };
        let reading = async {
            let (mut wanted, mut read) = (Frames::default(), 0);
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let bytes = reader.read(&mut buffer).await.unwrap();
                let Some(came) = buffer.get(..bytes).filter(|came| !came.is_empty()) else {
                    return read;
                };
                for byte in came {
                    assert_eq!(wanted.rest().first(), Some(byte), "byte {read}");
                    read += 1;
                    wanted.skip(read);
                }
            }
        };
        let (sent, read) = within("all of it", async { tokio::join!(writing, reading) }).await;
        assert_eq!(read, sent);
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 16 << 20, "{grown} bytes");
    }
}

/// An endless row of frames that no WebSocket may contain (RFC 6455 §5.2 to §5.5, RFC 7692 §7.2), from anywhere in it.
struct Frames {
    bytes: Vec<u8>,
    at: usize,
}

impl Default for Frames {
    fn default() -> Self {
        let unmasked = b"\x81\x05hello".to_vec();
        let fragmented_ping = b"\x09\x80\x01\x02\x03\x04".to_vec();
        let reserved = b"\xf3\x80\x01\x02\x03\x04".to_vec();
        // One message of 2^63 - 1 bytes: it would take all that follows.
        let huge = b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04".to_vec();
        let mut bomb = vec![0xc1, 0xfe];
        let deflated = bomb_of_zeros();
        bomb.extend(u16::try_from(deflated.len()).unwrap().to_be_bytes());
        bomb.extend([0; 4]);
        bomb.extend(deflated);
        Self { bytes: [unmasked, fragmented_ping, reserved, bomb, huge].concat(), at: 0 }
    }
}

impl Frames {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap()
    }

    fn skip(&mut self, sent: usize) {
        self.at = sent % self.bytes.len();
    }
}

/// About 10 MB of zeros, deflated (RFC 1951 §3.2.6): a zero, then matches of 258 bytes at distance 1, which take 13 bits each.
fn bomb_of_zeros() -> Vec<u8> {
    let zero = [0, 0, 1, 1, 0, 0, 0, 0];
    let repeat = [1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0];
    let begin = [0, 1, 0];
    let bits: Vec<u8> =
        begin.iter().chain(&zero).chain(repeat.repeat(40_000).iter()).copied().collect();
    let byte = |bits: &[u8]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit);
    bits.chunks(8).map(byte).collect()
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

const FRAMES_BYTES: usize = 32 << 20;
/// A writer that gets nothing away for so long is stopped.
const STUCK: Duration = Duration::from_millis(500);
/// In which the edge learns what a visitor did.
const TURN: Duration = Duration::from_millis(100);

const UPGRADE: &str =
    "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\n";
const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tunnel\r\n\r\n";
