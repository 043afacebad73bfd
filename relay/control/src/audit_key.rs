//! The key that vouches for the audit trail: the cluster's Ed25519 key, which is never in the database.
//!
//! Signed are points of the chain: its head with every row, and the last row that retention removed. A database that was rewritten by someone
//! without the key has no signature for the point where it ends.
//!
//! Invariant: the key cannot be printed. Source: RFC 8032; each statement begins with what it is about, so that none can be taken for another.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey};

/// Signs and verifies points of the audit chain.
#[derive(Clone)]
pub struct AuditKey(SigningKey);

/// A row of the audit trail and its hash. Its text is `SEQ:HASH`, the hash in hexadecimal; row 0 is the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPoint {
    /// The row's number.
    pub sequence: i64,
    /// The row's hash, which covers every row before it.
    pub hash: [u8; 32],
}

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

impl fmt::Display for AuditPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.sequence)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a text is no [`AuditPoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not SEQ:HASH: a row's number, a colon and 64 hexadecimal digits, as bore audit verify prints them"
)]
pub struct AuditPointError;

impl FromStr for AuditPoint {
    type Err = AuditPointError;

    fn from_str(text: &str) -> Result<Self, AuditPointError> {
        let (sequence, digits) = text.split_once(':').ok_or(AuditPointError)?;
        let sequence = sequence.parse().map_err(|_| AuditPointError)?;
        let is_hash = digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if sequence < 0 || !is_hash {
            return Err(AuditPointError);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| AuditPointError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| AuditPointError)?;
        }
        Ok(Self { sequence, hash })
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

    #[test]
    fn a_point_is_read_as_it_is_written_and_nothing_else_is() {
        let point = AuditPoint { sequence: 1_465, hash: [0xa5; 32] };
        assert_eq!(point.to_string().parse(), Ok(point));
        let digits = "a5".repeat(32);
        for wrong in ["", "7", ":", "7:a5", &format!("-1:{digits}"), &format!("x:{digits}")] {
            assert_eq!(wrong.parse::<AuditPoint>(), Err(AuditPointError), "{wrong}");
        }
        assert!(format!("7:+{}", &digits[1..]).parse::<AuditPoint>().is_err());
    }
}
