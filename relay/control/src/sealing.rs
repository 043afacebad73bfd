//! Secrets at rest: private keys and account credentials are sealed before the database sees them.
//!
//! XChaCha20-Poly1305 with a random nonce. A sealed secret reads
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 8 | id of the key: the first bytes of a SHA-256 over it |
//! | 24 | nonce |
//! | rest | ciphertext and tag |
//!
//! Column and row id are associated data: a sealed secret that is moved to another row or column does not open. The key's id tells a
//! secret that another key sealed from a damaged one, and lets a rotation have two keys at once.
//!
//! Invariant: neither a key nor an opened secret can be printed or serialised; both are wiped when they are dropped.

use std::fmt;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::token::RandomError;

/// A secret as the database has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

/// An opened secret. Wiped when dropped.
pub struct Secret(Zeroizing<Vec<u8>>);

/// What secrets are sealed with.
pub struct SealingKey {
    id: SealingKeyId,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

/// Which key it was; tells nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SealingKeyId([u8; KEY_ID_BYTES]);

/// Where a sealed secret lies. It opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Table and column.
    pub column: Column,
    /// Id of the row.
    pub row: Uuid,
}

/// A column of sealed secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The key of a certificate.
    CertificateKey,
    /// The key that an order's certificate will have.
    OrderKey,
    /// The account at a CA.
    AccountCredentials,
}

/// The keys of this relay: one that seals, and during a rotation another that still opens.
#[derive(Debug)]
pub struct Sealer {
    current: SealingKey,
    other: Option<SealingKey>,
}

/// Why a secret could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Sealed with a key that is not here.
    #[error("it is sealed with the sealing key {wanted}, and the relay has {present}")]
    OtherKey {
        /// Which key would open it.
        wanted: SealingKeyId,
        /// Which are here.
        present: String,
    },
    /// Not what was sealed, or not where it was sealed for.
    #[error("it was changed since it was sealed, or belongs to another row")]
    Damaged,
    /// No randomness for a nonce.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl SealingKey {
    /// Draws a key.
    ///
    /// # Errors
    /// When the system's random source fails.
    pub fn generate() -> Result<Self, RandomError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        OsRng.try_fill_bytes(&mut *key).map_err(RandomError)?;
        Ok(Self::from_bytes(key))
    }

    /// The key of these bytes.
    pub fn from_bytes(key: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let digest = Sha256::new().chain_update(KEY_ID_CONTEXT).chain_update(*key).finalize();
        let mut id = [0; KEY_ID_BYTES];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self { id: SealingKeyId(id), key }
    }

    /// Its id.
    pub fn id(&self) -> SealingKeyId {
        self.id
    }

    /// The bytes, to be written into a file that only its owner can read.
    pub fn expose_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.key
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key).into())
    }

    fn seal(&self, place: Place, secret: &[u8]) -> Result<Sealed, SealError> {
        let mut nonce = XNonce::default();
        OsRng.try_fill_bytes(&mut nonce).map_err(RandomError)?;
        let aad = place.associated_data();
        let payload = Payload { msg: secret, aad: &aad };
        // Fails only for secrets of 256 GiB.
        let text = self.cipher().encrypt(&nonce, payload).map_err(|_| SealError::Damaged)?;
        let parts = [&[VERSION], self.id.0.as_slice(), nonce.as_slice(), &text];
        Ok(Sealed(parts.concat()))
    }

    fn open(&self, place: Place, nonce: &[u8], text: &[u8]) -> Option<Secret> {
        let aad = place.associated_data();
        let payload = Payload { msg: text, aad: &aad };
        let opened = self.cipher().decrypt(XNonce::from_slice(nonce), payload).ok()?;
        Some(Secret(Zeroizing::new(opened)))
    }
}

impl Sealer {
    /// Seals and opens with one key.
    pub fn new(current: SealingKey) -> Self {
        Self { current, other: None }
    }

    /// Seals with `current`, and opens what either has sealed.
    #[must_use]
    pub fn rotating(current: SealingKey, other: SealingKey) -> Self {
        Self { current, other: Some(other) }
    }

    /// Seals a secret for one place.
    ///
    /// # Errors
    /// When the system's random source fails.
    pub fn seal(&self, place: Place, secret: &[u8]) -> Result<Sealed, SealError> {
        self.current.seal(place, secret)
    }

