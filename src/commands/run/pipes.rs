//! Values in pipes with names: whoever opens one reads the value, as often as it is opened.
//!
//! A pipe is one stream. Of two that read the same one each gets a part, or one gets all and the other nothing, and no writer can tell them apart.
//! So every reader gets a pipe of its own, and the name passes from one pipe to the next:
//!
//! | the pipe | until |
//! |---|---|
//! | waits at its name, open for writing and empty: to open it never waits, to read it does | somebody opens it; then a new pipe takes the name |
//! | settles | nobody else has opened it for a moment |
//! | is written, and closed | all is written, or nobody reads any more |
//! | is read | its reader has closed it |
//! | lingers | a second is over: who had looked up the name before the new pipe took it, and came late, waits there |
//!
//! Two that open the name within the some hundred microseconds that the new pipe takes to get there have the same one. They are seen, because inotify
//! tells of each that opens and closes, and neither gets anything: half a value would be worse than none. One that is held up by the system between
//! looking the name up and opening it, for longer than a pipe settles, can be too late to be seen in time. That it happened is said when the program
//! has ended.
//!
//! inotify makes one event of two equal ones in a row; so the directory is watched as well, and an event of it stands between them, unless both are opened
//! on two processors within the same instant. Such two mostly read the end, and close, within the same instant too. So before a pipe is written, the
//! descriptors of all processes are looked through for a second one that somebody else opened. That needs a system that lets one compare them
//! (`kcmp(2)`; some containers do not), and does not see programs of other users.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{CWD, Mode, OFlags};
use zeroize::Zeroizing;

/// How long nobody else may have opened a pipe before it is written to.
const SETTLE: Duration = Duration::from_millis(5);

/// How long a pipe is looked after that has been read.
const LINGER: Duration = Duration::from_secs(1);

const WATCHED: WatchFlags = WatchFlags::OPEN.union(WatchFlags::CLOSE_NOWRITE);

/// The pipes of one program.
pub struct Pipes {
    directory: PathBuf,
    changes: OwnedFd,
    values: Vec<Value>,
    pipes: Vec<Pipe>,
    made: usize,
    shared: BTreeSet<String>,
}

struct Value {
    variable: String,
    bytes: Zeroizing<Vec<u8>>,
}

struct Pipe {
    value: usize,
    /// A second name, by which it is found when it has lost the first.
    own: PathBuf,
    watch: i32,
    writer: Option<File>,
    /// How often it was opened and closed, less what was done here.
    opened: i32,
    closed: i32,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Waiting,
    Settling {
        opened: i32,
        since: Instant,
    },
    /// So many bytes are written.
    Writing(usize),
    Read,
    Lingering {
        since: Instant,
    },
}

