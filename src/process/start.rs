//! Programs that this one starts: without what unlocks a vault, with what this one was started with, with secrets on descriptors, or in a session of
//! their own on a terminal.

#[cfg(target_os = "linux")]
use std::ffi::{CStr, CString};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
#[cfg(target_os = "linux")]
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
#[cfg(target_os = "linux")]
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};

#[cfg(target_os = "linux")]
use rustix::fs::{Access, access};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::signals::ENDINGS;
use super::{BEFORE, CORE, FILES, close_from, forbid_core_dumps};

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
pub fn child(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in UNLOCK_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// Lets a command begin with what this process was started with, and not with what it ignores for itself.
pub fn start_as_started(command: &mut Command) {
    // SAFETY: it runs between fork and exec and makes only system calls; the cells that it reads are set before.
    unsafe { command.pre_exec(restore) };
}

fn restore() -> io::Result<()> {
    for (signal, before) in [(libc::SIGXFSZ, &BEFORE[0]), (libc::SIGPIPE, &BEFORE[1])] {
        // SAFETY: as in `harden`: default or ignore, no handler.
        unsafe { libc::signal(signal, before.load(Ordering::Relaxed)) };
    }
    for (resource, before) in [(Resource::Core, CORE.get()), (Resource::Nofile, FILES.get())] {
        if let Some(before) = before {
            let _ = setrlimit(resource, Rlimit { current: *before, ..getrlimit(resource) });
        }
    }
    Ok(())
}

/// Becomes the program that the first word names, found as execvp(3) finds it, with these variables and no others; it begins with what this process was
/// started with. It returns only if that is not possible.
///
/// Not by [`Command`], which would sort the variables and copy them twice more.
#[cfg(target_os = "linux")]
pub fn become_program(words: &[&OsStr], variables: Vec<(OsString, OsString)>) -> io::Error {
    let text = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let variable = |(name, value): (OsString, OsString)| {
        let (mut bytes, value) = (name.into_vec(), value.into_vec());
        bytes.reserve_exact(1 + value.len() + 1);
        bytes.push(b'=');
        bytes.extend_from_slice(&value);
        text(bytes)
    };
    let prepared = || -> io::Result<(Vec<CString>, Vec<CString>)> {
        let words = words.iter().map(|word| text(word.as_bytes().to_vec())).collect::<io::Result<_>>()?;
        Ok((words, variables.into_iter().map(variable).collect::<io::Result<_>>()?))
    };
    let (words_of_c, variables) = match prepared() {
        Ok(prepared) => prepared,
        Err(error) => return error,
    };
    let list = |texts: &[CString]| texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
    let (arguments, environment) = (list(&words_of_c), list(&variables));
    let [program, ..] = words_of_c.as_slice() else { return io::ErrorKind::InvalidInput.into() };
    let execute = |file: &CStr| {
        // SAFETY: both lists end in null; they and the texts that they point to live beyond the call.
        unsafe { libc::execvpe(file.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        io::Error::last_os_error()
    };
    let _ = restore();
    let file = words.first().and_then(|program| on_path(program)).and_then(|file| text(file.into_os_string().into_vec()).ok());
    match file.as_deref().map(execute) {
        // Its interpreter may not be there: the search goes on.
        None => execute(program),
        Some(error) if [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied].contains(&error.kind()) => execute(program),
        Some(error) => error,
    }
}

/// The same where the system has no such call.
#[cfg(not(target_os = "linux"))]
pub fn become_program(words: &[&OsStr], variables: Vec<(OsString, OsString)>) -> io::Error {
    let Some((program, arguments)) = words.split_first() else { return io::ErrorKind::InvalidInput.into() };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(variables);
    start_as_started(&mut command);
    command.exec()
}

/// The file that execvp(3) would try first for the name of a program: in the first directory of PATH that has one which may be executed. To look for it
/// costs less than execve(2), which sets up an address space before it knows whether a file is there. `None` where nothing is found, the name is a path, or
/// a directory on the way is relative.
#[cfg(target_os = "linux")]
fn on_path(name: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return None;
    }
    let is_program = |file: &PathBuf| access(file, Access::EXEC_OK).is_ok() && file.is_file();
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .take_while(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(is_program)
}

/// Lets a command begin with these as its descriptors 3, 4, and so on, open to whatever it starts in turn, and as the first of a process group of its own,
/// so that all of it can be ended.
pub fn hand_over(command: &mut Command, descriptors: &[OwnedFd]) -> io::Result<()> {
    const FIRST: usize = 3;
    let behind = (FIRST + descriptors.len()) as RawFd;
    let moved: Vec<OwnedFd> =
        descriptors.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, behind)).collect::<Result<_, _>>()?;
    // None of the numbers may be free: the standard library would have the pipe there by which it learns whether the command runs.
    let mut taken = Vec::new();
    while taken.last().is_none_or(|last: &File| last.as_raw_fd() < behind) {
        taken.push(File::open("/dev/null")?);
    }
    command.process_group(0);
    let place = move || {
        let _ = &taken;
        for (at, fd) in moved.iter().enumerate() {
            // SAFETY: both are descriptors of this process, the copy lives in a `File` or is the standard library's no longer; `dup2` is
            // async-signal-safe.
            if unsafe { libc::dup2(fd.as_raw_fd(), (FIRST + at) as RawFd) } == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec, calls only `dup2`, and allocates nothing.
    unsafe { command.pre_exec(place) };
    Ok(())
}

/// Ends a command when this process is killed: what it prints is masked by nobody then, and nobody passes signals on. Other systems than Linux cannot.
pub fn end_with_this(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        let this = rustix::process::getpid();
        let follow = move || {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
            // It may have been killed before.
            if rustix::process::getppid() != Some(this) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
        };
        // SAFETY: the closure runs between fork and exec and makes only system calls.
        unsafe { command.pre_exec(follow) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
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
    forbid_core_dumps();
    // SAFETY: system calls on numbers and locals, all of them async-signal-safe.
    unsafe {
        let others = [libc::SIGTTOU, libc::SIGTSTP, libc::SIGUSR1, libc::SIGUSR2, libc::SIGPIPE];
        for signal in ENDINGS.into_iter().filter(|signal| *signal != libc::SIGHUP).chain(others) {
            libc::signal(signal, libc::SIG_IGN);
        }
        // The pseudo-terminal hangs up when whoever started this is gone, killed perhaps. The leader of a session hears that, and it alone.
        LED.store(child, Ordering::Relaxed);
        if libc::signal(libc::SIGHUP, pass_hang_up as *const () as libc::sighandler_t) == libc::SIG_IGN {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
        }
        for signal in [libc::SIGCHLD, libc::SIGCONT, libc::SIGWINCH] {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::setpgid(child, child);
        libc::tcsetpgrp(terminal, child);
        libc::write(report, (&raw const child).cast(), size_of_val(&child));
        libc::dup2(terminal, 0);
        // Among them the pipe by which whoever started this learns that the command runs: it must close.
        close_from(1);
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

/// The group of the command that this process leads the session of.
static LED: AtomicI32 = AtomicI32::new(0);

extern "C" fn pass_hang_up(_signal: libc::c_int) {
    let group = -LED.load(Ordering::Relaxed);
    // SAFETY: `kill` is async-signal-safe. One that is stopped ends when it is continued.
    unsafe {
        libc::kill(group, libc::SIGHUP);
        libc::kill(group, libc::SIGCONT);
    }
}
