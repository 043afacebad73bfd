//! Join keys and API keys. Their secrets are shown once, by the call that makes them; the store has a hash.

use std::net::IpAddr;
use std::time::Instant;

use bore_api::model::{Actor, ApiKey, JoinKey, Micros, Scope};
use bore_api::utc_text;
use bore_api::wire::{CreatedApiKey, CreatedJoinKey, NewApiKey, NewJoinKey};
use bore_api::{ApiToken, Code};
use http::StatusCode;
use uuid::Uuid;

use super::below_quota;
use crate::clock;
use crate::control::{ChangeKind, Control};
use crate::limits::{API_KEY_LIFE_DEFAULT, API_KEY_LIFE_MAX, DESCRIPTION_CHARS_MAX};
use crate::refusal::Refusal;
use crate::text::check_text;
use crate::token::{
    api_token_hash, generate_api_token, generate_join_secret, join_secret_hash, same_hash,
};

impl Control {
    /// Makes a join key.
    ///
    /// # Errors
    /// B2109, B2112, B3205 for unknown groups, or the store's.
    pub async fn create_join_key(
        &self,
        network: Uuid,
        wanted: &NewJoinKey,
        by: &Actor,
    ) -> Result<CreatedJoinKey, Refusal> {
        let now = clock::now();
        check_text("description", &wanted.description, DESCRIPTION_CHARS_MAX)?;
        check_future(wanted.expires_at, now)?;
        if wanted.uses_max == Some(0) {
            return Err(Refusal::new(
                Code::BAD_REQUEST,
                "`uses_max` is 0: such a key opens nothing",
            ));
        }
        let _turn = self.turn(network).await?;
        self.check_groups(network, &wanted.groups)?;
        let keys = self.store().join_keys().list(network).await?;
        let usable =
            keys.iter().filter(|key| is_usable(key.revoked_at, key.expires_at, now)).count();
        below_quota("join keys in use", usable, self.quotas().join_keys_per_network)?;

        let maker = self.maker(by).await?;
        check_life(maker.as_ref(), wanted.expires_at)?;
        let secret = generate_join_secret()?;
        let item = join_key(network, wanted, maker.as_ref(), now);
        self.store().join_keys().create(&item, join_secret_hash(&secret), by).await?;
        self.announce(Some(network), ChangeKind::Keys, Some(item.id));
        let key = self.runtime().encode_join_key(network, item.id, secret.reveal());
        Ok(CreatedJoinKey { item, key })
    }

    /// Revokes a join key; its nodes stay.
    ///
    /// # Errors
    /// B3205, or the store's.
    pub async fn revoke_join_key(
        &self,
        network: Uuid,
        id: Uuid,
        by: &Actor,
    ) -> Result<(), Refusal> {
        self.store().join_keys().revoke(network, id, by, clock::now()).await?;
        self.announce(Some(network), ChangeKind::Keys, Some(id));
        Ok(())
    }

    pub(crate) async fn join_keys(&self, network: Uuid) -> Result<Vec<JoinKey>, Refusal> {
        Ok(self.store().join_keys().list(network).await?)
    }

    pub(crate) async fn join_key(&self, network: Uuid, id: Uuid) -> Result<JoinKey, Refusal> {
        let keys = self.join_keys(network).await?;
        keys.into_iter()
            .find(|key| key.id == id)
            .ok_or_else(|| Refusal::not_here("join key", &id.to_string()))
    }

    /// Makes an API key of a network, or of the cluster for `None`. Whether the maker may give these scopes is asked before.
    ///
    /// # Errors
    /// B2109, B2112, or the store's.
    pub async fn create_api_key(
        &self,
        network: Option<Uuid>,
        wanted: &NewApiKey,
        by: &Actor,
    ) -> Result<CreatedApiKey, Refusal> {
        let now = clock::now();
        check_text("description", &wanted.description, DESCRIPTION_CHARS_MAX)?;
        let maker = self.maker(by).await?;
        let item = api_key(network, wanted, maker.as_ref(), now)?;
        let _turn = match network {
            Some(network) => self.turn(network).await?,
            None => self.cluster_turn().await?,
        };
        let keys = self.store().api_keys().list(network).await?;
        let usable =
            keys.iter().filter(|key| is_usable(key.revoked_at, Some(key.expires_at), now)).count();
        below_quota("API keys in use", usable, self.quotas().api_keys_per_network)?;

        let token = generate_api_token(item.id)?;
        self.store().api_keys().create(&item, api_token_hash(&token), by).await?;
        self.authentications().know([item.id]);
        self.announce(network, ChangeKind::Keys, Some(item.id));
        Ok(CreatedApiKey { item, key: token.reveal() })
    }

