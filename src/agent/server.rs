//! The agent's side: one thread, one loop, no connection that can hold up another.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use zeroize::Zeroizing;

use super::Place;
use super::holdings::KeptKeys;
use super::protocol::{Answer, MAX, PREFIX, Request};
use crate::store::file::lock;

/// More connections wait in the system's queue.
const MOST_CONNECTIONS: usize = 64;
/// How long a client may take to send a request or to take its answer, and how long it may say nothing in between.
const PATIENCE: u64 = 2_000;
/// The longest sleep: the system's timers stand still while the machine does, and what has ended by then must go soon after.
const LONGEST_SLEEP: u64 = 20_000;
/// How long an agent that was started for a vault waits for it.
const GRACE: u64 = 10_000;

/// An agent that listens.
pub struct Server {
    place: Place,
    listener: UnixListener,
    /// Its lock says that this is the running agent. It is held to the end, and the socket is removed under it.
    _lock: File,
    keys: KeptKeys,
    connections: Vec<Connection>,
}

impl Server {
    /// Listens at the user's place; `None` if an agent does already.
    ///
    /// # Errors
    /// If the place is not the user's alone, or the socket cannot be made.
    pub fn start() -> io::Result<Option<Self>> {
        let place = Place::of_user(true)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(place.lock())?;
        if !lock::try_exclusive(&lock)? {
            return Ok(None);
        }
        // Whoever made it is gone: it would hold the lock.
        match std::fs::remove_file(place.socket()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(place.socket())?;
        std::fs::set_permissions(place.socket(), Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Some(Self { place, listener, _lock: lock, keys: KeptKeys::default(), connections: Vec::new() }))
    }

    /// Where it listens.
    pub fn socket(&self) -> std::path::PathBuf {
        self.place.socket()
    }

    /// Serves until `endings` becomes readable; if `on_demand`, also until nothing is held any more.
    ///
    /// # Errors
    /// If the system cannot wait for connections.
    pub fn serve(mut self, endings: &OwnedFd, on_demand: bool) -> io::Result<()> {
        let start = now();
        let mut held = false;
        loop {
            let now = now();
            let next = self.keys.drop_ended(now);
            held |= next.is_some();
            if on_demand && next.is_none() && self.connections.is_empty() && (held || now >= start + GRACE) {
                break;
            }
            self.connections.retain(|connection| connection.deadline > now);
            let deadlines = self.connections.iter().map(|connection| connection.deadline).chain(next);
            let sleep = deadlines.min().map_or(LONGEST_SLEEP, |next| next.saturating_sub(now)).min(LONGEST_SLEEP);
            if self.wait(endings, sleep)? {
                break;
            }
        }
        // Before the lock goes: the next agent makes its own.
        let _ = std::fs::remove_file(self.place.socket());
        Ok(())
    }

    /// Waits for one round of events and handles them; says whether the process is to end.
    fn wait(&mut self, endings: &OwnedFd, sleep: u64) -> io::Result<bool> {
        let room = self.connections.len() < MOST_CONNECTIONS;
        let mut ready = vec![PollFd::new(endings, PollFlags::IN)];
        ready.push(PollFd::new(&self.listener, if room { PollFlags::IN } else { PollFlags::empty() }));
        ready.extend(self.connections.iter().map(|connection| PollFd::new(&connection.stream, connection.interest())));
        // Rounded up, so that what was waited for has come.
        let timeout = Timespec { tv_sec: (sleep / 1000) as i64, tv_nsec: (sleep % 1000 * 1_000_000) as i64 + 999_999 };
        match poll(&mut ready, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => return Ok(false),
            other => other?,
        };
        let events: Vec<bool> = ready.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(ready);
        if events[0] {
            return Ok(true);
        }
        let now = now();
        let keys = &mut self.keys;
        let mut at = 0;
        self.connections.retain_mut(|connection| {
            at += 1;
            !events[at + 1] || connection.proceed(keys, now).is_ok()
        });
        if events[1] {
            self.accept(now);
        }
        Ok(false)
    }

    fn accept(&mut self, now: u64) {
        while self.connections.len() < MOST_CONNECTIONS {
            let Ok((stream, _)) = self.listener.accept() else { return };
            if !is_own_peer(&stream) || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let mut connection = Connection { stream, incoming: Incoming::default(), outgoing: None, deadline: now + PATIENCE };
            // What it asks is often there already.
            if connection.proceed(&mut self.keys, now).is_ok() {
                self.connections.push(connection);
            }
        }
    }
}

/// Whether the other side is a process of this user. Nobody else can enter the directory of the socket; this holds where that was loosened.
#[cfg(target_os = "linux")]
pub(super) fn is_own_peer(stream: &UnixStream) -> bool {
    let peer = rustix::net::sockopt::socket_peercred(stream.as_fd());
    peer.is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

/// Elsewhere the directory alone decides.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_own_peer(_stream: &UnixStream) -> bool {
    true
}

/// Milliseconds of a clock that runs while the machine sleeps, where there is one.
fn now() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

struct Connection {
    stream: UnixStream,
    incoming: Incoming,
    outgoing: Option<(Zeroizing<Vec<u8>>, usize)>,
    deadline: u64,
}

impl Connection {
    fn interest(&self) -> PollFlags {
        if self.outgoing.is_some() { PollFlags::OUT } else { PollFlags::IN }
    }

