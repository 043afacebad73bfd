//! What an agent answers on the relay's probe connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::lines::probe_answers(bytes));
