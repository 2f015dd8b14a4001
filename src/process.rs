//! What the process does for itself before anything else: no core dumps, no tracing, no death by a full file or a closed pipe.
//!
//! The one file of the library in which `unsafe` is allowed; each block has its reason.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

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

/// Which of the standard streams the process was started without.
static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

/// Whether the process was started without standard output: what is written there now reaches nobody.
pub fn stdout_was_closed() -> bool {
    CLOSED[1].load(Ordering::Relaxed)
}

/// A standard stream that is closed is opened on /dev/null: otherwise the next file that is opened, the vault perhaps, would be what
/// messages are written to.
fn reserve_standard_streams() {
    use rustix::fs::{Mode, OFlags};
    for fd in 0..3 {
        // SAFETY: `fcntl(F_GETFD)` asks whether a number is an open descriptor; it changes nothing, and any number may be asked about.
        let closed = unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1;
        if closed {
            CLOSED[fd as usize].store(true, Ordering::Relaxed);
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

/// What a person or the system ends a program with.
const ENDINGS: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// The terminal, and its modes before anything was asked on it.
static TERMINAL: OnceLock<(File, Termios)> = OnceLock::new();

/// Lets a signal that ends the program first give the terminal its modes back: while a secret is typed it does not echo, and would not
/// afterwards either.
pub fn restore_terminal_when_ended() {
    let Ok(terminal) = File::open("/dev/tty") else { return };
    let Ok(modes) = tcgetattr(&terminal) else { return };
    if TERMINAL.set((terminal, modes)).is_err() {
        return;
    }
    for signal in ENDINGS {
        // SAFETY: the handler calls nothing but what POSIX allows in one: tcsetattr, signal, raise. It reads a cell that is set before it is
        // installed and never changes.
        let before = unsafe { libc::signal(signal, restore_terminal_and_end as *const () as libc::sighandler_t) };
        if before == libc::SIG_IGN {
            // SAFETY: as in `harden`. Whoever started this (nohup, say) wants the signal ignored.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    }
}

extern "C" fn restore_terminal_and_end(signal: libc::c_int) {
    if let Some((terminal, modes)) = TERMINAL.get() {
        let _ = tcsetattr(terminal, OptionalActions::Now, modes);
    }
    // SAFETY: both are async-signal-safe. The signal takes its default effect, which is to end the process, when the handler returns.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// While this lives, the signals that end a program do not end this one.
pub struct Undisturbed([libc::sighandler_t; ENDINGS.len()]);

/// For the time in which another program works on a file that this one must remove: an interrupt at the terminal goes to both.
/// To be called when that program has been started, or it would ignore the signals as well.
pub fn undisturbed() -> Undisturbed {
    // SAFETY: as in `harden`.
    Undisturbed(ENDINGS.map(|signal| unsafe { libc::signal(signal, libc::SIG_IGN) }))
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        for (signal, before) in ENDINGS.into_iter().zip(self.0) {
            if before != libc::SIG_ERR {
                // SAFETY: it is put back to what it was.
                unsafe { libc::signal(signal, before) };
            }
        }
    }
}
