//! Hostnames of publications, and patterns of policies.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::texts::hostnames(bytes));
