//! What the process does for itself before anything else: no core dumps, no tracing, no death by a full file or a closed pipe. And memory for
//! keys, and what a program that it starts needs: signals, and a session on a terminal.
//!
//! The one file of the library in which `unsafe` is allowed; each block has its reason.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};

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
        BEFORE[0].store(libc::signal(libc::SIGXFSZ, libc::SIG_IGN), Ordering::Relaxed);
        BEFORE[1].store(libc::signal(libc::SIGPIPE, libc::SIG_IGN), Ordering::Relaxed);
    }
    reserve_standard_streams();
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

/// Where the handler writes what it hears.
static LISTENER: AtomicI32 = AtomicI32::new(-1);

/// What a process that waits for another one must hear of: what it passes on, that something became of the other, and of its terminal.
const HEARD: [libc::c_int; 9] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGCHLD,
    libc::SIGWINCH,
    libc::SIGCONT,
];

/// Added to the number of a signal that comes from the terminal and not from a process.
const FROM_SYSTEM: u8 = 0x80;

/// The signals that came, one after the other.
pub struct Signals(File);

/// Makes signals something that is read, from now to the end of the process: to be called before there is a process to pass them on to, so that none
/// is lost. Those that were ignored stay ignored.
pub fn hear_signals() -> io::Result<Signals> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&write, true)?;
    LISTENER.store(std::os::fd::IntoRawFd::into_raw_fd(write), Ordering::Relaxed);
    for signal in HEARD {
        // SAFETY: the handler calls nothing but `write`, on a descriptor that is never closed. A zeroed `sigaction` is a valid one; both pointers are
        // to locals that outlive the calls.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            action.sa_sigaction = hear as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigemptyset(&mut action.sa_mask);
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
    Ok(Signals(File::from(read)))
}

extern "C" fn hear(signal: libc::c_int, information: *const libc::siginfo_t, _: *const libc::c_void) {
    // SAFETY: with SA_SIGINFO the system hands a valid pointer, or none.
    let from_system = unsafe { information.as_ref() }.is_some_and(|information| information.si_code > 0);
    let byte = signal as u8 | if from_system { FROM_SYSTEM } else { 0 };
    // SAFETY: `write` is async-signal-safe; the byte is a local. If the pipe is full there is enough to be read.
    unsafe { libc::write(LISTENER.load(Ordering::Relaxed), (&raw const byte).cast(), 1) };
}

impl Signals {
    /// The next signal, and whether it comes from the system (the terminal, say); `None` if none came in this time.
    pub fn next(&mut self, timeout: Option<std::time::Duration>) -> io::Result<Option<(i32, bool)>> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
            ready => ready?,
        };
        let mut byte = [0];
        io::Read::read_exact(&mut self.0, &mut byte)?;
        Ok(Some((i32::from(byte[0] & !FROM_SYSTEM), byte[0] & FROM_SYSTEM != 0)))
    }
}

/// Lets a command begin with what this process was started with, and not with what it ignores for itself.
pub fn start_as_started(command: &mut Command) {
    let restore = || {
        for (signal, before) in [(libc::SIGXFSZ, &BEFORE[0]), (libc::SIGPIPE, &BEFORE[1])] {
            // SAFETY: as in `harden`: default or ignore, no handler.
            unsafe { libc::signal(signal, before.load(Ordering::Relaxed)) };
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec and calls only `signal`, which is async-signal-safe.
    unsafe { command.pre_exec(restore) };
}

/// Lets a command begin as the foreground of a session of its own on `terminal`, under a process that leads the session and does nothing but wait:
/// without a leader beside it, it could not be stopped (POSIX: the default action of a terminal's stop signals is not taken by an orphaned process
/// group). The leader ends with the exit code, 128 + n for a signal n; it stops when the command is stopped, and continues it when it is continued.
/// The number of the command's process is written to `report`.
pub fn start_in_session(command: &mut Command, terminal: OwnedFd, report: OwnedFd) {
    // SAFETY: the closure runs between fork and exec, and calls only async-signal-safe functions; it allocates nothing.
    unsafe { command.pre_exec(move || begin_session(terminal.as_raw_fd(), report.as_raw_fd())) };
}

fn begin_session(terminal: RawFd, report: RawFd) -> io::Result<()> {
    let check = |result: libc::c_int| if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) };
    // SAFETY: system calls on numbers. Where `fork` returns in the child, there is still one thread, and the child goes on to `exec`.
    let child = unsafe {
        check(libc::setsid())?;
        check(libc::ioctl(terminal, libc::TIOCSCTTY as _, 0))?;
        check(libc::fork())?
    };
    if child > 0 {
        lead_session(child, terminal, report);
    }
    // SAFETY: as above. The signal that would stop a background process here is blocked for the one call; both sides do it, whoever is first.
    unsafe {
        check(libc::setpgid(0, 0))?;
        let mut stop: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut stop);
        libc::sigaddset(&mut stop, libc::SIGTTOU);
        libc::sigprocmask(libc::SIG_BLOCK, &stop, std::ptr::null_mut());
        let foreground = check(libc::tcsetpgrp(terminal, libc::getpid()));
        libc::sigprocmask(libc::SIG_UNBLOCK, &stop, std::ptr::null_mut());
        foreground.map(drop)
    }
}

/// The life of a session's leader. It never returns into the program that it is a copy of.
fn lead_session(child: libc::pid_t, terminal: RawFd, report: RawFd) -> ! {
    // SAFETY: system calls on numbers and locals, all of them async-signal-safe.
    unsafe {
        for signal in ENDINGS.into_iter().chain([libc::SIGTTOU, libc::SIGUSR1, libc::SIGUSR2, libc::SIGPIPE]) {
            libc::signal(signal, libc::SIG_IGN);
        }
        for signal in [libc::SIGCHLD, libc::SIGCONT, libc::SIGWINCH] {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::setpgid(child, child);
        libc::tcsetpgrp(terminal, child);
        libc::write(report, (&raw const child).cast(), size_of_val(&child));
        libc::dup2(terminal, 0);
        // Among them the pipe by which whoever started this learns that the command runs: it must close.
        for fd in 1..1024 {
            libc::close(fd);
        }
        let mut status = 0;
        loop {
            if libc::waitpid(child, &mut status, libc::WUNTRACED) == -1 {
                if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                libc::_exit(1);
            }
            if libc::WIFEXITED(status) {
                libc::_exit(libc::WEXITSTATUS(status));
            }
            if libc::WIFSIGNALED(status) {
                libc::_exit(128 + libc::WTERMSIG(status));
            }
            libc::kill(libc::getpid(), libc::SIGSTOP);
            libc::tcsetpgrp(0, child);
            libc::kill(-child, libc::SIGCONT);
        }
    }
}

/// Stops this process and its group, as the terminal would, until somebody continues it.
pub fn stop_self() {
    // SAFETY: dispositions and signals, no handler. The group is stopped first, while this process ignores the signal; then this very thread stops
    // within `raise`.
    unsafe {
        libc::signal(libc::SIGTSTP, libc::SIG_IGN);
        libc::kill(0, libc::SIGTSTP);
        libc::signal(libc::SIGTSTP, libc::SIG_DFL);
        libc::raise(libc::SIGTSTP);
    }
}
