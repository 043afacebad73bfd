//! Memory from the store, at the start.

use std::sync::Arc;

use bore_api::model::Micros;

use crate::memory::{Member, Memory};
use crate::store::{Store, StoreError};

/// Reads every network, and compiles its rules.
pub(crate) async fn load(store: &Arc<Store>) -> Result<Memory, StoreError> {
    let mut memory = Memory::default();
    for network in store.networks().list().await? {
        let id = network.id;
        let (groups, policies) = (store.groups().list(id).await?, store.policies().list(id).await?);
        memory.put_network(network);
        let Some(tenant) = memory.tenant_mut(id) else { continue };
        let revision = policies.iter().map(|policy| policy.updated_at).max().unwrap_or(Micros::MIN);
        tenant.groups.extend(groups.into_iter().map(|group| (group.name.clone(), group)));
        tenant.policies.extend(policies.into_iter().map(|policy| (policy.name.clone(), policy)));
        tenant.recompile(revision);
    }
    for domain in store.domains().list(None).await? {
        memory.put_domain(domain);
    }
    for node in store.nodes().list(None).await? {
        let id = node.id;
        match Member::new(node) {
            Some(member) => memory.put_node(member),
            None => tracing::error!(node = %id, "a stored node has no valid name: left out"),
        }
    }
    for publication in store.publications().list(None).await? {
        match memory.compile_access(&publication) {
            Some(served) => memory.put_publication(served),
            None => {
                tracing::error!(publication = %publication.id, "a stored publication is not valid: left out");
            }
        }
    }
    Ok(memory)
}
