//! Named bounds of TLS towards visitors.

use std::time::Duration;

/// Bytes that a visitor may send before its ClientHello is complete. One with a post-quantum key share has about 1,800.
pub(crate) const HELLO_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a visitor's that wait inside TLS, encrypted and not yet taken by its kernel.
pub(crate) const TLS_BUFFER_BYTES: usize = 16 * 1024;
/// Names in one certificate; further ones are not served.
pub(crate) const CERTIFICATE_NAMES_MAX: usize = 1_000;
/// Certificates and keys in one file, and bytes of it.
pub(crate) const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How often the files of certificates are looked at.
pub(crate) const FILES_INTERVAL: Duration = Duration::from_secs(2);
/// Answers to certificate authorities that stand at once.
pub(crate) const CHALLENGES_MAX: usize = 1_024;
/// Bytes of a word in a protocol's name: a token of ours has 32.
pub(crate) const WORD_BYTES_MAX: usize = 64;
