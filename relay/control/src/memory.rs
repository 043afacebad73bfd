//! Everything that the data path and the lists ask for, in memory: networks with their compiled rules, nodes, publications.
//!
//! The store comes first: what it has committed enters here (`follow`), before the caller of the change has its answer.
//! Reading here never waits for a database.

mod follow;
mod tenant;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bore_api::model::{
    Domain, Group, Network, Node, Protocol, Publication, PublishedHost, parse_id,
};
use bore_api::wire::Displaced;
use bore_policy::{
    CompiledAccess, DecidedBy, Decision, Label, PublicHost, PublicationRef, Visitor, VisitorNode,
};
use uuid::Uuid;

pub use tenant::CompiledNetwork;
pub(crate) use tenant::Tenant;

use crate::limits::DISPLACED_PER_NODE_MAX;
use crate::refusal::Refusal;

/// A node and what decisions need of it.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) node: Node,
    pub(crate) name: Label,
    pub(crate) groups: BTreeSet<Label>,
}

/// A publication and what decisions need of it.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) publication: Publication,
    pub(crate) name: Label,
    pub(crate) access: CompiledAccess,
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    tenants: HashMap<Uuid, Tenant>,
    tenant_names: HashMap<String, Uuid>,
    members: HashMap<Uuid, Arc<Member>>,
    served: HashMap<Uuid, Arc<Served>>,
    ports: HashMap<(Protocol, u16), Uuid>,
    hostnames: HashMap<PublishedHost, Uuid>,
    /// What other nodes took, by the node that had it.
    displaced: HashMap<Uuid, Vec<Displaced>>,
    /// Verified domains and their networks.
    domains: HashMap<String, Uuid>,
    /// Where the relay itself gives out names, canonical.
    pub(crate) relay_domain: Option<String>,
}

impl Memory {
    pub(crate) fn put_network(&mut self, network: Network) {
        self.tenant_names.retain(|_, id| *id != network.id);
        self.tenant_names.insert(network.name.clone(), network.id);
        match self.tenants.get_mut(&network.id) {
            Some(tenant) => tenant.network = network,
            None => drop(self.tenants.insert(network.id, Tenant::new(network))),
        }
    }

    pub(crate) fn remove_network(&mut self, id: Uuid) {
        if let Some(tenant) = self.tenants.remove(&id) {
            self.tenant_names.remove(&tenant.network.name);
            self.domains.retain(|_, network| *network != id);
        }
    }

