//! Every bound of this room. What exceeds one is refused by an error that names it.

/// Octets of one DNS label, RFC 1035 §2.3.4.
pub const LABEL_BYTES_MAX: usize = 63;

/// Octets of a hostname without its trailing dot, RFC 1035 §2.3.4.
pub const HOSTNAME_BYTES_MAX: usize = 253;

/// Rules in one compiled policy, all documents together.
pub const RULES_MAX: usize = 4_096;

/// Entries in one list of a rule, or of a publication's access.
pub const LIST_ENTRIES_MAX: usize = 16_384;

/// Entries of all lists of all rules of one compiled policy together.
pub const POLICY_ENTRIES_MAX: usize = 131_072;

/// Bytes of a Unix socket's path: `sun_path` of Linux without its final NUL, unix(7).
pub const UNIX_PATH_BYTES_MAX: usize = 107;

/// Characters of somebody's text that an error message repeats.
pub(crate) const QUOTED_CHARS_MAX: usize = 64;

/// Entries of a list that a sentence repeats before it says how many more there are.
pub(crate) const LISTED_ENTRIES_MAX: usize = 8;
