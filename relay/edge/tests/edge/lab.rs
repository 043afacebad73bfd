//! One edge, one origin, and wires to both.

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bore_driver::{Ending, EndingSocket};
use bore_edge::tls::{CertificateOrigin, Tls, TlsMinimum};
use bore_edge::{
    AccessRecord, DenialKind, Edge, EdgeCounters, EdgeSettings, OriginId, Origins, Outage, Outcome,
    Route, RouteRequest, Scheme, Unopened, UpstreamConfig, UpstreamProtocol, serve,
};
use bore_policy::{AuthorityHost, Hostname};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use uuid::Uuid;

use super::authority::Authority;
use super::observed::Recorder;
use super::routed::is_member;

/// An edge in front of one origin listener. `app.example` and `second.example` lead to it.
pub(crate) struct Lab {
    pub(crate) edge: SocketAddr,
    pub(crate) origin: TcpListener,
    /// What owners were told that visitors do not get.
    pub(crate) lost: Arc<Mutex<Vec<String>>>,
    /// How often the edge has asked for anything that it does not have itself.
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) counters: EdgeCounters,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) authority: Authority,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) serving: JoinHandle<()>,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::with(EdgeSettings::default()).await
    }

    pub(crate) async fn with(settings: EdgeSettings) -> Self {
        Self::speaking(settings, TlsMinimum::Tls13).await
    }

    /// By HTTPS, with a certificate for `app.example` and `second.example`, one for `other.example`, and a wildcard.
    pub(crate) async fn secure() -> Self {
        Self::secure_with(EdgeSettings::default()).await
    }

    pub(crate) async fn secure_with(settings: EdgeSettings) -> Self {
        Self::secure_speaking(settings, TlsMinimum::Tls13).await
    }

    pub(crate) async fn secure_speaking(settings: EdgeSettings, minimum: TlsMinimum) -> Self {
        let lab = Self::speaking(EdgeSettings { scheme: Scheme::Https, ..settings }, minimum).await;
        let names = ["app.example", "second.example", "gone.example", "members.example"];
        lab.certify(
            1,
            &[&names[..], &["h2c.example", "renamed.example", "old.example", "new.example"]]
                .concat(),
        );
        lab.certify(2, &["other.example"]);
        lab.certify(3, &["*.wild.example"]);
        lab
    }

    /// Gives the edge a certificate for these names.
    pub(crate) fn certify(&self, order: u128, names: &[&str]) {
        let origin = CertificateOrigin::Acme(Uuid::from_u128(order));
        self.tls.certificates().put(origin, self.authority.issue(names));
    }

    async fn speaking(settings: EdgeSettings, minimum: TlsMinimum) -> Self {
        let listener = listen().await;
        let origin = listen().await;
        let edge = listener.local_addr().unwrap();
        let counters = EdgeCounters::default();
        let lost = Arc::<Mutex<Vec<String>>>::default();
        let asked = Arc::<AtomicUsize>::default();
        let origins = Arc::new(Fixed {
            origin: origin.local_addr().unwrap(),
            lost: Arc::clone(&lost),
            asked: Arc::clone(&asked),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let tls = Arc::new(Tls::new(minimum).unwrap());
        let recorder = Arc::<Recorder>::default();
        let served = Edge {
            origins,
            observer: Arc::clone(&recorder) as _,
            tls: Arc::clone(&tls),
            counters: counters.clone(),
        };
        let serving = tokio::spawn(serve(listener, Arc::new(served), settings, shutdown));
        let (authority, stop) = (Authority::new(), Some(stop));
        Self { edge, origin, lost, asked, counters, recorder, tls, authority, stop, serving }
    }

    /// A visitor that has shaken hands for `name`.
    pub(crate) async fn secured(&self, name: &str, protocol: &str) -> Wire<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.edge).await.unwrap();
        let shaken = within("a handshake", self.authority.connect(stream, name, &[protocol])).await;
        Wire::new(shaken.unwrap())
    }

    pub(crate) async fn visitor(&self) -> Wire {
        Wire::new(TcpStream::connect(self.edge).await.unwrap())
    }

    /// The next connection that the edge opens to the origin.
    pub(crate) async fn accept(&self) -> Wire {
        Wire::new(within("a connection to the origin", self.origin.accept()).await.unwrap().0)
    }

    /// A visitor that has sent `request`, and the origin's side of it.
    pub(crate) async fn pair(&self, request: &str) -> (Wire, Wire) {
        let mut visitor = self.visitor().await;
        visitor.send(request).await;
        let origin = self.accept().await;
        (visitor, origin)
    }

    /// How many requests have ended with this outcome.
    pub(crate) fn counted(&self, outcome: Outcome) -> usize {
        self.recorder
            .with(|records| records.iter().filter(|record| record.outcome == outcome).count())
    }

    /// Every record there is when the edge has ended.
    pub(crate) async fn records(mut self) -> Vec<AccessRecord> {
        self.stop.take();
        within("the end of serving", self.serving).await.unwrap();
        self.recorder.with(|records| records.clone())
    }

    /// A well-behaved visitor gets an answer.
    pub(crate) async fn assert_serves(&self) {
        let (mut visitor, mut origin) = self.pair(GET).await;
        origin.head().await;
        origin.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        assert!(visitor.head().await.starts_with("HTTP/1.1 200 OK"));
        assert_eq!(visitor.exactly(2).await, "ok");
    }
}

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n";

