//! X25519 keys of nodes.
//!
//! A [`PrivateKey`] is made on the node and never leaves it: it has no `Display`, is not serialisable, shows nothing in `Debug` and is
//! wiped when dropped. The two `expose_` methods are for the file that keeps it; search for them to see who reads one.

use std::fmt;
use std::str::FromStr;

use blake2::{Blake2s256, Digest};
use data_encoding::BASE64;
use rand::CryptoRng;
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, Zeroizing};

/// A node's secret X25519 key.
#[derive(Clone)]
pub struct PrivateKey(StaticSecret);

impl PrivateKey {
    /// A key from its 32 bytes. X25519 clamps them when they are used.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self(StaticSecret::from(*bytes))
    }

    /// A fresh key.
    pub fn generate(random: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        random.fill_bytes(bytes.as_mut_slice());
        Self(StaticSecret::from(*bytes))
    }

    /// The half that others may know.
    pub fn public(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }

    pub(crate) fn secret(&self) -> &StaticSecret {
        &self.0
    }

    /// The secret itself, for the file that keeps it.
    pub fn expose_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The secret as base64, for the configuration file of a stock WireGuard client.
    pub fn expose_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(self.expose_bytes()))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}

/// A node's public X25519 key. Its text is base64, as in WireGuard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns true if no node can have this key: it is not written in the one canonical way (RFC 7748 section 5 takes several for the same point), or its
    /// point has a small order, so that every private key shares the same secret with it (section 6.1).
    pub fn is_weak(&self) -> bool {
        !is_canonical(&self.0) || x25519_dalek::x25519(ANY_SCALAR, self.0) == [0; 32]
    }

    /// By what relays forward to this node: the first 48 bits of the key's BLAKE2s.
    pub fn routing_id(&self) -> RoutingId {
        RoutingId(first_bytes(&self.0))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode_32(text).map(Self)
    }
}

/// Returns true if `bytes`, little-endian, are less than the field's prime 2^255 - 19.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let mut from_the_top = bytes.iter().rev().zip(PRIME.iter().rev());
    let differing = from_the_top.find(|(byte, prime)| byte != prime);
    differing.is_some_and(|(byte, prime)| byte < prime)
}

/// 2^255 - 19, little-endian.
const PRIME: [u8; 32] = {
    let mut prime = [0xff; 32];
    prime[0] = 0xed;
    prime[31] = 0x7f;
    prime
};

/// Clamping makes a multiple of 8 of any scalar, which takes every point of small order to zero.
const ANY_SCALAR: [u8; 32] = [9; 32];

/// 48 bits that name a node to a forwarding relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoutingId(pub [u8; 6]);

/// Why a text is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not base64.
    #[error("not a key: expected 44 characters of base64, such as `wg pubkey` prints")]
    NotBase64,
    /// Base64 of something else.
    #[error("not a key: expected 32 bytes in base64, got {0}")]
    Length(usize),
}

/// The first `N` bytes of the BLAKE2s-256 of `input`; `N` is at most 32.
pub(crate) fn first_bytes<const N: usize>(input: &[u8]) -> [u8; N] {
    let digest: [u8; 32] = Blake2s256::digest(input).into();
    let mut first = [0; N];
    for (byte, bits) in first.iter_mut().zip(digest) {
        *byte = bits;
    }
    first
}

/// 32 bytes from padded base64.
pub(crate) fn decode_32(text: &str) -> Result<[u8; 32], KeyError> {
    let mut bytes = BASE64.decode(text.trim().as_bytes()).map_err(|_| KeyError::NotBase64)?;
    let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| KeyError::Length(bytes.len()));
    bytes.zeroize();
    key
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_public_key_survives_its_text() {
        let key = fresh().public();
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(key.to_string().len(), 44);
    }

    #[test]
    fn a_private_key_shows_nothing() {
        let key = fresh();
        assert_eq!(format!("{key:?}"), "PrivateKey(***)");
    }

    #[test]
    fn a_private_key_survives_its_bytes() {
        let key = fresh();
        assert_eq!(PrivateKey::from_bytes(*key.expose_bytes()).public(), key.public());
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        assert_eq!("nonsense!".parse::<PublicKey>(), Err(KeyError::NotBase64));
        assert_eq!("AAAA".parse::<PublicKey>(), Err(KeyError::Length(3)));
    }

    fn fresh() -> PrivateKey {
        PrivateKey::generate(&mut StdRng::seed_from_u64(7))
    }

    #[test]
    fn keys_that_are_no_keys_are_weak() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..100 {
            assert!(!PrivateKey::generate(&mut random).public().is_weak());
        }
        let mut base_point = [0; 32];
        base_point[0] = 9;
        assert!(!PublicKey(base_point).is_weak());

        let small = |byte: u8| {
            let mut bytes = [0; 32];
            bytes[0] = byte;
            bytes
        };
        let minus = |byte: u8| {
            let mut bytes = PRIME;
            bytes[0] -= byte;
            bytes
        };
        let mut other_name = base_point;
        other_name[31] |= 0x80;
        // Zero, one, minus one: orders 1, 4 and 4 or 2; the prime itself, more than it, and a key with the bit set that is ignored.
        for bytes in [small(0), small(1), minus(1), PRIME, [0xff; 32], other_name] {
            assert!(PublicKey(bytes).is_weak(), "{bytes:?}");
        }
    }
}
