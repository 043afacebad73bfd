//! What goes by itself: session publications of nodes that are long away, ephemeral nodes, old audit rows, and what has rested.
//!
//! Absence is counted from when this process first saw it, so that a relay that was down itself takes nothing away.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bore_api::model::{Actor, Lifetime, Micros, Node};
use uuid::Uuid;

use super::steady_clock::SteadyClock;
use crate::control::Control;
use crate::limits::{AWAY_MAX, EPHEMERAL_AWAY_MAX};

/// Since when nodes are away, and whether the clock is steady; the caller keeps it between two calls of [`Control::housekeep`].
#[derive(Debug, Default)]
pub struct Absences {
    since: HashMap<Uuid, Micros>,
    clock: SteadyClock,
}

impl Control {
    /// Removes what outlived its node's absence. Called every minute or so; a failure is logged and tried again the next time.
    pub async fn housekeep(&self, absences: &mut Absences) {
        self.nodes().write_due_join_refusals().await;
        let now = self.core().now();
        if absences.clock.is_steady(Instant::now(), now) {
            self.audit().trim().await;
            self.end_rests(now).await;
        }
        let nodes = self.directory().nodes();
        let away = absences.update(&nodes, now, |node| self.doors().tunnels.state(node.id).online);
        for (node, since) in away {
            let away_for = Duration::from_micros(u64::try_from(now - since).unwrap_or(0));
            if node.ephemeral && away_for >= EPHEMERAL_AWAY_MAX {
                self.remove_absent_node(&node).await;
            } else if away_for >= AWAY_MAX {
                self.remove_session_publications(&node).await;
            }
        }
    }

    /// Makes names and addresses free again that have rested.
    async fn end_rests(&self, now: Micros) {
        match self.core().store.end_rests(now).await {
            Ok(0) => {}
            Ok(rested) => tracing::debug!(rested, "names and addresses have rested"),
            Err(error) => {
                tracing::warn!(%error, "names and addresses that have rested could not be made free")
            }
        }
    }

    async fn remove_absent_node(&self, node: &Node) {
        match self.nodes().delete(node.network, &node.id.to_string(), &Actor::System).await {
            Ok(()) => tracing::info!(node = %node.id, "ephemeral node removed"),
            Err(error) => {
                tracing::warn!(node = %node.id, %error, "ephemeral node could not be removed")
            }
        }
    }

    async fn remove_session_publications(&self, node: &Node) {
        let served = self.directory().read().served_by(node.network, node.id);
        for each in served.iter().filter(|each| each.publication.lifetime == Lifetime::Session) {
            let id = each.publication.id;
            match self
                .publications()
                .delete(node.network, Some(node.id), &id.to_string(), &Actor::System)
                .await
            {
                Ok(()) => {
                    tracing::info!(publication = %id, "session publication of an absent agent removed")
                }
                Err(error) => {
                    tracing::warn!(publication = %id, %error, "session publication could not be removed")
                }
            }
        }
    }
}

impl Absences {
    /// Notes who is away and who came back; gives those who are away, with the time since when.
    fn update(
        &mut self,
        nodes: &[Node],
        now: Micros,
        is_online: impl Fn(&Node) -> bool,
    ) -> Vec<(Node, Micros)> {
        let absent = nodes.iter().filter(|node| !is_online(node));
        let away: Vec<(Node, Micros)> = absent
            .map(|node| (node.clone(), self.since.get(&node.id).copied().unwrap_or(now)))
            .collect();
        self.since = away.iter().map(|(node, since)| (node.id, *since)).collect();
        away
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bore_api::model::NodeKind;

    #[test]
    fn absence_counts_from_when_it_was_seen_and_ends_with_a_return() {
        let (mut absences, node) = (Absences::default(), node());
        let nodes = [node];
        let since = |away: Vec<(Node, Micros)>| away.first().map(|(_, since)| *since);

        assert_eq!(since(absences.update(&nodes, 10, |_| false)), Some(10));
        assert_eq!(since(absences.update(&nodes, 20, |_| false)), Some(10));
        assert_eq!(since(absences.update(&nodes, 30, |_| true)), None);
        assert_eq!(since(absences.update(&nodes, 40, |_| false)), Some(40));
    }

    fn node() -> Node {
        Node {
            id: Uuid::from_u128(1),
            network: Uuid::from_u128(2),
            name: "nas".to_owned(),
            kind: NodeKind::Agent,
            public_key: String::new(),
            overlay_v4: std::net::Ipv4Addr::UNSPECIFIED,
            overlay_v6: std::net::Ipv6Addr::UNSPECIFIED,
            groups: Vec::new(),
            ephemeral: true,
            join_key: None,
            created_at: 0,
        }
    }
}
