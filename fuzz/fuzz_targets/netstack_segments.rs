//! TCP segments into an established flow.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::netstack::segments(bytes));
