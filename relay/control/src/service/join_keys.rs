//! Join keys. The secret is shown once, by the call that makes the key; the store has a hash.

use bore_api::Code;
use bore_api::model::{Actor, ApiKey, JoinKey, Micros};
use bore_api::wire::{CreatedJoinKey, NewJoinKey};
use uuid::Uuid;

use super::key_life::{check_future, check_life, is_usable, maker};
use super::{below_quota, check_groups};
use crate::core::Core;
use crate::limits::DESCRIPTION_CHARS_MAX;
use crate::refusal::Refusal;
use crate::text::check_text;
use crate::token::{generate_join_secret, join_secret_hash};

/// Join keys: made, revoked.
#[derive(Debug)]
pub struct JoinKeys {
    core: Core,
}

impl JoinKeys {
    /// The service over `core`.
    pub fn new(core: Core) -> Self {
        Self { core }
    }

    /// Makes a join key.
    ///
    /// # Errors
    /// B2109, B2112, B3205 for unknown groups, or the store's.
    pub async fn create(
        &self,
        network: Uuid,
        wanted: &NewJoinKey,
        by: &Actor,
    ) -> Result<CreatedJoinKey, Refusal> {
        let now = self.core.now();
        check_text("description", &wanted.description, DESCRIPTION_CHARS_MAX)?;
        check_future(wanted.expires_at, now)?;
        if wanted.uses_max == Some(0) {
            return Err(Refusal::new(
                Code::BAD_REQUEST,
                "`uses_max` is 0: such a key opens nothing",
            ));
        }
        let _turn = self.core.directory.turn(network).await?;
        check_groups(&self.core.directory, network, &wanted.groups)?;
        let keys = self.core.store.join_keys().list(network).await?;
        let usable =
            keys.iter().filter(|key| is_usable(key.revoked_at, key.expires_at, now)).count();
        below_quota("join keys in use", usable, self.core.quotas().join_keys_per_network)?;

        let maker = maker(&self.core.store, by).await?;
        check_life(maker.as_ref(), wanted.expires_at)?;
        let secret = generate_join_secret()?;
        let item = join_key(network, wanted, maker.as_ref(), now);
        self.core.store.join_keys().create(&item, join_secret_hash(&secret), by).await?;
        let key = self.core.identity.overlay.encode_join_key(network, item.id, secret.reveal());
        Ok(CreatedJoinKey { item, key })
    }

    /// Revokes a join key; its nodes stay.
    ///
    /// # Errors
    /// B3205, or the store's.
    pub async fn revoke(&self, network: Uuid, id: Uuid, by: &Actor) -> Result<(), Refusal> {
        self.core.store.join_keys().revoke(network, id, by, self.core.now()).await?;
        Ok(())
    }

    pub(crate) async fn list(&self, network: Uuid) -> Result<Vec<JoinKey>, Refusal> {
        Ok(self.core.store.join_keys().list(network).await?)
    }

    pub(crate) async fn find(&self, network: Uuid, id: Uuid) -> Result<JoinKey, Refusal> {
        let keys = self.list(network).await?;
        keys.into_iter()
            .find(|key| key.id == id)
            .ok_or_else(|| Refusal::not_here("join key", &id.to_string()))
    }
}

fn join_key(network: Uuid, wanted: &NewJoinKey, maker: Option<&ApiKey>, now: Micros) -> JoinKey {
    JoinKey {
        id: Uuid::now_v7(),
        network,
        description: wanted.description.clone(),
        uses_max: wanted.uses_max,
        uses: 0,
        expires_at: wanted.expires_at.or_else(|| maker.map(|maker| maker.expires_at)),
        groups: wanted.groups.clone(),
        ephemeral: wanted.ephemeral,
        maker: maker.map(|maker| maker.id),
        created_at: now,
        revoked_at: None,
    }
}
