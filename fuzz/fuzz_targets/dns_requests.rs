//! A DNS request to the relay's zone.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::dns::request(bytes));
