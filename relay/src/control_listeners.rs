//! Where the relay serves HTTP of its own: the API and metrics on TCP listeners, control inside the overlay, and the walled garden.
//!
//! Inside the overlay the caller is its tunnel: who it is comes from the peer that the flow arrived by, never from an address.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bore_control::event::{Event, Subject};
use bore_control::{Caller, Control, Directory};
use bore_driver::{Local, OverlayStream, Shard, pipe};
use bore_edge::{CallerPlace, PerCallerLimit, TcpAccept, source};
use bore_netstack::Incoming;
use bore_overlay::{
    CONTROL_PORT, GARDEN_PORT, GARDEN_RELAY, NetworkId, PeerId, PublicKey, RELAY_V4, overlay_v6,
};
use http::Request;
use hyper::body::Incoming as RequestBody;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tower_service::Service;
use uuid::Uuid;

use crate::limits::{
    CONTROL_CONNECTIONS_PER_NODE_MAX, DOOR_BACKLOG, GARDEN_CONNECTIONS_PER_PEER_MAX,
    TCP_DOOR_CONNECTIONS_MAX, TCP_DOOR_CONNECTIONS_PER_SOURCE_MAX,
};
use crate::members::Members;

/// Serves the API to automation until `closing`. Connections end with the task. No source has all places.
pub(crate) async fn serve_tcp(
    listener: TcpListener,
    router: Router,
    refused: Counter,
    mut closing: watch::Receiver<bool>,
) {
    let (mut connections, places) = (JoinSet::new(), PerCallerLimit::default());
    let mut accept = TcpAccept::new(listener);
    let refuse = || {
        refused.inc();
    };
    loop {
        let (socket, peer) = tokio::select! {
            accepted = accept.next(refuse) => accepted,
            Some(_) = connections.join_next() => continue,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        let place = places.take(source(peer.ip()), places_of(peer.ip()));
        let Some(place) = place.filter(|_| connections.len() < TCP_DOOR_CONNECTIONS_MAX) else {
            refuse();
            continue;
        };
        let router = router.clone();
        connections.spawn(async move {
            let _place = place;
            serve(socket, router, Caller::Tcp { peer }).await;
        });
    }
}

/// How many places one source may have. This machine's own programs come from one address, and proxies and SSH forwards among them speak for many.
fn places_of(source: IpAddr) -> usize {
    let is_of_this_machine = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]
        .contains(&source.to_canonical());
    if is_of_this_machine { TCP_DOOR_CONNECTIONS_MAX } else { TCP_DOOR_CONNECTIONS_PER_SOURCE_MAX }
}

/// A caller inside the overlay.
struct Arrival {
    stream: OverlayStream,
    caller: Caller,
    place: CallerPlace<PeerId>,
}

/// What every listener inside the overlay is made with.
#[derive(Clone)]
struct OverlayListeners {
    shard: Shard,
    members: Arc<Members>,
    arrivals: mpsc::Sender<Arrival>,
    callers: PerCallerLimit<PeerId>,
    refused: Counter,
}

/// Listens inside the overlay: the walled garden and control, for every network that exists now or later.
pub(crate) async fn keep_overlay(
    shard: Shard,
    control: Control,
    members: Arc<Members>,
    relay_key: PublicKey,
    refused: Counter,
) {
    let (sender, arrivals) = mpsc::channel(DOOR_BACKLOG);
    let callers = PerCallerLimit::default();
    let listeners = OverlayListeners { shard, members, arrivals: sender, callers, refused };
    listeners.open(IpAddr::V6(GARDEN_RELAY), GARDEN_PORT, |_, local, incoming| {
        garden_caller(local, incoming)
    });
    listeners.open(IpAddr::V4(RELAY_V4), CONTROL_PORT, node_caller);
    let directory = control.directory().clone();
    tokio::join!(receive(arrivals, control), open_networks(listeners, directory, relay_key));
}

/// The relay's overlay IPv6 address differs by network, so each network gets a listener of its own.
async fn open_networks(listeners: OverlayListeners, directory: Directory, relay_key: PublicKey) {
    let mut changes = directory.subscribe();
    let mut opened: HashSet<Uuid> = HashSet::new();
    loop {
        for network in directory.networks() {
            let network = network.id;
            if opened.insert(network) {
                let address = overlay_v6(NetworkId(*network.as_bytes()), &relay_key);
                listeners.open(
                    IpAddr::V6(address),
                    CONTROL_PORT,
                    move |members, local, incoming| {
                        node_caller(members, local, incoming)
                            .filter(|caller| is_of(caller, network))
                    },
                );
            }
        }
        while !may_add_networks(&changes.recv().await) {}
    }
}

/// A reader that fell behind looks at everything.
fn may_add_networks(change: &Result<Arc<Event>, RecvError>) -> bool {
    change.as_ref().map_or(true, |event| matches!(event.subject, Subject::Network(_)))
}

impl OverlayListeners {
    fn open(
        &self,
        address: IpAddr,
        port: u16,
        identify: impl Fn(&Members, &Local, &Incoming) -> Option<Caller> + Send + 'static,
    ) {
        let (shard, this) = (self.shard.clone(), self.clone());
        tokio::spawn(async move {
            // A shard that has ended listens no more.
            let _ = shard.run(move |local| this.welcome(local, address, port, identify)).await;
        });
    }

