//! Serves one TCP or HTTP publication: for every visitor dial the target first, then let the visitor's handshake complete. Visitors of a program
//! that listens in this process are given to it (`listener.rs`).
//!
//! A dial that fails resets the visitor, who so learns the truth at once. Bytes go straight between the kernel and the netstack.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use bore_driver::{Local, Meter, Near, pump};
use bore_netstack::{Incoming, ListenError, Listener, TcpFlow};
use bore_overlay::PeerId;
use bore_policy::Target;
use tokio::task::JoinSet;

use super::limits::Share;
use super::shared::{ServicePlan, Shared};
use super::targets::{LocalStream, Place, place};
use super::{listener, serve_tls, target_watch};

/// Serves until dropped; open flows end with it.
pub(crate) async fn run(local: Local, shared: Arc<Shared>, plan: ServicePlan) {
    let listeners = match Listeners::open(&local, plan.addresses, plan.overlay_ports(), plan.relay)
    {
        Ok(listeners) => listeners,
        Err(error) => {
            tracing::error!(name = %plan.name, %error, "cannot listen inside the overlay");
            return;
        }
    };
    let (plan, share) = (Arc::new(plan), Share::default());
    let mut flows = JoinSet::new();
    loop {
        tokio::select! {
            incoming = listeners.accept() => {
                flows.spawn_local(serve(Arc::clone(&shared), Arc::clone(&plan), share.clone(), incoming));
            }
            Some(_) = flows.join_next(), if !flows.is_empty() => {}
        }
    }
}

/// A listener on each of the node's overlay addresses, open to the relay alone.
pub(super) struct Listeners {
    v4: Listener,
    v6: Listener,
}

impl Listeners {
    pub(super) fn open(
        local: &Local,
        [v4, v6]: [IpAddr; 2],
        ports: RangeInclusive<u16>,
        relay: PeerId,
    ) -> Result<Self, ListenError> {
        Ok(Self {
            v4: local.listen(v4, ports.clone(), Some(relay))?,
            v6: local.listen(v6, ports, Some(relay))?,
        })
    }

    /// The next visitor, whose handshake is held.
    pub(super) async fn accept(&self) -> Incoming {
        tokio::select! {
            incoming = self.v4.accept() => incoming,
            incoming = self.v6.accept() => incoming,
        }
    }
}

async fn serve(shared: Arc<Shared>, plan: Arc<ServicePlan>, share: Share, incoming: Incoming) {
    let Some(_of_share) = share.flow() else {
        shared.counters.flows_refused_by_share.add_one();
        return incoming.reject_reset();
    };
    if plan.target == Target::InProcess {
        return listener::serve(&shared, &plan.name, incoming).await;
    }
    let visitor = incoming.source;
    let room = match shared.room.flow() {
        Some(flow_permit) => {
            share.dials.begin().await.map(|dial_permit| (flow_permit, dial_permit))
        }
        None => None,
    };
    let Some((_flow_permit, dial_permit)) = room else {
        shared.counters.flows_refused_by_limit.add_one();
        tracing::debug!(name = %plan.name, %visitor, "visitor refused, too many flows");
        return incoming.reject_reset();
    };
    let place = plan.place(incoming.destination.port());
    let dialled = match &place {
        Some(place) => dial(&shared, &plan, place).await,
        None => None,
    };
    drop(dial_permit);
    let (Some(place), Some(stream)) = (place, dialled) else { return incoming.reject_reset() };
    match incoming.accept() {
        Ok(flow) => carry(&shared, &plan, visitor, flow, (&place, stream)).await,
        Err(error) => {
            tracing::debug!(name = %plan.name, %visitor, ?error, "visitor gone before the target answered")
        }
    }
}

impl ServicePlan {
    /// Where the visitors of an overlay port are led.
    fn place(&self, overlay_port: u16) -> Option<Place> {
        place(&self.target, self.offset(overlay_port)?).ok()
    }
}

async fn dial(shared: &Arc<Shared>, plan: &ServicePlan, place: &Place) -> Option<LocalStream> {
    // Refused when it is declared; a link may have been put there since.
    if place.is_socket_at(&shared.folder.socket()) {
        return None;
    }
    match place.connect().await {
        Ok(stream) => {
            target_watch::note_visitor(shared, &plan.name);
            Some(stream)
        }
        Err(error) => {
            shared.counters.dials_failed.add_one();
            tracing::debug!(name = %plan.name, %error, "target not reached");
            target_watch::note_failure(shared, &plan.name, place, &error).await;
            None
        }
    }
}

async fn carry(
    shared: &Shared,
    plan: &ServicePlan,
    visitor: SocketAddr,
    flow: TcpFlow,
    (place, stream): (&Place, LocalStream),
) {
    shared.counters.flows_opened.add_one();
    tracing::debug!(name = %plan.name, %visitor, "visitor connected");
    let meter = Meter::default();
    let end = match stream {
        LocalStream::Tcp(socket) => Ok(pump(&flow, &Near::tcp(socket), &meter).await),
        LocalStream::Unix(socket) => Ok(pump(&flow, &Near::local(socket), &meter).await),
        LocalStream::Tls(stream) => serve_tls::carry(&flow, place, stream).await,
    };
    tracing::debug!(name = %plan.name, %visitor, ?end, "visitor gone");
}
