//! Public ports: one, or a range with both ends included.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::text::{is_digits, quoted};

/// Ports from the first to the last; never port 0, never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a text is no [`PortRange`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PortRangeError {
    /// Neither `PORT` nor `FIRST-LAST`.
    #[error("{text} is no port and no range of ports: write one like 7777 or 20000-29999")]
    NotAPort {
        /// The text, quoted.
        text: String,
    },
    /// Port 0, which cannot be opened.
    #[error("port 0 cannot be opened: ports go from 1 to 65535")]
    Zero,
    /// A number above 65535.
    #[error("{text} is beyond the last port, 65535")]
    TooLarge {
        /// The number, quoted.
        text: String,
    },
    /// The last port comes before the first.
    #[error("the range {first}-{last} runs backwards: write {last}-{first}")]
    Reversed {
        /// As written.
        first: u16,
        /// As written.
        last: u16,
    },
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self { first: 1, last: u16::MAX };

    /// The ports from `first` to `last`.
    ///
    /// # Errors
    /// When the range holds port 0 or runs backwards.
    pub fn new(first: u16, last: u16) -> Result<Self, PortRangeError> {
        match (first, last) {
            (0, _) | (_, 0) => Err(PortRangeError::Zero),
            _ if first > last => Err(PortRangeError::Reversed { first, last }),
            _ => Ok(Self { first, last }),
        }
    }

    /// One port.
    ///
    /// # Errors
    /// For port 0.
    pub fn single(port: u16) -> Result<Self, PortRangeError> {
        Self::new(port, port)
    }

    /// Reads `7777` or `20000-29999`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &str) -> Result<Self, PortRangeError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        if !is_digits(first) || !is_digits(last) {
            return Err(PortRangeError::NotAPort { text: quoted(text) });
        }
        Self::new(parse_port(first)?, parse_port(last)?)
    }

    /// The lowest port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    pub fn last(self) -> u16 {
        self.last
    }

    /// How many ports there are, 1 to 65535.
    pub fn count(self) -> u16 {
        self.last - self.first + 1
    }

    /// Every port in order.
    pub fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// True when every port of `other` is among these.
    pub fn covers(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// True when both have a port in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

fn parse_port(digits: &str) -> Result<u16, PortRangeError> {
    digits.parse().map_err(|_| PortRangeError::TooLarge { text: quoted(digits) })
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            self.first.fmt(f)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `"7777"`, `"20000-29999"`, and the bare number 7777, which people write for a single port.
impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PortRangeVisitor)
    }
}

struct PortRangeVisitor;

impl de::Visitor<'_> for PortRangeVisitor {
    type Value = PortRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a port like 7777 or a range like \"20000-29999\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PortRange, E> {
        PortRange::parse(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<PortRange, E> {
        PortRange::parse(&number.to_string()).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<PortRange, E> {
        PortRange::parse(&number.to_string()).map_err(E::custom)
    }
}

/// Ports as the fewest ranges in order, so that neighbouring ranges cover what spans them.
#[derive(Debug, Clone, Default)]
pub(crate) struct PortSet(Vec<PortRange>);

impl PortSet {
    /// The union of `ranges`.
    pub(crate) fn new(ranges: &[PortRange]) -> Self {
        let mut sorted = ranges.to_vec();
        sorted.sort_unstable();
        let mut merged: Vec<PortRange> = Vec::new();
        for range in sorted {
            match merged.last_mut() {
                Some(last) if range.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(range.last);
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    /// True when every port of `range` is in the set.
    pub(crate) fn covers(&self, range: PortRange) -> bool {
        self.0.iter().any(|mine| mine.covers(range))
    }

    /// True when a port of `range` is in the set.
    pub(crate) fn overlaps(&self, range: PortRange) -> bool {
        self.0.iter().any(|mine| mine.overlaps(range))
    }

    /// True when it has no port.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges_are_read_and_written_alike() {
        for text in ["1", "7777", "65535", "20000-29999", "1-65535"] {
            assert_eq!(PortRange::parse(text).unwrap().to_string(), text);
        }
        let range = PortRange::parse("27000-27050").unwrap();
        assert_eq!((range.first(), range.last(), range.count()), (27000, 27050, 51));
        assert_eq!(range.ports().count(), 51);
        assert_eq!(PortRange::ALL.count(), 65535);
    }

    #[test]
    fn nonsense_is_refused_with_its_cause() {
        let table = [
            ("", "`` is no port and no range of ports: write one like 7777 or 20000-29999"),
            ("+80", "`+80` is no port and no range of ports: write one like 7777 or 20000-29999"),
            (
                "1-2-3",
                "`1-2-3` is no port and no range of ports: write one like 7777 or 20000-29999",
            ),
            ("http", "`http` is no port and no range of ports: write one like 7777 or 20000-29999"),
            ("0", "port 0 cannot be opened: ports go from 1 to 65535"),
            ("0-10", "port 0 cannot be opened: ports go from 1 to 65535"),
            ("65536", "`65536` is beyond the last port, 65535"),
            ("9-7", "the range 9-7 runs backwards: write 7-9"),
        ];
        for (text, expected) in table {
            assert_eq!(PortRange::parse(text).unwrap_err().to_string(), expected, "{text:?}");
        }
    }

    #[test]
    fn neighbouring_ranges_cover_what_spans_them() {
        let range = |text| PortRange::parse(text).unwrap();
        let set = PortSet::new(&[range("30-40"), range("10-19"), range("20-29"), range("60")]);
        assert!(set.covers(range("15-35")));
        assert!(!set.covers(range("35-60")));
        assert!(set.overlaps(range("50-65535")));
        assert!(!set.overlaps(range("41-59")));
        assert!(PortSet::new(&[]).is_empty());
    }

    #[test]
    fn serde_reads_text_and_numbers_and_writes_text() {
        let ranges: Vec<PortRange> = serde_json::from_str("[\"20000-29999\", 7777]").unwrap();
        assert_eq!(serde_json::to_string(&ranges).unwrap(), "[\"20000-29999\",\"7777\"]");
        for wrong in ["0", "-1", "65536", "1.5", "\"x\"", "true"] {
            assert!(serde_json::from_str::<PortRange>(wrong).is_err(), "{wrong}");
        }
    }
}
