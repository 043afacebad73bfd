//! Keeps the agent connected, for ever: a tunnel to the relay, a session with its control, and again.
//!
//! | round fails with | then |
//! |---|---|
//! | what only a person can change ([`AgentError::is_final`]) | the agent ends |
//! | the relay asks the agent that had this identity before | ask again each second |
//! | anything else | wait with full jitter, doubling to a minute; a change of network ends the wait |
//!
//! A tunnel that stood when the session ended (the relay restarted and RESET brought it back, or control closed the watch) is used as it
//! is; it is doubted, and handshaken again, when control does not answer through it.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bore_overlay::RelayAddress;
use rand::Rng;

use super::backoff::Backoff;
use super::connect::{Connector, RelayPeer, resolve};
use super::control_client::ControlClient;
use super::error::AgentError;
use super::network_watch::NetworkWatch;
use super::session::{self, Lost};
use super::shared::{Online, Shared};
use super::state::Identity;

/// The task that owns the tunnel.
#[derive(Debug)]
pub(crate) struct Runner {
    shared: Arc<Shared>,
    connector: Connector,
    backoff: Backoff,
    network: Option<NetworkWatch>,
    /// The tunnel that stands and is not doubted.
    standing: Option<RelayPeer>,
    takeover: bool,
    sessions: u64,
}

impl Runner {
    pub(crate) fn new(
        shared: Arc<Shared>,
        connector: Connector,
        standing: Option<RelayPeer>,
        takeover: bool,
    ) -> Self {
        let backoff = Backoff::default();
        Self { shared, connector, backoff, network: None, standing, takeover, sessions: 0 }
    }

    /// Runs until the agent is stopped or ends for good; says why.
    pub(crate) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut stopping = shared.stopping();
        let ended = tokio::select! {
            error = self.connected_for_ever() => error,
            _ = stopping.wait_for(|stop| *stop) => AgentError::Stopped,
        };
        if ended.code() != AgentError::Stopped.code() {
            tracing::error!(code = ended.code(), error = %ended, "the agent ends");
        }
        shared.set_ended(ended);
    }

    async fn connected_for_ever(&mut self) -> AgentError {
        loop {
            let Err(error) = self.round().await;
            if error.is_final() {
                return error;
            }
            tracing::info!(code = error.code(), %error, "not connected");
            let wait = match error.is_being_asked() {
                true => ASK_AGAIN,
                false => self.backoff.next(rand::rng().random()),
            };
            self.shared.set_connecting(error);
            self.pause(wait).await;
        }
    }

    /// One attempt: tunnel, session, and its whole life.
    async fn round(&mut self) -> Result<Infallible, AgentError> {
        let relay = self.tunnel().await?;
        self.shared.replan(Some(relay.id));
        let control = self.control_through(relay);
        // Whatever goes wrong from here on, the tunnel is believed again only by those who saw it work.
        let (watch, web) = session::open(&self.shared, &control, self.takeover).await?;
        self.takeover = false;
        self.sessions += 1;
        if self.sessions > 1 {
            self.shared.counters.reconnections.add_one();
        }
        let online = Online { control, relay, session: self.sessions, web };
        self.shared.set_online(online.clone());
        self.shared.replan(None);
        let network = self.network.get_or_insert_with(|| NetworkWatch::new(relay.endpoint));
        let begun = Instant::now();
        let Lost { error, tunnel_stands, at_once } =
            session::watch(&self.shared, &mut self.connector, network, &online, watch).await;
        if at_once || begun.elapsed() > SETTLED {
            self.backoff.reset();
        }
        self.standing = tunnel_stands.then(|| self.connector.relay()).flatten();
        Err(error)
    }

    async fn tunnel(&mut self) -> Result<RelayPeer, AgentError> {
        if let Some(relay) = self.standing.take() {
            return Ok(relay);
        }
        let addresses = self.addresses().await?;
        let (cluster, known) = {
            let identity = self.shared.identity();
            (identity.cluster, identity.relay_key())
        };
        let relay = self.connector.bring_up(&addresses, cluster, known).await?;
        self.shared.remember_relay(relay);
        self.network = Some(NetworkWatch::new(relay.endpoint));
        tracing::info!(relay = %relay.endpoint, "tunnel is up");
        Ok(relay)
    }

    /// Addresses that the relay may have; those that answered before stand in for a resolver that does not.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, AgentError> {
        let (relays, known) = {
            let identity = self.shared.identity();
            let known = identity.relay.as_ref().map(|relay| relay.addresses.clone());
            (identity.relays.clone(), known.unwrap_or_default())
        };
        match resolve(&relays).await {
            Ok(mut addresses) => {
                // The address that answered last is the likeliest.
                addresses.sort_by_key(|address| known.first() != Some(address));
                Ok(addresses)
            }
            Err(_) if !known.is_empty() => Ok(known),
            Err(error) => Err(error),
        }
    }

    fn control_through(&self, relay: RelayPeer) -> ControlClient {
        let membership = &self.shared.membership;
        let network = bore_overlay::NetworkId(*membership.network.as_bytes());
        // The relay's overlay address follows its key, which its cluster has signed.
        let address = bore_overlay::overlay_v6(network, &relay.key);
        let control = SocketAddr::new(address.into(), membership.control_port);
        ControlClient::new(
            self.shared.shard.clone(),
            relay.id,
            membership.overlay_v6.into(),
            control,
        )
    }

    async fn pause(&mut self, wait: Duration) {
        let shared = &self.shared;
        let network = self
            .network
            .get_or_insert_with(|| NetworkWatch::new(likely_address(&shared.identity())));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            change = network.changed() => {
                tracing::info!(?change, "network changed, trying at once");
                self.backoff.reset();
                self.standing = None;
            }
        }
    }
}

/// Where the relay is likely to be. The way there shows when a machine that started without its network has one; nothing is sent.
fn likely_address(identity: &Identity) -> SocketAddr {
    let literal = identity.relays.iter().find_map(|relay| match relay {
        RelayAddress::Socket(address) => Some(*address),
        RelayAddress::Name { .. } => None,
    });
    let known = identity.relay.as_ref().and_then(|relay| relay.addresses.first().copied());
    known.or(literal).unwrap_or(SOMEWHERE)
}

/// An address of the Internet that no host has (RFC 5737).
const SOMEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 443);
/// The relay gives the agent of before a few seconds to answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// A session that lived this long was a good one: the next wait starts short again.
const SETTLED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::join_key;

    #[test]
    fn the_way_to_the_relay_is_watched_also_before_its_name_resolves() {
        let mut identity = Identity::new(&join_key());
        identity.relays = vec!["relay.example.org:443".parse().unwrap()];
        assert_eq!(likely_address(&identity), SOMEWHERE);
        identity.relays.push("203.0.113.5:7443".parse().unwrap());
        assert_eq!(likely_address(&identity), "203.0.113.5:7443".parse().unwrap());
    }
}
