//! Networks: the tenants.

use bore_api::Code;
use bore_api::model::{Actor, Network};
use bore_api::wire::NetworkView;
use uuid::Uuid;

use super::{below_quota, label};
use crate::core::Core;
use crate::refusal::Refusal;
use crate::store::StoreError;

/// Networks: added, removed.
#[derive(Debug)]
pub struct Networks {
    core: Core,
}

impl Networks {
    /// The service over `core`.
    pub fn new(core: Core) -> Self {
        Self { core }
    }

    /// A network with the relay's addresses in it.
    pub(crate) fn view(&self, network: Network) -> NetworkView {
        let identity = &self.core.identity;
        let (relay_v4, relay_v6) = (identity.overlay.relay_v4(), identity.relay_v6(network.id));
        NetworkView { network, relay_v4, relay_v6 }
    }

    /// Adds a network.
    ///
    /// # Errors
    /// B2101, B2102, B2109, or the store's.
    pub async fn create(&self, name: &str, by: &Actor) -> Result<Network, Refusal> {
        let name = label(name)?.to_string();
        let _turn = self.core.cluster_turn().await?;
        self.check_new_network(&name)?;
        let network = Network { id: Uuid::now_v7(), name, created_at: self.core.now() };
        self.core.store.networks().create(&network, by).await?;
        Ok(network)
    }

    /// Removes a network that has no nodes.
    ///
    /// # Errors
    /// B3205 when there is none, B2112 while it has nodes, or the store's.
    pub async fn delete(&self, id: Uuid, by: &Actor) -> Result<(), Refusal> {
        let _cluster = self.core.cluster_turn().await?;
        let _turn = self.core.directory.turn(id).await?;
        self.core.store.networks().delete(id, by, self.core.now()).await.map_err(not_empty)
    }

    fn check_new_network(&self, name: &str) -> Result<(), Refusal> {
        let memory = self.core.directory.read();
        below_quota("networks", memory.tenants().count(), self.core.quotas().networks)?;
        match memory.find_tenant(name) {
            Some(_) => {
                Err(Refusal::new(Code::NAME_TAKEN, format!("there is a network `{name}` already")))
            }
            None => Ok(()),
        }
    }
}

fn not_empty(error: StoreError) -> Refusal {
    if let StoreError::Conflict(why) = &error {
        return Refusal::new(Code::BAD_REQUEST, why)
            .status(http::StatusCode::CONFLICT)
            .next("remove the network's nodes first");
    }
    error.into()
}
