//! Datagrams into an overlay with an established session.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::overlay::datagrams(bytes));