    pub(crate) fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        self.tenants.values()
    }

    pub(crate) fn tenant(&self, id: Uuid) -> Option<&Tenant> {
        self.tenants.get(&id)
    }

    /// The network of this id.
    ///
    /// # Errors
    /// B3205 when there is none.
    pub(crate) fn wanted_tenant(&self, id: Uuid) -> Result<&Tenant, Refusal> {
        self.tenant(id).ok_or_else(|| Refusal::not_here("network", &id.to_string()))
    }

    pub(crate) fn tenant_mut(&mut self, id: Uuid) -> Option<&mut Tenant> {
        self.tenants.get_mut(&id)
    }

    /// By id or by name, in this order: a name can be what another thing's id is. So with [`Self::find_member`] and [`Self::find_served`].
    pub(crate) fn find_tenant(&self, wanted: &str) -> Option<&Tenant> {
        let id = parse_id(wanted).or_else(|| self.tenant_names.get(wanted).copied())?;
        self.tenants.get(&id)
    }

    pub(crate) fn put_node(&mut self, member: Member) {
        let node = &member.node;
        if let Some(tenant) = self.tenants.get_mut(&node.network) {
            if let Some(before) = self.members.get(&node.id) {
                tenant.nodes.remove(&before.node.name);
            }
            tenant.put_node(node);
        }
        self.members.insert(node.id, Arc::new(member));
    }

    /// Removes a node with its publications, which it gives back.
    pub(crate) fn remove_node(&mut self, id: Uuid) -> Vec<Arc<Served>> {
        let Some(member) = self.members.remove(&id) else { return Vec::new() };
        self.displaced.remove(&id);
        let served = self.served_by(member.node.network, id);
        for each in &served {
            self.remove_publication(each.publication.id);
        }
        if let Some(tenant) = self.tenants.get_mut(&member.node.network) {
            tenant.remove_node(&member.node);
        }
        served
    }

    /// Notes that a publication gives way to another node's; of too many the oldest is forgotten.
    pub(crate) fn displace(&mut self, publication: &Publication, cause: String) {
        self.restore(publication);
        let displaced = self.displaced.entry(publication.node).or_default();
        if displaced.len() >= DISPLACED_PER_NODE_MAX {
            displaced.remove(0);
        }
        displaced.push(Displaced { name: publication.name.clone(), cause });
    }

    /// The node has it again.
    pub(crate) fn restore(&mut self, publication: &Publication) {
        if let Some(displaced) = self.displaced.get_mut(&publication.node) {
            displaced.retain(|each| each.name != publication.name);
        }
    }

    /// What other nodes took from this one.
    pub(crate) fn displaced(&self, node: Uuid) -> Vec<Displaced> {
        self.displaced.get(&node).cloned().unwrap_or_default()
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.values()
    }

    pub(crate) fn member(&self, id: Uuid) -> Option<&Arc<Member>> {
        self.members.get(&id)
    }

    /// By id or by name, in one network.
    pub(crate) fn find_member(&self, network: Uuid, wanted: &str) -> Option<&Arc<Member>> {
        let by_name = || self.tenants.get(&network)?.nodes.get(wanted).copied();
        let member = self.members.get(&parse_id(wanted).or_else(by_name)?)?;
        (member.node.network == network).then_some(member)
    }

    /// Puts a group in and gives its nodes, and only them, its name.
    pub(crate) fn put_group(&mut self, group: Group) {
        let Ok(name) = Label::parse(&group.name) else { return };
        let (network, nodes) = (group.network, group.nodes.clone());
        if let Some(tenant) = self.tenants.get_mut(&network) {
            tenant.groups.insert(group.name.clone(), group);
        }
        self.mark_members(network, &name, &nodes);
    }

    pub(crate) fn remove_group(&mut self, network: Uuid, name: &str) {
        if let Some(tenant) = self.tenants.get_mut(&network) {
            tenant.groups.remove(name);
        }
        if let Ok(name) = Label::parse(name) {
            self.mark_members(network, &name, &[]);
        }
    }

    fn mark_members(&mut self, network: Uuid, group: &Label, nodes: &[Uuid]) {
        let wanted: BTreeSet<Uuid> = nodes.iter().copied().collect();
        for member in self.members.values_mut().filter(|member| member.node.network == network) {
            if wanted.contains(&member.node.id) != member.groups.contains(group) {
                Arc::make_mut(member).toggle(group);
            }
        }
    }

    pub(crate) fn put_publication(&mut self, served: Served) {
        let publication = &served.publication;
        self.remove_publication(publication.id);
        let id = publication.id;
        self.ports.extend(places(publication).map(|place| (place, id)));
        self.hostnames.extend(publication.hostnames.iter().map(|name| (name.clone(), id)));
        if let Some(tenant) = self.tenants.get_mut(&publication.network) {
            tenant.put_publication(publication);
        }
        self.served.insert(id, Arc::new(served));
    }

    pub(crate) fn remove_publication(&mut self, id: Uuid) -> Option<Arc<Served>> {
        let served = self.served.remove(&id)?;
        let publication = &served.publication;
        places(publication).for_each(|place| {
            self.ports.remove(&place);
        });
        for hostname in &publication.hostnames {
            self.hostnames.remove(hostname);
        }
        if let Some(tenant) = self.tenants.get_mut(&publication.network) {
            tenant.remove_publication(publication);
        }
        Some(served)
    }

    pub(crate) fn all_served(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.served.values()
    }

    pub(crate) fn served(&self, id: Uuid) -> Option<&Arc<Served>> {
        self.served.get(&id)
    }

    /// By id or by name, in one network.
    pub(crate) fn find_served(&self, network: Uuid, wanted: &str) -> Option<&Arc<Served>> {
        let Some(id) = parse_id(wanted) else { return self.served_as(network, wanted) };
        self.served.get(&id).filter(|served| served.publication.network == network)
    }

    /// By name alone, in one network.
    pub(crate) fn served_as(&self, network: Uuid, name: &str) -> Option<&Arc<Served>> {
        self.served.get(self.tenants.get(&network)?.publications.get(name)?)
    }

    /// Publications of one node, by name.
    pub(crate) fn served_by(&self, network: Uuid, node: Uuid) -> Vec<Arc<Served>> {
        let ids = self.tenants.get(&network).and_then(|tenant| tenant.published_by.get(&node));
        let served = ids.into_iter().flatten().filter_map(|id| self.served.get(id).cloned());
        let mut served: Vec<Arc<Served>> = served.collect();
        served.sort_by(|one, other| one.publication.name.cmp(&other.publication.name));
        served
    }

    /// Which publication has this public port.
    pub(crate) fn port_holder(&self, protocol: Protocol, port: u16) -> Option<&Arc<Served>> {
        self.ports.get(&(protocol, port)).and_then(|id| self.served.get(id))
    }

    /// Which publication has this hostname or wildcard, as it is written.
    pub(crate) fn hostname_holder(&self, hostname: &PublishedHost) -> Option<&Arc<Served>> {
        self.hostnames.get(hostname).and_then(|id| self.served.get(id))
    }

    pub(crate) fn put_domain(&mut self, domain: Domain) {
        if domain.verified_at.is_some() {
            self.domains.insert(domain.name.clone(), domain.network);
        }
        if let Some(tenant) = self.tenants.get_mut(&domain.network) {
            tenant.domains.insert(domain.name.clone(), domain);
        }
    }

    pub(crate) fn remove_domain(&mut self, domain: &Domain) {
        self.domains.retain(|name, network| *name != domain.name || *network != domain.network);
        if let Some(tenant) = self.tenants.get_mut(&domain.network) {
            tenant.domains.remove(&domain.name);
        }
    }

    /// The nearest verified domain at or above `name`, and its network. Below the relay's domain none counts that lies above it.
    pub(crate) fn domain_above(&self, name: &str) -> Option<(String, Uuid)> {
        let relay = self.relay_domain.as_deref();
        let above = std::iter::successors(Some(name), |name| Some(name.split_once('.')?.1));
        let mut above = above.take_while(|name| Some(*name) != relay);
        above.find_map(|name| Some((name.to_owned(), *self.domains.get(name)?)))
    }

    /// Whether a published hostname is there because of `domain`.
    pub(crate) fn lives_under(&self, hostname: &PublicHost, domain: &Domain) -> bool {
        self.domain_above(hostname.base().as_str())
            .is_some_and(|(name, network)| name == domain.name && network == domain.network)
    }

    /// Whether `visitor` may visit; what is not here admits nobody.
    pub(crate) fn decide_visit(&self, publication: Uuid, visitor: &Visitor) -> Decision {
        let decided = self.served.get(&publication).and_then(|served| {
            let compiled = &self.tenants.get(&served.publication.network)?.compiled;
            self.with_ref(served, |wanted| {
                compiled.policy.decide_visit(visitor, wanted, &served.access)
            })
        });
        decided.unwrap_or(Decision { allowed: false, by: DecidedBy::Default })
    }

    /// Calls `ask` with a publication as rules name it.
    pub(crate) fn with_ref<T>(
        &self,
        served: &Served,
        ask: impl FnOnce(&PublicationRef<'_>) -> T,
    ) -> Option<T> {
        let publisher = self.members.get(&served.publication.node)?;
        Some(ask(&PublicationRef {
            name: &served.name,
            protocol: served.publication.protocol.into(),
            node: served.publication.node,
            node_groups: &publisher.groups,
        }))
    }
}

