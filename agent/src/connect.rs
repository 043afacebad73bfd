//! Brings the tunnel to the relay up and keeps it pointed at the right place.
//!
//! The relay's key is asked for (WHO) and believed only when the cluster's key, which came with the join key, has signed the answer
//! (IAM). The key of last time is tried at the same moment, so that a relay that has not changed costs no extra round trip.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bore_driver::{Events, Shard};
use bore_overlay::{
    ClusterPublicKey, Event, Peer, PeerId, PeerStatus, PublicKey, RelayAddress, Sources,
};

use super::error::AgentError;
use super::limits::{KEEPALIVE_SECONDS, RELAY_ADDRESSES_MAX, ROUND_TIMEOUT};

/// The one tunnel of an agent.
#[derive(Debug)]
pub(crate) struct Connector {
    shard: Shard,
    events: Events,
    relay: Option<RelayPeer>,
}

/// The tunnel's far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RelayPeer {
    /// The peer in the overlay.
    pub(crate) id: PeerId,
    /// Its key.
    pub(crate) key: PublicKey,
    /// Where it answered.
    pub(crate) endpoint: SocketAddr,
}

/// What happened to the tunnel while it was in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TunnelChange {
    /// The relay has forgotten the session (it restarted) and a new handshake is on its way.
    Reset,
    /// No session any more.
    Down,
    /// The relay answers from elsewhere.
    Moved(SocketAddr),
    /// The overlay's thread has ended.
    Gone,
}

impl Connector {
    /// No tunnel yet.
    pub(crate) fn new(shard: Shard, events: Events) -> Self {
        Self { shard, events, relay: None }
    }

    /// The tunnel's far end, once there was one.
    pub(crate) fn relay(&self) -> Option<RelayPeer> {
        self.relay
    }

    /// Handshakes with whichever of `addresses` the cluster vouches for, at most [`ROUND_TIMEOUT`] long.
    ///
    /// A tunnel that stands is handshaken again: the caller has a reason to doubt it.
    pub(crate) async fn bring_up(
        &mut self,
        addresses: &[SocketAddr],
        cluster: ClusterPublicKey,
        known: Option<PublicKey>,
    ) -> Result<RelayPeer, AgentError> {
        let begun = Instant::now();
        self.forget_past_events();
        self.ask_identity(addresses, cluster).await?;
        if let (Some(key), Some(first)) = (known, addresses.first()) {
            self.point_at(key, *first).await?;
        }
        let up = tokio::time::timeout(ROUND_TIMEOUT, self.until_up(begun)).await;
        self.shard
            .run(|local| async move { local.cancel_identity_requests() })
            .await
            .map_err(gone)?;
        up.unwrap_or_else(|_| {
            let waited = begun.elapsed();
            Err(AgentError::RelayUnreachable { tried: addresses.to_vec(), waited })
        })
    }

    /// Waits for a session that is not older than `since`. A tunnel that stands says nothing when it is handshaken again, so it is looked at.
    async fn until_up(&mut self, since: Instant) -> Result<RelayPeer, AgentError> {
        loop {
            if let Some(relay) = self.fresh_session(since).await? {
                return Ok(relay);
            }
            match tokio::time::timeout(LOOK_EVERY, self.events.recv()).await {
                Ok(None) => return Err(AgentError::OverlayEnded),
                Ok(Some(Event::RelayIdentity { from, key })) => self.point_at(key, from).await?,
                Ok(Some(other)) => tracing::trace!(?other, "tunnel event while connecting"),
                Err(_) => {}
            }
        }
    }

    async fn fresh_session(&mut self, since: Instant) -> Result<Option<RelayPeer>, AgentError> {
        let status = self.status().await?;
        let status = status.filter(|status| status.session_established >= Some(since));
        let (Some(status), Some(relay)) = (status, self.relay.as_mut()) else { return Ok(None) };
        relay.endpoint = status.endpoint.unwrap_or(relay.endpoint);
        Ok(Some(*relay))
    }

    /// When the tunnel's session was made. Another one is a rekey, or a relay that lost the old one.
    pub(crate) async fn session_established(&self) -> Option<Instant> {
        self.status().await.ok()??.session_established
    }

    async fn status(&self) -> Result<Option<PeerStatus>, AgentError> {
        let Some(RelayPeer { id, .. }) = self.relay else { return Ok(None) };
        self.shard.run(move |local| async move { local.status(id) }).await.map_err(gone)
    }

    async fn ask_identity(
        &self,
        addresses: &[SocketAddr],
        cluster: ClusterPublicKey,
    ) -> Result<(), AgentError> {
        let addresses: Vec<SocketAddr> =
            addresses.iter().copied().take(RELAY_ADDRESSES_MAX).collect();
        let ask = move |local: bore_driver::Local| async move {
            for address in addresses {
                local.request_identity(address, cluster);
            }
        };
        self.shard.run(ask).await.map_err(gone)
    }

