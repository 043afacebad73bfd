//! The Host header and the request target.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::edge::host(bytes));
