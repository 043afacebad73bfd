//! The text of a join key, and what its base32 says.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::texts::join_key(bytes));
