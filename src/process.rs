//! What the process does for itself before anything else: no core dumps, no tracing, no death by a full file or a closed pipe. And memory for keys.
//!
//! The one file of the library in which `unsafe` is allowed; each block has its reason.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

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

/// The variables that unlock a vault.
pub const UNLOCK_VARIABLES: [&str; 9] = [
    "VAULT_PASSPHRASE_FD",
    "VAULT_PASSPHRASE_FILE",
    "VAULT_PASSPHRASE_CMD",
    "VAULT_PASSPHRASE",
    "VAULT_IDENTITY",
    "VAULT_KEY",
    "VAULT_KEY_FILE",
    "VAULT_SERVER_TOKEN",
    "VAULT_SERVER_TOKEN_FILE",
];

/// A program to be started. What unlocks a vault is not its business, and not that of whatever it starts in turn.
pub fn child(program: impl AsRef<std::ffi::OsStr>) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    for name in UNLOCK_VARIABLES {
        command.env_remove(name);
    }
    command
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
    // SAFETY: nothing in this process owns a descriptor yet; a number that is not open is passed over.
    unsafe {
        #[cfg(target_os = "linux")]
        if libc::syscall(libc::SYS_close_range, 3 as libc::c_uint, libc::c_uint::MAX, 0 as libc::c_uint) == 0 {
            return;
        }
        for fd in 3..libc::sysconf(libc::_SC_OPEN_MAX).clamp(256, 65_536) as libc::c_int {
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

/// How far memory is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// Neither swapped nor dumped, and mapped in this process alone: the kernel itself does not reach it (`memfd_secret`, Linux 5.14 and newer).
    Secret,
    /// Neither swapped nor dumped.
    Locked,
    /// Not dumped; the system refused to lock it (`RLIMIT_MEMLOCK`), so it may be swapped.
    Plain,
}

impl Protection {
    /// One word, for people and programs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Locked => "locked",
            Self::Plain => "plain",
        }
    }
}

/// A secret in pages of its own, as far out of reach as the system allows. Its bytes must not be handed to a system call, which cannot read
/// them there: copy them, and wipe the copy.
pub struct LockedMemory {
    start: NonNull<u8>,
    length: usize,
    mapped: usize,
    protection: Protection,
}

impl LockedMemory {
    /// Copies `bytes` there.
    pub fn holding(bytes: &[u8]) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let mapped = bytes.len().max(1).next_multiple_of(page);
        let (start, protection) = match secret_pages(mapped) {
            Ok(start) => (start, Protection::Secret),
            Err(_) => ordinary_pages(mapped)?,
        };
        let memory = Self { start, length: bytes.len(), mapped, protection };
        // SAFETY: `start` is the beginning of a writable mapping of at least `length` bytes that nothing else refers to.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), memory.start.as_ptr(), bytes.len()) };
        Ok(memory)
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        // SAFETY: the mapping lives as long as `self`, was initialised in `holding`, and is not written to while it is shared.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    /// How far it is out of reach.
    pub fn protection(&self) -> Protection {
        self.protection
    }
}

impl Drop for LockedMemory {
    fn drop(&mut self) {
        // SAFETY: as in `expose`, and `&mut self` says that nobody looks.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) };
        zeroize::Zeroize::zeroize(bytes);
        // SAFETY: the mapping was made in `holding` with this address and length, and nothing refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.mapped) };
    }
}

/// Pages that even the kernel does not reach.
#[cfg(target_os = "linux")]
fn secret_pages(length: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: the call takes one number of flags (O_CLOEXEC) and returns a descriptor or an error.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let fd = libc::c_int::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the descriptor was made a moment ago and belongs to nobody else.
    let file = unsafe { <File as std::os::fd::FromRawFd>::from_raw_fd(fd) };
    file.set_len(length as u64)?;
    map(length, libc::MAP_SHARED, fd)
}

#[cfg(not(target_os = "linux"))]
fn secret_pages(_length: usize) -> io::Result<NonNull<u8>> {
    Err(io::ErrorKind::Unsupported.into())
}

fn ordinary_pages(length: usize) -> io::Result<(NonNull<u8>, Protection)> {
    let start = map(length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
    // SAFETY: both calls name the mapping that was made a moment ago; what the system refuses leaves it as it is.
    let locked = unsafe {
        #[cfg(target_os = "linux")]
        libc::madvise(start.as_ptr().cast(), length, libc::MADV_DONTDUMP);
        libc::mlock(start.as_ptr().cast(), length) == 0
    };
    Ok((start, if locked { Protection::Locked } else { Protection::Plain }))
}

fn map(length: usize, flags: libc::c_int, fd: libc::c_int) -> io::Result<NonNull<u8>> {
    // SAFETY: a new mapping at an address of the system's choice; it touches no memory that is in use.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Where the handler of [`endings`] writes.
static ENDING: AtomicI32 = AtomicI32::new(-1);

/// A descriptor that becomes readable when the process is asked to end (SIGINT, SIGTERM, SIGHUP, SIGQUIT), instead of ending it. A signal that was ignored
/// stays ignored.
pub fn endings() -> io::Result<OwnedFd> {
    let (reader, writer) = io::pipe()?;
    // A handler must not wait; a full pipe has said it already.
    rustix::io::ioctl_fionbio(&writer, true)?;
    ENDING.store(std::os::fd::IntoRawFd::into_raw_fd(writer), Ordering::Relaxed);
    for signal in ENDINGS {
        // SAFETY: the handler does nothing but write, which POSIX allows in one; the descriptor is set before and stays open.
        let before = unsafe { libc::signal(signal, note_ending as *const () as libc::sighandler_t) };
        if before == libc::SIG_IGN {
            // SAFETY: as in `harden`.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    }
    Ok(reader.into())
}

extern "C" fn note_ending(_signal: libc::c_int) {
    // SAFETY: write(2) is async-signal-safe, the byte is static, and a full pipe has said it already.
    unsafe { libc::write(ENDING.load(Ordering::Relaxed), b"x".as_ptr().cast(), 1) };
}
