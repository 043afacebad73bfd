//! Policy documents as JSON and TOML, compiled and asked.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::policy::document(bytes));
