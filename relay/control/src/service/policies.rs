//! Policies: documents of rules, compiled before they are stored.

use std::sync::Arc;

use bore_api::Code;
use bore_api::model::{Actor, Policy};
use bore_api::wire::PolicyDraft;
use bore_policy::{PolicyDocument, PolicyError};
use uuid::Uuid;

use super::{below_quota, label};
use crate::clock;
use crate::control::{ChangeKind, Control};
use crate::memory::CompiledNetwork;
use crate::refusal::Refusal;

impl Control {
    /// Adds (`revision` 0) or replaces a policy. It holds for visits after the answer, and for open flows when they are asked about again.
    ///
    /// # Errors
    /// B2101, B2109, B4102 with everything that is wrong, B4103 when `revision` is not the stored one, or the store's.
    pub async fn put_policy(
        &self,
        network: Uuid,
        name: &str,
        draft: &PolicyDraft,
        by: &Actor,
    ) -> Result<Policy, Refusal> {
        let name = label(name)?.to_string();
        let document = parse_document(&draft.document)?;
        let _turn = self.turn(network).await?;
        let policy = self.revised(network, name, draft.revision, document)?;
        let compiled = self.compiled_policies(network, &policy.name, Some(&policy))?;
        let stored = self.store().policies().put(&policy, draft.revision, by).await?;

        self.enter_policies(network, compiled, stored.id, |policies| {
            policies.insert(stored.name.clone(), stored.clone());
        });
        tracing::info!(%network, policy = %stored.name, revision = stored.revision, "policy stored");
        Ok(stored)
    }

    /// Removes a policy.
    ///
    /// # Errors
    /// B3205, or the store's.
    pub async fn delete_policy(
        &self,
        network: Uuid,
        name: &str,
        by: &Actor,
    ) -> Result<(), Refusal> {
        let _turn = self.turn(network).await?;
        let policy = self.stored_policy(network, name)?;
        let compiled = self.compiled_policies(network, name, None)?;
        self.store().policies().delete(network, name, by, clock::now()).await?;

        self.enter_policies(network, compiled, policy.id, |policies| {
            policies.remove(name);
        });
        Ok(())
    }

    /// Policies of a network, by name.
    ///
    /// # Errors
    /// B3205 when there is no such network.
    pub fn policies(&self, network: Uuid) -> Result<Vec<Policy>, Refusal> {
        let memory = self.read();
        let tenant = memory
            .tenant(network)
            .ok_or_else(|| Refusal::not_here("network", &network.to_string()))?;
        Ok(tenant.policies.values().cloned().collect())
    }

    /// A policy by name.
    pub(crate) fn stored_policy(&self, network: Uuid, name: &str) -> Result<Policy, Refusal> {
        let memory = self.read();
        let found = memory.tenant(network).and_then(|tenant| tenant.policies.get(name)).cloned();
        found.ok_or_else(|| Refusal::not_here("policy", name))
    }

    /// The policy as it will be stored; refuses a writer that read another revision.
    fn revised(
        &self,
        network: Uuid,
        name: String,
        read: i64,
        document: PolicyDocument,
    ) -> Result<Policy, Refusal> {
        let memory = self.read();
        let tenant = memory
            .tenant(network)
            .ok_or_else(|| Refusal::not_here("network", &network.to_string()))?;
        let before = tenant.policies.get(&name);
        let stored = before.map_or(0, |policy| policy.revision);
        if stored != read {
            let detail = format!(
                "policy `{name}` has revision {stored}, the change was made to revision {read}"
            );
            return Err(Refusal::new(Code::REVISION_CONFLICT, detail));
        }
        if before.is_none() {
            below_quota(
                "policies in a network",
                tenant.policies.len(),
                self.quotas().policies_per_network,
            )?;
        }
        let id = before.map_or_else(Uuid::now_v7, |policy| policy.id);
        Ok(Policy { id, network, name, revision: read + 1, document, updated_at: clock::now() })
    }

    /// The rules as they will be with `replacement` for the policy `name`.
    fn compiled_policies(
        &self,
        network: Uuid,
        name: &str,
        replacement: Option<&Policy>,
    ) -> Result<Arc<CompiledNetwork>, Refusal> {
        let memory = self.read();
        let tenant = memory.tenant(network).ok_or_else(|| Refusal::not_here("policy", name))?;
        let others = tenant.policies.values().filter(|policy| policy.name != name);
        let compiled =
            tenant.compile(tenant.groups.values(), others.chain(replacement), clock::now());
        compiled.map_err(|errors| broken(&errors))
    }

    fn enter_policies(
        &self,
        network: Uuid,
        compiled: Arc<CompiledNetwork>,
        policy: Uuid,
        change: impl FnOnce(&mut std::collections::BTreeMap<String, Policy>),
    ) {
        if let Some(tenant) = self.write().tenant_mut(network) {
            change(&mut tenant.policies);
            tenant.compiled = compiled;
        }
        self.announce(Some(network), ChangeKind::Policies, Some(policy));
    }
}

/// B4102 with every error.
pub(super) fn broken(errors: &[PolicyError]) -> Refusal {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let detail = match texts.as_slice() {
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first}; and {} more", rest.len()),
        [] => "the rules do not compile".to_owned(),
    };
    Refusal::new(Code::POLICY_BROKEN, detail).errors(texts)
}

fn parse_document(document: &serde_json::Value) -> Result<PolicyDocument, Refusal> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        let detail = format!("`document.{}`: {}", error.path(), error.inner());
        Refusal::new(Code::POLICY_BROKEN, &detail).errors([detail])
    })
}
