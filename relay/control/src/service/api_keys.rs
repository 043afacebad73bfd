//! API keys. The token is shown once, by the call that makes the key; the store has a hash.

use std::net::IpAddr;
use std::time::Instant;

use bore_api::model::{Actor, ApiKey, Micros, Scope};
use bore_api::wire::{CreatedApiKey, NewApiKey};
use bore_api::{ApiToken, Code};
use http::StatusCode;
use uuid::Uuid;

use super::below_quota;
use super::key_life::{check_future, check_life, is_usable, maker, micros};
use crate::authentications::Authentications;
use crate::core::Core;
use crate::limits::{API_KEY_LIFE_DEFAULT, API_KEY_LIFE_MAX, DESCRIPTION_CHARS_MAX};
use crate::refusal::Refusal;
use crate::store::StoreError;
use crate::text::check_text;
use crate::token::{api_token_hash, generate_api_token, same_hash};

/// API keys: made, revoked, looked at.
#[derive(Debug)]
pub struct ApiKeys {
    core: Core,
    authentications: Authentications,
}

impl ApiKeys {
    /// The service over `core`, which knows the keys that are there.
    ///
    /// # Errors
    /// When the store does.
    pub async fn load(core: Core) -> Result<Self, StoreError> {
        let authentications = Authentications::default();
        authentications.know(core.store.api_keys().usable(core.now()).await?);
        Ok(Self { core, authentications })
    }

    /// Makes an API key of a network, or of the cluster for `None`. Whether the maker may give these scopes is asked before.
    ///
    /// # Errors
    /// B2109, B2112, or the store's.
    pub async fn create(
        &self,
        network: Option<Uuid>,
        wanted: &NewApiKey,
        by: &Actor,
    ) -> Result<CreatedApiKey, Refusal> {
        let now = self.core.now();
        check_text("description", &wanted.description, DESCRIPTION_CHARS_MAX)?;
        let maker = maker(&self.core.store, by).await?;
        let item = api_key(network, wanted, maker.as_ref(), now)?;
        let _turn = match network {
            Some(network) => self.core.directory.turn(network).await?,
            None => self.core.cluster_turn().await?,
        };
        let keys = self.core.store.api_keys().list(network).await?;
        let usable =
            keys.iter().filter(|key| is_usable(key.revoked_at, Some(key.expires_at), now)).count();
        below_quota("API keys in use", usable, self.core.quotas().api_keys_per_network)?;

        let token = generate_api_token(item.id)?;
        self.core.store.api_keys().create(&item, api_token_hash(&token), by).await?;
        self.authentications.know([item.id]);
        Ok(CreatedApiKey { item, key: token.reveal() })
    }

    /// Revokes an API key at once, and with `with_made` all that it made, directly or not.
    ///
    /// # Errors
    /// B3205, or the store's.
    pub async fn revoke(
        &self,
        network: Option<Uuid>,
        id: Uuid,
        with_made: bool,
        by: &Actor,
    ) -> Result<(), Refusal> {
        self.core.store.api_keys().revoke(network, id, with_made, by, self.core.now()).await?;
        Ok(())
    }

    pub(crate) async fn list(&self, network: Option<Uuid>) -> Result<Vec<ApiKey>, Refusal> {
        Ok(self.core.store.api_keys().list(network).await?)
    }

    pub(crate) async fn find(&self, network: Option<Uuid>, id: Uuid) -> Result<ApiKey, Refusal> {
        let keys = self.list(network).await?;
        keys.into_iter()
            .find(|key| key.id == id)
            .ok_or_else(|| Refusal::not_here("API key", &id.to_string()))
    }

    /// Returns true if the token is that of a key that holds now.
    pub async fn holds(&self, token: &ApiToken) -> bool {
        self.authenticate(token).await.is_ok()
    }

    /// As [`Self::authenticate`], for a source that may have shown too many tokens that do not hold.
    pub(crate) async fn authenticate_from(
        &self,
        token: &ApiToken,
        source: IpAddr,
    ) -> Result<ApiKey, Refusal> {
        let (known, now) = (&self.authentications, Instant::now());
        if !known.admits(token, source, now) {
            self.core.counters.authentications_limited.increment();
            let detail = "too many requests from this address had an API key that does not hold";
            return Err(Refusal::new(Code::QUOTA, detail)
                .next("try again in some seconds, with a key that holds"));
        }
        let answer = self.authenticate(token).await;
        if answer.as_ref().is_err_and(|refusal| refusal.status == StatusCode::UNAUTHORIZED) {
            self.core.counters.authentications_failed.increment();
            known.failed(token, source, now);
        }
        answer
    }

    /// The key of a token that holds now. An unknown id and a wrong secret are one answer; only who has the secret hears that it expired.
    pub(crate) async fn authenticate(&self, token: &ApiToken) -> Result<ApiKey, Refusal> {
        let invalid =
            || Refusal::new(Code::API_KEY_INVALID, "the relay does not know this API key");
        let stored = self.core.store.api_keys().find(token.id()).await?;
        let hash = stored.as_ref().map_or([0; 32], |(_, hash)| *hash);
        let proved = same_hash(&hash, &api_token_hash(token));
        let (key, _) = stored.filter(|_| proved).ok_or_else(invalid)?;
        if let Some(at) = key.revoked_at {
            return Err(Refusal::new(
                Code::API_KEY_EXPIRED,
                format!("the API key was revoked at {at}"),
            ));
        }
        if key.expires_at <= self.core.now() {
            return Err(Refusal::new(
                Code::API_KEY_EXPIRED,
                format!("the API key expired at {}", key.expires_at),
            ));
        }
        Ok(key)
    }
}

fn api_key(
    network: Option<Uuid>,
    wanted: &NewApiKey,
    maker: Option<&ApiKey>,
    now: Micros,
) -> Result<ApiKey, Refusal> {
    let bad = |why: &str| Err(Refusal::new(Code::BAD_REQUEST, why));
    let mut scopes = wanted.scopes.clone();
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        return bad("`scopes` is empty: such a key opens nothing");
    }
    if network.is_some() && scopes.contains(&Scope::Admin) {
        return bad("`scopes` has admin, which only a key of the cluster can have");
    }
    check_future(wanted.expires_at, now)?;
    let longest = maker.map_or(Micros::MAX, |maker| maker.expires_at);
    let default = longest.min(now + micros(API_KEY_LIFE_DEFAULT));
    check_life(maker, wanted.expires_at)?;
    let expires_at = wanted.expires_at.unwrap_or(default);
    if expires_at > now + micros(API_KEY_LIFE_MAX) {
        return bad("`expires_at` is more than ten years away");
    }
    Ok(ApiKey {
        id: Uuid::now_v7(),
        network,
        description: wanted.description.clone(),
        scopes,
        expires_at,
        maker: maker.map(|maker| maker.id),
        created_at: now,
        revoked_at: None,
    })
}
