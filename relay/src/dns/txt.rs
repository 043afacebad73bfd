//! TXT records that come and go: what proves to a certificate authority that a name is ours (ACME DNS-01, RFC 8555 §8.4).
//!
//! Several values may stand under one name at once: a wildcard and its apex are proved at the same name.

use async_trait::async_trait;

use super::zone::Issuer;

/// Somewhere that TXT records can be put.
#[async_trait]
pub trait TxtRecords: Send + Sync + std::fmt::Debug {
    /// Puts `value` beside what stands under `name`. When it returns, the zone's servers answer with it.
    ///
    /// # Errors
    /// See [`TxtError`].
    async fn publish(&self, name: &str, value: &str) -> Result<(), TxtError>;

    /// Whether the world would find what is put there. `Ok` also when nobody knows.
    ///
    /// # Errors
    /// [`TxtError::NotDelegated`].
    async fn ready(&self) -> Result<(), TxtError> {
        Ok(())
    }

    /// These CAs alone may issue for the names of the zone; none: anybody may. Only who answers for the zone can say so.
    fn admit(&self, issuers: Vec<Issuer>) {
        drop(issuers);
    }

    /// Takes `value` away from `name`. One that does not stand there is no error.
    ///
    /// # Errors
    /// See [`TxtError`].
    async fn withdraw(&self, name: &str, value: &str) -> Result<(), TxtError>;
}

/// Why a TXT record could not be put or taken away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TxtError {
    /// The name cannot be, or is not one that this provider keeps.
    #[error("{provider}: {name} cannot have a TXT record here: {cause}")]
    Name {
        /// Which provider.
        provider: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it, and what would be right.
        cause: String,
    },
    /// A bound of this relay.
    #[error("{provider}: no room for a TXT record at {name}: {cause}")]
    Full {
        /// Which provider.
        provider: &'static str,
        /// The name.
        name: String,
        /// Which bound.
        cause: String,
    },
    /// The provider said no, or did not answer.
    #[error("{provider}: the TXT record at {name} was not changed: {cause}")]
    Provider {
        /// Which provider.
        provider: &'static str,
        /// The name.
        name: String,
        /// What it said, and what to do.
        cause: String,
    },
    /// Nobody is led to the zone.
    #[error("{provider}: {subject}: {cause}")]
    NotDelegated {
        /// Which provider.
        provider: &'static str,
        /// The record.
        subject: String,
        /// What is there instead, and what to make.
        cause: String,
    },
    /// The provider took it, and the zone's servers do not show it.
    #[error("{provider}: the TXT record at {name} was taken but is not visible: {cause}")]
    NotVisible {
        /// Which provider.
        provider: &'static str,
        /// The name.
        name: String,
        /// What each server of the zone shows instead.
        cause: String,
    },
}
