//! An agent with a hostile service and its neighbours, and what must hold after each attempt.

use std::cell::Cell;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bore_tests::bore::binary;
use bore_tests::memory::resident_kib;
use bore_tests::secured::Secured;
use bore_tests::service::Service;
use bore_tests::visitor::{self, exchange, udp};
use bore_tests::wait::until;
use serde_json::Value;

use crate::wire::{self, Answer};

/// Everything of one agent: a service that does what an attempt says, and three that are honest.
pub(crate) struct Scene {
    pub(crate) evil: Evil,
    pub(crate) secured: Secured,
    /// Of the relay and the agent.
    processes: [u32; 2],
    /// Asks the relay for all publications.
    list: String,
    resident_kib: [u64; 2],
    made: Cell<u32>,
    began: Instant,
    _honest: [Service; 3],
}

/// The hostile service: what it does with each connection.
pub(crate) struct Evil {
    script: Arc<Mutex<Script>>,
    asked: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    _service: Service,
}

pub(crate) type Script = Arc<dyn Fn(&mut TcpStream) + Send + Sync>;

impl Scene {
    pub(crate) fn live() -> Self {
        let mut secured = Secured::new(&["app.t.test"]);
        let processes = [secured.relay.process().id(), secured.agent.process().id()];
        let machine = &secured.lab.agent;
        let honest = [
            Service::http(machine, 3000, "honest"),
            Service::tcp_echo(machine, 3001),
            Service::udp_echo(machine, 3002, 1),
        ];
        let key = std::fs::read_to_string(secured.relay.state().join("admin.key")).unwrap();
        let list = format!(
            "GET {}/publications HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n\r\n",
            secured.relay.network(),
            key.trim()
        );
        let scene = Self {
            evil: Evil::start(&secured),
            processes,
            list,
            resident_kib: [0; 2],
            made: Cell::new(0),
            began: Instant::now(),
            _honest: honest,
            secured,
        };
        scene.publish(&["http", "3000", "--name", "good"]);
        scene.publish(&["tcp", "3001", "--name", "good-tcp", "--port", "20001"]);
        scene.publish(&["udp", "3002", "--name", "good-udp", "--port", "20002"]);
        for name in HONEST {
            scene.secured.relay.wait_for_state(name, "live");
        }
        scene.demand_served();
        let resident_kib = scene.resident_kib();
        Self { resident_kib, ..scene }
    }

    pub(crate) fn publish(&self, arguments: &[&str]) {
        self.secured.agent.publish_in_background(arguments);
    }

    pub(crate) fn wait_for(&self, name: &str, state: &str) -> Value {
        self.secured.relay.wait_for_state(name, state)
    }

    /// A visitor of the shared port for HTTP.
    pub(crate) fn visit(&self) -> TcpStream {
        self.connect(80)
    }

    pub(crate) fn connect(&self, port: u16) -> TcpStream {
        let stream = visitor::connect(&self.secured.lab.visitor, port).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Call it when an attempt has been made: it harmed no neighbour, and all that it began has ended.
    pub(crate) fn demand_harmless(&self, name: &str) {
        self.demand_unharmed(name);
        self.evil.demand_left(name);
    }

    /// The same while the hostile service is still asked, as health checks do.
    pub(crate) fn demand_unharmed(&self, name: &str) {
        self.made.set(self.made.get() + 1);
        let began = Instant::now();
        self.demand_served();
        let served = began.elapsed();
        assert!(served < AT_ONCE, "{name}: the neighbours were served after {served:?}");
        self.demand_small(name);
        let states = self.states();
        for honest in HONEST {
            assert_eq!(state_in(&states, honest), "live", "{name}: {states:?}");
        }
    }

    /// One visitor of each honest service.
    pub(crate) fn demand_served(&self) {
        let mut stream = self.visit();
        stream.write_all(get("good", "Connection: close\r\n").as_bytes()).unwrap();
        let answer = wire::read(&mut BufReader::new(stream), false).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "honest"), "{answer:?}");
        visitor::echo(&mut self.connect(20_001), b"honest").unwrap();
        let socket = udp(&self.secured.lab.visitor, 20_002);
        assert_eq!(exchange(&socket, b"honest").as_deref(), Some(&b"honest"[..]));
    }

    /// Asks a neighbour on a connection that the hostile service has answered on: the neighbour answers, or there is no answer.
    pub(crate) fn demand_apart(&self, name: &str, mut stream: BufReader<TcpStream>) {
        if stream.get_mut().write_all(get("good", "Connection: close\r\n").as_bytes()).is_err() {
            return;
        }
        match wire::read(&mut stream, false) {
            Ok(answer) => assert_eq!(answer.text(), "honest", "{name}: {answer:?}"),
            Err(_closed) => {}
        }
        let mut rest = Vec::new();
        // A reset is as good an end as any.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty(), "{name}: {}", rest.escape_ascii());
    }

    fn demand_small(&self, name: &str) {
        for (now, before) in self.resident_kib().into_iter().zip(self.resident_kib) {
            assert!(now < before + GROWTH_KIB_MAX, "{name}: {before} KiB grew to {now} KiB");
        }
    }

    fn resident_kib(&self) -> [u64; 2] {
        self.processes.map(resident_kib)
    }

    fn states(&self) -> Vec<Value> {
        let stream = visitor::connect_to(&self.secured.lab.relay, API.into()).unwrap();
        let (_, answer) = ask(stream, &self.list);
        let answer: Value = serde_json::from_slice(&answer.unwrap().body).unwrap();
        answer["items"].as_array().unwrap().clone()
    }

    pub(crate) fn state_of(&self, name: &str) -> String {
        state_in(&self.states(), name)
    }

    /// What a person reads about all that happened steers no terminal, and how many attempts there were.
    pub(crate) fn finish(mut self, what: &str) {
        let agent = &self.secured.agent;
        for arguments in [&["ls"][..], &["status"], &["ls", "--all"]] {
            let mut command = agent.namespace().command(binary());
            command.args(arguments).env("BORE_STATE", agent.state()).env("HOME", agent.home());
            let printed = command.output().unwrap();
            demand_plain(&[printed.stdout, printed.stderr].concat(), &format!("{arguments:?}"));
        }
        assert!(self.secured.agent.process().is_running(), "the agent has ended");
        println!("{what}: {} attempts in {:.1?}", self.made.get(), self.began.elapsed());
    }
}

