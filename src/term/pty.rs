//! A pseudo-terminal before the real one: what runs on it has a terminal in every respect, and what it prints can be looked at on the way.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use crate::process;

/// A pseudo-terminal, and the terminal that it stands for.
pub struct Pty {
    master: OwnedFd,
    modes: Termios,
    outer: Arc<Outer>,
}

/// The real terminal, which this process may use only while it is in the foreground.
struct Outer {
    terminal: File,
    hold: Mutex<Hold>,
}

#[derive(Default)]
struct Hold {
    /// Whether a program runs that keys are for.
    wanted: bool,
    /// The modes to give back, while the terminal passes on every key.
    before: Option<Termios>,
}

impl Pty {
    /// Makes one with the modes and the size of the controlling terminal; `None` where there is none.
    pub fn open() -> io::Result<Option<Self>> {
        let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty") else { return Ok(None) };
        let mut modes = tcgetattr(&terminal)?;
        let outer = Outer { terminal, hold: Mutex::default() };
        if !outer.is_foreground() {
            // They are those of a shell that edits a line.
            modes.local_modes |= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
            modes.input_modes |= InputModes::ICRNL;
            modes.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        }
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        Ok(Some(Self { master, modes, outer: Arc::new(outer) }))
    }

    /// The side for what runs on it.
    pub fn inner(&self) -> io::Result<OwnedFd> {
        let inner =
            rustix::fs::open(ptsname(&self.master, Vec::new())?, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        tcsetattr(&inner, OptionalActions::Now, &self.modes)?;
        self.resize();
        Ok(inner)
    }

    /// The side that reads what was printed.
    pub fn master(&self) -> io::Result<OwnedFd> {
        self.master.as_fd().try_clone_to_owned()
    }

    /// Where to show it.
    pub fn screen(&self) -> io::Result<File> {
        self.outer.terminal.try_clone()
    }

    /// Gives the pseudo-terminal the size of the real one; whatever runs in the foreground on it is told if that is new.
    pub fn resize(&self) {
        // A terminal without a size stays without one.
        let _ = tcgetwinsize(&self.outer.terminal).and_then(|size| tcsetwinsize(&self.master, size));
    }

    /// Makes the real terminal pass on every key, also those that it would act on itself: the pseudo-terminal does that. In the background it is
    /// another's terminal, and left alone until this process is in the foreground.
    pub fn take_up(&self) -> io::Result<()> {
        let mut hold = self.outer.lock();
        hold.wanted = true;
        self.outer.raw(&mut hold)
    }

    /// Gives the real terminal its modes back.
    pub fn let_go(&self) {
        let mut hold = self.outer.lock();
        hold.wanted = false;
        self.outer.restore(&mut hold);
    }

    /// Gives the real terminal its modes back for a stop of this process, which `stop` is.
    pub fn while_stopped<T>(&self, stop: impl FnOnce() -> T) -> io::Result<T> {
        let mut hold = self.outer.lock();
        self.outer.restore(&mut hold);
        let result = stop();
        self.outer.raw(&mut hold).map(|()| result)
    }

    /// Passes on what is typed while it is for the program, until the process ends.
    pub fn pass_keys(&self) -> io::Result<()> {
        /// A shell that brings to the foreground what runs in the background does not say so.
        const LOOK_AGAIN: Duration = Duration::from_millis(100);
        let (outer, mut to) = (self.outer.clone(), File::from(self.master()?));
        let is_for_program = |outer: &Outer| {
            let mut hold = outer.lock();
            outer.raw(&mut hold).is_ok() && hold.before.is_some() && outer.is_foreground()
        };
        std::thread::Builder::new().spawn(move || {
            process::read_terminal_without_stop();
            let mut buffer = zeroize::Zeroizing::new([0; 4096]);
            loop {
                if !is_for_program(&outer) {
                    std::thread::sleep(LOOK_AGAIN);
                    continue;
                }
                let waited = poll(&mut [PollFd::new(&outer.terminal, PollFlags::IN)], None);
                if waited.is_err() || !is_for_program(&outer) {
                    continue;
                }
                match (&outer.terminal).read(&mut buffer[..]) {
                    Ok(0) => return,
                    Ok(length) if to.write_all(&buffer[..length]).is_err() => return,
                    Err(error) if error.kind() != io::ErrorKind::Interrupted && outer.is_foreground() => return,
                    _ => {}
                }
            }
        })?;
        Ok(())
    }
}

impl Outer {
    fn lock(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_foreground(&self) -> bool {
        process::is_in_foreground(&self.terminal)
    }

    fn raw(&self, hold: &mut Hold) -> io::Result<()> {
        if !hold.wanted || hold.before.is_some() || !self.is_foreground() {
            return Ok(());
        }
        let before = tcgetattr(&self.terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&self.terminal, OptionalActions::Now, &raw)?;
        hold.before = Some(before);
        Ok(())
    }

    fn restore(&self, hold: &mut Hold) {
        if let Some(before) = hold.before.take().filter(|_| self.is_foreground()) {
            // When output has been shown: what follows must not come out in other modes.
            let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &before);
        }
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.let_go();
    }
}
