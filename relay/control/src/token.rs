//! Secrets that people and machines carry, API keys and the secrets of join keys: how they are drawn, and what is kept of them.
//!
//! The store has the SHA-256 of a secret, never the secret: 160 random bits need no slow hash. Their texts are those of [`ApiToken`] and [`JoinSecret`].

use bore_api::ApiToken;
use bore_api::wire::JoinSecret;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The system has no randomness to give.
#[derive(Debug, thiserror::Error)]
#[error("the system's random source failed")]
pub struct RandomError(#[source] pub(crate) rand::rand_core::OsError);

/// Draws the secret of the API key `id`.
///
/// # Errors
/// When the system's random source fails.
pub fn generate_api_token(id: Uuid) -> Result<ApiToken, RandomError> {
    ApiToken::draw(id, random_byte)
}

/// What the store keeps of an API key.
pub fn api_token_hash(token: &ApiToken) -> [u8; 32] {
    Sha256::digest(token.secret()).into()
}

/// Draws the secret of a join key.
///
/// # Errors
/// When the system's random source fails.
pub fn generate_join_secret() -> Result<JoinSecret, RandomError> {
    let mut bytes = Zeroizing::new([0; JoinSecret::BYTES]);
    OsRng.try_fill_bytes(&mut *bytes).map_err(RandomError)?;
    Ok(JoinSecret::new(*bytes))
}

/// What the store keeps of the secret of a join key.
pub fn join_secret_hash(secret: &JoinSecret) -> [u8; 32] {
    Sha256::digest(secret.reveal()).into()
}

/// Compares hashes in a time that depends on nothing.
pub fn same_hash(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.ct_eq(right).into()
}

fn random_byte() -> Result<u8, RandomError> {
    let mut byte = [0];
    OsRng.try_fill_bytes(&mut byte).map_err(RandomError)?;
    let [byte] = byte;
    Ok(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_differ() {
        let [one, other] = [(); 2].map(|()| generate_api_token(Uuid::nil()).unwrap());
        assert!(!same_hash(&api_token_hash(&one), &api_token_hash(&other)));
        let read = ApiToken::parse(&one.reveal()).unwrap();
        assert!(same_hash(&api_token_hash(&one), &api_token_hash(&read)));
    }
}
