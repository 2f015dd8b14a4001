//! The program: harden the process, then run the command line.
//!
//! It is entered as C programs are, past the runtime's own start: that reads the process's memory map to prepare a message about stack overflow,
//! which costs a tenth of a whole `get` (`docs/performance.md`). What else it does (standard streams, SIGPIPE) `harden` does.
#![cfg_attr(all(target_os = "linux", target_env = "gnu"), no_main)]
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::io::Write as _;

/// Where the C library hands the arguments to constructors, `std` has them however the program is entered.
// SAFETY: `main` is defined once, here, with the signature that C asks for; the arguments are not touched.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[unsafe(no_mangle)]
extern "C" fn main(_count: std::ffi::c_int, _arguments: *const *const std::ffi::c_char) -> std::ffi::c_int {
    std::ffi::c_int::from(run())
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(run())
}

/// What is freed is wiped.
#[global_allocator]
static ALLOCATOR: vault::process::Wiping = vault::process::Wiping;

fn run() -> u8 {
    vault::process::harden();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // A panic is a defect and ends as one; it must not unwind into C.
    let code = std::panic::catch_unwind(|| vault::commands::run(&arguments));
    // The runtime's own end would do this: what a library printed without a line end is still in the buffer. Commands flush for themselves.
    let _ = std::io::stdout().flush();
    vault::process::wipe_stack();
    code.unwrap_or(vault::commands::INTERNAL_ERROR)
}

/// The two functions of the C mathematical library that the program needs, from Rust: a shared library that is mapped at every start costs
/// more than a `get` spends on cryptography (`docs/performance.md`). They stand in the program and not in the library, which must not change
/// the functions of whoever embeds it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod mathematics {
    // SAFETY: the name and the signature are those of C; it is a pure function of its arguments.
    #[unsafe(no_mangle)]
    extern "C" fn pow(base: f64, exponent: f64) -> f64 {
        libm::pow(base, exponent)
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    extern "C" fn log10(value: f64) -> f64 {
        libm::log10(value)
    }
}