impl Served {
    /// Returns true if `other` is the same publication but for the time of the request.
    pub(crate) fn is(&self, other: &Publication) -> bool {
        let created_at = self.publication.created_at;
        self.publication == Publication { created_at, ..other.clone() }
    }
}

impl Member {
    /// `None` when the stored name is not a label.
    pub(crate) fn new(node: Node) -> Option<Self> {
        let name = Label::parse(&node.name).ok()?;
        let groups = node.groups.iter().filter_map(|group| Label::parse(group).ok()).collect();
        Some(Self { node, name, groups })
    }

    pub(crate) fn visitor(&self) -> VisitorNode {
        VisitorNode { id: self.node.id, name: self.name.clone(), groups: self.groups.clone() }
    }

    fn toggle(&mut self, group: &Label) {
        if !self.groups.remove(group) {
            self.groups.insert(group.clone());
        }
        self.node.groups = self.groups.iter().map(ToString::to_string).collect();
    }
}

/// The public ports of a publication.
pub(crate) fn places(publication: &Publication) -> impl Iterator<Item = (Protocol, u16)> + use<> {
    let (protocol, count) = (publication.protocol, publication.port_count);
    publication
        .public_port
        .into_iter()
        .flat_map(move |first| (0..count).filter_map(move |offset| first.checked_add(offset)))
        .map(move |port| (protocol, port))
}
