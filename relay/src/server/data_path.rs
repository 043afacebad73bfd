//! The way of visitors: tunnels, flows, publications, public ports.

use std::sync::{Arc, Mutex};

use bore_control::Directory;
use bore_policy::Hostname;
use prometheus_client::registry::Registry;

use super::ground::Ground;
use crate::config::Config;
use crate::endpoints::Endpoints;
use crate::flows::Flows;
use crate::ingress::{Expected, Gate, Ingress, Shared};
use crate::members::Members;
use crate::metrics::IngressMetrics;
use crate::publications::{Checker, Publications, Reconciler};
use crate::tunnels::Tunnels;

/// The parts that visitors' bytes, and the facts about them, pass.
#[derive(Debug)]
pub(super) struct DataPath {
    pub(super) tunnels: Arc<Tunnels>,
    pub(super) shared: Arc<Shared>,
    pub(super) reconciler: Arc<Reconciler>,
}

impl DataPath {
    pub(super) fn start(ground: &Ground, directory: &Directory, registry: &mut Registry) -> Self {
        let Ground { config, state, keys, tls, shard, shares, .. } = ground;
        let publications = Arc::new(Publications::new(own_names(config)));
        let flows = Arc::new(Flows::within(shares.tcp_visitors));
        let shared = Arc::new(Shared {
            gate: Gate { directory: directory.clone(), flows },
            expected: Expected::default(),
            metrics: IngressMetrics::register(registry),
            addresses: config.public_addresses.clone(),
            publications: Arc::clone(&publications),
            port_sockets_max: shares.ports,
        });
        let ingress = Ingress::start(shard, Arc::clone(&shared));
        let tunnels = Arc::new(Tunnels {
            shard: shard.clone(),
            members: Arc::new(Members::new(Endpoints::load(state.path()))),
            relay_key: keys.relay.public(),
        });
        let checker = Checker::new(
            directory.clone(),
            Arc::clone(&tunnels),
            ingress.clone(),
            Arc::clone(&publications),
        );
        let reconciler = Arc::new(Reconciler {
            tunnels: Arc::clone(&tunnels),
            shared: Arc::clone(&shared),
            ingress,
            checker: Arc::new(checker),
            certificates: Arc::clone(tls.certificates()),
            opening: Mutex::default(),
        });
        Self { tunnels, shared, reconciler }
    }

    pub(super) fn publications(&self) -> &Arc<Publications> {
        &self.shared.publications
    }
}

/// Names that are nobody's.
fn own_names(config: &Config) -> Vec<Hostname> {
    let names = std::iter::once(&config.host).chain(&config.domain);
    names.filter_map(|name| Hostname::parse(name).ok()).collect()
}
