//! A point of the audit trail, as `bore audit verify` prints it and takes it again.

use std::fmt;
use std::str::FromStr;

/// A row of the audit trail and its hash. Its text is `SEQ:HASH`, the hash in hexadecimal; row 0 is the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditPoint {
    /// The row's number.
    pub sequence: i64,
    /// The row's hash, which covers every row before it.
    pub hash: [u8; 32],
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