impl Pipes {
    /// None yet; they will be in this directory.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        inotify::add_watch(&changes, directory, WATCHED | WatchFlags::ONLYDIR)?;
        crate::process::allow_many_files();
        let directory = directory.to_owned();
        Ok(Self { directory, changes, values: Vec::new(), pipes: Vec::new(), made: 0, shared: BTreeSet::new() })
    }

    /// Makes the pipe of a variable, and returns its path.
    pub fn add(&mut self, variable: &str, bytes: Zeroizing<Vec<u8>>) -> io::Result<PathBuf> {
        self.values.push(Value { variable: variable.to_owned(), bytes });
        self.take_name(self.values.len() - 1)?;
        Ok(self.directory.join(variable))
    }

    /// Gives the values to whoever opens the pipes, until the end is asked for.
    pub fn serve(mut self) -> io::Result<Serving> {
        let (stopped, stop) = io::pipe()?;
        let thread = std::thread::Builder::new().spawn(move || {
            // A thread begins with the registers of the one that made it.
            crate::process::wipe_registers();
            let mut done = Ok(false);
            while let Ok(false) = done {
                done = self.step(&stopped);
            }
            self.shared
        })?;
        Ok(Serving { stop, thread })
    }

    /// Makes a new pipe and puts it at the name of its variable.
    fn take_name(&mut self, value: usize) -> io::Result<()> {
        let own = self.directory.join(format!(".{}", self.made));
        self.made += 1;
        rustix::fs::mkfifoat(CWD, &own, Mode::RUSR | Mode::WUSR)?;
        let writer = hold(&own)?;
        // What was opened here comes before the watch, and is not counted.
        let watch = inotify::add_watch(&self.changes, &own, WATCHED)?;
        let new = own.with_extension("new");
        std::fs::hard_link(&own, &new)?;
        std::fs::rename(&new, self.directory.join(&self.values[value].variable))?;
        self.pipes.push(Pipe { value, own, watch, writer: Some(writer), opened: 0, closed: 0, state: State::Waiting });
        Ok(())
    }

    /// Waits for something to happen, and does what is to be done then; true at the end.
    fn step(&mut self, stopped: &impl std::os::fd::AsFd) -> io::Result<bool> {
        let mut watched = vec![PollFd::new(stopped, PollFlags::IN), PollFd::new(&self.changes, PollFlags::IN)];
        let writing = self.pipes.iter().filter(|pipe| matches!(pipe.state, State::Writing(_)));
        watched.extend(writing.filter_map(|pipe| pipe.writer.as_ref()).map(|writer| PollFd::new(writer, PollFlags::OUT)));
        let now = Instant::now();
        let due = self.pipes.iter().filter_map(Pipe::due).min();
        let timeout = due.and_then(|due| Timespec::try_from(due.saturating_duration_since(now)).ok());
        match poll(&mut watched, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(false),
            ready => ready?,
        };
        let is_over = !watched[0].revents().is_empty();
        self.count()?;
        let mut at = 0;
        while at < self.pipes.len() {
            if self.advance(at) { at += 1 } else { self.drop_pipe(at) }
        }
        Ok(is_over)
    }

    /// Counts who opened and closed what.
    fn count(&mut self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.changes, &mut buffer);
        loop {
            let event = match events.next() {
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(rustix::io::Errno::INTR) => continue,
                event => event?,
            };
            if let Some(pipe) = self.pipes.iter_mut().find(|pipe| pipe.watch == event.wd()) {
                pipe.opened += i32::from(event.events().contains(ReadFlags::OPEN));
                pipe.closed += i32::from(event.events().contains(ReadFlags::CLOSE_NOWRITE));
            }
        }
    }

    /// The next state of a pipe, if it is time; false if it is over.
    fn advance(&mut self, at: usize) -> bool {
        let now = Instant::now();
        let (value, opened) = (self.pipes[at].value, self.pipes[at].opened);
        match self.pipes[at].state {
            State::Waiting if opened > 0 => {
                self.pipes[at].state = State::Settling { opened, since: now };
                if self.take_name(value).is_err() {
                    // Who comes now is told so by the system, and does not wait for nothing.
                    let _ = std::fs::remove_file(self.directory.join(&self.values[value].variable));
                }
            }
            State::Settling { opened: before, .. } if opened != before => {
                self.pipes[at].state = State::Settling { opened, since: now };
            }
            State::Settling { since, .. } if now >= since + SETTLE => match opened - self.pipes[at].closed {
                ..=1 if !self.is_open_twice(at) => {
                    let pipe = &mut self.pipes[at];
                    pipe.state = State::Writing(0);
                    // Another one that comes from now on is one too many.
                    (pipe.opened, pipe.closed) = (1, 1 - (opened - pipe.closed));
                    return self.advance(at);
                }
                _ => self.refuse(at),
            },
            State::Writing(_) if opened > 1 => self.refuse(at),
            State::Writing(from) => match self.write(at, from) {
                Some(written) => self.pipes[at].state = State::Writing(written),
                None => (self.pipes[at].writer, self.pipes[at].state) = (None, State::Read),
            },
            // One that came when the value was on its way; or one that was not counted when it opened.
            State::Read | State::Lingering { .. } if opened > 1 || self.pipes[at].closed > opened => self.refuse(at),
            State::Read if self.pipes[at].closed == opened => self.pipes[at].state = State::Lingering { since: now },
            State::Lingering { since } if now >= since + LINGER => return self.look_again(at),
            _ => {}
        }
        true
    }

    /// Whether two have the pipe that each opened it: not one that has it twice, or has passed it on.
    fn is_open_twice(&self, at: usize) -> bool {
        let Ok(pipe) = rustix::fs::stat(&self.pipes[at].own) else { return false };
        let is_pipe = |path: &Path| {
            // Only what was opened in this directory is asked what it is: to ask can take long, of a file that is far away.
            std::fs::read_link(path).is_ok_and(|target| target.starts_with(&self.directory))
                && rustix::fs::stat(path).is_ok_and(|found| (found.st_dev, found.st_ino) == (pipe.st_dev, pipe.st_ino))
        };
        let mut readers = numbers(Path::new("/proc")).filter(|&process| process != std::process::id()).flat_map(|process| {
            let place = PathBuf::from(format!("/proc/{process}/fd"));
            numbers(&place)
                .filter(|fd: &i32| is_pipe(&place.join(fd.to_string())))
                .map(move |fd| (process, fd))
                .collect::<Vec<_>>()
        });
        let Some(first) = readers.next() else { return false };
        readers.any(|other| crate::process::is_same_open(first, other) == Some(false))
    }

    /// Writes what the pipe takes now; `None` if that was all, or nobody reads.
    fn write(&mut self, at: usize, mut from: usize) -> Option<usize> {
        let value = &self.values[self.pipes[at].value].bytes;
        let writer = self.pipes[at].writer.as_mut()?;
        while from < value.len() {
            match writer.write(&value[from..]) {
                Ok(length) => from += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(from),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// Two have the same pipe, or had it.
    fn refuse(&mut self, at: usize) {
        let pipe = &mut self.pipes[at];
        (pipe.writer, pipe.state) = (None, State::Read);
        (pipe.opened, pipe.closed) = (1, 1 - (pipe.opened - pipe.closed).max(0));
        self.shared.insert(self.values[pipe.value].variable.clone());
    }

    /// Whether somebody waits at a pipe that is closed.
    fn look_again(&mut self, at: usize) -> bool {
        let pipe = &mut self.pipes[at];
        // What is opened and closed here is counted as well, in the end.
        (pipe.opened, pipe.closed) = (-2, -1);
        let late = drain(&pipe.own).and_then(|()| open(&pipe.own, false, true));
        let Ok(writer) = late else { return false };
        pipe.writer = Some(writer);
        pipe.state = State::Settling { opened: pipe.opened, since: Instant::now() };
        true
    }

    fn drop_pipe(&mut self, at: usize) {
        let pipe = self.pipes.swap_remove(at);
        let _ = inotify::remove_watch(&self.changes, pipe.watch);
        let _ = std::fs::remove_file(&pipe.own);
    }
}

impl Pipe {
    /// When it has to be looked at, whatever happens.
    fn due(&self) -> Option<Instant> {
        match self.state {
            State::Settling { since, .. } => Some(since + SETTLE),
            State::Lingering { since } => Some(since + LINGER),
            _ => None,
        }
    }
}

/// A thread that gives values. It ends when this is dropped.
pub struct Serving {
    stop: io::PipeWriter,
    thread: JoinHandle<BTreeSet<String>>,
}

impl Serving {
    /// Ends it; the variables whose pipes two had at once.
    pub fn end(self) -> BTreeSet<String> {
        drop(self.stop);
        self.thread.join().unwrap_or_default()
    }
}

/// The numbers that entries of a directory have as their names.
fn numbers<N: std::str::FromStr>(directory: &Path) -> impl Iterator<Item = N> + use<N> {
    std::fs::read_dir(directory).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn open(path: &Path, read: bool, write: bool) -> io::Result<File> {
    OpenOptions::new().read(read).write(write).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

/// Opens for writing a pipe that nobody reads yet.
fn hold(path: &Path) -> io::Result<File> {
    let _reader = open(path, true, false)?;
    open(path, false, true)
}

/// Takes out what a reader has left.
fn drain(path: &Path) -> io::Result<()> {
    let mut reader = open(path, true, false)?;
    let mut buffer = Zeroizing::new([0; 4096]);
    while reader.read(&mut buffer[..]).is_ok_and(|length| length > 0) {}
    Ok(())
}
