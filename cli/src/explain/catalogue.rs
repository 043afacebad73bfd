//! The table itself, in two parts.

mod asked;
mod found;

use super::Entry;

macro_rules! entry {
    ($code:literal, $exit:ident, $title:literal, $meaning:literal, [$($cause:literal),* $(,)?], [$($next:literal),+ $(,)?]) => {
        Entry {
            code: $code,
            title: $title,
            meaning: $meaning,
            causes: &[$($cause),*],
            next: &[$($next),+],
            exit: Exit::$exit,
        }
    };
}

use entry;

/// Every code, in order.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    asked::ENTRIES.iter().chain(found::ENTRIES)
}
