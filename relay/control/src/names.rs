//! Readable labels for publications that came without a name.
//!
//! The same seed gives the same label, so that running the same command again reaches the same publication.

use sha2::{Digest as _, Sha256};

/// A DNS label like `calm-otter-42`, drawn from `seed` and `attempt`.
pub(crate) fn readable_label(seed: &[&[u8]], attempt: u32) -> String {
    let mut hash = Sha256::new();
    for part in seed {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(attempt.to_be_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let [first, second, high, low, ..] = digest;
    let number = u16::from_be_bytes([high, low]) % 1_000;
    format!("{}-{}-{number}", word(&ADJECTIVES, first), word(&ANIMALS, second))
}

fn word(words: &[&'static str; 32], byte: u8) -> &'static str {
    words.get(usize::from(byte % 32)).copied().unwrap_or("plain")
}

const ADJECTIVES: [&str; 32] = [
    "amber", "bold", "brave", "brisk", "calm", "clear", "clever", "crisp", "dapper", "eager",
    "early", "fair", "fleet", "gentle", "glad", "golden", "happy", "keen", "kind", "lively",
    "lucky", "mellow", "merry", "neat", "noble", "proud", "quick", "quiet", "ready", "rosy",
    "sunny", "swift",
];

const ANIMALS: [&str; 32] = [
    "badger", "bear", "beaver", "bison", "crane", "curlew", "deer", "dove", "eagle", "falcon",
    "ferret", "finch", "fox", "gecko", "hare", "heron", "ibis", "koala", "lark", "lemur", "lynx",
    "marten", "mole", "moth", "newt", "otter", "owl", "panda", "puffin", "raven", "robin", "wren",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_stable_and_follows_its_seed() {
        let label = readable_label(&[b"node", b"http"], 0);
        assert_eq!(label, readable_label(&[b"node", b"http"], 0));
        assert_ne!(label, readable_label(&[b"node", b"http"], 1));
        assert_ne!(readable_label(&[b"ab", b"c"], 0), readable_label(&[b"a", b"bc"], 0));
        bore_policy::Label::parse(&label).unwrap();
    }
}
