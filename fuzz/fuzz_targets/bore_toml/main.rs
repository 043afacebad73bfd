//! The text of a bore.toml and of a config.toml.
//!
//! The parser is private to the `bore` program, so this target is a program with the same modules:
//! links beside this file.
#![no_main]
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the modules are those of the bore program, which uses more of them"
)]

mod duration;
mod error;
mod file;
mod hostname;
mod options;
mod output;
mod wanted;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        for kind in [file::Kind::Project, file::Kind::Config] {
            if let Err(error) = file::File::parse(text, "bore.toml", kind) {
                assert!(!format!("{error:?}").is_empty(), "an error says what is wrong");
            }
        }
    }
});
