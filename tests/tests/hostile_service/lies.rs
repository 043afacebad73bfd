//! A service that is said to be behind TLS, or to speak HTTP/2, and is not what it says.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use bore_tests::process::Process;

use crate::scene::{EVIL_PORT, Scene, get, hear, linger, pour};

type Lie = (&'static str, fn(&mut TcpStream));

/// What comes in the place of a handshake, record by record (RFC 8446 §5.1). Such a service is down, and says why.
const HANDSHAKES: [Lie; 16] = [
    ("closes", |stream| drop(hear(stream))),
    ("plain text", |stream| says(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")),
    ("nothing", |stream| drop(hear(stream))),
    ("nonsense", |stream| says(stream, &[0xff; 64])),
    ("endless nonsense", |stream| pours(stream, b"\xff")),
    ("a fatal alert", |stream| says(stream, &[21, 3, 3, 0, 2, 2, 40])),
    ("an alert for another name", |stream| says(stream, &[21, 3, 3, 0, 2, 2, 112])),
    ("endless warnings", |stream| pours(stream, &[21, 3, 3, 0, 2, 1, 90])),
    ("endless empty records", |stream| pours(stream, &[22, 3, 3, 0, 0])),
    ("a record of 65,535 bytes", |stream| {
        says(stream, &[&[22, 3, 3, 0xff, 0xff][..], &[0; 65_535]].concat())
    }),
    ("a message of 16 MiB", |stream| {
        hear(stream);
        let _ = stream.write_all(&[22, 3, 3, 0x40, 0, 2, 0xff, 0xff, 0xff]);
        pour(stream, &[&[0; 0x3ffc][..], &[22, 3, 3, 0x40, 0]].concat());
    }),
    ("endless calls to begin again", |stream| pours(stream, &[22, 3, 3, 0, 4, 0, 0, 0, 0])),
    ("data before the handshake", |stream| pours(stream, &[23, 3, 3, 0, 1, 0])),
    ("a change of cipher again and again", |stream| pours(stream, &[20, 3, 3, 0, 1, 1])),
    ("the client's own words", |stream| {
        let hello = hear(stream);
        says(stream, &hello);
    }),
    ("SSL 2", |stream| says(stream, &[0x80, 4, 4, 0, 2, 0, 0])),
];

pub(crate) fn handshakes(scene: &Scene) {
    scene.evil.does(|stream| drop(hear(stream)));
    let target = format!("https://localhost:{EVIL_PORT}");
    scene.publish(&["http", &target, "--name", "lies", "--host", "any"]);
    for (name, lie) in HANDSHAKES {
        scene.evil.does(lie);
        demand_down(scene, name);
    }
    scene.secured.agent.bore(&["rm", "lies"]).success();
}

/// A service with a certificate: for another name, and from an unknown authority.
pub(crate) fn certificates(scene: &Scene) {
    let other = scene.secured.authority.issue("elsewhere", &["elsewhere.example"]);
    let nobody = bore_tests::authority::Authority::new(&scene.secured.lab.folder("nobody"));
    let unknown = nobody.issue("unknown", &["localhost"]);
    for (port, name, words, certified) in [
        ("6710", "a certificate for another name", "another name", other),
        ("6711", "a certificate from nobody", "trust", unknown),
    ] {
        let mut command = scene.secured.lab.agent.command("openssl");
        command.args(["s_server", "-accept", port, "-www", "-cert"]).arg(&certified.chain);
        command.arg("-key").arg(&certified.key).stdin(Stdio::null());
        let mut server = Process::start("openssl", command);
        server.line("openssl listens", |line| line.text.contains("ACCEPT").then_some(()));
        let target = format!("https://localhost:{port}");
        scene.publish(&["http", &target, "--name", "lies", "--host", "any"]);
        let view = demand_down(scene, name);
        assert!(view.contains(words), "{name}: {view}");
        scene.secured.agent.bore(&["rm", "lies"]).success();
    }
}

/// Such a service is down, the owner is told why, and visitors get a page that does not tell.
fn demand_down(scene: &Scene, name: &str) -> String {
    let view = scene.wait_for("lies", "down");
    let mut stream = scene.visit();
    stream.write_all(get("any", "Connection: close\r\n").as_bytes()).unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 50"), "{name}: {page}");
    assert!(!page.contains("localhost") && !page.contains("evil"), "{name}: {page}");
    scene.demand_harmless(name);
    view["state"]["cause"].as_str().unwrap().to_owned()
}

/// Frames that say nothing, again and again: a service that does not answer.
const IDLE_FRAMES: [Lie; 4] = [
    ("no settings", |stream| says(stream, &frame(8, 0, 0, &[0, 0, 0, 1]))),
    ("endless settings", |stream| begins(stream, SETTINGS)),
    ("endless pings", |stream| begins(stream, &frame(6, 0, 0, &[0; 8]))),
    ("endless windows", |stream| begins(stream, &frame(8, 0, 0, &[0, 0, 0, 1]))),
];

/// Frames of HTTP/2 (RFC 9113 §4.1): length, kind, flags, stream.
const WRONG_FRAMES: [Lie; 12] = [
    ("HTTP/1.1", |stream| says(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")),
    ("closes", |stream| drop(hear(stream))),
    ("a window beyond 2^31", |stream| begins(stream, &frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]))),
    ("endless empty headers", |stream| begins(stream, &frame(1, 0, 1, &[]))),
    ("endless continuations", |stream| {
        hear(stream);
        let _ = stream.write_all(&[SETTINGS, &frame(1, 0, 1, &[0x88])].concat());
        pour(stream, &frame(9, 0, 1, &[0]));
    }),
    ("a bomb of indexed fields", |stream| {
        hear(stream);
        let field = [&[0x40, 1, b'x', 0x7f, 0x81, 0x1e][..], &[b'y'; 4_000]].concat();
        let block = [&[0x88][..], &field, &[0xbe; 12_000]].concat();
        let _ = stream.write_all(&[SETTINGS, &frame(1, 4, 1, &block)].concat());
        linger(stream);
    }),
    ("a promise", |stream| begins(stream, &frame(5, 4, 1, &[0, 0, 0, 2, 0x88]))),
    ("data for nobody", |stream| begins(stream, &frame(0, 0, 99, &[0; 1_000]))),
    ("a frame of 16 MiB", |stream| begins(stream, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])),
    ("goodbye at once", |stream| says(stream, &[SETTINGS, &frame(7, 0, 0, &[0; 8])].concat())),
    ("goodbye with escapes", |stream| {
        let words = [&[0, 0, 0, 0, 0, 0, 0, 11][..], &b"\x1b[2J".repeat(1_000)].concat();
        says(stream, &[SETTINGS, &frame(7, 0, 0, &words)].concat());
    }),
    ("a reset of the request", |stream| {
        says(stream, &[SETTINGS, &frame(3, 0, 1, &[0, 0, 0, 8])].concat());
    }),
];

pub(crate) fn frames(scene: &Scene) {
    let target = format!("h2c://127.0.0.1:{EVIL_PORT}");
    scene.publish(&["http", &target, "--name", "frames", "--host", "plain"]);
    scene.wait_for("frames", "live");
    let ask = |lie: fn(&mut TcpStream)| {
        scene.evil.does(lie);
        let mut stream = scene.visit();
        stream.write_all(get("plain", "Connection: close\r\n").as_bytes()).unwrap();
        stream
    };
    for (name, lie) in IDLE_FRAMES {
        let mut stream = ask(lie);
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let answer = stream.read(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(answer, Err(ErrorKind::WouldBlock), "{name}");
        scene.demand_served();
        drop(stream);
        scene.demand_harmless(name);
    }
    for (name, lie) in WRONG_FRAMES {
        let mut page = String::new();
        ask(lie).read_to_string(&mut page).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.starts_with("HTTP/1.1 502 "), "{name}: {page}");
        assert!(!page.contains("127.0.0.1") && !page.contains('\u{1b}'), "{name}: {page}");
        scene.demand_harmless(name);
        assert_eq!(scene.state_of("frames"), "live", "{name}");
    }
    scene.secured.agent.bore(&["rm", "frames"]).success();
}

/// What a visitor with HTTP/2 is spared.
const TRANSLATED: [Lie; 10] = [
    ("endless hints", |stream| pours(stream, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")),
    ("hints with fields of the connection", |stream| {
        says(stream, b"HTTP/1.1 103 Early Hints\r\nConnection: x\r\nUpgrade: h2c\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    }),
    ("fields of the connection", |stream| {
        says(stream, b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nProxy-Connection: close\r\nTE: gzip\r\nContent-Length: 4\r\n\r\nevil");
    }),
    ("101", |stream| {
        says(stream, b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nevil");
    }),
    ("trailers of the connection", |stream| {
        says(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n");
    }),
    ("a body beyond the length", |stream| {
        says(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevilSMUGGLED");
    }),
    ("a body short of its length", |stream| {
        hear(stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nevil");
    }),
    ("a name in front of the colon", |stream| {
        says(
            stream,
            b"HTTP/1.1 200 OK\r\n:status: 500\r\n:path: /\r\nContent-Length: 4\r\n\r\nevil",
        );
    }),
    ("1,000 fields of 60 bytes", |stream| {
        let fields = format!("X-Y: {}\r\n", "z".repeat(50)).repeat(1_000);
        says(
            stream,
            format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\nevil").as_bytes(),
        );
    }),
    ("a body for HEAD", |stream| {
        says(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED");
    }),
];

/// By HTTPS and HTTP/2, twice on one connection: what the second request gets is the second answer.
pub(crate) fn translated(scene: &Scene) {
    scene.publish(&["http", &EVIL_PORT.to_string(), "--name", "app", "--host", "app"]);
    scene.wait_for("app", "live");
    for (name, lie) in TRANSLATED {
        scene.evil.does(lie);
        let url = "https://app.t.test/";
        let head = if name == "a body for HEAD" { "--head" } else { "--http2" };
        let answer = scene.secured.get(&["--http2", head, "--max-time", "4", url, url]);
        let is_translated =
            [200, 502].contains(&answer.status) && answer.head.starts_with("HTTP/2");
        assert!(is_translated, "{name}: {answer:?}");
        for of_connection in ["upgrade", "keep-alive", "proxy-connection", "te", "connection"] {
            assert_eq!(answer.header(of_connection), None, "{name}: {answer:?}");
        }
        assert!(
            !answer.body.contains("SMUGGLED") && !answer.head.contains("500"),
            "{name}: {answer:?}"
        );
        scene.demand_harmless(name);
    }
    scene.secured.agent.bore(&["rm", "app"]).success();
}

fn says(stream: &mut TcpStream, bytes: &[u8]) {
    hear(stream);
    // Who has heard enough closes.
    let _ = stream.write_all(bytes);
    linger(stream);
}

fn pours(stream: &mut TcpStream, piece: &[u8]) {
    hear(stream);
    pour(stream, piece);
}

/// HTTP/2 in order, and then `frame` without end, while a visitor reads what comes back.
fn begins(stream: &mut TcpStream, frame: &[u8]) {
    hear(stream);
    let mut other = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || linger(&mut other));
        if stream.write_all(SETTINGS).is_ok() {
            pour(stream, frame);
        }
    });
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[high, middle, low, kind, flags, 0, 0, 0, stream][..], payload].concat()
}

/// Empty ones.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
