//! The program: harden the process, then run the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    vault::process::harden();
    let arguments: Vec<_> = std::env::args_os().collect();
    vault::commands::run(&arguments)
}
