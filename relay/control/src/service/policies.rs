//! Policies: documents of rules, compiled before they are stored.

use bore_api::Code;
use bore_api::model::{Actor, Policy};
use bore_api::wire::PolicyDraft;
use bore_policy::{PolicyDocument, PolicyError};
use uuid::Uuid;

use super::{below_quota, label};
use crate::core::Core;
use crate::event::Change;
use crate::refusal::Refusal;

/// Policies: stored, removed, explained.
#[derive(Debug)]
pub struct Policies {
    pub(super) core: Core,
}

impl Policies {
    pub(crate) fn new(core: Core) -> Self {
        Self { core }
    }

    /// Adds (`revision` 0) or replaces a policy. It holds for visits after the answer, and for open flows when they are asked about again.
    ///
    /// # Errors
    /// B2101, B2109, B4102 with everything that is wrong, B4103 when `revision` is not the stored one, or the store's.
    pub async fn put(
        &self,
        network: Uuid,
        name: &str,
        draft: &PolicyDraft,
        by: &Actor,
    ) -> Result<Policy, Refusal> {
        let name = label(name)?.to_string();
        let document = parse_document(&draft.document)?;
        let _turn = self.core.directory.turn(network).await?;
        let policy = self.revised(network, name, draft.revision, document)?;
        self.check_compiles(&Change::came(policy.clone()))?;
        let stored = self.core.store.policies().put(&policy, draft.revision, by).await?;
        tracing::info!(%network, policy = %stored.name, revision = stored.revision, "policy stored");
        Ok(stored)
    }

    /// Removes a policy.
    ///
    /// # Errors
    /// B3205, or the store's.
    pub async fn delete(&self, network: Uuid, name: &str, by: &Actor) -> Result<(), Refusal> {
        let _turn = self.core.directory.turn(network).await?;
        let policy = self.find(network, name)?;
        self.check_compiles(&Change::went(policy))?;
        Ok(self.core.store.policies().delete(network, name, by, self.core.now()).await?)
    }

    /// Policies of a network, by name.
    ///
    /// # Errors
    /// B3205 when there is no such network.
    pub fn list(&self, network: Uuid) -> Result<Vec<Policy>, Refusal> {
        let memory = self.core.directory.read();
        let tenant = memory.wanted_tenant(network)?;
        Ok(tenant.policies.values().cloned().collect())
    }

    /// A policy by name.
    pub(crate) fn find(&self, network: Uuid, name: &str) -> Result<Policy, Refusal> {
        let memory = self.core.directory.read();
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
        let memory = self.core.directory.read();
        let tenant = memory.wanted_tenant(network)?;
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
                self.core.quotas().policies_per_network,
            )?;
        }
        let id = before.map_or_else(Uuid::now_v7, |policy| policy.id);
        Ok(Policy { id, network, name, revision: read + 1, document, updated_at: self.core.now() })
    }

    /// Refuses a change of a policy after which the rules do not compile.
    fn check_compiles(&self, change: &Change<Policy>) -> Result<(), Refusal> {
        let memory = self.core.directory.read();
        let tenant = memory.wanted_tenant(change.newest().network)?;
        let rules = tenant.compile_with_policy(change, self.core.now());
        rules.map(drop).map_err(|errors| broken(&errors))
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
