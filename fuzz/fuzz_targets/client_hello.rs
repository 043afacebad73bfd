//! The look at a visitor's first bytes on the TLS port.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::tls::client_hello(bytes));
