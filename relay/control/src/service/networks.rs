//! Networks: the tenants.

use bore_api::Code;
use bore_api::model::{Actor, Network};
use uuid::Uuid;

use super::{below_quota, label};
use crate::clock;
use crate::control::{ChangeKind, Control};
use crate::refusal::Refusal;
use crate::store::StoreError;

impl Control {
    /// Adds a network.
    ///
    /// # Errors
    /// B2101, B2102, B2109, or the store's.
    pub async fn create_network(&self, name: &str, by: &Actor) -> Result<Network, Refusal> {
        let name = label(name)?.to_string();
        let _turn = self.cluster_turn().await?;
        self.check_new_network(&name)?;
        let network = Network { id: Uuid::now_v7(), name, created_at: clock::now() };
        self.store().networks().create(&network, by).await?;

        self.write().put_network(network.clone());
        self.announce(Some(network.id), ChangeKind::Networks, Some(network.id));
        Ok(network)
    }

    /// Removes a network that has no nodes.
    ///
    /// # Errors
    /// B3205 when there is none, B2112 while it has nodes, or the store's.
    pub async fn delete_network(&self, id: Uuid, by: &Actor) -> Result<(), Refusal> {
        let _cluster = self.cluster_turn().await?;
        let _turn = self.turn(id).await?;
        self.store().networks().delete(id, by, clock::now()).await.map_err(not_empty)?;

        self.write().remove_network(id);
        self.announce(Some(id), ChangeKind::Networks, Some(id));
        Ok(())
    }

    fn check_new_network(&self, name: &str) -> Result<(), Refusal> {
        let memory = self.read();
        below_quota("networks", memory.tenants().count(), self.quotas().networks)?;
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
