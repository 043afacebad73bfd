//! The names in a certificate that a CA or an operator hands over.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::tls::certificate(bytes));
