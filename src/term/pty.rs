//! A pseudo-terminal before the real one: what runs on it has a terminal in every respect, and what it prints can be looked at on the way.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// A pseudo-terminal, and the terminal that it stands for.
pub struct Pty {
    master: OwnedFd,
    outer: File,
    modes: Termios,
}

impl Pty {
    /// Makes one with the modes and the size of the controlling terminal; `None` where there is none.
    pub fn open() -> io::Result<Option<Self>> {
        let Ok(outer) = File::options().read(true).write(true).open("/dev/tty") else { return Ok(None) };
        let modes = tcgetattr(&outer)?;
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        Ok(Some(Self { master, outer, modes }))
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
        self.outer.try_clone()
    }

    /// Gives the pseudo-terminal the size of the real one; whatever runs in the foreground on it is told if that is new.
    pub fn resize(&self) {
        // A terminal without a size stays without one.
        let _ = tcgetwinsize(&self.outer).and_then(|size| tcsetwinsize(&self.master, size));
    }

    /// Makes the real terminal pass on every key, also those that it would act on itself: the pseudo-terminal does that.
    pub fn raw(&self) -> io::Result<()> {
        let mut raw = self.modes.clone();
        raw.make_raw();
        Ok(tcsetattr(&self.outer, OptionalActions::Now, &raw)?)
    }

    /// Gives the real terminal its modes back.
    pub fn restore(&self) {
        // When output has been shown: what follows must not come out in other modes.
        let _ = tcsetattr(&self.outer, OptionalActions::Drain, &self.modes);
    }

    /// Passes on what is typed, until the process ends.
    pub fn pass_keys(&self) -> io::Result<()> {
        let (mut from, mut to) = (self.outer.try_clone()?, File::from(self.master()?));
        std::thread::Builder::new().spawn(move || {
            let mut buffer = zeroize::Zeroizing::new([0; 4096]);
            loop {
                match from.read(&mut buffer[..]) {
                    Ok(0) => return,
                    Ok(length) if to.write_all(&buffer[..length]).is_err() => return,
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
                    _ => {}
                }
            }
        })?;
        Ok(())
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.restore();
    }
}
