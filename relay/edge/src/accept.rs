//! Taking connections from a listener, within limits.
//!
//! Too many from one source: the new one is closed. Too many in all, or no file descriptor left ([`TcpAccept`]):
//! accepting pauses, and visitors wait in the kernel's queue; the loop neither spins nor dies.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bore_driver::EndingSocket;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use super::access::Observer;
use super::connection::Shared;
use super::counters::{EdgeCounters, Limit};
use super::door::Arrival;
use super::lengths::Versions;
use super::limits::TCP_UNTAKEN_MARGIN;
use super::origin_stream::OddLines;
use super::origins::Origins;
use super::prefixed::Prefixed;
use super::proxied::{self, Proxied};
use super::settings::{EdgeSettings, Scheme};
use super::tcp_accept::TcpAccept;
use crate::keepalive::keep_alive;
use crate::per_caller_limit::{CallerPlace, PerCallerLimit};
use crate::source::source;
use crate::tls::Tls;

/// What the visitors of all listeners are served with.
#[derive(Debug)]
pub struct Edge<O> {
    /// Where requests go.
    pub origins: Arc<O>,
    /// Is told what has passed.
    pub observer: Arc<dyn Observer>,
    /// The certificates, and what TLS is spoken with.
    pub tls: Arc<Tls>,
    /// What is counted.
    pub counters: EdgeCounters,
}

/// Serves visitors from `listener`, by TLS when the settings' scheme is HTTPS, until `shutdown` completes, then lets the requests in hand
/// finish for at most [`EdgeSettings::drain_max`].
pub async fn serve<O: Origins>(
    listener: TcpListener,
    edge: Arc<Edge<O>>,
    settings: EdgeSettings,
    shutdown: impl Future<Output = ()> + Send,
) {
    let Edge { origins, observer, tls, counters } = &*edge;
    let (drain, draining) = watch::channel(false);
    let drain_max = settings.drain_max;
    let port = settings.public_port.or_else(|| local_port(&listener));
    let port = port.unwrap_or_else(|| settings.scheme.default_port());
    let mut acceptor = Acceptor::new(listener, &settings, counters.clone());
    let versions = Versions::default();
    let owners = Arc::clone(origins);
    let odd_lines = OddLines::new(counters.origin_lines_changed.clone(), move |origin, text| {
        owners.note_lost_line(origin, text);
    });
    let shared = Arc::new(Shared {
        origins: Arc::clone(origins),
        observer: Arc::clone(observer),
        settings,
        counters: counters.clone(),
        tls: Arc::clone(tls),
        odd_lines,
        versions,
        port,
        draining,
    });
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = shutdown.as_mut() => break,
            Some(ended) = connections.join_next() => report(ended),
            admitted = acceptor.next() => {
                connections.spawn(run(Arc::clone(&shared), admitted));
            }
        }
    }
    drop(acceptor);
    drain.send_replace(true);
    let drained = async { while connections.join_next().await.map(report).is_some() {} };
    if timeout(drain_max, drained).await.is_err() {
        tracing::info!(connections = connections.len(), "connections cut at the end of draining");
    }
}

async fn run<O: Origins>(shared: Arc<Shared<O>>, admitted: Admitted) {
    shared.counters.open.inc();
    let open = shared.counters.open.clone();
    let _open = OnDrop(move || {
        open.dec();
    });
    let Admitted { stream, arrival, source, sources } = admitted;
    match source {
        Some(_source) => shared.welcome(stream, arrival).await,
        None => shared.welcome_proxied(stream, arrival, &sources).await,
    }
}

impl<O: Origins> Shared<O> {
    async fn welcome<S>(&self, stream: S, arrival: Arrival)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        match self.settings.scheme {
            Scheme::Http => self.run(stream, arrival, None).await,
            Scheme::Https => self.open_door(stream, arrival).await,
        }
    }

    /// Finds out whom a load balancer brings; that visitor needs a place of its own.
    async fn welcome_proxied(
        &self,
        mut stream: Socket,
        arrival: Arrival,
        sources: &PerCallerLimit<IpAddr>,
    ) {
        let deadline = arrival.accepted_at + self.settings.head_max;
        let Ok(Ok(Proxied { pair, rest })) = timeout_at(deadline, proxied::read(&mut stream)).await
        else {
            self.counters.unproxied.inc();
            return;
        };
        let (visitor, dialled) =
            pair.map_or((arrival.visitor, arrival.dialled), |pair| (pair.0, Some(pair.1)));
        let places = self.settings.connections_per_source_max;
        let Some(_source) = sources.take(source(visitor.ip()), places) else {
            return self.counters.limited(Limit::Source);
        };
        let arrival = Arrival { visitor, dialled, ..arrival };
        self.welcome(Prefixed::new(rest, stream), arrival).await;
    }
}

