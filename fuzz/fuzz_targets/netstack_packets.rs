//! Inner packets into a stack that listens.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::netstack::packets(bytes));