impl Evil {
    fn start(secured: &Secured) -> Self {
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Arc::new(|_| {})));
        let [asked, open] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let (scripts, asks, counter) = (Arc::clone(&script), Arc::clone(&asked), Arc::clone(&open));
        let service = Service::tcp(&secured.lab.agent, EVIL_PORT, move |mut stream| {
            asks.fetch_add(1, Ordering::AcqRel);
            counter.fetch_add(1, Ordering::AcqRel);
            let script = Arc::clone(&scripts.lock().unwrap());
            stream.set_read_timeout(Some(SERVICE_PATIENCE)).unwrap();
            stream.set_write_timeout(Some(SERVICE_PATIENCE)).unwrap();
            script(&mut stream);
            drop(stream);
            counter.fetch_sub(1, Ordering::AcqRel);
        });
        Self { script, asked, open, _service: service }
    }

    /// What it does from here on.
    pub(crate) fn does(&self, script: impl Fn(&mut TcpStream) + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    /// Connections that it took so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Acquire)
    }

    /// Connections to it end with their visitors.
    pub(crate) fn demand_left(&self, name: &str) {
        let what = format!("{name}: nobody to hold a connection to the service");
        until(&what, LET_GO, || (self.open.load(Ordering::Acquire) == 0).then_some(()));
    }
}

/// A request for `host`, with more lines.
pub(crate) fn get(host: &str, more: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}.t.test\r\n{more}\r\n")
}

/// Sends a request and reads the answer.
pub(crate) fn ask(
    stream: TcpStream,
    request: &str,
) -> (BufReader<TcpStream>, Result<Answer, String>) {
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let answer = wire::read(&mut stream, request.starts_with("HEAD "));
    (stream, answer)
}

/// Reads the head of a request.
pub(crate) fn hear(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = vec![0; 16 << 10];
    let count = stream.read(&mut head).unwrap_or(0);
    head.truncate(count);
    head
}

/// Reads until the other side has gone.
pub(crate) fn linger(stream: &mut TcpStream) {
    let mut rest = [0; 16 << 10];
    while stream.read(&mut rest).is_ok_and(|count| count > 0) {}
}

/// Says something again and again until it is not taken.
pub(crate) fn pour(stream: &mut TcpStream, piece: &[u8]) {
    let block = piece.repeat((16 << 10) / piece.len() + 1);
    while stream.write_all(&block).is_ok() {}
}

/// Closes with RST.
pub(crate) fn reset(stream: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO)).unwrap();
}

fn state_in(views: &[Value], name: &str) -> String {
    let view = views.iter().find(|view| view["name"] == name);
    let state = view.and_then(|view| view["state"]["state"].as_str());
    state.unwrap_or("absent").to_owned()
}

fn demand_plain(text: &[u8], what: &str) {
    let steers = |byte: &u8| byte.is_ascii_control() && !b"\n\t".contains(byte);
    let found = text.iter().position(steers);
    let around = found.map(|at| text.get(at.saturating_sub(80)..text.len().min(at + 80)));
    assert!(found.is_none(), "{what}: {:?}", around.flatten().map(String::from_utf8_lossy));
}

pub(crate) const EVIL_PORT: u16 = 6666;
const API: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 7400);
const HONEST: [&str; 3] = ["good", "good-tcp", "good-udp"];
/// For three visitors of honest services, on a machine that others use as well.
const AT_ONCE: Duration = Duration::from_secs(2);
/// A visitor's.
const PATIENCE: Duration = Duration::from_secs(3);
const SERVICE_PATIENCE: Duration = Duration::from_secs(20);
/// How soon after its visitor a connection to a service ends: what has been sent may still be on its way.
const LET_GO: Duration = Duration::from_secs(10);
const GROWTH_KIB_MAX: u64 = 96 << 10;