    /// Handshakes with `key` at `endpoint`, replacing a peer of another key.
    async fn point_at(&mut self, key: PublicKey, endpoint: SocketAddr) -> Result<(), AgentError> {
        let before = self.relay;
        if let Some(old) = before.filter(|old| old.key != key) {
            tracing::warn!(old = %old.key, new = %key, "the relay has another key, signed by its cluster");
        }
        let point = move |local: bore_driver::Local| async move {
            let id = match before {
                Some(same) if same.key == key => {
                    local.set_endpoint(same.id, endpoint);
                    same.id
                }
                other => {
                    if let Some(old) = other {
                        local.remove_peer(old.id);
                    }
                    local
                        .add_peer(relay_peer(key, endpoint), false)
                        .map_err(|error| error.to_string())?
                }
            };
            local.start_handshake(id);
            Ok::<PeerId, String>(id)
        };
        let id = self.shard.run(point).await.map_err(gone)?.map_err(AgentError::Internal)?;
        self.relay = Some(RelayPeer { id, key, endpoint });
        Ok(())
    }

    /// Waits for something that a session must know. Cancel-safe.
    pub(crate) async fn change(&mut self) -> TunnelChange {
        loop {
            let Some(event) = self.events.recv().await else { return TunnelChange::Gone };
            if let Some(change) = self.relevant(&event) {
                return change;
            }
        }
    }

    /// Waits for a tunnel that was reset to be up again, at most `limit`.
    pub(crate) async fn recovered(&mut self, limit: Duration) -> bool {
        let now = Instant::now();
        // The new session may be up before anybody hears of the reset.
        let since = now.checked_sub(RESET_NEWS_AGE).unwrap_or(now);
        tokio::time::timeout(limit, self.until_up(since)).await.is_ok_and(|result| result.is_ok())
    }

    fn relevant(&mut self, event: &Event) -> Option<TunnelChange> {
        let ours = self.relay.as_mut()?;
        match *event {
            Event::ResetReceived { peer } if peer == ours.id => Some(TunnelChange::Reset),
            Event::TunnelDown { peer } if peer == ours.id => Some(TunnelChange::Down),
            Event::EndpointMoved { peer, to } if peer == ours.id => {
                ours.endpoint = to;
                Some(TunnelChange::Moved(to))
            }
            Event::ResetReceived { .. }
            | Event::TunnelDown { .. }
            | Event::EndpointMoved { .. }
            | Event::TunnelUp { .. }
            | Event::RelayIdentity { .. }
            | Event::Pending { .. }
            | Event::PendingExpired { .. } => None,
        }
    }

    fn forget_past_events(&mut self) {
        while self.events.try_recv().is_ok() {}
    }
}

/// Takes a new UDP socket and handshakes from it: this machine's address changed.
pub(crate) async fn rebind(shard: &Shard, relay: PeerId) -> Result<(), AgentError> {
    let job = move |local: bore_driver::Local| async move {
        let rebound = local.rebind().map_err(|error| error.to_string());
        local.start_handshake(relay);
        rebound
    };
    shard.run(job).await.map_err(gone)?.map_err(AgentError::Internal)
}

/// Every address of the relay: literal ones as they are, names by the system's resolver.
pub(crate) async fn resolve(relays: &[RelayAddress]) -> Result<Vec<SocketAddr>, AgentError> {
    let mut addresses = Vec::new();
    let mut names = Vec::new();
    let mut cause = String::new();
    for relay in relays {
        match relay {
            RelayAddress::Socket(address) => addresses.push(*address),
            RelayAddress::Name { host, port } => {
                names.push(host.clone());
                match super::targets::resolve_name(host, *port).await {
                    Ok(found) => addresses.extend(found),
                    Err(error) => cause = error.to_string(),
                }
            }
        }
    }
    addresses.truncate(RELAY_ADDRESSES_MAX);
    if addresses.is_empty() {
        Err(AgentError::RelayUnresolved { names, cause })
    } else {
        Ok(addresses)
    }
}

fn relay_peer(public_key: PublicKey, endpoint: SocketAddr) -> Peer {
    Peer {
        public_key,
        preshared_key: None,
        endpoint: Some(endpoint),
        persistent_keepalive: Some(KEEPALIVE_SECONDS),
        sources: Sources::Relay,
    }
}

pub(crate) fn gone(_: bore_driver::ShardGone) -> AgentError {
    AgentError::OverlayEnded
}

/// How often a handshake is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// News of a reset is younger than this.
const RESET_NEWS_AGE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literal_addresses_need_no_resolver_and_a_name_under_localhost_is_this_machine() {
        let relays = ["203.0.113.5:443".parse().unwrap(), "relay.localhost:443".parse().unwrap()];
        let addresses = resolve(&relays).await.unwrap();
        assert_eq!(addresses[0], "203.0.113.5:443".parse().unwrap());
        assert!(addresses[1].ip().is_loopback());
    }

    #[tokio::test]
    async fn a_name_without_address_is_named() {
        let relays = ["no-such-host.invalid:443".parse().unwrap()];
        let error = resolve(&relays).await.unwrap_err();
        assert_eq!(error.code(), "B5101");
        assert!(error.to_string().contains("no-such-host.invalid"));
    }
}
