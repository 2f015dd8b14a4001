//! Stays beside a program that it started: masks what the program prints, passes signals on, and ends as the program does.
//!
//! | standard output or error is | with `--mask` | without |
//! |---|---|---|
//! | no terminal | a pipe, masked | a pipe, masked (not with `--no-mask`) |
//! | the terminal of this session, if standard output is it | a pseudo-terminal, masked | left alone |
//! | any other terminal | a pipe, masked | left alone |
//!
//! Where standard output goes elsewhere, the terminal is somebody else's, a pager's perhaps: its modes and its keys are left alone.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};

use super::masking;
use super::pty::Pty;
use crate::leaks::{Masker, Matcher, Style};
use crate::process::{self, Signals};

/// What to mask.
pub struct Masking {
    /// What to look for.
    pub matcher: Arc<Matcher>,
    /// Also at a terminal.
    pub at_terminal: bool,
}

/// Why a program does not run any more.
pub enum End {
    /// It ended by itself; the exit code, 128 + n for a signal n.
    Code(u8),
    /// It was ended because what was watched changed.
    Changed,
}

/// How long a program that is to be restarted has to end before it is killed.
const LAST_CHANCE: Duration = Duration::from_secs(10);

/// Whoever stays while programs run, one after the other.
pub struct Resident {
    signals: Signals,
    masking: Option<Masking>,
    pty: Option<Pty>,
    keys_pass: bool,
    has_terminal: bool,
    is_stopped: bool,
    failure: Option<io::Error>,
}

impl Resident {
    /// Begins to hear signals, and makes a pseudo-terminal if one is needed.
    pub fn new(masking: Option<Masking>) -> io::Result<Self> {
        let signals = process::hear_signals()?;
        let at_terminal = masking.as_ref().is_some_and(|masking| masking.at_terminal);
        let pty = if at_terminal && process::is_controlling(&io::stdout()) { Pty::open()? } else { None };
        let has_terminal = File::open("/dev/tty").is_ok();
        Ok(Self { signals, masking, pty, keys_pass: false, has_terminal, is_stopped: false, failure: None })
    }

    /// Why not all that the programs printed was passed on, if it was not.
    pub fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Looks for this from the next program on.
    pub fn look_for(&mut self, matcher: Arc<Matcher>) {
        if let Some(masking) = &mut self.masking {
            masking.matcher = matcher;
        }
    }

    /// Starts a program and stays until it has ended. `changed` is asked every half second, if it is given.
    pub fn run(&mut self, mut command: Command, mut changed: Option<&mut dyn FnMut() -> bool>) -> io::Result<End> {
        process::start_as_started(&mut command);
        let (alive, ended) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let alive = File::from(alive);
        let mut pumps: Vec<JoinHandle<io::Result<()>>> = Vec::new();
        let mut copy = |from: OwnedFd, mut to: File, masker: Masker| -> io::Result<()> {
            let alive = alive.try_clone()?;
            let copy = move || {
                process::wipe_registers();
                masking::pump(&from, &mut to, masker, Some(&alive))
            };
            pumps.push(std::thread::Builder::new().spawn(copy)?);
            Ok(())
        };

        let report = self.streams(&mut command)?;
        let mut child = command.spawn()?;
        // With the command, this side's ends of what the program writes to are closed: only the program holds them open.
        drop(command);
        let leader = Pid::from_child(&child);
        let target = match report {
            Some(report) => number(report).unwrap_or(leader),
            None => leader,
        };
        if let Some(masking) = &self.masking {
            let masker = |style| Masker::new(masking.matcher.clone(), style);
            if let Some(stdout) = child.stdout.take() {
                copy(
                    stdout.into(),
                    File::from(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?),
                    masker(Style::Word),
                )?;
            }
            if let Some(stderr) = child.stderr.take() {
                copy(
                    stderr.into(),
                    File::from(std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned()?),
                    masker(Style::Word),
                )?;
            }
            if let Some(pty) = &self.pty {
                copy(pty.master()?, pty.screen()?, masker(Style::Stars))?;
                pty.take_up()?;
                if !std::mem::replace(&mut self.keys_pass, true) {
                    pty.pass_keys()?;
                }
            }
        }

        let end = self.attend(leader, target, &mut changed);
        drop(ended);
        for pump in pumps {
            // Of one that panicked the message has been printed.
            let copied = pump.join().unwrap_or_else(|_| Err(io::Error::other("a defect of this program")));
            self.failure = self.failure.take().or(copied.err());
        }
        if let Some(pty) = &self.pty {
            pty.let_go();
        }
        end
    }

