//! A service that reads nothing, says nothing, or leaves in the middle: by HTTP, and by TCP.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::scene::{Scene, get, hear, linger, pour, reset};

/// What a service does, and what its visitor does with it.
pub(crate) struct Stage {
    name: &'static str,
    serves: fn(&mut TcpStream),
    visits: fn(&mut TcpStream),
}

/// By HTTP or by TCP.
pub(crate) fn attempt(scene: &Scene, stage: &Stage, port: u16) {
    let name = format!("{} at port {port}", stage.name);
    scene.evil.does(stage.serves);
    let mut stream = scene.connect(port);
    if port == 80 {
        stream.write_all(get("bad", "Connection: close\r\n").as_bytes()).unwrap();
    } else {
        stream.write_all(b"hello").unwrap();
    }
    let began = Instant::now();
    (stage.visits)(&mut stream);
    assert!(began.elapsed() < Duration::from_secs(4), "{name}: {:?}", began.elapsed());
    // Its neighbours are served while its visitor is still there.
    scene.demand_served();
    drop(stream);
    scene.demand_harmless(&name);
    assert_eq!(scene.state_of("bad"), "live", "{name}");
}

macro_rules! stages {
    ($($name:literal, $serves:expr, $visits:expr;)*) => {
        [$(Stage { name: $name, serves: $serves, visits: $visits }),*]
    };
}

pub(crate) const STAGES: [Stage; 16] = stages! {
    "closes at once", |_| {}, hear_the_end;
    "resets at once", |stream| reset(stream), hear_the_end;
    "closes when asked", |stream| drop(hear(stream)), hear_the_end;
    "resets when asked", |stream| { hear(stream); reset(stream) }, hear_the_end;
    "resets in the head", |stream| { hear(stream); put(stream, "HTTP/1.1 200 O"); reset(stream) }, hear_the_end;
    "resets behind the head", |stream| { hear(stream); put(stream, HEAD); reset(stream) }, hear_the_end;
    "resets in the body", |stream| { hear(stream); put(stream, HEAD); put(stream, "evil"); reset(stream) }, hear_the_end;
    "closes in the body", |stream| { hear(stream); put(stream, HEAD); put(stream, "evil") }, hear_the_end;
    "ends its side and goes on listening", |stream| { hear(stream); let _ = stream.shutdown(Shutdown::Write); linger(stream) }, hear_the_end;
    "never answers", |stream| { hear(stream); linger(stream) }, |_| {};
    "never reads and never answers", |_| std::thread::sleep(Duration::from_millis(500)), flood;
    "never reads", |stream| { put(stream, HEAD); std::thread::sleep(Duration::from_millis(500)) }, flood;
    "sends without end to who reads some", |stream| { hear(stream); put(stream, HEAD); pour(stream, b"evil") }, read_some;
    "sends without end to who reads nothing", |stream| { hear(stream); put(stream, HEAD); pour(stream, b"evil") }, |_| {};
    "sends a byte now and then", |stream| { hear(stream); put(stream, HEAD); while stream.write_all(b"x").is_ok() { std::thread::sleep(Duration::from_millis(50)) } }, |_| {};
    "sends a bomb", |stream| { hear(stream); put(stream, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"); bomb(stream) }, read_some;
};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";

fn put(stream: &mut TcpStream, text: &str) {
    // A relay that has seen enough closes.
    let _ = stream.write_all(text.as_bytes());
}

/// An end of any kind, in time.
fn hear_the_end(stream: &mut TcpStream) {
    let mut rest = [0; 16 << 10];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "no end in time");
                return;
            }
        }
    }
}

/// As much as anybody takes within a moment.
fn flood(stream: &mut TcpStream) {
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let block = [b'x'; 16 << 10];
    for _ in 0..4_096 {
        if stream.write_all(&block).is_err() {
            return;
        }
    }
}

fn read_some(stream: &mut TcpStream) {
    let mut room = [0; 64 << 10];
    for _ in 0..32 {
        assert!(stream.read(&mut room).is_ok_and(|count| count > 0), "a body without end");
    }
}

/// A gzip member of nothing but zeros, without end: a thousand times as long unpacked. Neither relay nor agent unpacks it.
fn bomb(stream: &mut TcpStream) {
    put(stream, "\u{1f}");
    let _ = stream.write_all(&[0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
    pour(stream, &[0]);
}
