//! A command's side: one short connection for each question, with an end in sight. Without an agent there is nothing, and no error.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

use super::protocol::{Answer, Hold, Listed, MAX, PREFIX, Request};
use super::{ALREADY_RUNS, Place, READY};
use crate::crypto::Hash;
use crate::process;
use crate::vault::KeptSlot;

/// How long an agent may take for an answer; one that is stopped takes for ever.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an agent may take to start, or to end.
const START: Duration = Duration::from_secs(10);
/// How long to wait for another one that is about to listen or to end.
const PAUSE: Duration = Duration::from_millis(20);

/// What the agent holds for one of these slots of the vault at `path`.
///
/// # Errors
/// If an agent is there and does not answer, or not as the protocol says; or if something else is in its place.
pub fn keys(path: &[u8], stamps: Vec<Hash>) -> io::Result<Option<KeptSlot>> {
    match ask(&Request::Keys { path: path.to_vec(), stamps })? {
        Some(Answer::Keys(slot)) => Ok(Some(slot)),
        Some(Answer::Nothing) | None => Ok(None),
        Some(_) => Err(unexpected()),
    }
}

/// Has the agent hold something, and starts one if there is none. It keeps none of the caller's descriptors, and ends when it holds nothing.
///
/// # Errors
/// As [`keys`], and if none can be started.
pub fn hold(hold: Hold) -> io::Result<Listed> {
    let deadline = Instant::now() + START;
    let request = Request::Hold(hold);
    loop {
        match ask(&request)? {
            Some(Answer::Held(mut held)) if held.len() == 1 => return Ok(held.remove(0)),
            Some(_) => return Err(unexpected()),
            None if Instant::now() >= deadline => return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not start")),
            None => start(deadline)?,
        }
    }
}

/// Has the agent forget the vault at a path and whatever opens by the same slots, or everything; says how many vaults that were.
///
/// # Errors
/// As [`keys`].
pub fn forget(vault: Option<(&[u8], Vec<Hash>)>) -> io::Result<u64> {
    match ask(&Request::Forget(vault.map(|(path, stamps)| (path.to_vec(), stamps))))? {
        Some(Answer::Done(count)) => Ok(count),
        None => Ok(0),
        Some(_) => Err(unexpected()),
    }
}

/// What the agent holds; `None` without one.
///
/// # Errors
/// As [`keys`].
pub fn list() -> io::Result<Option<Vec<Listed>>> {
    match ask(&Request::List)? {
        Some(Answer::Held(held)) => Ok(Some(held)),
        None => Ok(None),
        Some(_) => Err(unexpected()),
    }
}

/// Whether an agent listens.
pub fn is_there() -> bool {
    connect().is_ok_and(|stream| stream.is_some())
}

/// Ends the agent, whatever version it is of; says whether there was one.
///
/// # Errors
/// If it cannot be told, or stays.
pub fn stop() -> io::Result<bool> {
    let Some(stream) = connect()? else { return Ok(false) };
    match rustix::process::kill_process(process::peer(&stream)?.process()?, rustix::process::Signal::TERM) {
        // It has ended by itself meanwhile.
        Err(rustix::io::Errno::SRCH) => {}
        other => other?,
    }
    drop(stream);
    let deadline = Instant::now() + START;
    while connect()?.is_some() {
        if Instant::now() >= deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not end"));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(true)
}

/// The answer to a request; `None` without an agent, also if it ended before it could answer.
fn ask(request: &Request) -> io::Result<Option<Answer>> {
    let Some(mut stream) = connect()? else { return Ok(None) };
    match exchange(&mut stream, request) {
        Err(error) if is_gone(&error) => {
            // It ended while this one connected. The next one, if there is one, answers; an answer that was begun is not asked for again.
            let Some(mut stream) = connect()? else { return Ok(None) };
            exchange(&mut stream, request).map(Some).or_else(|error| if is_gone(&error) { Ok(None) } else { Err(error) })
        }
        other => other.map(Some),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Connects to the user's agent; `None` if there is none.
fn connect() -> io::Result<Option<UnixStream>> {
    let place = match Place::of_user(false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let stream = match open(&place) {
        // Nobody is there, or nobody any more.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(silent()),
        other => other?,
    };
    if !process::peer(&stream)?.is_own() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to somebody else"));
    }
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(Some(stream))
}

/// Connects without waiting for a queue that nobody empties.
#[cfg(target_os = "linux")]
fn open(place: &Place) -> io::Result<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(place.socket())?)?;
    Ok(UnixStream::from(socket))
}

#[cfg(not(target_os = "linux"))]
fn open(place: &Place) -> io::Result<UnixStream> {
    UnixStream::connect(place.socket())
}

fn exchange(stream: &mut UnixStream, request: &Request) -> io::Result<Answer> {
    stream.write_all(&request.frame()).map_err(late)?;
    let mut prefix = [0; PREFIX];
    // An end before the first byte is that of an agent which ended.
    let first = stream.read(&mut prefix).map_err(late)?;
    if first == 0 {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    stream.read_exact(&mut prefix[first..]).map_err(late)?;
    let length = u32::from_le_bytes(prefix) as usize;
    if length > MAX {
        return Err(unexpected());
    }
    let mut map = Zeroizing::new(vec![0; length]);
    stream.read_exact(&mut map).map_err(late)?;
    Answer::read(&map)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{error}; `vault lock --stop` ends it")))
}

fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it does not answer as this version expects; `vault lock --stop` ends it")
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it does not answer")
}

/// What the system says of a timeout tells nobody anything.
fn late(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { silent() } else { error }
}

/// Starts an agent of this program, and waits until it listens, or until another one is about to.
fn start(deadline: Instant) -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["agent", "--on-demand"]).current_dir("/");
    // Nothing of the caller's environment: a passphrase that stands there would stay readable in that of the agent.
    command.env_clear();
    for name in ["XDG_RUNTIME_DIR", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let mut child = command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).spawn()?;
    // With it go this side's ends of the pipe.
    drop(command);
    let said = match said(reader, deadline) {
        Ok(said) => said,
        Err(error) => {
            end(&mut child);
            return Err(error);
        }
    };
    if said.starts_with(READY) {
        return Ok(());
    }
    let status = child.wait()?;
    if status.code() == Some(i32::from(ALREADY_RUNS)) {
        std::thread::sleep(PAUSE);
        return Ok(());
    }
    let why = String::from_utf8_lossy(&said);
    let why = why.lines().next().unwrap_or("it ended").trim_start_matches("error: the agent cannot be used: ");
    let kind = if status.code() == Some(12) { io::ErrorKind::PermissionDenied } else { io::ErrorKind::Other };
    Err(io::Error::new(kind, why))
}

/// All that an agent says before it lets go of the pipe.
fn said(mut pipe: io::PipeReader, deadline: Instant) -> io::Result<Vec<u8>> {
    let (mut said, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => continue,
            Ok(0) => return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not start")),
            other => other?,
        };
        match pipe.read(&mut piece)? {
            0 => return Ok(said),
            count => said.extend_from_slice(&piece[..count]),
        }
    }
}

fn end(child: &mut Child) {
    // One that cannot be ended has ended.
    let _ = child.kill();
    let _ = child.wait();
}
