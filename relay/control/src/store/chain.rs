//! The hash that ties a row of the audit trail to the one before it.
//!
//! SHA-256 over a canonical form: each field as its length in eight bytes, big-endian, and its bytes; so no two rows
//! share a form. Pure: reads no database.

use bore_api::model::Micros;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A hash of the chain.
pub(super) type Hash = [u8; 32];

/// What the first row follows.
pub(super) const GENESIS: Hash = [0; 32];

/// The fields that a row's hash covers, as they are stored.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// Counts from 1 without a gap.
    pub(super) sequence: i64,
    /// The network concerned.
    pub(super) network: Option<Uuid>,
    /// When.
    pub(super) at: Micros,
    /// Who.
    pub(super) actor: String,
    /// What.
    pub(super) action: String,
    /// Which thing.
    pub(super) subject: String,
    /// JSON text; hashed as it is stored, never parsed first.
    pub(super) detail: String,
    /// Hash of the row before.
    pub(super) previous_hash: Hash,
}

impl Link {
    /// The hash of this row.
    pub(super) fn hash(&self) -> Hash {
        let network = self.network.map(Uuid::into_bytes);
        let fields: [&[u8]; 9] = [
            b"bore audit row v1",
            &self.sequence.to_be_bytes(),
            network.as_ref().map_or(&[], |id| id.as_slice()),
            &self.at.to_be_bytes(),
            self.actor.as_bytes(),
            self.action.as_bytes(),
            self.subject.as_bytes(),
            self.detail.as_bytes(),
            &self.previous_hash,
        ];
        let mut hasher = Sha256::new();
        for field in fields {
            hasher.update((field.len() as u64).to_be_bytes());
            hasher.update(field);
        }
        hasher.finalize().into()
    }
}

/// `hash` in hexadecimal.
pub(super) fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_changes_the_hash() {
        let hashes: std::collections::HashSet<Hash> = [
            row(),
            Link { sequence: 2, ..row() },
            Link { network: Some(Uuid::from_u128(1)), ..row() },
            Link { at: 6, ..row() },
            Link { actor: "b".to_owned(), ..row() },
            Link { action: "c".to_owned(), ..row() },
            Link { subject: "d".to_owned(), ..row() },
            Link { detail: "[]".to_owned(), ..row() },
            Link { previous_hash: [1; 32], ..row() },
        ]
        .iter()
        .map(Link::hash)
        .collect();
        assert_eq!(hashes.len(), 9);
    }

    #[test]
    fn text_cannot_move_between_fields() {
        let left = Link { actor: "ab".to_owned(), action: "c".to_owned(), ..row() };
        let right = Link { actor: "a".to_owned(), action: "bc".to_owned(), ..row() };
        assert_ne!(left.hash(), right.hash());
    }

    #[test]
    fn the_canonical_form_stays_what_it_is() {
        // Computed apart from this code, with Python's hashlib.
        assert_eq!(
            hex(&row().hash()),
            "16f403375258fa7694025d804c160c3ecb6df9f8fa4008549c8ecdcda15509c5"
        );
    }

    fn row() -> Link {
        Link {
            sequence: 1,
            network: None,
            at: 5,
            actor: "system".to_owned(),
            action: "network.create".to_owned(),
            subject: "home".to_owned(),
            detail: "{}".to_owned(),
            previous_hash: GENESIS,
        }
    }
}
