//! A UDP service that answers with too much, with nothing, or from elsewhere.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bore_tests::namespace::Namespace;
use bore_tests::visitor::udp;

use crate::scene::Scene;

/// Name, what is done with a datagram, and what its visitor may get of it.
type Attempt = (&'static str, fn(&UdpSocket, SocketAddr, &AtomicBool), fn(&[usize]) -> bool);

const ATTEMPTS: [Attempt; 8] = [
    ("an answer of nothing", |socket, to, _| send(socket, &[], to), |got| got == [0]),
    (
        "an answer of 65,507 bytes",
        |socket, to, _| send(socket, &[7; 65_507], to),
        |got| got == [65_507],
    ),
    (
        "5,000 answers of nothing",
        |socket, to, _| again(socket, &[], to),
        |got| !got.is_empty() && got.len() <= 5_000,
    ),
    ("5,000 answers", |socket, to, _| again(socket, &[7; 100], to), is_bounded),
    ("5,000 answers of 1,400 bytes", |socket, to, _| again(socket, &[7; 1_400], to), is_bounded),
    ("5,000 answers of 65,507 bytes", |socket, to, _| again(socket, &[7; 65_507], to), is_bounded),
    (
        "answers without end",
        |socket, to, stop| {
            while !stop.load(Ordering::Acquire) {
                again(socket, &[7; 1_400], to)
            }
        },
        is_bounded,
    ),
    ("answers from another port", |_, to, _| send(&elsewhere(), b"evil", to), <[usize]>::is_empty),
];

pub(crate) fn attempts(scene: &Scene) {
    let machine = &scene.secured.lab.agent;
    let first = Datagrams::serve(machine, |socket, to, _| send(socket, b"first", to));
    scene.publish(&["udp", &PORT.to_string(), "--name", "datagrams", "--port", "20080"]);
    scene.wait_for("datagrams", "live");
    drop(first);
    for (name, serve, is_right) in ATTEMPTS {
        let service = Datagrams::serve(machine, serve);
        let socket = udp(&scene.secured.lab.visitor, 20_080);
        socket.set_read_timeout(Some(QUIET)).unwrap();
        socket.send(b"?").unwrap();
        let got = receive(&socket);
        let bytes: usize = got.iter().sum();
        let first = got.get(..got.len().min(8));
        assert!(is_right(&got), "{name}: {} answers of {bytes} bytes: {first:?}", got.len());
        scene.demand_served();
        drop(service);
        scene.demand_harmless(name);
    }
    // That port is closed by now: the kernel says so to each datagram.
    let socket = udp(&scene.secured.lab.visitor, 20_080);
    for _ in 0..500 {
        // A refusal is told by the next call.
        let _ = socket.send(b"?");
    }
    scene.demand_harmless("500 refusals");
}

/// What an unproved visitor's prefix may get until it is heard again. A flood may lose any of it.
fn is_bounded(got: &[usize]) -> bool {
    got.iter().sum::<usize>() < 5 << 20
}

/// Sizes of all answers until a moment of quiet, at most for a while.
fn receive(socket: &UdpSocket) -> Vec<usize> {
    let began = Instant::now();
    let mut room = vec![0; 65_536];
    let received = std::iter::from_fn(|| socket.recv(&mut room).ok());
    received.take_while(|_| began.elapsed() < Duration::from_secs(1)).collect()
}

/// A hostile service on [`PORT`]; ends with the handle.
struct Datagrams {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Datagrams {
    fn serve(machine: &Namespace, serve: fn(&UdpSocket, SocketAddr, &AtomicBool)) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let address = (Ipv4Addr::LOCALHOST, PORT);
        let socket = machine.enter(|| UdpSocket::bind(address)).unwrap();
        socket.set_read_timeout(Some(QUIET)).unwrap();
        let machine = machine.clone();
        let thread = std::thread::spawn(move || {
            machine.enter(|| {
                while !stopping.load(Ordering::Acquire) {
                    if let Ok((_, from)) = socket.recv_from(&mut [0; 2_048]) {
                        serve(&socket, from, &stopping);
                    }
                }
            });
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // One that panicked has said so on its own thread.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn send(socket: &UdpSocket, payload: &[u8], to: SocketAddr) {
    // A flow that has ended refuses.
    let _ = socket.send_to(payload, to);
}

fn again(socket: &UdpSocket, payload: &[u8], to: SocketAddr) {
    (0..5_000).for_each(|_| send(socket, payload, to));
}

fn elsewhere() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

const PORT: u16 = 6720;
const QUIET: Duration = Duration::from_millis(300);
