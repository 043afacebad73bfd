//! Join keys: one line of text that lets a node join.
//!
//! `bore_join_` and lower-case base32 (RFC 4648, no padding) of
//!
//! | bytes | are |
//! |---|---|
//! | 1 | version, 1 |
//! | 32 | the cluster's signing key |
//! | 16 | the network's id |
//! | 16 | the join key's id |
//! | 20 | the secret |
//! | 1 | number of addresses, 1 to 4 |
//! | … | addresses: kind (4, 6, 1 = name), the address (a name has its length in front), port (big-endian) |
//! | 4 | CRC-32 of everything before, big-endian |
//!
//! The checksum tells a typing error apart with no network. A join key is a secret: it has no `Display`, and its `Debug` hides the secret.

use std::fmt;

use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE, DecodeKind};
use rand::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::address::NetworkId;
use crate::cluster::ClusterPublicKey;
use crate::limits::JOIN_KEY_CHARACTERS_MAX;
use crate::relay_address::RelayAddress;

mod wire;

/// What a join key says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinKey {
    /// Who signs the relays' keys.
    pub cluster: ClusterPublicKey,
    /// The network to join.
    pub network: NetworkId,
    /// The key's id in the relay's store.
    pub key_id: [u8; 16],
    /// What proves that the bearer was given this key.
    pub secret: JoinSecret,
    /// Where the relay is, 1 to [`JOIN_KEY_RELAYS_MAX`](crate::limits::JOIN_KEY_RELAYS_MAX) addresses, best first.
    pub relays: Vec<RelayAddress>,
}

/// Why a text is not a join key, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinKeyError {
    /// Something else.
    #[error(
        "this is not a join key: it starts with `bore_join_` and is printed by `bore key create`"
    )]
    NotAJoinKey,
    /// The end is missing.
    #[error("this join key is cut off: copy the whole line that `bore key create` printed")]
    Truncated,
    /// A typing error.
    #[error(
        "this join key has a typing error (its checksum does not fit): copy it again, as it was printed"
    )]
    Checksum,
    /// Made by another version.
    #[error(
        "this join key has version {0}, which this bore does not know: update bore, or make a new key"
    )]
    Version(u8),
    /// Addresses that cannot be.
    #[error("this join key names no usable relay address: make a new one with `bore key create`")]
    Address,
}

impl JoinKey {
    /// The key as text. Of more than [`JOIN_KEY_RELAYS_MAX`](crate::limits::JOIN_KEY_RELAYS_MAX) addresses only the first are told.
    pub fn encode(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(JOIN_KEY_CHARACTERS_MAX));
        text.push_str(PREFIX);
        BASE32_NOPAD.encode_append(&wire::encode(self), &mut text);
        text.make_ascii_lowercase();
        text
    }

    /// Reads a key. Space around it and capital letters do not matter.
    ///
    /// # Errors
    /// See [`JoinKeyError`]; nothing is asked of the network.
    pub fn parse(text: &str) -> Result<Self, JoinKeyError> {
        let text = text.trim();
        let (prefix, encoded) =
            text.split_at_checked(PREFIX.len()).ok_or(JoinKeyError::NotAJoinKey)?;
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            return Err(JoinKeyError::NotAJoinKey);
        }
        if text.len() > JOIN_KEY_CHARACTERS_MAX {
            return Err(JoinKeyError::Checksum);
        }
        wire::decode(&decode_base32(encoded)?)
    }
}

/// A cut can leave a number of characters that base32 cannot have; only a wrong character is a typing error.
fn decode_base32(encoded: &str) -> Result<Zeroizing<Vec<u8>>, JoinKeyError> {
    let decoded =
        BASE32_NOPAD_NOCASE.decode(encoded.as_bytes()).map_err(|error| match error.kind {
            DecodeKind::Length | DecodeKind::Trailing => JoinKeyError::Truncated,
            DecodeKind::Symbol | DecodeKind::Padding => JoinKeyError::Checksum,
        })?;
    Ok(Zeroizing::new(decoded))
}

/// The 160 secret bits of a join key. Compared in constant time, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct JoinSecret([u8; 20]);

impl JoinSecret {
    /// A secret from its bytes.
    pub fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// A fresh secret.
    pub fn generate(random: &mut impl CryptoRng) -> Self {
        let mut secret = Self([0; 20]);
        random.fill_bytes(&mut secret.0);
        secret
    }

    /// The secret itself, to be hashed by the relay or sent through the walled garden.
    pub fn expose_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl PartialEq for JoinSecret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for JoinSecret {}

impl fmt::Debug for JoinSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinSecret(***)")
    }
}

const PREFIX: &str = "bore_join_";
