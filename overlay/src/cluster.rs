//! The cluster's signing key, and what it says about relays.
//!
//! A join key carries [`ClusterPublicKey`]; a relay shows a [`RelayIdentity`] signed by it. So a node pins its relay with no certificate
//! authority. The signed text is `"bore relay identity v1"` followed by the relay's X25519 key. Source: RFC 8032 (Ed25519).

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::key::{KeyError, PublicKey, decode_32};

/// The cluster's secret Ed25519 key. Wiped when dropped.
#[derive(Clone)]
pub struct ClusterKey(SigningKey);

impl ClusterKey {
    /// A fresh key.
    pub fn generate(random: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        random.fill_bytes(bytes.as_mut_slice());
        Self(SigningKey::from_bytes(&bytes))
    }

    /// A key from its 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self(SigningKey::from_bytes(&bytes))
    }

    /// The secret itself, for the file that keeps it.
    pub fn expose_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The half that join keys carry.
    pub fn public(&self) -> ClusterPublicKey {
        ClusterPublicKey(self.0.verifying_key().to_bytes())
    }

    /// Says that `relay` is a relay of this cluster.
    pub fn sign_relay(&self, relay: &PublicKey) -> RelayIdentity {
        let signature = self.0.sign(&statement(relay)).to_bytes();
        RelayIdentity { key: *relay, signature }
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(***)")
    }
}

/// The cluster's public Ed25519 key. Its text is base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterPublicKey(pub [u8; 32]);

impl ClusterPublicKey {
    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ClusterPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

impl fmt::Debug for ClusterPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ClusterPublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode_32(text).map(Self)
    }
}

/// A relay's key, vouched for by its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayIdentity {
    /// The relay's X25519 key.
    pub key: PublicKey,
    /// The cluster's Ed25519 signature.
    pub signature: [u8; 64],
}

impl RelayIdentity {
    /// Whether `cluster` has signed this key.
    pub fn verify(&self, cluster: &ClusterPublicKey) -> bool {
        let Ok(verifier) = VerifyingKey::from_bytes(&cluster.0) else { return false };
        let signature = Signature::from_bytes(&self.signature);
        verifier.verify_strict(&statement(&self.key), &signature).is_ok()
    }
}

fn statement(relay: &PublicKey) -> Vec<u8> {
    [STATEMENT_PREFIX, relay.as_bytes()].concat()
}

const STATEMENT_PREFIX: &[u8] = b"bore relay identity v1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_known_by_its_clusters_signature() {
        let cluster = ClusterKey::from_bytes([7; 32]);
        let identity = cluster.sign_relay(&PublicKey([9; 32]));
        assert!(identity.verify(&cluster.public()));
    }

    #[test]
    fn another_cluster_another_key_or_a_changed_signature_do_not_verify() {
        let cluster = ClusterKey::from_bytes([7; 32]);
        let identity = cluster.sign_relay(&PublicKey([9; 32]));
        let mut signature = identity.signature;
        signature[0] ^= 1;

        assert!(!identity.verify(&ClusterKey::from_bytes([8; 32]).public()));
        assert!(!RelayIdentity { key: PublicKey([1; 32]), ..identity }.verify(&cluster.public()));
        assert!(!RelayIdentity { signature, ..identity }.verify(&cluster.public()));
    }

    #[test]
    fn a_cluster_key_shows_nothing() {
        assert_eq!(format!("{:?}", ClusterKey::from_bytes([7; 32])), "ClusterKey(***)");
    }
}
