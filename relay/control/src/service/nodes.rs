//! Nodes, as administrators see them.

use bore_api::Code;
use bore_api::model::{Actor, Node, NodeKind};
use bore_api::wire::{NewWireguardNode, NodeView};
use uuid::Uuid;

use super::join_rates::JoinRates;
use super::join_refusals::JoinRefusalBook;
use super::{below_quota, check_groups, label};
use crate::core::Core;
use crate::doors::Doors;
use crate::refusal::Refusal;
use crate::store::{ANOTHER_NETWORK, JoinError, NewNode, StoreError};

/// Nodes: added, joined, renamed, removed.
#[derive(Debug)]
pub struct Nodes {
    pub(super) core: Core,
    pub(super) doors: Doors,
    pub(super) rates: JoinRates,
    pub(super) refusals: JoinRefusalBook,
}

impl Nodes {
    pub(crate) fn new(core: Core, doors: Doors) -> Self {
        let rates = JoinRates::new(core.quotas());
        Self { core, doors, rates, refusals: JoinRefusalBook::default() }
    }

    /// Adds a stock WireGuard client.
    ///
    /// # Errors
    /// B2101, B2102, B2109, B2112 for what is no public key, B3109, B3110, B3205 for unknown groups, or the store's.
    pub async fn add_wireguard(
        &self,
        network: Uuid,
        wanted: &NewWireguardNode,
        by: &Actor,
    ) -> Result<NodeView, Refusal> {
        let name = label(&wanted.name)?.to_string();
        let overlay_v6 =
            self.core.identity.node_address(network, &wanted.public_key).ok_or_else(no_node_key)?;
        let _turn = self.core.directory.turn(network).await?;
        self.check_new_node(network, &name)?;
        if !self.admits_new_node(network, None) {
            return Err(JoinError::TooManyNew.into());
        }
        check_groups(&self.core.directory, network, &wanted.groups)?;
        let node = NewNode {
            network,
            id: Uuid::now_v7(),
            name,
            kind: NodeKind::Wireguard,
            public_key: wanted.public_key.clone(),
            overlay_v6,
            groups: wanted.groups.clone(),
            addresses_max: self.core.quotas().addresses_per_network,
            at: self.core.now(),
        };
        let node = self.core.store.nodes().add(&node, by).await.map_err(unless_elsewhere)?;

        self.charge_new_node(network, None);
        self.doors.tunnels.admit(&node).await;
        Ok(self.view(node))
    }

    /// Renames a node.
    ///
    /// # Errors
    /// B2101, B2102, B3205, or the store's.
    pub async fn rename(
        &self,
        network: Uuid,
        wanted: &str,
        name: &str,
        by: &Actor,
    ) -> Result<NodeView, Refusal> {
        let name = label(name)?;
        let _turn = self.core.directory.turn(network).await?;
        let id = self.core.directory.member(network, wanted)?.node.id;
        let node =
            self.core.store.nodes().rename(network, id, name.as_str(), by, self.core.now()).await?;
        Ok(self.view(node))
    }

    /// Removes a node and its publications.
    ///
    /// # Errors
    /// B3205, or the store's.
    pub async fn delete(&self, network: Uuid, wanted: &str, by: &Actor) -> Result<(), Refusal> {
        let _turn = self.core.directory.turn(network).await?;
        let id = self.core.directory.member(network, wanted)?.node.id;
        let served = self.core.directory.read().served_by(network, id);
        self.core.store.nodes().delete(network, id, by, self.core.now()).await?;

        for each in served {
            self.doors.ports.release(each.publication.id).await;
        }
        Ok(())
    }

    /// Nodes of a network, by name.
    ///
    /// # Errors
    /// B3205 when there is no such network.
    pub fn list(&self, network: Uuid) -> Result<Vec<Node>, Refusal> {
        let memory = self.core.directory.read();
        let tenant = memory.wanted_tenant(network)?;
        Ok(tenant
            .nodes
            .values()
            .filter_map(|id| memory.member(*id))
            .map(|member| member.node.clone())
            .collect())
    }

    pub(crate) fn view(&self, node: Node) -> NodeView {
        let mut state = self.doors.tunnels.state(node.id);
        state.version = state.version.or_else(|| self.core.directory.agent_version(node.id));
        let named_by = self.rules_naming(node.network, &node.name);
        NodeView { node, state, named_by }
    }

    /// The publish rules that speak of a node's name.
    fn rules_naming(&self, network: Uuid, name: &str) -> Vec<String> {
        let Some(rules) = self.core.directory.policy(network) else { return Vec::new() };
        let named = rules.named_nodes.get(name);
        named.into_iter().flatten().map(ToString::to_string).collect()
    }

    fn check_new_node(&self, network: Uuid, name: &str) -> Result<(), Refusal> {
        let memory = self.core.directory.read();
        let tenant = memory.wanted_tenant(network)?;
        below_quota(
            "nodes in a network",
            tenant.nodes.len(),
            self.core.quotas().nodes_per_network,
        )?;
        if tenant.nodes.contains_key(name) {
            return Err(Refusal::new(
                Code::NAME_TAKEN,
                format!("there is a node `{name}` already"),
            ));
        }
        Ok(())
    }
}

/// One answer for what is no key, the relay's key, and a key that is a node's of another network: that there is such a node is that network's to know.
fn no_node_key() -> Refusal {
    let detail = "`public_key` is not an X25519 key in base64 that a new node here can have";
    Refusal::new(Code::BAD_REQUEST, detail)
        .next("give a key that was made for this node, with wg genkey | tee private | wg pubkey")
}

fn unless_elsewhere(error: StoreError) -> Refusal {
    let is_elsewhere = matches!(&error, StoreError::Taken { what: "public key", holder, .. } if holder == ANOTHER_NETWORK);
    if is_elsewhere { no_node_key() } else { error.into() }
}
