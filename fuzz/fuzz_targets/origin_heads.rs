//! The head of a service's answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::edge::origin_head(bytes));
