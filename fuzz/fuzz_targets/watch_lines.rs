//! The relay's watch stream, as the agent reads it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::lines::watch(bytes));