/// One end of a connection, and what was read too far.
pub(crate) struct Wire<S = TcpStream> {
    pub(crate) stream: S,
    pub(crate) buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Everything up to and with the empty line.
    pub(crate) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let found = self.buffer.windows(end.len()).position(|part| part == end.as_bytes());
            if let Some(at) = found {
                return self.take(at + end.len());
            }
            assert!(self.more().await, "closed before {end:?}: {:?}", self.text());
        }
    }

    pub(crate) async fn exactly(&mut self, bytes: usize) -> String {
        while self.buffer.len() < bytes {
            assert!(self.more().await, "closed early: {:?}", self.text());
        }
        self.take(bytes)
    }

    /// Everything until the other end closes or resets.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        self.take(self.buffer.len())
    }

    /// Everything until the other end closes in order (true) or resets.
    pub(crate) async fn rest_and_end(&mut self) -> (String, bool) {
        loop {
            match within("bytes or an end", self.stream.read_buf(&mut self.buffer)).await {
                Ok(0) => return (self.take(self.buffer.len()), true),
                Ok(_) => {}
                Err(_) => return (self.take(self.buffer.len()), false),
            }
        }
    }

    pub(crate) async fn assert_closed(&mut self) {
        assert_eq!(self.rest().await, "");
    }

    /// Reads once; false at the end.
    async fn more(&mut self) -> bool {
        let read = within("bytes or an end", self.stream.read_buf(&mut self.buffer)).await;
        read.is_ok_and(|bytes| bytes > 0)
    }

    fn take(&mut self, bytes: usize) -> String {
        String::from_utf8(self.buffer.drain(..bytes).collect()).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

/// Resets a connection instead of closing it.
pub(crate) fn reset(wire: Wire) {
    socket2::SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// The value of the only header `name` of a head, if there is one.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let values: Vec<&str> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect();
    assert!(values.len() < 2, "{name} more than once in {head}");
    values.first().copied()
}

/// A bound on a test that would otherwise hang; far above what anything takes.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(30), future).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Waits until `condition` holds, giving the other tasks their turns.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    within(what, holds).await;
}

async fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

fn to(origin: OriginId) -> Route {
    let protocol = if origin == H2C { UpstreamProtocol::H2c } else { UpstreamProtocol::Plain };
    let host = (origin == RENAMED).then(|| "intranet.local:8080".parse().unwrap());
    Route::To(origin, Arc::new(UpstreamConfig { protocol, host }))
}

