//! One network: names to ids, and its rules, compiled.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bore_api::model::{Domain, Group, Micros, Network, Node, Policy, Publication};
use bore_policy::{
    DefaultAccess, Defaults, Groups, Label, Members, PolicyDocument, PolicyError, RuleName,
};
use uuid::Uuid;

use super::places;
use crate::event::Change;

/// The rules of a network, ready for decisions. A change makes a new one.
#[derive(Debug, Clone)]
pub struct CompiledNetwork {
    /// The network.
    pub network: Uuid,
    /// Its rules.
    pub policy: bore_policy::Policy,
    /// Its groups.
    pub groups: Groups,
    /// The names of nodes that its rules speak of, whether there is such a node or not, with these rules.
    pub named_nodes: BTreeMap<String, BTreeSet<RuleName>>,
    /// Grows with every change.
    pub revision: Micros,
}

/// Compiled rules, or what is wrong with them.
pub(crate) type Rules = Result<Arc<CompiledNetwork>, Vec<PolicyError>>;

#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) network: Network,
    pub(crate) nodes: BTreeMap<String, Uuid>,
    pub(crate) publications: BTreeMap<String, Uuid>,
    pub(crate) published_by: HashMap<Uuid, BTreeSet<Uuid>>,
    /// Hostnames in use.
    pub(crate) hostnames: usize,
    /// Public ports in use, ranges counted port by port.
    pub(crate) ports: usize,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) policies: BTreeMap<String, Policy>,
    pub(crate) domains: BTreeMap<String, Domain>,
    pub(crate) compiled: Arc<CompiledNetwork>,
    /// Held by whoever changes the network.
    pub(crate) changing: Arc<tokio::sync::Mutex<()>>,
}

impl Tenant {
    pub(crate) fn new(network: Network) -> Self {
        let compiled = CompiledNetwork {
            network: network.id,
            policy: bore_policy::Policy::default(),
            groups: Groups::default(),
            named_nodes: BTreeMap::new(),
            revision: network.created_at,
        };
        Self {
            network,
            nodes: BTreeMap::new(),
            publications: BTreeMap::new(),
            published_by: HashMap::new(),
            hostnames: 0,
            ports: 0,
            groups: BTreeMap::new(),
            policies: BTreeMap::new(),
            domains: BTreeMap::new(),
            compiled: Arc::new(compiled),
            changing: Arc::default(),
        }
    }

    /// Compiles the rules as they would be with these groups and policies.
    fn compile<'a>(
        &self,
        groups: impl Iterator<Item = &'a Group>,
        policies: impl Iterator<Item = &'a Policy>,
        revision: Micros,
    ) -> Rules {
        let groups = named_groups(groups);
        let documents: Vec<PolicyDocument> = policies.map(named_document).collect();
        let policy = bore_policy::Policy::compile(&documents, &groups)?;
        let named_nodes = named_nodes(&documents);
        let revision = revision.max(self.compiled.revision + 1);
        let network = self.network.id;
        Ok(Arc::new(CompiledNetwork { network, policy, groups, named_nodes, revision }))
    }

    /// As they would be after a change of a policy.
    pub(crate) fn compile_with_policy(&self, change: &Change<Policy>, revision: Micros) -> Rules {
        let changed = &change.newest().name;
        let others = self.policies.values().filter(|policy| policy.name != *changed);
        self.compile(self.groups.values(), others.chain(change.after()), revision)
    }

    /// As they would be after a change of a group.
    pub(crate) fn compile_with_group(&self, change: &Change<Group>, revision: Micros) -> Rules {
        let changed = change.newest().id;
        let others = self.groups.values().filter(|group| group.id != changed);
        self.compile(others.chain(change.after()), self.policies.values(), revision)
    }

    /// Compiles what was loaded.
    pub(crate) fn recompile(&mut self, revision: Micros) {
        let rules = self.compile(self.groups.values(), self.policies.values(), revision);
        self.set_rules(rules, revision);
    }

    /// Stored rules that do not compile admit nobody, and are told in the log.
    pub(crate) fn set_rules(&mut self, rules: Rules, revision: Micros) {
        self.compiled = rules.unwrap_or_else(|errors| {
            let network = self.network.id;
            tracing::error!(%network, ?errors, "stored policies do not compile: the network is closed");
            Arc::new(self.closed(revision))
        });
    }

    pub(crate) fn put_node(&mut self, node: &Node) {
        self.nodes.insert(node.name.clone(), node.id);
        for name in &node.groups {
            if let Some(group) =
                self.groups.get_mut(name).filter(|group| !group.nodes.contains(&node.id))
            {
                group.nodes.push(node.id);
            }
        }
    }

    pub(crate) fn remove_node(&mut self, node: &Node) {
        self.nodes.remove(&node.name);
        self.published_by.remove(&node.id);
        for group in self.groups.values_mut() {
            group.nodes.retain(|id| *id != node.id);
        }
    }

    pub(crate) fn put_publication(&mut self, publication: &Publication) {
        self.publications.insert(publication.name.clone(), publication.id);
        self.published_by.entry(publication.node).or_default().insert(publication.id);
        self.hostnames += publication.hostnames.len();
        self.ports += places(publication).count();
    }

    pub(crate) fn remove_publication(&mut self, publication: &Publication) {
        self.hostnames = self.hostnames.saturating_sub(publication.hostnames.len());
        self.ports = self.ports.saturating_sub(places(publication).count());
        self.publications.remove(&publication.name);
        if let Some(ids) = self.published_by.get_mut(&publication.node) {
            ids.remove(&publication.id);
        }
    }

    fn closed(&self, revision: Micros) -> CompiledNetwork {
        let defaults = Defaults { visit: DefaultAccess::Closed, publish: DefaultAccess::Closed };
        let document = PolicyDocument { defaults, ..PolicyDocument::default() };
        let groups = named_groups(self.groups.values());
        let policy = bore_policy::Policy::compile(&[document], &groups)
            .expect("a document without rules names nothing that could be missing");
        // A joiner must not get a name now that counts again once the rules are mended.
        let documents: Vec<PolicyDocument> = self.policies.values().map(named_document).collect();
        let named_nodes = named_nodes(&documents);
        CompiledNetwork { network: self.network.id, policy, groups, named_nodes, revision }
    }
}

fn named_groups<'a>(groups: impl Iterator<Item = &'a Group>) -> Groups {
    let members = |group: &Group| Members {
        nodes: group.nodes.iter().copied().collect(),
        ..Members::default()
    };
    groups.filter_map(|group| Some((Label::parse(&group.name).ok()?, members(group)))).collect()
}

fn named_nodes(documents: &[PolicyDocument]) -> BTreeMap<String, BTreeSet<RuleName>> {
    let mut named: BTreeMap<String, BTreeSet<RuleName>> = BTreeMap::new();
    for (node, rule) in documents.iter().flat_map(PolicyDocument::named_nodes) {
        named.entry(node.to_string()).or_default().insert(rule);
    }
    named
}

/// A document under the name that it is stored by, which decisions show.
fn named_document(policy: &Policy) -> PolicyDocument {
    PolicyDocument { name: Label::parse(&policy.name).ok(), ..policy.document.clone() }
}
