//! Groups: named sets of nodes.

use std::collections::BTreeSet;
use std::sync::Arc;

use bore_api::Code;
use bore_api::model::{Actor, Group};
use bore_api::wire::NewGroup;
use uuid::Uuid;

use super::policies::broken;
use super::{below_quota, label};
use crate::core::Core;
use crate::event::Change;
use crate::limits::GROUP_NODES_MAX;
use crate::memory::CompiledNetwork;
use crate::refusal::Refusal;

/// Groups: added, filled, removed.
#[derive(Debug)]
pub struct Groups {
    core: Core,
}

impl Groups {
    pub(crate) fn new(core: Core) -> Self {
        Self { core }
    }

    /// Adds a group.
    ///
    /// # Errors
    /// B2101, B2102, B2109, B3205 for unknown nodes, or the store's.
    pub async fn create(
        &self,
        network: Uuid,
        wanted: &NewGroup,
        by: &Actor,
    ) -> Result<Group, Refusal> {
        let name = label(&wanted.name)?.to_string();
        let _turn = self.core.directory.turn(network).await?;
        self.check_new_group(network, &name)?;
        let nodes = self.named_nodes(network, &wanted.nodes)?;
        let group = Group { id: Uuid::now_v7(), network, name, nodes, created_at: self.core.now() };
        self.check_compiles(&Change::came(group.clone()))?;
        self.core.store.groups().create(&group, by).await?;
        Ok(group)
    }

    /// Replaces the nodes of a group.
    ///
    /// # Errors
    /// B3205 for an unknown group or node, or the store's.
    pub async fn set_nodes(
        &self,
        network: Uuid,
        wanted: &str,
        nodes: &[String],
        by: &Actor,
    ) -> Result<Group, Refusal> {
        let _turn = self.core.directory.turn(network).await?;
        let group = self.find(network, wanted)?;
        let nodes = self.named_nodes(network, nodes)?;
        let filled = Group { nodes: nodes.clone(), ..group.clone() };
        self.check_compiles(&Change::became(Some(group), filled.clone()))?;
        let now = self.core.now();
        Ok(self.core.store.groups().set_nodes(network, filled.id, &nodes, by, now).await?)
    }

    /// Removes a group that no policy and no publication names.
    ///
    /// # Errors
    /// B3205, B4102 naming what still needs it, or the store's.
    pub async fn delete(&self, network: Uuid, wanted: &str, by: &Actor) -> Result<(), Refusal> {
        let _turn = self.core.directory.turn(network).await?;
        let group = self.find(network, wanted)?;
        self.check_unused(&group)?;
        Ok(self.core.store.groups().delete(network, group.id, by, self.core.now()).await?)
    }

    /// Groups of a network, by name.
    ///
    /// # Errors
    /// B3205 when there is no such network.
    pub fn list(&self, network: Uuid) -> Result<Vec<Group>, Refusal> {
        let memory = self.core.directory.read();
        let tenant = memory.wanted_tenant(network)?;
        Ok(tenant.groups.values().cloned().collect())
    }

    /// A group by name or id.
    pub(crate) fn find(&self, network: Uuid, wanted: &str) -> Result<Group, Refusal> {
        let id = Uuid::try_parse(wanted).ok();
        let found = self
            .list(network)?
            .into_iter()
            .find(|group| group.name == wanted || Some(group.id) == id);
        found.ok_or_else(|| Refusal::not_here("group", wanted))
    }

    fn check_new_group(&self, network: Uuid, name: &str) -> Result<(), Refusal> {
        let groups = self.list(network)?;
        below_quota("groups in a network", groups.len(), self.core.quotas().groups_per_network)?;
        match groups.iter().find(|group| group.name == name) {
            Some(_) => {
                Err(Refusal::new(Code::NAME_TAKEN, format!("there is a group `{name}` already")))
            }
            None => Ok(()),
        }
    }

    /// Ids of nodes given by name or id, each once.
    fn named_nodes(&self, network: Uuid, wanted: &[String]) -> Result<Vec<Uuid>, Refusal> {
        if wanted.len() > GROUP_NODES_MAX {
            return Err(Refusal::quota("nodes in a group", GROUP_NODES_MAX));
        }
        let ids: Result<BTreeSet<Uuid>, Refusal> = wanted
            .iter()
            .map(|node| Ok(self.core.directory.member(network, node)?.node.id))
            .collect();
        Ok(ids?.into_iter().collect())
    }

    /// The rules as they will be after a change of a group.
    fn check_compiles(&self, change: &Change<Group>) -> Result<Arc<CompiledNetwork>, Refusal> {
        let memory = self.core.directory.read();
        let tenant = memory.wanted_tenant(change.newest().network)?;
        let rules = tenant.compile_with_group(change, self.core.now());
        rules.map_err(|errors| broken(&errors))
    }

    /// Refuses to remove a group that rules or access lists name.
    fn check_unused(&self, group: &Group) -> Result<(), Refusal> {
        let rules = self.check_compiles(&Change::went(group.clone()))?;
        let memory = self.core.directory.read();
        let tenant = memory.wanted_tenant(group.network)?;
        let needs = |id: &&Uuid| {
            memory.served(**id).is_some_and(|served| {
                let access = &served.publication.access;
                bore_policy::CompiledAccess::new(access, &rules.groups).is_err()
            })
        };
        let Some((name, _)) = tenant.publications.iter().find(|(_, id)| needs(id)) else {
            return Ok(());
        };
        let detail =
            format!("the access list of publication `{name}` names group `{}`", group.name);
        Err(Refusal::new(Code::POLICY_BROKEN, detail)
            .next("remove the group from its access list first"))
    }
}
