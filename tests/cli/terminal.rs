//! A terminal for what runs in a test: a pseudo-terminal that controls a session of its own.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::sandbox::{Sandbox, wait_until_or};

pub struct Terminal {
    master: OwnedFd,
    /// Kept open, so that the terminal stays when nothing runs on it.
    inner: File,
    pub path: PathBuf,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    pub fn new() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = PathBuf::from(ptsname(&master, Vec::new()).unwrap().to_str().unwrap());
        let no_control = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
        let inner = OpenOptions::new().read(true).write(true).custom_flags(no_control).open(&path).unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (to, mut from) = (shown.clone(), File::from(master.try_clone().unwrap()));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut piece) {
                to.lock().unwrap().extend_from_slice(&piece[..count]);
            }
        });
        let terminal = Self { master, inner, path, shown };
        terminal.resize(24, 80);
        terminal
    }

    /// Starts a program as the leader of a session that this terminal controls.
    pub fn start(&self, sandbox: &Sandbox, words: &[&str]) -> Child {
        self.start_with(sandbox, words, |_| {})
    }

    /// The same with other streams.
    pub fn start_with(&self, sandbox: &Sandbox, words: &[&str], change: impl FnOnce(&mut Command)) -> Child {
        let mut command = sandbox.program("setsid", &[&["-c"][..], words].concat()).into_command();
        let stream = || Stdio::from(self.inner.try_clone().unwrap());
        command.stdin(stream()).stdout(stream()).stderr(stream());
        change(&mut command);
        command.spawn().unwrap()
    }

    pub fn keys(&self, keys: &str) {
        File::from(self.master.try_clone().unwrap()).write_all(keys.as_bytes()).unwrap();
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    /// Whether it edits lines and echoes, as it does for a shell.
    pub fn is_as_ever(&self) -> bool {
        tcgetattr(&self.inner).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Whether what is typed is shown.
    pub fn echoes(&self) -> bool {
        tcgetattr(&self.inner).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    /// All that was shown by what has ended: a mark behind it says that nothing is on its way any more.
    pub fn all(&self) -> String {
        const MARK: &str = "\u{1e}end\u{1e}";
        (&self.inner).write_all(MARK.as_bytes()).unwrap();
        self.shows(MARK);
        self.screen().split(MARK).next().unwrap().to_owned()
    }

    #[track_caller]
    pub fn shows(&self, text: &str) {
        wait_until_or(|| self.screen().contains(text), || format!("{text:?} is not on the screen: {:?}", self.screen()));
    }
}
