//! The `bore` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    bore::main()
}
