//! Nodes, as administrators see them.

use std::net::Ipv6Addr;

use bore_api::Code;
use bore_api::model::{Actor, Node, NodeKind};
use bore_api::wire::{NewWireguardNode, NodeView};
use uuid::Uuid;

use super::{below_quota, label};
use crate::clock;
use crate::control::{ChangeKind, Control};
use crate::limits::GROUPS_NAMED_MAX;
use crate::memory::Member;
use crate::refusal::Refusal;
use crate::store::{ANOTHER_NETWORK, JoinError, NewNode, StoreError};

impl Control {
    /// Adds a stock WireGuard client.
    ///
    /// # Errors
    /// B2101, B2102, B2109, B2112 for what is no public key, B3109, B3110, B3205 for unknown groups, or the store's.
    pub async fn add_wireguard_node(
        &self,
        network: Uuid,
        wanted: &NewWireguardNode,
        by: &Actor,
    ) -> Result<NodeView, Refusal> {
        let name = label(&wanted.name)?.to_string();
        let overlay_v6 = self.node_address(network, &wanted.public_key).ok_or_else(no_node_key)?;
        let _turn = self.turn(network).await?;
        self.check_new_node(network, &name)?;
        if !self.admits_new_node(network, None) {
            return Err(JoinError::TooManyNew.into());
        }
        self.check_groups(network, &wanted.groups)?;
        let node = NewNode {
            network,
            id: Uuid::now_v7(),
            name,
            kind: NodeKind::Wireguard,
            public_key: wanted.public_key.clone(),
            overlay_v6,
            groups: wanted.groups.clone(),
            addresses_max: self.quotas().addresses_per_network,
            at: clock::now(),
        };
        let node = self.store().nodes().add(&node, by).await.map_err(unless_elsewhere)?;

        self.charge_new_node(network, None);
        self.enter_node(node.clone());
        self.runtime().admit(&node).await;
        Ok(self.node_view(node))
    }

    /// Renames a node.
    ///
    /// # Errors
    /// B2101, B2102, B3205, or the store's.
    pub async fn rename_node(
        &self,
        network: Uuid,
        wanted: &str,
        name: &str,
        by: &Actor,
    ) -> Result<NodeView, Refusal> {
        let name = label(name)?;
        let _turn = self.turn(network).await?;
        let id = self.member(network, wanted)?.node.id;
        let node =
            self.store().nodes().rename(network, id, name.as_str(), by, clock::now()).await?;

        if let Some(member) = Member::new(node.clone()) {
            self.write().put_node(member);
        }
        self.announce(Some(network), ChangeKind::Nodes, Some(id));
        Ok(self.node_view(node))
    }

    /// Removes a node and its publications.
    ///
    /// # Errors
    /// B3205, or the store's.
    pub async fn delete_node(
        &self,
        network: Uuid,
        wanted: &str,
        by: &Actor,
    ) -> Result<(), Refusal> {
        let _turn = self.turn(network).await?;
        let id = self.member(network, wanted)?.node.id;
        self.store().nodes().delete(network, id, by, clock::now()).await?;

        let served = self.write().remove_node(id);
        self.sessions().remove(id);
        self.announce(Some(network), ChangeKind::Nodes, Some(id));
        for each in served {
            self.runtime().release(each.publication.id).await;
            self.announce(Some(network), ChangeKind::Publications, Some(each.publication.id));
        }
        Ok(())
    }

    /// Nodes of a network, by name.
    ///
    /// # Errors
    /// B3205 when there is no such network.
    pub fn nodes(&self, network: Uuid) -> Result<Vec<Node>, Refusal> {
        let memory = self.read();
        let tenant = memory
            .tenant(network)
            .ok_or_else(|| Refusal::not_here("network", &network.to_string()))?;
        Ok(tenant
            .nodes
            .values()
            .filter_map(|id| memory.member(*id))
            .map(|member| member.node.clone())
            .collect())
    }

    pub(crate) fn node_view(&self, node: Node) -> NodeView {
        let mut state = self.runtime().node_state(node.id);
        state.version = state.version.or_else(|| self.agent_version(node.id));
        let named_by = self.rules_naming(node.network, &node.name);
        NodeView { node, state, named_by }
    }

    /// The publish rules that speak of a node's name.
    fn rules_naming(&self, network: Uuid, name: &str) -> Vec<String> {
        let Some(rules) = self.policy(network) else { return Vec::new() };
        let named = rules.named_nodes.get(name);
        named.into_iter().flatten().map(ToString::to_string).collect()
    }

    /// The overlay address of a node with this key; `None` for what is no key of a node, the relay's own included.
    pub(super) fn node_address(&self, network: Uuid, public_key: &str) -> Option<Ipv6Addr> {
        if public_key == self.runtime().relay_info().public_key {
            return None;
        }
        self.runtime().overlay_v6(network, public_key)
    }

    fn check_new_node(&self, network: Uuid, name: &str) -> Result<(), Refusal> {
        let memory = self.read();
        let tenant = memory
            .tenant(network)
            .ok_or_else(|| Refusal::not_here("network", &network.to_string()))?;
        below_quota("nodes in a network", tenant.nodes.len(), self.quotas().nodes_per_network)?;
        if tenant.nodes.contains_key(name) {
            return Err(Refusal::new(
                Code::NAME_TAKEN,
                format!("there is a node `{name}` already"),
            ));
        }
        Ok(())
    }

    /// Groups that a node or a key names must exist.
    pub(super) fn check_groups(&self, network: Uuid, groups: &[String]) -> Result<(), Refusal> {
        if groups.len() > GROUPS_NAMED_MAX {
            return Err(Refusal::quota("groups named at once", GROUPS_NAMED_MAX));
        }
        let memory = self.read();
        let known = memory.tenant(network).map(|tenant| &tenant.groups);
        let unknown =
            groups.iter().find(|group| !known.is_some_and(|known| known.contains_key(*group)));
        unknown.map_or(Ok(()), |group| Err(Refusal::not_here("group", group)))
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
