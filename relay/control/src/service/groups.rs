//! Groups: named sets of nodes.

use std::collections::BTreeSet;
use std::sync::Arc;

use bore_api::Code;
use bore_api::model::{Actor, Group};
use bore_api::wire::NewGroup;
use uuid::Uuid;

use super::policies::broken;
use super::{below_quota, label};
use crate::clock;
use crate::control::{ChangeKind, Control};
use crate::limits::GROUP_NODES_MAX;
use crate::memory::CompiledNetwork;
use crate::refusal::Refusal;

impl Control {
    /// Adds a group.
    ///
    /// # Errors
    /// B2101, B2102, B2109, B3205 for unknown nodes, or the store's.
    pub async fn create_group(
        &self,
        network: Uuid,
        wanted: &NewGroup,
        by: &Actor,
    ) -> Result<Group, Refusal> {
        let name = label(&wanted.name)?.to_string();
        let _turn = self.turn(network).await?;
        self.check_new_group(network, &name)?;
        let nodes = self.named_nodes(network, &wanted.nodes)?;
        let group = Group { id: Uuid::now_v7(), network, name, nodes, created_at: clock::now() };
        let compiled = self.compiled_with(&group)?;
        self.store().groups().create(&group, by).await?;

        self.enter_group(group.clone(), compiled);
        Ok(group)
    }

    /// Replaces the nodes of a group.
    ///
    /// # Errors
    /// B3205 for an unknown group or node, or the store's.
    pub async fn set_group_nodes(
        &self,
        network: Uuid,
        wanted: &str,
        nodes: &[String],
        by: &Actor,
    ) -> Result<Group, Refusal> {
        let _turn = self.turn(network).await?;
        let id = self.group(network, wanted)?.id;
        let nodes = self.named_nodes(network, nodes)?;
        let group = self.store().groups().set_nodes(network, id, &nodes, by, clock::now()).await?;

        let compiled = self.compiled_with(&group)?;
        self.enter_group(group.clone(), compiled);
        Ok(group)
    }

    /// Removes a group that no policy and no publication names.
    ///
    /// # Errors
    /// B3205, B4102 naming what still needs it, or the store's.
    pub async fn delete_group(
        &self,
        network: Uuid,
        wanted: &str,
        by: &Actor,
    ) -> Result<(), Refusal> {
        let _turn = self.turn(network).await?;
        let group = self.group(network, wanted)?;
        let compiled = self.compiled_without(&group)?;
        self.store().groups().delete(network, group.id, by, clock::now()).await?;

        let mut memory = self.write();
        memory.remove_group(network, &group.name);
        if let Some(tenant) = memory.tenant_mut(network) {
            tenant.compiled = compiled;
        }
        drop(memory);
        self.announce(Some(network), ChangeKind::Policies, Some(group.id));
        Ok(())
    }

    /// Groups of a network, by name.
    ///
    /// # Errors
    /// B3205 when there is no such network.
    pub fn groups(&self, network: Uuid) -> Result<Vec<Group>, Refusal> {
        let memory = self.read();
        let tenant = memory
            .tenant(network)
            .ok_or_else(|| Refusal::not_here("network", &network.to_string()))?;
        Ok(tenant.groups.values().cloned().collect())
    }

    /// A group by name or id.
    pub(crate) fn group(&self, network: Uuid, wanted: &str) -> Result<Group, Refusal> {
        let id = Uuid::try_parse(wanted).ok();
        let found = self
            .groups(network)?
            .into_iter()
            .find(|group| group.name == wanted || Some(group.id) == id);
        found.ok_or_else(|| Refusal::not_here("group", wanted))
    }

    fn enter_group(&self, group: Group, compiled: Arc<CompiledNetwork>) {
        let (id, network) = (group.id, group.network);
        let mut memory = self.write();
        memory.put_group(group);
        if let Some(tenant) = memory.tenant_mut(network) {
            tenant.compiled = compiled;
        }
        drop(memory);
        self.announce(Some(network), ChangeKind::Policies, Some(id));
    }

    fn check_new_group(&self, network: Uuid, name: &str) -> Result<(), Refusal> {
        let groups = self.groups(network)?;
        below_quota("groups in a network", groups.len(), self.quotas().groups_per_network)?;
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
        let ids: Result<BTreeSet<Uuid>, Refusal> =
            wanted.iter().map(|node| Ok(self.member(network, node)?.node.id)).collect();
        Ok(ids?.into_iter().collect())
    }

    /// The rules as they will be with `group`.
    fn compiled_with(&self, group: &Group) -> Result<Arc<CompiledNetwork>, Refusal> {
        let memory = self.read();
        let tenant =
            memory.tenant(group.network).ok_or_else(|| Refusal::not_here("group", &group.name))?;
        let others = tenant.groups.values().filter(|other| other.id != group.id);
        let compiled =
            tenant.compile(others.chain([group]), tenant.policies.values(), clock::now());
        compiled.map_err(|errors| broken(&errors))
    }

    /// The rules as they will be without `group`, which nothing may name.
    fn compiled_without(&self, group: &Group) -> Result<Arc<CompiledNetwork>, Refusal> {
        let memory = self.read();
        let tenant =
            memory.tenant(group.network).ok_or_else(|| Refusal::not_here("group", &group.name))?;
        let others = tenant.groups.values().filter(|other| other.id != group.id);
        let compiled = tenant
            .compile(others, tenant.policies.values(), clock::now())
            .map_err(|errors| broken(&errors))?;
        let needs = |id: &&Uuid| {
            memory.served(**id).is_some_and(|served| {
                bore_policy::CompiledAccess::new(&served.publication.access, &compiled.groups)
                    .is_err()
            })
        };
        match tenant.publications.iter().find(|(_, id)| needs(id)) {
            Some((name, _)) => Err(Refusal::new(
                Code::POLICY_BROKEN,
                format!("the access list of publication `{name}` names group `{}`", group.name),
            )
            .next("remove the group from its access list first")),
            None => Ok(compiled),
        }
    }
}