/// The relay's place: a fixed table.
struct Fixed {
    origin: SocketAddr,
    lost: Arc<Mutex<Vec<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Origins for Fixed {
    type Stream = EndingSocket<()>;

    fn route(&self, request: &RouteRequest<'_>) -> Route {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let visitor = request.visitor.ip();
        assert!(visitor.is_loopback() || BALANCED.contains(&visitor));
        match text(request.host).as_str() {
            "members.example" if is_member(request) => to(OriginId(Uuid::from_u128(1))),
            "members.example" => Route::Denied { by: DenialKind::Rule },
            ADDRESS => to(OriginId(Uuid::from_u128(18))),
            "app.example" => to(OriginId(Uuid::from_u128(1))),
            "second.example" => to(OriginId(Uuid::from_u128(2))),
            "gone.example" => to(GONE),
            "h2c.example" => to(H2C),
            "crowded.example" => to(CROWDED),
            "slow.example" => to(SLOW),
            "closing.example" => to(CLOSING),
            "renamed.example" => to(RENAMED),
            "old.example" | "new.example" => to(OriginId(Uuid::from_u128(7))),
            "hidden.example" => Route::Denied { by: DenialKind::AllowList },
            "offline.example" => Route::Unavailable(Outage::Offline),
            _ => Route::Unknown,
        }
    }

    fn passthrough(&self, sni: &Hostname, _visitor: SocketAddr) -> Route {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match sni.as_str() {
            "through.example" | "through.wild.example" => to(OriginId(Uuid::from_u128(4))),
            "gone-through.example" => to(GONE),
            "hidden-through.example" => Route::Denied { by: DenialKind::AllowList },
            _ => Route::Unknown,
        }
    }

    fn tls_minimum(&self, host: &Hostname) -> Option<TlsMinimum> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match host.as_str() {
            "old.example" => Some(TlsMinimum::Tls12),
            "new.example" => Some(TlsMinimum::Tls13),
            _ => None,
        }
    }

    fn note_lost_line(&self, _origin: OriginId, text: String) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.lost.lock().unwrap().push(text);
    }

    fn ending(stream: &Self::Stream) -> Ending {
        stream.ending()
    }

    async fn open(&self, origin: OriginId, _visitor: SocketAddr) -> Result<Self::Stream, Unopened> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if origin == GONE {
            return Err(Outage::Down.into());
        }
        if origin == CROWDED {
            return Err(Unopened::Full);
        }
        if origin == SLOW {
            return std::future::pending().await;
        }
        if origin == CLOSING {
            return Err(Unopened::Denied { by: DenialKind::Rule });
        }
        let connected = TcpStream::connect(self.origin).await;
        let connected = connected.map(|stream| EndingSocket::new(stream, ()));
        connected.map_err(|_| Outage::Down.into())
    }

    fn probe(
        &self,
        host: &AuthorityHost,
        token: &str,
    ) -> Option<impl Future<Output = Option<String>> + Send> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match (text(host).as_str(), token) {
            ("app.example" | "hidden.example" | ADDRESS, "expected") => {
                Some(ready(Some("yes".to_owned())))
            }
            ("app.example", "broken") => Some(ready(None)),
            _ => None,
        }
    }

    fn passthrough_probe(
        &self,
        sni: &Hostname,
        token: &str,
    ) -> Option<impl Future<Output = Option<String>> + Send + 'static> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match (sni.as_str(), token) {
            ("through.example" | "hidden-through.example", "expected") => {
                Some(ready(Some("expected".to_owned())))
            }
            ("through.example", "broken") => Some(ready(None)),
            _ => None,
        }
    }
}

fn text(host: &AuthorityHost) -> String {
    match host {
        AuthorityHost::Name(name) => name.to_string(),
        AuthorityHost::Address(address) => address.to_string(),
    }
}

/// The address that the edge is known by, and published under.
pub(crate) const ADDRESS: &str = "192.0.2.80";

const H2C: OriginId = OriginId(Uuid::from_u128(5));
/// Wants to be called by another name.
const RENAMED: OriginId = OriginId(Uuid::from_u128(6));

/// Visitors that a load balancer brings.
const BALANCED: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8))];

/// Every bound on its connections is met.
const CROWDED: OriginId = OriginId(Uuid::from_u128(16));

/// It is never opened.
const SLOW: OriginId = OriginId(Uuid::from_u128(19));

/// The rules change while it is being opened.
const CLOSING: OriginId = OriginId(Uuid::from_u128(17));

const GONE: OriginId = OriginId(Uuid::from_u128(3));