/// A panic ends its own connection only; it is a bug, and is told as one.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a visitor connection panicked");
    }
}

fn local_port(listener: &TcpListener) -> Option<u16> {
    listener.local_addr().ok().map(|address| address.port())
}

/// A visitor's connection with its place among all.
type Socket = EndingSocket<OwnedSemaphorePermit>;

/// A connection that may be served, and the places that it takes.
struct Admitted {
    stream: Socket,
    arrival: Arrival,
    /// `None` while only a load balancer knows the source.
    source: Option<CallerPlace<IpAddr>>,
    sources: PerCallerLimit<IpAddr>,
}

struct Acceptor {
    accept: TcpAccept,
    total: Arc<Semaphore>,
    sources: PerCallerLimit<IpAddr>,
    settings: EdgeSettings,
    counters: EdgeCounters,
}

impl Acceptor {
    fn new(listener: TcpListener, settings: &EdgeSettings, counters: EdgeCounters) -> Self {
        Self {
            accept: TcpAccept::new(listener),
            total: Arc::new(Semaphore::new(settings.connections_max)),
            sources: PerCallerLimit::default(),
            settings: settings.clone(),
            counters,
        }
    }

    /// The next connection within limits. May be dropped while waiting.
    async fn next(&mut self) -> Admitted {
        loop {
            let total = self.place().await;
            let failed = || self.counters.limited(Limit::Descriptors);
            let (stream, visitor) = self.accept.next(failed).await;
            if let Some(admitted) = self.admit(stream, visitor, total) {
                return admitted;
            }
        }
    }

    /// A place among all connections; waits for one when there is none.
    async fn place(&self) -> OwnedSemaphorePermit {
        if self.total.available_permits() == 0 {
            self.counters.limited(Limit::Total);
        }
        loop {
            // The semaphore is never closed: the loop ends at its first turn.
            if let Ok(permit) = Arc::clone(&self.total).acquire_owned().await {
                return permit;
            }
        }
    }

    fn admit(
        &self,
        stream: TcpStream,
        visitor: SocketAddr,
        total: OwnedSemaphorePermit,
    ) -> Option<Admitted> {
        self.counters.accepted.inc();
        let source = if self.settings.is_proxy(visitor.ip()) {
            None
        } else {
            let places = self.settings.connections_per_source_max;
            let place = self.sources.take(source(visitor.ip()), places);
            if place.is_none() {
                self.counters.limited(Limit::Source);
                return None;
            }
            place
        };
        if let Err(error) = prepare(&stream, self.settings.progress_window) {
            tracing::debug!(%error, "visitor left before it was served");
            return None;
        }
        let dialled = stream.local_addr().ok().map(|address| address.ip().to_canonical());
        let stream = EndingSocket::new(stream, total);
        let ending = stream.ending();
        let arrival = Arrival { visitor, dialled, accepted_at: Instant::now(), ending };
        Some(Admitted { stream, arrival, source, sources: self.sources.clone() })
    }
}

/// Small answers leave at once, and a visitor that vanished is noticed. For one that makes no room the kernel would keep what is left of a
/// closed connection for minutes. `pause_max` is how long it may take nothing.
fn prepare(stream: &TcpStream, pause_max: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(pause_max + TCP_UNTAKEN_MARGIN))?;
    keep_alive(stream)
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keepalive::tests::assert_kept_alive;

    #[tokio::test]
    async fn a_visitor_that_vanishes_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_visitor, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.unwrap();
        let pause_max = Duration::from_secs(60);
        prepare(&stream, pause_max).unwrap();
        assert_kept_alive(&stream);
        let untaken = SockRef::from(&stream).tcp_user_timeout().unwrap();
        assert_eq!(untaken, Some(pause_max + TCP_UNTAKEN_MARGIN));
    }
}
