//! The agent's side: one thread, one loop, no connection that can hold up another.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::time::{ClockId, clock_gettime};
use zeroize::Zeroizing;

use super::Place;
use super::holdings::KeptKeys;
use super::protocol::{Answer, MAX, PREFIX, Request};
use crate::process;
use crate::store::file::lock;
use crate::store::file::storage::FLAGS;

/// More connections wait in the system's queue.
const MOST_CONNECTIONS: usize = 64;
/// How long a client may take to send a request or to take its answer, and how long it may say nothing in between: less than clients wait for an
/// answer, so that many silent ones make another one wait and not fail.
const PATIENCE: u64 = 1_000;
/// So many requests of one client and so many new clients are served before the others have their turn.
const ROUND: usize = 32;
/// The longest sleep: the system's timers stand still while the machine does, and what has ended by then must go soon after.
const LONGEST_SLEEP: u64 = 20_000;
/// How long an agent that was started for a vault waits for it.
const GRACE: u64 = 10_000;

/// An agent that listens.
pub struct Server {
    place: Place,
    listener: UnixListener,
    /// Its lock says that this is the running agent. It is held to the end, and the socket is removed under it.
    lock: File,
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
        let mut options = OpenOptions::new();
        let lock =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(FLAGS).open(place.lock())?;
        if !lock::try_exclusive(&lock)? {
            return Ok(None);
        }
        // Whoever made it is gone: it would hold the lock.
        match std::fs::remove_file(place.socket()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The mode of a socket is that which the mask leaves. This process has one thread and makes no other file.
        let before = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
        let listener = UnixListener::bind(place.socket());
        rustix::process::umask(before);
        let listener = listener?;
        listener.set_nonblocking(true)?;
        Ok(Some(Self { place, listener, lock, keys: KeptKeys::default(), connections: Vec::new() }))
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
        while self.is_the_one() {
            let now = now();
            let next = self.keys.drop_ended(now);
            self.connections.retain(|connection| connection.deadline > now);
            held |= next.is_some();
            let ends = if held { now } else { start + GRACE };
            let may_end = on_demand && next.is_none() && self.connections.is_empty();
            if may_end && now >= ends {
                break;
            }
            let deadlines =
                self.connections.iter().map(|connection| connection.deadline).chain(next).chain(may_end.then_some(ends));
            let sleep = deadlines.min().map_or(LONGEST_SLEEP, |next| next.saturating_sub(now)).min(LONGEST_SLEEP);
            if self.wait(endings, sleep)? {
                break;
            }
        }
        // Before the lock goes: the next agent makes its own. What stands there when the place was taken away is somebody else's.
        if self.is_the_one() {
            let _ = std::fs::remove_file(self.place.socket());
        }
        Ok(())
    }

    /// Whether the lock that is held is still the one at the place: whoever cleared that away made room for another agent, and nobody finds this one
    /// any more.
    fn is_the_one(&self) -> bool {
        let (Ok(held), Ok(there)) = (self.lock.metadata(), self.place.lock().symlink_metadata()) else { return false };
        (held.dev(), held.ino()) == (there.dev(), there.ino())
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
        let keys = &mut self.keys;
        let mut at = 0;
        self.connections.retain_mut(|connection| {
            at += 1;
            !events[at + 1] || connection.proceed(keys).is_ok()
        });
        if events[1] {
            self.accept();
        }
        Ok(false)
    }

    fn accept(&mut self) {
        for _ in 0..ROUND.min(MOST_CONNECTIONS - self.connections.len()) {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, say: the queue stays ready, and asking again at once would change nothing.
                    if error.kind() != io::ErrorKind::WouldBlock {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                    return;
                }
            };
            // Nobody else can enter the directory of the socket; this holds where that was loosened.
            if !process::peer(&stream).is_ok_and(|peer| peer.is_own()) || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let mut connection = Connection { stream, incoming: Incoming::default(), outgoing: None, deadline: now() + PATIENCE };
            // What it asks is often there already.
            if connection.proceed(&mut self.keys).is_ok() {
                self.connections.push(connection);
            }
        }
    }
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
    fn proceed(&mut self, keys: &mut KeptKeys) -> io::Result<()> {
        for _ in 0..ROUND {
            if let Some((bytes, sent)) = &mut self.outgoing {
                match self.stream.write(&bytes[*sent..]) {
                    Ok(count) => *sent += count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
                if *sent < bytes.len() {
                    continue;
                }
                self.outgoing = None;
                self.deadline = now() + PATIENCE;
            }
            match self.incoming.read(&mut self.stream)? {
                Some(map) => self.outgoing = Some((answer(&map, keys, now()), 0)),
                None => return Ok(()),
            }
        }
        Ok(())
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
            Ok(listed) => Answer::Held(vec![listed]).frame(),
            Err(_) => Answer::Refused.frame(),
        },
        Request::Forget(vault) => {
            Answer::Done(keys.forget(vault.as_ref().map(|(path, stamps)| (path.as_slice(), stamps.as_slice())))).frame()
        }
        Request::List => Answer::Held(keys.list(now)).frame(),
    }
}