    /// Says what the program's streams are; returns where the number of its process comes from, if it is not the one that is started.
    fn streams(&self, command: &mut Command) -> io::Result<Option<OwnedFd>> {
        let Some(masking) = &self.masking else {
            self.group(command);
            return Ok(None);
        };
        let Some(pty) = &self.pty else {
            if masking.at_terminal || !io::stdout().is_terminal() {
                command.stdout(Stdio::piped());
            }
            if masking.at_terminal || !io::stderr().is_terminal() {
                command.stderr(Stdio::piped());
            }
            self.group(command);
            return Ok(None);
        };
        let inner = pty.inner()?;
        if process::is_controlling(&io::stdin()) {
            command.stdin(inner.try_clone()?);
        }
        command.stdout(inner.try_clone()?);
        command.stderr(if process::is_controlling(&io::stderr()) { Stdio::from(inner.try_clone()?) } else { Stdio::piped() });
        let (report, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        process::start_in_session(command, inner, write);
        Ok(Some(report))
    }

    /// Without a terminal that signals go out from, whoever signals the group means this process, and the program gets it once.
    fn group(&self, command: &mut Command) {
        process::end_with_this(command);
        if !self.has_terminal {
            command.process_group(0);
        }
    }

    fn attend(&mut self, leader: Pid, target: Pid, changed: &mut Option<&mut dyn FnMut() -> bool>) -> io::Result<End> {
        let mut ending: Option<Instant> = None;
        loop {
            if let Some(end) = self.look(leader)? {
                return Ok(if ending.is_some() { End::Changed } else { End::Code(end) });
            }
            let timeout = (changed.is_some() || ending.is_some()).then_some(Duration::from_millis(500));
            match self.signals.next(timeout)? {
                Some((libc::SIGCHLD, _)) => {}
                // The pseudo-terminal tells the program.
                Some((libc::SIGWINCH, true)) if self.pty.is_some() => self.pty.iter().for_each(Pty::resize),
                Some((libc::SIGCONT, _)) if self.pty.is_some() => {
                    if let Some(pty) = &self.pty {
                        pty.take_up()?;
                        pty.resize();
                    }
                    // The leader of the session continues the program, if it has stopped with it.
                    send(if std::mem::take(&mut self.is_stopped) { leader } else { target }, libc::SIGCONT);
                }
                // What comes from the terminal has reached the program as well.
                Some((_, true)) if self.pty.is_none() && self.has_terminal => {}
                Some((signal, _)) => send(target, signal),
                None => match ending {
                    Some(since) if since.elapsed() > LAST_CHANCE => send(target, libc::SIGKILL),
                    Some(_) => {}
                    None if changed.as_mut().is_some_and(|changed| changed()) => {
                        send(target, libc::SIGTERM);
                        ending = Some(Instant::now());
                    }
                    None => {}
                },
            }
        }
    }

    /// What became of the program: its exit code if it ended. If it was stopped, this process stops as well where a shell may see that.
    fn look(&mut self, leader: Pid) -> io::Result<Option<u8>> {
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED;
        let Some((_, status)) = waitpid(Some(leader), options)? else { return Ok(None) };
        match &self.pty {
            Some(pty) if status.stopped() => {
                // A key stops all processes of a job, and has reached the pseudo-terminal alone.
                self.is_stopped = pty.while_stopped(|| process::stop_self(true))?;
                if !self.is_stopped {
                    // Nobody could continue it.
                    send(leader, libc::SIGCONT);
                }
            }
            None if status.stopped() && self.has_terminal => {
                process::stop_self(false);
            }
            _ => {}
        }
        Ok(code(status))
    }
}

fn code(status: WaitStatus) -> Option<u8> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(code as u8),
        (None, Some(signal)) => Some(128 + signal as u8),
        (None, None) => None,
    }
}

fn send(to: Pid, signal: i32) {
    if let Some(signal) = Signal::from_named_raw(signal) {
        // It may have ended just now.
        let _ = kill_process(to, signal);
    }
}

fn number(report: OwnedFd) -> Option<Pid> {
    let mut bytes = [0; 4];
    File::from(report).read_exact(&mut bytes).ok()?;
    #[allow(clippy::host_endian_bytes, reason = "written by another process of this program on this machine")]
    Pid::from_raw(i32::from_ne_bytes(bytes))
}
