//! Signals: what becomes of a terminal and of other programs when this one is to end, to stop, or to pass them on.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// What a person or the system ends a program with.
pub(super) const ENDINGS: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

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

/// For the time in which there is a file that this process must remove, while another program works on it: an interrupt at the terminal goes to both.
/// To be called before there is that file. A program that is started meanwhile does not ignore the signals: a handler ends where it begins to run.
pub fn undisturbed() -> Undisturbed {
    Undisturbed(ENDINGS.map(|signal| {
        // SAFETY: the handler does nothing.
        let before = unsafe { libc::signal(signal, pass_over as *const () as libc::sighandler_t) };
        if before == libc::SIG_IGN {
            // SAFETY: as in `harden`. Whoever started this wants the signal ignored, here and in what is started.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        before
    }))
}

extern "C" fn pass_over(_signal: libc::c_int) {}

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
const HEARD: [libc::c_int; 10] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGCHLD,
    libc::SIGWINCH,
    libc::SIGTSTP,
    libc::SIGCONT,
];

/// Whether this process was continued since it last stopped itself.
static CONTINUED: AtomicBool = AtomicBool::new(false);

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
    if signal == libc::SIGCONT {
        CONTINUED.store(true, Ordering::Relaxed);
    }
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

/// Stops this process, and with `group` all of its job as a key at the terminal would, until somebody continues it. False if it did not stop: where no
/// shell could continue it, the system does not stop it either.
pub fn stop_self(group: bool) -> bool {
    CONTINUED.store(false, Ordering::Relaxed);
    // SAFETY: dispositions and signals. The group is stopped first, while this process ignores the signal; then this very thread stops within `raise`.
    // A zeroed `sigaction` is a valid one, and is filled in before it is used.
    unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGTSTP, std::ptr::null(), &mut before);
        libc::signal(libc::SIGTSTP, libc::SIG_IGN);
        if group {
            libc::kill(0, libc::SIGTSTP);
        }
        libc::signal(libc::SIGTSTP, libc::SIG_DFL);
        libc::raise(libc::SIGTSTP);
        libc::sigaction(libc::SIGTSTP, &before, std::ptr::null_mut());
    }
    CONTINUED.load(Ordering::Relaxed)
}

/// Lets this thread read a terminal from the background as one reads a closed file: the system refuses, and does not stop the process.
pub fn read_terminal_without_stop() {
    // SAFETY: the set is a local, and is made empty before it is used; the mask is this thread's alone.
    unsafe {
        let mut stop: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut stop);
        libc::sigaddset(&mut stop, libc::SIGTTIN);
        libc::pthread_sigmask(libc::SIG_BLOCK, &stop, std::ptr::null_mut());
    }
}
