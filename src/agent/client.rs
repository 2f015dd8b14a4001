//! A command's side: short connections, each with an end in sight. Without an agent there is nothing, and no error.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use zeroize::Zeroizing;

use super::Place;
use super::protocol::{Answer, Hold, Listed, MAX, PREFIX, Request};
use super::server::is_own_peer;
use crate::crypto::Hash;
use crate::vault::KeptSlot;

/// How long an agent may take for an answer; one that is stopped takes for ever.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an agent may take to start.
const START: Duration = Duration::from_secs(10);

/// A connection to the running agent.
pub struct Agent(UnixStream);

impl Agent {
    /// Connects to the user's agent; `None` if there is none.
    ///
    /// # Errors
    /// If something is at the place and is not the user's agent.
    pub fn connect() -> io::Result<Option<Self>> {
        let place = match Place::of_user(false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let address = SocketAddrUnix::new(place.socket())?;
        // Not to wait for a queue that nobody empties.
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket: OwnedFd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) => {}
            // Nobody is there, or nobody any more.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => return Ok(None),
            Err(rustix::io::Errno::AGAIN) => return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer")),
            Err(error) => return Err(error.into()),
        }
        let stream = UnixStream::from(socket);
        if !is_own_peer(&stream) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to somebody else"));
        }
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Some(Self(stream)))
    }

    /// Connects to the user's agent, and starts one if there is none. It keeps none of the caller's streams, and ends when it holds nothing.
    ///
    /// # Errors
    /// If none can be started, or none answers.
    pub fn connect_or_start() -> io::Result<Self> {
        let deadline = Instant::now() + START;
        loop {
            if let Some(agent) = Self::connect()? {
                return Ok(agent);
            }
            if Instant::now() >= deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not start"));
            }
            start()?;
        }
    }

    /// What is held for one of these slots.
    ///
    /// # Errors
    /// If the agent does not answer, or not as the protocol says.
    pub fn keys(&mut self, path: &[u8], stamps: Vec<Hash>) -> io::Result<Option<KeptSlot>> {
        match self.ask(&Request::Keys { path: path.to_vec(), stamps })? {
            Answer::Keys(slot) => Ok(Some(slot)),
            Answer::Nothing => Ok(None),
            _ => Err(unexpected()),
        }
    }

    /// Has it hold something.
    ///
    /// # Errors
    /// As [`Agent::keys`].
    pub fn hold(&mut self, hold: Hold) -> io::Result<()> {
        match self.ask(&Request::Hold(hold))? {
            Answer::Done(_) => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// Has it forget one vault, or all; says how many that were.
    ///
    /// # Errors
    /// As [`Agent::keys`].
    pub fn forget(&mut self, path: Option<&[u8]>) -> io::Result<u64> {
        match self.ask(&Request::Forget(path.map(<[u8]>::to_vec)))? {
            Answer::Done(count) => Ok(count),
            _ => Err(unexpected()),
        }
    }

    /// What it holds.
    ///
    /// # Errors
    /// As [`Agent::keys`].
    pub fn list(&mut self) -> io::Result<Vec<Listed>> {
        match self.ask(&Request::List)? {
            Answer::Held(held) => Ok(held),
            _ => Err(unexpected()),
        }
    }

    fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        self.0.write_all(&request.frame()).map_err(late)?;
        let mut prefix = [0; PREFIX];
        self.0.read_exact(&mut prefix).map_err(late)?;
        let length = u32::from_le_bytes(prefix) as usize;
        if length > MAX {
            return Err(unexpected());
        }
        let mut map = Zeroizing::new(vec![0; length]);
        self.0.read_exact(&mut map).map_err(late)?;
        Answer::read(&map).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    }
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it does not answer as this version expects; end it with `vault lock --stop`")
}

/// What the system says of a timeout tells nobody anything.
fn late(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "it does not answer"),
        _ => error,
    }
}

/// Starts an agent of this program, and waits until it listens or says that another one does.
fn start() -> io::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["agent", "--on-demand"]).current_dir("/");
    // Nothing of the caller's environment: a passphrase that stands there would stay readable in that of the agent.
    command.env_clear();
    for name in ["XDG_RUNTIME_DIR", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    // It says a word when it listens, and closes this; one that ends has closed it as well.
    if let Some(mut ready) = child.stdout.take() {
        ready.read_to_end(&mut Vec::new())?;
    }
    // One that did not stay is collected here; one that did is left alone.
    child.try_wait().map(drop)
}
