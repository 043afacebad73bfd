//! How often strangers may be refused: by public key, by source and by join key, all decided before the database is asked. And how many new nodes
//! a join key and a network may make, so that nobody empties the pool of overlay addresses.
//!
//! Only refusals are charged, so that a fleet that joins from one address is not held up. A join key is charged once it opens nothing for
//! anyone: otherwise one holder of a key could lock out the others.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bore_api::Code;
use bore_rate::Rate;
use uuid::Uuid;

use super::nodes::Nodes;
use crate::limits::{
    GARDEN_CALLERS_MAX, JOIN_REFUSALS_OF_KEY, JOIN_REFUSALS_OF_PUBLIC_KEY, JOIN_REFUSALS_OF_SOURCE,
    NEW_NODES_NETWORKS_MAX, Quotas,
};
use crate::rate::{Rates, source_prefix};
use crate::refusal::Refusal;
use crate::store::{JoinError, JoinRequest};

/// The tables.
#[derive(Debug)]
pub(crate) struct JoinRates {
    public_keys: Rates<String>,
    sources: Rates<IpAddr>,
    keys: Rates<Uuid>,
    new_nodes_of_keys: Rates<Uuid>,
    new_nodes_of_networks: Rates<Uuid>,
}

impl JoinRates {
    pub(crate) fn new(quotas: &Quotas) -> Self {
        let (burst, per_hour) = (quotas.new_nodes_burst, quotas.new_nodes_per_hour);
        let hourly = |times: u32| {
            let rate = Rate::new(per_hour.saturating_mul(times), HOUR);
            rate.with_burst(burst.saturating_mul(times))
        };
        let (of_key, of_network) = (hourly(1), hourly(2));
        Self {
            public_keys: Rates::new(JOIN_REFUSALS_OF_PUBLIC_KEY, GARDEN_CALLERS_MAX),
            sources: Rates::new(JOIN_REFUSALS_OF_SOURCE, GARDEN_CALLERS_MAX),
            keys: Rates::new(JOIN_REFUSALS_OF_KEY, GARDEN_CALLERS_MAX),
            new_nodes_of_keys: Rates::new(of_key, GARDEN_CALLERS_MAX),
            new_nodes_of_networks: Rates::new(of_network, NEW_NODES_NETWORKS_MAX),
        }
    }

    fn admits(&self, request: &JoinRequest, source: IpAddr, now: Instant) -> bool {
        self.public_keys.has_token(&request.public_key, now)
            && self.sources.has_token(&source_prefix(source), now)
            && self.keys.has_token(&request.key, now)
    }

    fn charge(&self, request: &JoinRequest, source: IpAddr, error: &JoinError, now: Instant) {
        if matches!(error, JoinError::Store(_)) {
            return;
        }
        self.public_keys.charge(&request.public_key, now);
        // A joiner that proved the secret and finds no room is no guesser, and its address may be that of many.
        if !error.is_for_want_of_room() {
            self.sources.charge(&source_prefix(source), now);
        }
        if error.is_of_dead_key() {
            self.keys.charge(&request.key, now);
        }
    }
}

impl Nodes {
    /// Refuses a stranger of whose kind too many were refused lately.
    pub(super) fn check_join_rates(
        &self,
        request: &JoinRequest,
        source: IpAddr,
    ) -> Result<(), Refusal> {
        if self.rates.admits(request, source, Instant::now()) {
            return Ok(());
        }
        self.core.counters.joins_limited.increment();
        let detail =
            "too many joins with this join key, from this machine or from its address were refused";
        Err(Refusal::new(Code::QUOTA, detail).next("try again in a minute, with a key that holds"))
    }

    /// Returns true if a key, where the node comes with one, and its network may make another node now.
    pub(super) fn admits_new_node(&self, network: Uuid, key: Option<Uuid>) -> bool {
        let (rates, now) = (&self.rates, Instant::now());
        let admits = key.is_none_or(|key| rates.new_nodes_of_keys.has_token(&key, now))
            && rates.new_nodes_of_networks.has_token(&network, now);
        if !admits {
            self.core.counters.new_nodes_limited.increment();
        }
        admits
    }

    /// Counts a node that was made.
    pub(super) fn charge_new_node(&self, network: Uuid, key: Option<Uuid>) {
        let (rates, now) = (&self.rates, Instant::now());
        if let Some(key) = key {
            rates.new_nodes_of_keys.charge(&key, now);
        }
        rates.new_nodes_of_networks.charge(&network, now);
    }

    /// Counts a refused stranger.
    pub(super) fn charge_join(&self, request: &JoinRequest, source: IpAddr, error: &JoinError) {
        self.core.counters.joins_refused.increment();
        self.rates.charge(request, source, error, Instant::now());
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
