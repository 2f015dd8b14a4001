//! What the process does for itself before anything else: no core dumps, no tracing, no death by a full file or a closed pipe.
//!
//! The one file of the library in which `unsafe` is allowed; each block has its reason.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::process::{Resource, Rlimit, setrlimit};

/// Hardens the process. What the system refuses is left as it is: a container that forbids one of these still gets its secrets.
pub fn harden() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // A process of the same user may then neither attach to this one nor read its memory or environment.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    // SAFETY: setting a signal to "ignore" runs no handler and touches no memory; no other thread exists yet. Without the first, writing beyond
    // RLIMIT_FSIZE kills the process in the middle of a commit instead of failing with EFBIG; without the second, so does a closed pipe.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
    reserve_standard_streams();
}

/// A standard stream that is closed is opened on /dev/null: otherwise the next file that is opened, the vault perhaps, would be what
/// messages are written to.
fn reserve_standard_streams() {
    use rustix::fs::{Mode, OFlags};
    for fd in 0..3 {
        // SAFETY: `fcntl(F_GETFD)` asks whether a number is an open descriptor; it changes nothing, and any number may be asked about.
        let closed = unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1;
        if closed {
            // The lowest free number is the closed one. It stays open for the life of the process.
            if let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()) {
                std::mem::forget(null);
            }
        }
    }
}

/// A descriptor that this process was started with, for reading: a duplicate, so that nobody's own is closed.
///
/// Opening it anew through `/dev/fd` would ask for permission on what is behind it, and sockets cannot be opened at all.
pub fn inherited(fd: RawFd) -> io::Result<File> {
    if fd < 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the number is not -1, and it is borrowed for the one call that duplicates it; if nothing is open there, that call fails.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned().map(File::from)
}
