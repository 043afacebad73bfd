//! The key that vouches for the audit trail: the cluster's Ed25519 key, which is never in the database.
//!
//! Signed are points of the chain: its head with every row, and the last row that retention removed. A database that was rewritten by someone
//! without the key has no signature for the point where it ends.
//!
//! Invariant: the key cannot be printed. Source: RFC 8032; each statement begins with what it is about, so that none can be taken for another.

use std::fmt;

pub(crate) use bore_api::AuditPoint;
use ed25519_dalek::{Signature, Signer as _, SigningKey};

/// Signs and verifies points of the audit chain.
#[derive(Clone)]
pub struct AuditKey(SigningKey);

/// What a signature says of a point.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Claim {
    /// The trail ends here.
    Head,
    /// Rows up to this one were removed by retention.
    Checkpoint,
}

impl AuditKey {
    /// From the 32 bytes of the cluster's key.
    pub fn from_cluster_key(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    pub(crate) fn sign(&self, claim: Claim, point: &AuditPoint) -> [u8; 64] {
        self.0.sign(&statement(claim, point)).to_bytes()
    }

    pub(crate) fn verifies(&self, claim: Claim, point: &AuditPoint, signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        self.0.verify(&statement(claim, point), &signature).is_ok()
    }
}

fn statement(claim: Claim, point: &AuditPoint) -> Vec<u8> {
    let about: &[u8] = match claim {
        Claim::Head => b"bore audit head v1",
        Claim::Checkpoint => b"bore audit checkpoint v1",
    };
    [about, &point.sequence.to_be_bytes(), &point.hash].concat()
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_key_claim_and_point_alone() {
        let (key, other) =
            (AuditKey::from_cluster_key(&[1; 32]), AuditKey::from_cluster_key(&[2; 32]));
        let point = AuditPoint { sequence: 7, hash: [3; 32] };
        let signature = key.sign(Claim::Head, &point);
        assert!(key.verifies(Claim::Head, &point, &signature));
        assert!(!other.verifies(Claim::Head, &point, &signature));
        assert!(!key.verifies(Claim::Checkpoint, &point, &signature));
        for forged in [AuditPoint { sequence: 8, ..point }, AuditPoint { hash: [4; 32], ..point }] {
            assert!(!key.verifies(Claim::Head, &forged, &signature));
        }
        assert_eq!(format!("{key:?}"), "AuditKey(***)");
    }
}