    /// Revokes an API key at once, and with `with_made` all that it made, directly or not.
    ///
    /// # Errors
    /// B3205, or the store's.
    pub async fn revoke_api_key(
        &self,
        network: Option<Uuid>,
        id: Uuid,
        with_made: bool,
        by: &Actor,
    ) -> Result<(), Refusal> {
        self.store().api_keys().revoke(network, id, with_made, by, clock::now()).await?;
        self.announce(network, ChangeKind::Keys, Some(id));
        Ok(())
    }

    /// The API key that makes another key; the relay itself is none.
    async fn maker(&self, by: &Actor) -> Result<Option<ApiKey>, Refusal> {
        let Actor::ApiKey(id) = by else { return Ok(None) };
        let found = self.store().api_keys().find(*id).await?;
        let (maker, _) = found.ok_or_else(|| Refusal::not_here("API key", &id.to_string()))?;
        Ok(Some(maker))
    }

    pub(crate) async fn api_keys(&self, network: Option<Uuid>) -> Result<Vec<ApiKey>, Refusal> {
        Ok(self.store().api_keys().list(network).await?)
    }

    pub(crate) async fn api_key(&self, network: Option<Uuid>, id: Uuid) -> Result<ApiKey, Refusal> {
        let keys = self.api_keys(network).await?;
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
        let (known, now) = (self.authentications(), Instant::now());
        if !known.admits(token, source, now) {
            self.counters().authentications_limited.increment();
            let detail = "too many requests from this address had an API key that does not hold";
            return Err(Refusal::new(Code::QUOTA, detail)
                .next("try again in some seconds, with a key that holds"));
        }
        let answer = self.authenticate(token).await;
        if answer.as_ref().is_err_and(|refusal| refusal.status == StatusCode::UNAUTHORIZED) {
            self.counters().authentications_failed.increment();
            known.failed(token, source, now);
        }
        answer
    }

    /// The key of a token that holds now. An unknown id and a wrong secret are one answer; only who has the secret hears that it expired.
    pub(crate) async fn authenticate(&self, token: &ApiToken) -> Result<ApiKey, Refusal> {
        let invalid =
            || Refusal::new(Code::API_KEY_INVALID, "the relay does not know this API key");
        let stored = self.store().api_keys().find(token.id()).await?;
        let hash = stored.as_ref().map_or([0; 32], |(_, hash)| *hash);
        let proved = same_hash(&hash, &api_token_hash(token));
        let (key, _) = stored.filter(|_| proved).ok_or_else(invalid)?;
        if let Some(at) = key.revoked_at {
            return Err(Refusal::new(
                Code::API_KEY_EXPIRED,
                format!("the API key was revoked at {at}"),
            ));
        }
        if key.expires_at <= clock::now() {
            return Err(Refusal::new(
                Code::API_KEY_EXPIRED,
                format!("the API key expired at {}", key.expires_at),
            ));
        }
        Ok(key)
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

/// No key outlives the key that makes it.
fn check_life(maker: Option<&ApiKey>, wanted: Option<Micros>) -> Result<(), Refusal> {
    let Some(end) = maker.map(|maker| maker.expires_at) else { return Ok(()) };
    if wanted.is_none_or(|wanted| wanted <= end) {
        return Ok(());
    }
    let detail = format!(
        "`expires_at` is later than {}, when the key that asks expires: no key outlives the one that made it",
        utc_text(end)
    );
    let next = "give a shorter life, or ask with a key that lives longer";
    Err(Refusal::new(Code::BAD_REQUEST, detail).next(next))
}

fn is_usable(revoked_at: Option<Micros>, expires_at: Option<Micros>, now: Micros) -> bool {
    revoked_at.is_none() && expires_at.is_none_or(|at| at > now)
}

fn check_future(expires_at: Option<Micros>, now: Micros) -> Result<(), Refusal> {
    match expires_at {
        Some(at) if at <= now => {
            Err(Refusal::new(Code::BAD_REQUEST, "`expires_at` is not in the future"))
        }
        _ => Ok(()),
    }
}

fn micros(duration: std::time::Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
