//! The program: harden the process, then run the command line.
//!
//! It is entered as C programs are, past the runtime's own start: that reads the process's memory map to prepare a message about stack overflow,
//! which costs a tenth of a whole `get` (`docs/performance.md`). What else it does (standard streams, SIGPIPE) `harden` does.
#![no_main]
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

// SAFETY: `main` is defined once, here, with the signature that C asks for; the arguments are not touched (`std` has its own copy).
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    vault::process::harden();
    let arguments: Vec<_> = std::env::args_os().collect();
    // A panic is a defect and ends as one; it must not unwind into C.
    let code = std::panic::catch_unwind(|| vault::commands::run(&arguments));
    c_int::from(code.unwrap_or(vault::commands::INTERNAL_ERROR))
}
