//! HTTP/1 bytes of a visitor, in any pieces.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::edge::framing(bytes));
