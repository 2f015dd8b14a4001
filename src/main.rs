//! The program: harden the process, then run the command line.
//!
//! It is entered as C programs are, past the runtime's own start: that reads the process's memory map to prepare a message about stack overflow,
//! which costs a tenth of a whole `get` (`docs/performance.md`). What else it does (standard streams, SIGPIPE) `harden` does.
#![no_main]
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};
use std::io::Write as _;

// SAFETY: `main` is defined once, here, with the signature that C asks for; the arguments are not touched (`std` has its own copy).
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    vault::process::harden();
    let arguments: Vec<_> = std::env::args_os().collect();
    // A panic is a defect and ends as one; it must not unwind into C.
    let code = std::panic::catch_unwind(|| vault::commands::run(&arguments));
    // The runtime's own end would do this: what a library printed without a line end is still in the buffer. Commands flush for themselves.
    let _ = std::io::stdout().flush();
    c_int::from(code.unwrap_or(vault::commands::INTERNAL_ERROR))
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
