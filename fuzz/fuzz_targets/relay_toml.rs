//! The text of a relay.toml.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::texts::relay_toml(bytes));
