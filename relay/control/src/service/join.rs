//! Joining: a stranger with a join key becomes a node.
//!
//! Invariant: whoever does not prove the secret hears B3103 and nothing else, whatever else is wrong; the store takes the same time for it.
//! That is why nothing is checked before the store has compared the secret, and why a wanted name is made fit instead of refused.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use bore_api::Code;
use bore_api::model::{Actor, Node, parse_id};
use bore_api::wire::{JoinSecret, Joined, SelfView};
use bore_policy::Label;
use bore_policy::limits::LABEL_BYTES_MAX;
use uuid::Uuid;

use super::nodes::Nodes;
use crate::event::{Change, Event};
use crate::refusal::Refusal;
use crate::store::{JoinError, JoinRequest, StoreError};
use crate::token::join_secret_hash;

/// What a joiner says.
#[derive(Debug)]
pub(crate) struct JoinForm {
    pub(crate) key: Uuid,
    pub(crate) secret: JoinSecret,
    pub(crate) network: Uuid,
    pub(crate) name: String,
    /// Wanted by the joiner; a key can ask for it too.
    pub(crate) ephemeral: bool,
    /// The key that the caller's tunnel proved.
    pub(crate) public_key: String,
    /// Where its datagrams come from.
    pub(crate) source: IpAddr,
}

impl Nodes {
    pub(crate) async fn join(&self, form: JoinForm) -> Result<Joined, Refusal> {
        let invalid = || Refusal::new(Code::JOIN_KEY_INVALID, "the join key is not valid");
        let request = JoinRequest {
            network: form.network,
            key: form.key,
            secret_hash: join_secret_hash(&form.secret),
            overlay_v6: self
                .core
                .identity
                .node_address(form.network, &form.public_key)
                .ok_or_else(invalid)?,
            public_key: form.public_key,
            name: fit_name(&form.name),
            names_reserved: BTreeSet::new(),
            ephemeral: form.ephemeral,
            nodes_max: self.core.quotas().nodes_per_network,
            addresses_max: self.core.quotas().addresses_per_network,
            node: Uuid::now_v7(),
            at: self.core.now(),
        };
        self.check_join_rates(&request, form.source)?;
        let node = match self.let_in(&request).await {
            Ok(node) => node,
            Err(error) => {
                self.charge_join(&request, form.source, &error);
                self.note_join_refusal(&request, &error).await;
                return Err(error.into());
            }
        };
        tracing::info!(node = %node.id, network = %node.network, "node joined");
        self.joined(node)
    }

    /// A stranger that is refused never gets the turn of a network.
    async fn let_in(&self, request: &JoinRequest) -> Result<Node, JoinError> {
        let is_new = self.core.store.nodes().may_join(request).await?;
        let _turn = match self.core.directory.turn(request.network).await {
            Ok(turn) => Some(turn),
            Err(refusal) if refusal.code == Code::STORE_UNAVAILABLE => {
                return Err(JoinError::Store(StoreError::Locked));
            }
            // A network that was removed meanwhile has no turn, and the store refuses.
            Err(_) => None,
        };
        // In the turn, so that those who come at once are counted one by one.
        if is_new && !self.admits_new_node(request.network, Some(request.key)) {
            return Err(JoinError::TooManyNew);
        }
        let names_reserved = self.names_in_rules(request.network);
        let node = self
            .core
            .store
            .nodes()
            .join(&JoinRequest { names_reserved, ..request.clone() })
            .await?;

        if node.id == request.node {
            self.charge_new_node(request.network, Some(request.key));
        }
        self.know_joined(&node, request);
        self.doors.tunnels.admit(&node).await;
        Ok(node)
    }

    /// A join that is repeated changes nothing in the store and makes no event: a directory that missed the first one, another relay's, hears of it now.
    fn know_joined(&self, node: &Node, request: &JoinRequest) {
        if self.core.directory.node(node.id).is_none() {
            self.core.directory.follow(&Arc::new(Event {
                at: request.at,
                network: Some(node.network),
                actor: Actor::JoinKey(request.key),
                subject: Change::came(node.clone()).into(),
            }));
        }
    }

    /// A joiner chooses its name, so that a name that counts in a rule is an administrator's to give: by adding or renaming a node.
    fn names_in_rules(&self, network: Uuid) -> BTreeSet<String> {
        let rules = self.core.directory.policy(network);
        rules.map(|rules| rules.named_nodes.keys().cloned().collect()).unwrap_or_default()
    }

    fn joined(&self, node: Node) -> Result<Joined, Refusal> {
        let identity = &self.core.identity;
        let network = self.core.directory.network(node.network)?;
        Ok(Joined {
            relay: self.core.relay_info(),
            relay_v4: identity.overlay.relay_v4(),
            relay_v6: identity.relay_v6(network.id),
            control_port: identity.overlay.control_port(),
            network,
            node,
        })
    }

    /// What a node is to its relay.
    pub(crate) fn self_view(&self, node: Node) -> Result<SelfView, Refusal> {
        let network = self.core.directory.network(node.network)?;
        Ok(SelfView { node, network, relay: self.core.relay_info() })
    }
}

/// The nearest label to what a machine calls itself.
fn fit_name(wanted: &str) -> String {
    let fit = |character: char| {
        if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' }
    };
    // Leaves room for the suffix that the store gives to a name that is taken.
    let name: String = wanted.chars().take(LABEL_BYTES_MAX - 8).map(fit).collect();
    match Label::parse(name.trim_matches('-')) {
        // Another node may have had, or have, that id.
        Ok(label) if parse_id(label.as_str()).is_none() => label.to_string(),
        Ok(_) | Err(_) => "node".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_machine_is_called_becomes_a_label() {
        for (wanted, name) in [
            ("laptop", "laptop"),
            ("Bob's MacBook.local", "bob-s-macbook-local"),
            ("", "node"),
            ("---", "node"),
            ("0190B1A2-3C4D-7E5F-8A6B-7C8D9E0F1A2B", "node"),
            ("\r\n\u{1b}[31m", "31m"),
            ("日本", "node"),
        ] {
            assert_eq!(fit_name(wanted), name, "{wanted:?}");
        }
        assert_eq!(fit_name(&"x".repeat(70_000)).len(), LABEL_BYTES_MAX - 8);
    }
}