    async fn welcome(
        self,
        local: Local,
        address: IpAddr,
        port: u16,
        identify: impl Fn(&Members, &Local, &Incoming) -> Option<Caller>,
    ) {
        local.stack().add_local(address);
        let listener = match local.listen(address, port..=port, None) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%address, %error, "no listener inside the overlay");
                return;
            }
        };
        loop {
            let incoming = listener.accept().await;
            let caller = identify(&self.members, &local, &incoming);
            match caller {
                Some(caller) => self.let_in(&local, incoming, caller),
                None => incoming.reject_reset(),
            }
        }
    }

    /// A caller with too many connections, or a full backlog, is refused: it tries again.
    fn let_in(&self, local: &Local, incoming: Incoming, caller: Caller) {
        let peer = local.peer_of(incoming.peer);
        let most = match caller {
            Caller::Pending { .. } => GARDEN_CONNECTIONS_PER_PEER_MAX,
            Caller::Node { .. } | Caller::Tcp { .. } => CONTROL_CONNECTIONS_PER_NODE_MAX,
        };
        let (Some(place), Ok(room)) = (self.callers.take(peer, most), self.arrivals.try_reserve())
        else {
            self.refused.inc();
            return incoming.reject_reset();
        };
        if let Ok(flow) = incoming.accept() {
            room.send(Arrival { stream: pipe(flow), caller, place });
        }
    }
}

fn garden_caller(local: &Local, incoming: &Incoming) -> Option<Caller> {
    let status = local.status(local.peer_of(incoming.peer))?;
    let source = status.endpoint.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |from| from.ip());
    Some(Caller::Pending { public_key: status.public_key.to_string(), source })
}

fn node_caller(members: &Members, local: &Local, incoming: &Incoming) -> Option<Caller> {
    let member = members.by_peer(local.peer_of(incoming.peer))?;
    Some(Caller::Node { node: member.node, network: member.network })
}

fn is_of(caller: &Caller, wanted: Uuid) -> bool {
    matches!(caller, Caller::Node { network, .. } if *network == wanted)
}

async fn receive(mut arrivals: mpsc::Receiver<Arrival>, control: Control) {
    let garden = bore_control::garden_router(control.clone());
    let overlay = bore_control::overlay_router(control);
    let mut connections = JoinSet::new();
    loop {
        let arrival = tokio::select! {
            arrival = arrivals.recv() => arrival,
            Some(_) = connections.join_next() => continue,
        };
        let Some(Arrival { stream, caller, place }) = arrival else { return };
        let router = match caller {
            Caller::Pending { .. } => garden.clone(),
            Caller::Node { .. } | Caller::Tcp { .. } => overlay.clone(),
        };
        connections.spawn(async move {
            let _place = place;
            serve(stream, router, caller).await;
        });
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    router: Router,
    caller: Caller,
) {
    let service = hyper::service::service_fn(move |mut request: Request<RequestBody>| {
        request.extensions_mut().insert(caller.clone());
        let mut router = router.clone();
        async move { Ok::<_, Infallible>(into_response(router.call(request.map(Body::new)).await)) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "api connection ended");
    }
}

fn into_response(result: Result<axum::response::Response, Infallible>) -> axum::response::Response {
    match result {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Also ends kept connections on which nothing is asked.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(90);
const HEADER_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpSocket, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_source_has_its_share_of_the_places_and_leaves_others_theirs() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, refused) = (listener.local_addr().unwrap(), Counter::default());
        let router = Router::new().route("/", get(async || "welcome"));
        let (_open, closing) = watch::channel(false);
        let serving = tokio::spawn(serve_tcp(listener, router, refused.clone(), closing));
        let connect = async |from: &str| {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
            socket.connect(address).await.unwrap()
        };

        let mut kept = Vec::new();
        for _ in 0..TCP_DOOR_CONNECTIONS_PER_SOURCE_MAX {
            let mut connection = connect("127.0.0.2").await;
            assert!(is_served(&mut connection).await);
            kept.push(connection);
        }
        assert!(!is_served(&mut connect("127.0.0.2").await).await);
        assert_eq!(refused.get(), 1);
        for _ in 0..=TCP_DOOR_CONNECTIONS_PER_SOURCE_MAX {
            let mut of_this_machine = connect("127.0.0.1").await;
            assert!(is_served(&mut of_this_machine).await);
            kept.push(of_this_machine);
        }

        kept.remove(0);
        while !is_served(&mut connect("127.0.0.2").await).await {}
        serving.abort();
    }

    /// Whether a request is answered on a connection that stays.
    async fn is_served(connection: &mut TcpStream) -> bool {
        let asked = connection.write_all(b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n").await;
        let mut answer = Vec::new();
        while asked.is_ok() && !answer.ends_with(b"welcome") {
            if !connection.read_buf(&mut answer).await.is_ok_and(|count| count > 0) {
                return false;
            }
        }
        asked.is_ok()
    }
}
