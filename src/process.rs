//! What the process does for itself before anything else: no core dumps, no tracing, no death by a full file or a closed pipe. And memory for
//! keys, and what a program that it starts needs: signals, and a session on a terminal.
//!
//! This file and those below it are the ones of the library in which `unsafe` is allowed; each block has its reason.
#![allow(unsafe_code)]

mod descriptors;
mod memory;
mod signals;
mod start;
mod terminal;
mod wiping;

#[cfg(target_os = "linux")]
pub use descriptors::is_same_open;
pub use memory::{LockedMemory, Protection};
pub use signals::{
    Signals, Undisturbed, endings, hear_signals, read_terminal_without_stop, restore_terminal_when_ended, stop_self, undisturbed,
};
pub use start::{UNLOCK_VARIABLES, become_program, child, end_with_this, hand_over, start_as_started, start_in_session};
pub use terminal::{is_controlling, is_in_foreground};
pub use wiping::{Wiping, begin_wiping, wipe_registers, wipe_stack};

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Hardens the process. What the system refuses is left as it is: a container that forbids one of these still gets its secrets.
pub fn harden() {
    wiping::begin_stack();
    // The limit that can be raised again is left: what is started in this one's place begins with what was there before.
    let core = getrlimit(Resource::Core);
    let _ = CORE.set(core.current);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..core });
    // A process of the same user may then neither attach to this one nor read its memory or environment.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    // SAFETY: setting a signal to "ignore" runs no handler and touches no memory; no other thread exists yet. Without the first, writing beyond
    // RLIMIT_FSIZE kills the process in the middle of a commit instead of failing with EFBIG; without the second, so does a closed pipe.
    unsafe {
        BEFORE[0].store(libc::signal(libc::SIGXFSZ, libc::SIG_IGN), Ordering::Relaxed);
        BEFORE[1].store(libc::signal(libc::SIGPIPE, libc::SIG_IGN), Ordering::Relaxed);
    }
    reserve_standard_streams();
}

/// Takes from this process, and all that it starts, for good what [`harden`] takes for now.
pub fn forbid_core_dumps() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// The limits before.
static CORE: OnceLock<Option<u64>> = OnceLock::new();
static FILES: OnceLock<Option<u64>> = OnceLock::new();

/// Lets this process open as many files as it may; what it starts as [`start_as_started`] says, may open as many as before.
pub fn allow_many_files() {
    let files = getrlimit(Resource::Nofile);
    let _ = FILES.set(files.current);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
}

/// What was done about the two signals before.
static BEFORE: [AtomicUsize; 2] = [const { AtomicUsize::new(libc::SIG_DFL) }; 2];

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

/// The other side of a connection between processes of one machine.
pub struct Peer {
    user: u32,
    process: Option<i32>,
}

impl Peer {
    /// Whether it is a process of this user.
    pub fn is_own(&self) -> bool {
        self.user == rustix::process::geteuid().as_raw()
    }

    /// The process, where the system says which.
    pub fn process(&self) -> io::Result<rustix::process::Pid> {
        self.process.and_then(rustix::process::Pid::from_raw).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

/// Who is on the other side.
#[cfg(target_os = "linux")]
pub fn peer(stream: &std::os::unix::net::UnixStream) -> io::Result<Peer> {
    let peer = rustix::net::sockopt::socket_peercred(stream)?;
    Ok(Peer { user: peer.uid.as_raw(), process: Some(peer.pid.as_raw_nonzero().get()) })
}

/// Who is on the other side.
#[cfg(not(target_os = "linux"))]
pub fn peer(stream: &std::os::unix::net::UnixStream) -> io::Result<Peer> {
    let (mut user, mut group) = (0, 0);
    // SAFETY: the descriptor is open while it is borrowed, and both numbers are written to before they are read.
    let failed = unsafe { libc::getpeereid(std::os::fd::AsRawFd::as_raw_fd(stream), &mut user, &mut group) } != 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(Peer { user, process: None }) }
}

/// Closes every descriptor behind the standard streams: whoever starts a process that stays may have left a lock or a secret open in it.
pub fn let_go_of_descriptors() {
    // Nothing in this process owns a descriptor yet.
    close_from(3);
}

/// The sockets that a service manager has opened for this process (`LISTEN_FDS`, sd_listen_fds(3)); none if it has not.
pub fn passed_sockets() -> io::Result<Vec<OwnedFd>> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let (Some(process), Some(count)) = (number("LISTEN_PID"), number("LISTEN_FDS")) else { return Ok(Vec::new()) };
    // What was meant for another process was inherited by mistake.
    if process != std::process::id() || PASSED.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let mut sockets = Vec::new();
    for number in 3..3 + count.min(64) as RawFd {
        // SAFETY: whoever set the variable for this very process has left the descriptor open for it, and the flag above lets nobody take it twice.
        let socket = unsafe { OwnedFd::from_raw_fd(number) };
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Whether the passed sockets were taken.
static PASSED: AtomicBool = AtomicBool::new(false);

fn close_from(first: libc::c_int) {
    // SAFETY: whoever calls this owns none of them; a number that is not open is passed over.
    unsafe {
        #[cfg(target_os = "linux")]
        if libc::syscall(libc::SYS_close_range, first as libc::c_uint, libc::c_uint::MAX, 0 as libc::c_uint) == 0 {
            return;
        }
        for fd in first..libc::sysconf(libc::_SC_OPEN_MAX).clamp(1024, 65_536) as libc::c_int {
            libc::close(fd);
        }
    }
}

/// Puts `/dev/null` in the place of the standard streams, so that nobody waits for a process that stays.
pub fn let_go_of_streams() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    Ok(())
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

/// Keeps what a descriptor gives from every program that is started from now on: this process was started with it, and for this process alone.
pub fn keep_from_children(fd: RawFd) {
    match fd {
        // A program needs one. Its place is taken and never empty.
        0 => {
            if let Ok(null) = File::open("/dev/null") {
                let _ = rustix::stdio::dup2_stdin(null);
            }
        }
        3.. => {
            // SAFETY: the number is not negative, and it is borrowed for one call, which fails if nothing is open there.
            let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
            let _ = rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC);
        }
        _ => {}
    }
}
