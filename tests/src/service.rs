//! A small service written in the test itself, on threads inside a namespace; for what no packaged program does.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::blob::hexadecimal;
use crate::namespace::Namespace;

/// A listening service. Dropping it closes its port.
#[derive(Debug)]
pub struct Service {
    stop: Arc<AtomicBool>,
    listener: Option<TcpListener>,
    threads: Vec<JoinHandle<()>>,
}

impl Service {
    /// Serves every TCP connection with `serve`, on a thread each.
    pub fn tcp(
        namespace: &Namespace,
        port: u16,
        serve: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = namespace.enter(|| TcpListener::bind(any(port)).expect("a free port"));
        let stop = Arc::new(AtomicBool::new(false));
        let (accepting, stopping) =
            (listener.try_clone().expect("a descriptor"), Arc::clone(&stop));
        let serve = Arc::new(serve);
        let thread = std::thread::spawn(move || {
            for stream in
                accepting.incoming().take_while(|_| !stopping.load(Ordering::Acquire)).flatten()
            {
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { stop, listener: Some(listener), threads: vec![thread] }
    }

    /// Sends every datagram back from a run of ports.
    pub fn udp_echo(namespace: &Namespace, first_port: u16, count: u16) -> Self {
        Self::udp_range(namespace, first_port, count, |payload| Some(payload.to_vec()))
    }

    /// Takes datagrams and never answers.
    pub fn udp_silent(namespace: &Namespace, port: u16) -> Self {
        Self::udp(namespace, port, |_| None)
    }

    /// Answers datagrams.
    pub fn udp(namespace: &Namespace, port: u16, answer: fn(&[u8]) -> Option<Vec<u8>>) -> Self {
        Self::udp_range(namespace, port, 1, answer)
    }

    fn udp_range(
        namespace: &Namespace,
        first_port: u16,
        count: u16,
        answer: fn(&[u8]) -> Option<Vec<u8>>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..count).map(|offset| {
            let socket =
                namespace.enter(|| UdpSocket::bind(any(first_port + offset)).expect("a free port"));
            socket.set_read_timeout(Some(STOP_CHECK)).expect("a timeout");
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || answer_datagrams(&socket, &stop, answer))
        });
        Self { threads: threads.collect(), stop, listener: None }
    }

    /// Sends back whatever comes.
    pub fn tcp_echo(namespace: &Namespace, port: u16) -> Self {
        Self::tcp(namespace, port, |mut stream| {
            let mut buffer = [0; 16 * 1024];
            while let Ok(count) = stream.read(&mut buffer) {
                let read = buffer.get(..count).unwrap_or_default();
                if read.is_empty() || stream.write_all(read).is_err() {
                    break;
                }
            }
        })
    }

    /// Says `greeting` before it is asked anything, then closes.
    pub fn tcp_speaks_first(namespace: &Namespace, port: u16, greeting: &'static str) -> Self {
        Self::tcp(namespace, port, move |mut stream| {
            // A visitor that has gone needs no greeting.
            let _ = stream.write_all(greeting.as_bytes());
        })
    }

    /// Answers every request with this, whatever is asked.
    pub fn http(namespace: &Namespace, port: u16, answer: &'static str) -> Self {
        Self::tcp(namespace, port, move |mut stream| {
            read_head(&mut stream);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                answer.len()
            );
            let _ = stream.write_all(format!("{head}{answer}").as_bytes());
        })
    }

    /// Takes everything until the visitor has no more, then answers with its SHA-256.
    pub fn tcp_hasher(namespace: &Namespace, port: u16) -> Self {
        Self::tcp(namespace, port, |mut stream| {
            let hash = hash_all(&mut stream);
            let _ = stream.write_all(hash.as_bytes());
        })
    }

    /// Says something in small pieces, with a pause after each.
    pub fn tcp_slow(namespace: &Namespace, port: u16, pieces: usize, pause: Duration) -> Self {
        Self::tcp(namespace, port, move |mut stream| {
            for _ in 0..pieces {
                if stream.write_all(b"piece\n").is_err() {
                    return;
                }
                std::thread::sleep(pause);
            }
        })
    }

    /// Echoes WebSocket messages.
    pub fn websocket_echo(namespace: &Namespace, port: u16) -> Self {
        Self::tcp(namespace, port, |stream| {
            let Ok(mut socket) = tungstenite::accept(stream) else { return };
            while let Ok(message) = socket.read() {
                if message.is_close() || socket.send(message).is_err() {
                    return;
                }
            }
        })
    }

    /// Server-sent events: the next one is produced when `next` says so.
    pub fn sse(
        namespace: &Namespace,
        port: u16,
        next: impl Fn(usize) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self::tcp(namespace, port, move |mut stream| {
            read_head(&mut stream);
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
            let mut sent = stream.write_all(head.as_bytes());
            for number in 0.. {
                if sent.is_err() || !next(number) {
                    break;
                }
                sent = stream.write_all(format!("data: {number}\n\n").as_bytes());
            }
            let _ = stream.shutdown(Shutdown::Both);
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(listener) = self.listener.take() {
            // Wakes the thread that accepts.
            let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            // A service that panicked has said so on its own thread.
            let _ = thread.join();
        }
    }
}

/// Reads to the end and hashes.
pub fn hash_all(stream: &mut impl std::io::Read) -> String {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(count) = stream.read(&mut buffer) {
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else { break };
        hash.update(read);
    }
    hexadecimal(&hash.finalize())
}

/// One read holds the head of a request as small as those of the tests.
fn read_head(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
}

fn answer_datagrams(socket: &UdpSocket, stop: &AtomicBool, answer: fn(&[u8]) -> Option<Vec<u8>>) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    while !stop.load(Ordering::Acquire) {
        let Ok((count, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = answer(buffer.get(..count).unwrap_or_default()) {
            // A visitor that has gone needs no answer.
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn any(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
}

/// More than UDP can carry.
const DATAGRAM_BYTES: usize = 65_536;
const STOP_CHECK: Duration = Duration::from_millis(100);
