//! The doors between the control room and the parts of the relay.

use std::sync::Arc;

use bore_control::doors::Doors;
use prometheus_client::registry::Registry;

use super::data_path::DataPath;
use super::ground::Ground;
use super::start_error::StartError;
use crate::acme::{Issuer, WantedNames};
use crate::dns::TxtRecords;
use crate::domains::Domains;
use crate::facts::Facts;
use crate::issuing;
use crate::naming::Naming;
use crate::public_address::PublicAddresses;
use crate::publications::Visits;

/// What answers for the names of a relay.
pub(super) struct Names {
    pub(super) domains: Arc<Domains>,
    pub(super) issuer: Arc<Issuer>,
    pub(super) wanted: WantedNames,
}

impl Names {
    /// Begins to keep domains and certificates, with TXT records where `txt` puts them.
    pub(super) async fn keep(
        ground: &Ground,
        path: &DataPath,
        txt: Option<&Arc<dyn TxtRecords>>,
        registry: &mut Registry,
    ) -> Result<Self, StartError> {
        let Ground { config, store, sealer, tls, keys, .. } = ground;
        let issuer = issuing::issuer(
            issuing::IssuerConfig {
                config,
                store: Arc::clone(store),
                sealer: Arc::clone(sealer),
                holder: keys.relay.public().to_string(),
                certificates: Arc::clone(tls.certificates()),
                challenges: Arc::clone(tls.challenges()),
                txt: txt.cloned(),
            },
            registry,
        );
        let (host, addresses) = (&config.host, &config.public_addresses);
        Ok(Self {
            domains: Arc::new(Domains::new(host, addresses, Arc::clone(path.publications()))),
            issuer: issuer.await?,
            wanted: issuing::names(config, txt.is_some()),
        })
    }
}

/// The doors of this relay.
pub(super) fn doors(ground: &Ground, path: &DataPath, names: &Names) -> Doors {
    let certificates = ground.tls.certificates();
    let gate = path.shared.gate.clone();
    let addresses = Arc::new(PublicAddresses {
        host: ground.config.host.clone(),
        ports: ground.public_ports(),
        certificates: Arc::clone(certificates),
    });
    Doors {
        naming: Arc::new(Naming {
            directory: gate.directory.clone(),
            domains: Arc::clone(&names.domains),
            issuer: Arc::clone(&names.issuer),
        }),
        visits: Arc::new(Visits {
            reconciler: Arc::clone(&path.reconciler),
            addresses: Arc::clone(&addresses),
        }),
        facts: Arc::new(Facts {
            publications: Arc::clone(path.publications()),
            gate,
            addresses,
            certificates: Arc::clone(certificates),
            issuer: Arc::clone(&names.issuer),
            wanted: names.wanted.clone(),
        }),
        ports: Arc::clone(&path.reconciler) as _,
        tunnels: Arc::clone(&path.tunnels) as _,
    }
}
