//! What the store has committed, taken into memory. The only way in, but for the load at the start and a publication that gives way for a moment.

use std::sync::Arc;

use bore_api::model::{Domain, Group, Network, Node, Policy, Publication};

use super::tenant::Rules;
use super::{Member, Memory, Served};
use crate::event::{Change, Event, Subject};

impl Memory {
    /// The rules of the event's network as they are after it, where it changes them. It takes a while, and needs nothing to stand still but the turn
    /// of the network, which the maker of the event holds.
    pub(crate) fn rules_after(&self, event: &Event) -> Option<Rules> {
        let tenant = self.tenants.get(&event.network?)?;
        if let Subject::Policy(change) = &event.subject {
            return Some(tenant.compile_with_policy(change, event.at));
        }
        let Subject::Group(change) = &event.subject else { return None };
        Some(tenant.compile_with_group(change, event.at))
    }

    /// Returns true if an event changes what is in memory.
    pub(crate) fn is_about_memory(event: &Event) -> bool {
        matches!(
            &event.subject,
            Subject::Network(_)
                | Subject::Node(_)
                | Subject::Publication(_)
                | Subject::Policy(_)
                | Subject::Group(_)
                | Subject::Domain(_)
        )
    }

    /// Takes an event in, with the rules that were made for it. Rules that do not compile close their network.
    pub(crate) fn follow(&mut self, event: &Event, rules: Option<Rules>) {
        match &event.subject {
            Subject::Network(change) => self.follow_network(change),
            Subject::Node(node) => self.follow_node(&node.change),
            Subject::Publication(change) => self.follow_publication(change),
            Subject::Policy(change) => self.follow_policy(change),
            Subject::Group(change) => self.follow_group(change),
            Subject::Domain(change) => self.follow_domain(change),
            Subject::RefusedJoins(_)
            | Subject::JoinKey(_)
            | Subject::ApiKey(_)
            | Subject::Certificate(_)
            | Subject::FailedOrder(_)
            | Subject::AcmeAccount(_)
            | Subject::SealingKey(_)
            | Subject::AuditTrail(_)
            | Subject::Act { .. } => {}
        }
        let tenant = event.network.and_then(|network| self.tenants.get_mut(&network));
        if let Some((tenant, rules)) = tenant.zip(rules) {
            tenant.set_rules(rules, event.at);
        }
    }

    fn follow_network(&mut self, change: &Change<Network>) {
        match change.after() {
            Some(network) => self.put_network(network.clone()),
            None => self.remove_network(change.newest().id),
        }
    }

    fn follow_node(&mut self, change: &Change<Node>) {
        let Some(node) = change.after() else {
            self.remove_node(change.newest().id);
            return;
        };
        match Member::new(node.clone()) {
            Some(member) => self.put_node(member),
            None => {
                tracing::error!(node = %node.id, "a node has no valid name: left out");
                self.remove_node(node.id);
            }
        }
    }

    fn follow_publication(&mut self, change: &Change<Publication>) {
        let Some(publication) = change.after() else {
            self.remove_publication(change.newest().id);
            return;
        };
        self.restore(publication);
        match self.compile_access(publication) {
            Some(served) => self.put_publication(served),
            None => {
                tracing::error!(publication = %publication.id, "a publication is not valid: left out");
                self.remove_publication(publication.id);
            }
        }
    }

    fn follow_policy(&mut self, change: &Change<Policy>) {
        let policy = change.newest();
        let Some(tenant) = self.tenants.get_mut(&policy.network) else { return };
        match change.after() {
            Some(policy) => drop(tenant.policies.insert(policy.name.clone(), policy.clone())),
            None => drop(tenant.policies.remove(&policy.name)),
        }
    }

    fn follow_group(&mut self, change: &Change<Group>) {
        match change.after() {
            Some(group) => self.put_group(group.clone()),
            None => self.remove_group(change.newest().network, &change.newest().name),
        }
    }

    fn follow_domain(&mut self, change: &Change<Domain>) {
        match change.after() {
            Some(domain) => self.put_domain(domain.clone()),
            None => self.remove_domain(change.newest()),
        }
    }

    /// A publication with its access list compiled; `None` when a name or a group of it does not hold.
    pub(crate) fn compile_access(&self, publication: &Publication) -> Option<Served> {
        let compiled = Arc::clone(&self.tenant(publication.network)?.compiled);
        let access =
            bore_policy::CompiledAccess::new(&publication.access, &compiled.groups).ok()?;
        let name = bore_policy::Label::parse(&publication.name).ok()?;
        Some(Served { publication: publication.clone(), name, access })
    }
}
