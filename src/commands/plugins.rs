//! Plugins of age as programs, and the person that they and encrypted keys ask: what the library calls back for.
//!
//! Which program runs is the choice of the user alone: its name must stand in their own `config.toml`.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

use super::context::{Context, Global};
use crate::crypto::{Callbacks, PluginError, PluginProcess};
use crate::process;
use crate::term::output;

/// How long a plugin may take for an answer, unless the configuration says otherwise: time to find the key and touch it.
const TIMEOUT: Duration = Duration::from_secs(120);
/// After this time it is said what is waited for.
const SLOW: Duration = Duration::from_secs(10);
/// How long a plugin may take to end when it is no longer needed.
const GRACE: Duration = Duration::from_secs(1);
/// A pipe that can be written to takes as much without blocking.
const PIPE_PIECE: usize = 4096;

/// What keys are given from the edge.
pub struct Attended {
    global: Global,
    allowed: Vec<String>,
    timeout: Duration,
}

impl Attended {
    /// Asks as the global options allow, and runs the plugins of these names.
    pub fn new(global: Global, allowed: Vec<String>, timeout: Option<Duration>) -> Self {
        Self { global, allowed, timeout: timeout.unwrap_or(TIMEOUT) }
    }

    fn context(&self) -> Context {
        Context::new(self.global.clone())
    }
}

impl Callbacks for Attended {
    fn message(&self, text: &str) {
        self.context().note(&output::printable(text));
    }

    fn confirm(&self, question: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let answers = no.map_or_else(|| yes.to_owned(), |no| format!("yes: {yes}, no: {no}"));
        self.context().prompter()?.confirm(&output::printable(&format!("{question} ({answers})"))).ok()
    }

    fn public(&self, question: &str) -> Option<String> {
        self.context().prompter()?.line(&output::printable(question)).ok()
    }

    fn secret(&self, question: &str) -> Option<Zeroizing<String>> {
        self.context().prompter()?.secret(&output::printable(question)).ok()
    }

    fn start(&self, name: &str, machine: &str) -> Result<Box<dyn PluginProcess>, PluginError> {
        if !self.allowed.iter().any(|allowed| allowed == name) {
            return Err(PluginError::NotAllowed(name.to_owned()));
        }
        let program = find(name).ok_or_else(|| PluginError::Missing(name.to_owned()))?;
        let failed = |error: io::Error| PluginError::Failed(name.to_owned(), format!("cannot be started: {error}"));
        let mut child = process::child(program)
            .arg(format!("--age-plugin={machine}"))
            // It has no business with the files of whoever's directory this is.
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(ErrorKind::BrokenPipe.into()));
        };
        let (timeout, since) = (self.timeout, Instant::now());
        let waiting = format!("waiting for age-plugin-{name}");
        let global = self.global.clone();
        Ok(Box::new(Running { child, input: Some(input), output, timeout, since, waiting: Some((global, waiting)) }))
    }
}

/// The program of a plugin in a directory of PATH. One that is relative, or empty, would be looked up where somebody else may write.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let is_program = |path: &PathBuf| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(format!("age-plugin-{name}")))
        .find(is_program)
}

/// A plugin that runs.
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    timeout: Duration,
    /// When something was sent last: the time for an answer begins then, however slowly it trickles in.
    since: Instant,
    waiting: Option<(Global, String)>,
}

impl Running {
    /// Waits until a stream is ready.
    fn wait(&mut self, writing: bool) -> io::Result<()> {
        loop {
            let passed = self.since.elapsed();
            let mut left = self.timeout.checked_sub(passed).filter(|left| !left.is_zero()).ok_or(ErrorKind::TimedOut)?;
            if self.waiting.is_some() {
                match SLOW.checked_sub(passed).filter(|left| !left.is_zero()) {
                    Some(quiet) => left = left.min(quiet),
                    None => {
                        if let Some((global, text)) = self.waiting.take() {
                            Context::new(global).note(&text);
                        }
                    }
                }
            }
            let (fd, flags) = match (&self.input, writing) {
                (Some(input), true) => (input.as_fd(), PollFlags::OUT),
                (None, true) => return Err(ErrorKind::BrokenPipe.into()),
                (_, false) => (self.output.as_fd(), PollFlags::IN),
            };
            let mut streams = [PollFd::new(&fd, flags)];
            let time = Timespec { tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
            match poll(&mut streams, Some(&time)) {
                // Not ready: time has passed, which the next round looks at.
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Read for Running {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(false)?;
        self.output.read(buffer)
    }
}

impl Write for Running {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.since = Instant::now();
        self.wait(true)?;
        let input = self.input.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        input.write(&bytes[..bytes.len().min(PIPE_PIECE)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PluginProcess for Running {}

impl Drop for Running {
    fn drop(&mut self) {
        self.input = None;
        let end = Instant::now() + if self.since.elapsed() < self.timeout { GRACE } else { Duration::ZERO };
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(2)),
                Ok(None) => {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    return;
                }
                _ => return,
            }
        }
    }
}
