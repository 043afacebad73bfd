//! Bodies and paths of the REST API, by all three doors.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bore_fuzz::api::request(bytes));
