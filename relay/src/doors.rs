//! HTTP doors of the relay: the API on a TCP listener, the same inside the overlay, and the walled garden.
//!
//! Inside the overlay the caller is its tunnel: who it is comes from the peer that the flow arrived by, never from an address.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bore_control::{Caller, Control};
use bore_driver::{Local, OverlayStream, Shard, pipe};
use bore_netstack::Incoming;
use bore_overlay::{
    CONTROL_PORT, GARDEN_PORT, GARDEN_RELAY, NetworkId, PublicKey, RELAY_V4, overlay_v6,
};
use http::Request;
use hyper::body::Incoming as RequestBody;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tower_service::Service;
use uuid::Uuid;

use crate::limits::{ACCEPT_PAUSE, DOOR_BACKLOG};
use crate::members::Members;

/// Serves the API to automation until `closing`.
pub(crate) async fn serve_tcp(
    listener: TcpListener,
    router: Router,
    mut closing: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                tokio::spawn(serve(socket, router.clone(), Caller::Tcp { peer }));
            }
            Err(error) => {
                tracing::debug!(%error, "api connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Who stands at a door inside the overlay.
struct Arrival {
    stream: OverlayStream,
    caller: Caller,
}

/// Opens the doors inside the overlay: the walled garden and control, for every network that exists now or later.
pub(crate) fn open_overlay(
    shard: &Shard,
    control: &Control,
    members: &Arc<Members>,
    relay_key: PublicKey,
) {
    let (sender, arrivals) = mpsc::channel(DOOR_BACKLOG);
    tokio::spawn(receive(arrivals, control.clone()));
    spawn_door(shard, IpAddr::V6(GARDEN_RELAY), GARDEN_PORT, sender.clone(), garden_caller);
    let members_v4 = Arc::clone(members);
    spawn_door(
        shard,
        IpAddr::V4(RELAY_V4),
        CONTROL_PORT,
        sender.clone(),
        move |local, incoming| node_caller(&members_v4, local, incoming),
    );
    tokio::spawn(open_networks(
        shard.clone(),
        control.clone(),
        Arc::clone(members),
        relay_key,
        sender,
    ));
}

/// The relay's overlay IPv6 address differs by network, so each network gets a door of its own.
async fn open_networks(
    shard: Shard,
    control: Control,
    members: Arc<Members>,
    relay_key: PublicKey,
    sender: mpsc::Sender<Arrival>,
) {
    let mut changes = control.subscribe();
    let mut opened: Vec<Uuid> = Vec::new();
    loop {
        for network in control.snapshot_networks() {
            let network = network.id;
            if !opened.contains(&network) {
                opened.push(network);
                let address = overlay_v6(NetworkId(*network.as_bytes()), &relay_key);
                let members = Arc::clone(&members);
                spawn_door(
                    &shard,
                    IpAddr::V6(address),
                    CONTROL_PORT,
                    sender.clone(),
                    move |local, incoming| {
                        node_caller(&members, local, incoming)
                            .filter(|caller| is_of(caller, network))
                    },
                );
            }
        }
        if matches!(changes.recv().await, Err(tokio::sync::broadcast::error::RecvError::Closed)) {
            return;
        }
    }
}

fn spawn_door(
    shard: &Shard,
    address: IpAddr,
    port: u16,
    sender: mpsc::Sender<Arrival>,
    identify: impl Fn(&Local, &Incoming) -> Option<Caller> + Send + 'static,
) {
    let shard = shard.clone();
    tokio::spawn(async move {
        // A shard that has ended has no doors.
        let _ = shard.run(move |local| welcome(local, address, port, sender, identify)).await;
    });
}

async fn welcome(
    local: Local,
    address: IpAddr,
    port: u16,
    sender: mpsc::Sender<Arrival>,
    identify: impl Fn(&Local, &Incoming) -> Option<Caller>,
) {
    local.stack().add_local(address);
    let listener = match local.listen(address, port..=port, None) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%address, %error, "no door inside the overlay");
            return;
        }
    };
    loop {
        let incoming = listener.accept().await;
        let Some(caller) = identify(&local, &incoming) else {
            incoming.reject_reset();
            continue;
        };
        // A full backlog refuses: the agent tries again.
        let Ok(place) = sender.try_reserve() else {
            incoming.reject_reset();
            continue;
        };
        if let Ok(flow) = incoming.accept() {
            place.send(Arrival { stream: pipe(flow), caller });
        }
    }
}

fn garden_caller(local: &Local, incoming: &Incoming) -> Option<Caller> {
    let status = local.status(local.peer_of(incoming.peer))?;
    Some(Caller::Pending { public_key: status.public_key.to_string() })
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
    while let Some(Arrival { stream, caller }) = arrivals.recv().await {
        let router = match caller {
            Caller::Pending { .. } => garden.clone(),
            Caller::Node { .. } | Caller::Tcp { .. } => overlay.clone(),
        };
        tokio::spawn(serve(stream, router, caller));
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
