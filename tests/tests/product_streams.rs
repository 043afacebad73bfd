//! Answers that come piece by piece, as events and as the tokens of a language model: each arrives before the next is made.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what a test looks for and does not find fails it; it tells the latencies that it saw"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bore_tests::length::Length;
use bore_tests::secured::Secured;
use bore_tests::service::Service;

#[test]
fn events_arrive_one_by_one() {
    arrive_one_by_one("events", &["https://app.t.test/events"]);
}

#[test]
fn tokens_of_a_language_model_arrive_one_by_one() {
    let question = "{\"model\":\"any\",\"stream\":true}";
    let url = "https://app.t.test/v1/chat/completions";
    arrive_one_by_one("tokens", &["--json", question, url]);
}

/// The service makes a piece only when the visitor has said, beside the connection, that it has the last one: if anything on the way
/// waited for more, neither would ever go on.
fn arrive_one_by_one(kind: &str, request: &[&str]) {
    let scene = Secured::new(&["*.t.test"]);
    let pieces = Length::pick(200, 1_000, 10_000);
    let (seen, turns) = channel();
    let made = Arc::new(Mutex::new(Vec::new()));
    let _service = serve(&scene, pieces, turns, Arc::clone(&made));
    let _published = scene.agent.publish(&["http", "3000", "--name", "app"]);
    scene.relay.wait_for_state("app", "live");
    for version in ["--http1.1", "--http2"] {
        made.lock().unwrap().clear();
        let mut visitor = Visitor::start(&scene, &[&[version], request].concat());
        let came = visitor.read_all(pieces, &seen);
        let made = made.lock().unwrap().clone();
        let waits = made.iter().zip(came).map(|(made, came)| came.duration_since(*made));
        println!("{kind} {version}: {}", Latencies::of(waits.collect()));
    }
}

/// Answers every request with `pieces` events, each when `turns` says so.
fn serve(
    scene: &Secured,
    pieces: usize,
    turns: Receiver<()>,
    made: Arc<Mutex<Vec<Instant>>>,
) -> Service {
    let turns = Mutex::new(turns);
    Service::tcp(&scene.lab.agent, 3000, move |mut stream| {
        // As servers of such answers do: a piece does not wait for the last one's acknowledgment.
        if stream.set_nodelay(true).is_err() || !read_request(&mut stream) {
            return;
        }
        // One visitor at a time.
        let turns = turns.lock().unwrap();
        if stream.write_all(HEAD.as_bytes()).is_err() {
            return;
        }
        for number in 0..pieces {
            made.lock().unwrap().push(Instant::now());
            if stream.write_all(chunk(number).as_bytes()).is_err() || turns.recv().is_err() {
                return;
            }
        }
        // A visitor that has everything may be gone.
        let _ = stream.write_all(b"0\r\n\r\n");
    })
}

/// Head and body; false for who only looks whether somebody listens.
fn read_request(stream: &mut TcpStream) -> bool {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return false;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    std::io::copy(&mut std::io::Read::take(&mut reader, length), &mut std::io::sink()).is_ok()
}

fn chunk(number: usize) -> String {
    let event = format!("{}\n\n", line(number));
    format!("{:x}\r\n{event}\r\n", event.len())
}

fn line(number: usize) -> String {
    format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\" word{number}\"}}}}]}}")
}

/// curl, which prints what it has at once.
struct Visitor {
    curl: Child,
}

impl Visitor {
    fn start(scene: &Secured, arguments: &[&str]) -> Self {
        let mut command: Command = scene.lab.visitor.command("curl");
        command.args(["--silent", "--show-error", "--no-buffer", "--cacert"]).arg(scene.roots());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        Self { curl: command.spawn().unwrap() }
    }

    /// When each piece came. The whole answer is read, and the end of it.
    fn read_all(&mut self, pieces: usize, seen: &Sender<()>) -> Vec<Instant> {
        let mut lines = BufReader::new(self.curl.stdout.take().unwrap()).lines();
        let mut came = Vec::with_capacity(pieces);
        for number in 0..pieces {
            assert_eq!(lines.next().unwrap().unwrap(), line(number));
            came.push(Instant::now());
            assert_eq!(lines.next().unwrap().unwrap(), "");
            seen.send(()).unwrap();
        }
        assert!(lines.next().is_none(), "nothing follows");
        assert!(self.curl.wait().unwrap().success());
        came
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        // Ended already, unless the test failed.
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

/// For people: nothing is asserted of them.
struct Latencies(Vec<Duration>);

impl Latencies {
    fn of(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        Self(waits)
    }

    fn at(&self, percent: usize) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get(last * percent / 100).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (half, most, all) = (self.at(50), self.at(99), self.at(100));
        write!(f, "{} pieces, p50 {half:.2?}, p99 {most:.2?}, max {all:.2?}", self.0.len())
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