    /// Reads, answers and writes as far as that goes without waiting. An error ends the connection: its end, or a peer that does not keep to the
    /// protocol.
    fn proceed(&mut self, keys: &mut KeptKeys, now: u64) -> io::Result<()> {
        loop {
            if let Some((bytes, sent)) = &mut self.outgoing {
                match self.stream.write(&bytes[*sent..]) {
                    Ok(count) => *sent += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                }
                if *sent < bytes.len() {
                    continue;
                }
                self.outgoing = None;
                self.deadline = now + PATIENCE;
            }
            match self.incoming.read(&mut self.stream)? {
                Some(map) => self.outgoing = Some((answer(&map, keys, now), 0)),
                None => return Ok(()),
            }
        }
    }
}

/// A frame of which some bytes have come.
#[derive(Default)]
struct Incoming {
    prefix: [u8; PREFIX],
    prefix_length: usize,
    /// As long as the frame says, from the moment when that is known.
    map: Zeroizing<Vec<u8>>,
    map_length: usize,
}

impl Incoming {
    /// The map of a frame, once it is there in full.
    fn read(&mut self, stream: &mut UnixStream) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        loop {
            let (buffer, length) = match self.prefix_length < PREFIX {
                true => (&mut self.prefix[..], &mut self.prefix_length),
                false => (&mut self.map[..], &mut self.map_length),
            };
            match stream.read(&mut buffer[*length..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => *length += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if self.prefix_length == PREFIX && self.map.is_empty() {
                let length = u32::from_le_bytes(self.prefix) as usize;
                if length == 0 || length > MAX {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                self.map = Zeroizing::new(vec![0; length]);
            }
            if self.prefix_length == PREFIX && self.map_length == self.map.len() {
                return Ok(Some(std::mem::take(self).map));
            }
        }
    }
}

fn answer(map: &[u8], keys: &mut KeptKeys, now: u64) -> Zeroizing<Vec<u8>> {
    let Ok(request) = Request::read(map) else { return Answer::Refused.frame() };
    match request {
        Request::Keys { path, stamps } => keys.find(&path, &stamps, now).unwrap_or_else(|| Answer::Nothing.frame()),
        Request::Hold(hold) => match keys.hold(&hold, now) {
            Ok(_) => Answer::Done(1).frame(),
            Err(_) => Answer::Refused.frame(),
        },
        Request::Forget(path) => Answer::Done(keys.forget(path.as_deref())).frame(),
        Request::List => Answer::Held(keys.list(now)).frame(),
    }
}