    /// Opens what lies at `place`.
    ///
    /// # Errors
    /// Another key sealed it, or it is not what was sealed there.
    pub fn open(&self, place: Place, sealed: &Sealed) -> Result<Secret, SealError> {
        let (id, nonce, text) = sealed.parts().ok_or(SealError::Damaged)?;
        let key = self.keys().find(|key| key.id == id).ok_or_else(|| self.other_key(id))?;
        key.open(place, nonce, text).ok_or(SealError::Damaged)
    }

    /// Seals again with the current key.
    pub(crate) fn reseal(&self, place: Place, sealed: &Sealed) -> Result<Sealed, SealError> {
        self.seal(place, self.open(place, sealed)?.expose())
    }

    pub(crate) fn current_id(&self) -> SealingKeyId {
        self.current.id
    }

    fn keys(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.current).chain(&self.other)
    }

    fn other_key(&self, wanted: SealingKeyId) -> SealError {
        let present: Vec<String> = self.keys().map(|key| key.id.to_string()).collect();
        SealError::OtherKey { wanted, present: present.join(" and ") }
    }
}

impl Sealed {
    /// As read from the database.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Key id, nonce, ciphertext with tag.
    fn parts(&self) -> Option<(SealingKeyId, &[u8], &[u8])> {
        let rest = self.0.strip_prefix(&[VERSION])?;
        let (id, rest) = rest.split_first_chunk::<KEY_ID_BYTES>()?;
        let (nonce, text) = rest.split_at_checked(NONCE_BYTES)?;
        Some((SealingKeyId(*id), nonce, text))
    }
}

impl Secret {
    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is one.
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl Place {
    fn associated_data(self) -> Vec<u8> {
        [self.column.name().as_bytes(), &[0], self.row.as_bytes()].concat()
    }
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::CertificateKey => "certificates.private_key",
            Self::OrderKey => "certificate_orders.private_key",
            Self::AccountCredentials => "acme_accounts.credentials",
        }
    }

    /// The place in this column of the row `row`.
    pub fn of(self, row: Uuid) -> Place {
        Place { column: self, row }
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

impl fmt::Display for SealingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SealingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const KEY_ID_CONTEXT: &[u8] = b"bore sealing key id";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_in_its_place_and_nowhere_else() {
        let sealer = Sealer::new(key(1));
        let sealed = sealer.seal(place(1), b"canary").unwrap();
        assert_eq!(sealer.open(place(1), &sealed).unwrap().expose(), b"canary");
        for elsewhere in [place(2), Column::OrderKey.of(Uuid::from_u128(1))] {
            assert!(matches!(sealer.open(elsewhere, &sealed), Err(SealError::Damaged)));
        }
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let sealer = Sealer::new(key(1));
        let sealed = sealer.seal(place(1), b"canary").unwrap();
        for bit in 0..sealed.0.len() * 8 {
            let mut changed = sealed.clone();
            changed.0[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer.open(place(1), &changed).is_err(), "bit {bit}");
        }
        for bytes in 0..sealed.0.len() {
            let cut = Sealed(sealed.0[..bytes].to_vec());
            assert!(sealer.open(place(1), &cut).is_err(), "{bytes} bytes");
        }
    }

    #[test]
    fn another_key_is_named_and_a_rotation_has_both() {
        let sealed = Sealer::new(key(1)).seal(place(1), b"canary").unwrap();
        let refused = Sealer::new(key(2)).open(place(1), &sealed).unwrap_err();
        let wanted = key(1).id().to_string();
        assert!(refused.to_string().contains(&wanted), "{refused}");

        let rotating = Sealer::rotating(key(2), key(1));
        let resealed = rotating.reseal(place(1), &sealed).unwrap();
        assert!(Sealer::new(key(1)).open(place(1), &resealed).is_err());
        assert_eq!(Sealer::new(key(2)).open(place(1), &resealed).unwrap().expose(), b"canary");
    }

    #[test]
    fn nothing_secret_can_be_printed() {
        let sealer = Sealer::new(key(0x61));
        let sealed = sealer.seal(place(1), b"canary").unwrap();
        let opened = sealer.open(place(1), &sealed).unwrap();
        let text = format!("{sealer:?} {sealed:?} {opened:?}");
        assert!(!text.contains("canary") && !text.contains("97, 97") && !text.contains("aaaa"));
    }

    fn key(byte: u8) -> SealingKey {
        SealingKey::from_bytes(Zeroizing::new([byte; KEY_BYTES]))
    }

    fn place(row: u128) -> Place {
        Column::CertificateKey.of(Uuid::from_u128(row))
    }
}
