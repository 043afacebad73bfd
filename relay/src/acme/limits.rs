//! Named bounds of the ACME client.

use std::time::Duration;

/// Orders and questions that are under way at once; further ones wait for their turn.
pub const ORDERS_MAX: usize = 4;
/// Subjects that certificates are kept for; further ones get none, and a counter moves.
pub const SUBJECTS_MAX: usize = 10_000;
/// Subjects that nobody wants any more and whose next try is remembered; beyond it the first are forgotten, and a counter moves.
pub const REMEMBERED_MAX: usize = 10_000;
/// Bytes of one answer of a CA.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Characters of what a CA says that are shown to people.
pub const DETAIL_CHARS_MAX: usize = 400;
/// How often a request is signed anew because the CA refused its nonce, beyond the tries of `instant-acme`.
pub const NONCES_REFUSED_MAX: u32 = 12;
/// Longest time that a CA's `Retry-After` is obeyed: longer ones are asked again after it.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Longest sleep of the issuer, so that a clock that is set is noticed.
pub const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Names that a CA has for itself in CAA records, and that are read.
pub const IDENTITIES_MAX: usize = 8;
/// Names of one certificate that are read.
pub const NAMES_MAX: usize = 100;
