//! How long keys live, and who made them: the same for join keys and API keys.

use bore_api::model::{Actor, ApiKey, Micros};
use bore_api::{Code, utc_text};

use crate::refusal::Refusal;
use crate::store::Store;

/// The API key that makes another key; the relay itself is none.
pub(super) async fn maker(store: &Store, by: &Actor) -> Result<Option<ApiKey>, Refusal> {
    let Actor::ApiKey(id) = by else { return Ok(None) };
    let found = store.api_keys().find(*id).await?;
    let (maker, _) = found.ok_or_else(|| Refusal::not_here("API key", &id.to_string()))?;
    Ok(Some(maker))
}

/// No key outlives the key that makes it.
pub(super) fn check_life(maker: Option<&ApiKey>, wanted: Option<Micros>) -> Result<(), Refusal> {
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

pub(super) fn is_usable(
    revoked_at: Option<Micros>,
    expires_at: Option<Micros>,
    now: Micros,
) -> bool {
    revoked_at.is_none() && expires_at.is_none_or(|at| at > now)
}

pub(super) fn check_future(expires_at: Option<Micros>, now: Micros) -> Result<(), Refusal> {
    match expires_at {
        Some(at) if at <= now => {
            Err(Refusal::new(Code::BAD_REQUEST, "`expires_at` is not in the future"))
        }
        _ => Ok(()),
    }
}

pub(super) fn micros(duration: std::time::Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
