//! A medium in memory: what processes see, what a power cut would leave, and calls that fail.
//!
//! Each file has a live image (the page cache), a durable one (the disk) and the changes in between; so has the directory.
//! A power cut keeps any part of the changes, down to single sectors. A kill keeps the live images and frees the locks.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use vault::store::file::storage::{FileId, Place, Status, Storage};

use crate::bytes::Bytes;
use crate::state::{Change, Entry, File, Name, State, reboot};

/// A call that the engine makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Open,
    PathStatus,
    Status,
    Read,
    Write,
    SetLength,
    Sync,
    Lock,
    Create,
    RemoveTemporary,
    CreateTemporary,
    TemporaryStatus,
    Replace,
    SyncDirectory,
}

impl Call {
    fn changes(self) -> bool {
        use Call::{Create, CreateTemporary, RemoveTemporary, Replace, SetLength, Sync, SyncDirectory, Write};
        matches!(self, Write | SetLength | Sync | Create | RemoveTemporary | CreateTemporary | Replace | SyncDirectory)
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// With this error and without effect, except that a failed fsync leaves what was pending clean in memory and lost to the disk.
    Errno(i32),
    /// A write fails when part of it is done; an fsync, when part of what was pending is durable.
    Partly(i32),
    /// A write writes a part of what it was given and says so.
    Short,
}

/// Which calls fail after the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// None.
    Recovers,
    /// All of the same sort.
    SameFails,
    /// All.
    AllFail,
    /// None is made: the process was killed.
    Dead,
}

#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// The number of the call: counted from 0, all calls or those of one sort.
    pub at: usize,
    /// Which calls are counted; `None` for all.
    pub of: Option<Call>,
    pub failure: Failure,
    pub then: Then,
}

/// A crash point: the state before a call that changes something.
pub struct Point {
    pub state: State,
    /// What [`Medium::set_stage`] said.
    pub stage: usize,
    pub before: Call,
}

/// The medium, with a vault's place on it.
#[derive(Clone)]
pub struct Medium(Arc<Mutex<Inner>>);

struct Inner {
    state: State,
    calls: Vec<Call>,
    fault: Option<Fault>,
    failed: Option<Call>,
    dead: bool,
    recording: bool,
    points: Vec<Point>,
    stage: usize,
    handles: u64,
    bytes_read: u64,
    replaced: bool,
    meanwhile: Option<Meanwhile>,
}

/// What another process does right before a call of this sort, when as many of them were let through.
struct Meanwhile {
    before: Call,
    after: usize,
    act: Box<dyn FnOnce() + Send>,
}

impl Medium {
    pub fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            state,
            calls: Vec::new(),
            fault: None,
            failed: None,
            dead: false,
            recording: false,
            points: Vec::new(),
            stage: 0,
            handles: 0,
            bytes_read: 0,
            replaced: false,
            meanwhile: None,
        })))
    }

    pub fn empty() -> Self {
        Self::new(State::default())
    }

    /// The place of the vault on it, for the engine.
    pub fn place(&self) -> Arc<dyn Place> {
        Arc::new(self.clone())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub fn state(&self) -> State {
        self.inner().state.clone()
    }

    /// The calls that were made since the last [`Medium::arm`].
    pub fn calls(&self) -> Vec<Call> {
        self.inner().calls.clone()
    }

    /// Counts from here, and lets a call fail.
    pub fn arm(&self, fault: Option<Fault>) {
        let mut inner = self.inner();
        inner.calls.clear();
        inner.fault = fault;
        inner.failed = None;
        inner.bytes_read = 0;
    }

    /// The first call that was made to fail.
    pub fn failed(&self) -> Option<Call> {
        self.inner().failed
    }

    pub fn bytes_read(&self) -> u64 {
        self.inner().bytes_read
    }

    /// The path says that another file is there.
    pub fn pretend_replaced(&self, replaced: bool) {
        self.inner().replaced = replaced;
    }

    /// Lets `act` happen right before a call of the sort `before`, the first `after` of them not counted.
    pub fn meanwhile(&self, before: Call, after: usize, act: impl FnOnce() + Send + 'static) {
        self.inner().meanwhile = Some(Meanwhile { before, after, act: Box::new(act) });
    }

    /// Whether nothing is left that [`Medium::meanwhile`] was to do.
    pub fn has_happened(&self) -> bool {
        self.inner().meanwhile.is_none()
    }

    fn others(&self, call: Call) {
        let mut inner = self.inner();
        match &mut inner.meanwhile {
            Some(Meanwhile { before, after: 0, .. }) if *before == call => {
                let meanwhile = inner.meanwhile.take();
                // They make calls of their own.
                drop(inner);
                meanwhile.into_iter().for_each(|meanwhile| (meanwhile.act)());
            }
            Some(Meanwhile { before, after, .. }) if *before == call => *after -= 1,
            _ => {}
        }
    }

    /// Another program puts a file with these bytes in the place of the vault.
    pub fn put_in_place(&self, bytes: &Bytes) {
        let mut inner = self.inner();
        inner.state.files.push(reboot(bytes.clone()));
        let file = inner.state.files.len() - 1;
        inner.entry(Entry::Link(Name::Vault, file));
    }

    /// Another program removes the vault.
    pub fn remove(&self) {
        self.inner().entry(Entry::Unlink(Name::Vault));
    }

    /// The files become these; what is open stays open.
    pub fn become_state(&self, state: State) {
        self.inner().state = state;
    }

    /// Remembers the state before every change from now on.
    pub fn record(&self) {
        self.inner().recording = true;
    }

    /// What crash points say about how far the test was.
    pub fn set_stage(&self, stage: usize) {
        self.inner().stage = stage;
    }

    pub fn take_points(&self) -> Vec<Point> {
        std::mem::take(&mut self.inner().points)
    }

    pub fn has(&self, name: Name) -> bool {
        self.inner().state.live.contains_key(&name)
    }

    fn handle(&self, file: usize) -> Box<dyn Storage> {
        let mut inner = self.inner();
        inner.handles += 1;
        let handle = inner.handles;
        drop(inner);
        Box::new(Handle { medium: self.clone(), file, handle })
    }
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Inner {
    /// Counts a call; says how it fails, if it does.
    fn enter(&mut self, call: Call) -> io::Result<Option<Failure>> {
        if self.dead {
            return Err(errno(5));
        }
        if self.recording && call.changes() {
            let (state, stage) = (self.state.clone(), self.stage);
            self.points.push(Point { state, stage, before: call });
        }
        self.calls.push(call);
        let Some(fault) = self.fault else { return Ok(None) };
        let counts = |made: Call| fault.of.is_none_or(|of| of == made);
        let hits = match self.failed {
            None => counts(call) && self.calls.iter().filter(|made| counts(**made)).count() == fault.at + 1,
            Some(first) => match fault.then {
                Then::Recovers | Then::Dead => false,
                Then::SameFails => call == first,
                Then::AllFail => true,
            },
        };
        if !hits {
            return Ok(None);
        }
        self.failed = self.failed.or(Some(call));
        self.dead = fault.then == Then::Dead;
        match fault.failure {
            Failure::Short | Failure::Partly(_) if call == Call::Write => Ok(Some(fault.failure)),
            Failure::Short => Ok(None),
            Failure::Errno(number) | Failure::Partly(number) => {
                if call == Call::Sync {
                    return Ok(Some(fault.failure));
                }
                Err(errno(number))
            }
        }
    }

    fn enter_plainly(&mut self, call: Call) -> io::Result<()> {
        self.enter(call).map(|_| ())
    }

    fn named(&self, name: Name) -> io::Result<usize> {
        self.state.live.get(&name).copied().ok_or_else(missing)
    }

    fn status(&self, file: usize) -> Status {
        Status {
            id: FileId { device: 1, inode: file as u64 + 1 },
            length: self.state.files[file].live.len(),
            links: self.state.live.values().filter(|&&named| named == file).count() as u64,
        }
    }

    fn entry(&mut self, entry: Entry) {
        self.state.enter(entry);
    }
}

struct Handle {
    medium: Medium,
    file: usize,
    handle: u64,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.unlock();
    }
}

impl Storage for Handle {
    fn status(&self) -> io::Result<Status> {
        let mut inner = self.medium.inner();
        inner.enter_plainly(Call::Status)?;
        Ok(inner.status(self.file))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.medium.others(Call::Read);
        let mut inner = self.medium.inner();
        inner.enter_plainly(Call::Read)?;
        let count = inner.state.files[self.file].live.read(offset, buffer);
        inner.bytes_read += count as u64;
        Ok(count)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.medium.inner();
        let failure = inner.enter(Call::Write)?;
        let count = if failure.is_some() { bytes.len().min((bytes.len() / 2).next_multiple_of(512) + 100) } else { bytes.len() };
        let file = &mut inner.state.files[self.file];
        file.live.write(offset, &bytes[..count]);
        file.pending.push(Change::Write { offset, bytes: bytes[..count].into() });
        match failure {
            Some(Failure::Partly(number)) => Err(errno(number)),
            _ => Ok(count),
        }
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.medium.others(Call::SetLength);
        let mut inner = self.medium.inner();
        inner.enter_plainly(Call::SetLength)?;
        let file = &mut inner.state.files[self.file];
        file.live.set_length(length);
        file.pending.push(Change::Length(length));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.medium.inner();
        let failure = inner.enter(Call::Sync)?;
        let file = &mut inner.state.files[self.file];
        file.sync(failure);
        match failure {
            Some(Failure::Errno(number) | Failure::Partly(number)) => Err(errno(number)),
            _ => Ok(()),
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.medium.others(Call::Lock);
        let mut inner = self.medium.inner();
        inner.enter_plainly(Call::Lock)?;
        let owner = &mut inner.state.files[self.file].owner;
        if owner.is_some_and(|owner| owner != self.handle) {
            return Ok(false);
        }
        *owner = Some(self.handle);
        Ok(true)
    }

    fn unlock(&self) {
        let mut inner = self.medium.inner();
        let owner = &mut inner.state.files[self.file].owner;
        if *owner == Some(self.handle) {
            *owner = None;
        }
    }
}

impl Place for Medium {
    fn open(&self, _write: bool) -> io::Result<Box<dyn Storage>> {
        let mut inner = self.inner();
        inner.enter_plainly(Call::Open)?;
        let file = inner.named(Name::Vault)?;
        drop(inner);
        Ok(self.handle(file))
    }

    fn status(&self) -> io::Result<Status> {
        self.others(Call::PathStatus);
        let mut inner = self.inner();
        inner.enter_plainly(Call::PathStatus)?;
        let file = inner.named(Name::Vault)?;
        let mut status = inner.status(file);
        status.id.device += u64::from(inner.replaced);
        Ok(status)
    }

    fn create(&self, bytes: &[u8]) -> io::Result<()> {
        let file = {
            let mut inner = self.inner();
            inner.enter_plainly(Call::Create)?;
            if inner.state.live.contains_key(&Name::Vault) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            inner.state.files.push(File::default());
            let file = inner.state.files.len() - 1;
            inner.entry(Entry::Link(Name::New, file));
            file
        };
        let handle = self.handle(file);
        handle.write(0, bytes)?;
        handle.sync()?;
        let mut inner = self.inner();
        inner.enter_plainly(Call::Create)?;
        inner.entry(Entry::Link(Name::Vault, file));
        inner.enter_plainly(Call::Create)?;
        inner.entry(Entry::Unlink(Name::New));
        drop(inner);
        self.sync_directory()
    }

    fn remove_temporary(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.enter_plainly(Call::RemoveTemporary)?;
        if inner.state.live.contains_key(&Name::Temporary) {
            inner.entry(Entry::Unlink(Name::Temporary));
        }
        Ok(())
    }

    fn create_temporary(&self) -> io::Result<Box<dyn Storage>> {
        self.remove_temporary()?;
        let mut inner = self.inner();
        inner.enter_plainly(Call::CreateTemporary)?;
        inner.state.files.push(File::default());
        let file = inner.state.files.len() - 1;
        inner.entry(Entry::Link(Name::Temporary, file));
        drop(inner);
        Ok(self.handle(file))
    }

    fn temporary_status(&self) -> io::Result<Status> {
        let mut inner = self.inner();
        inner.enter_plainly(Call::TemporaryStatus)?;
        let file = inner.named(Name::Temporary)?;
        Ok(inner.status(file))
    }

    fn replace(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.enter_plainly(Call::Replace)?;
        inner.named(Name::Temporary)?;
        inner.entry(Entry::Rename);
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.enter_plainly(Call::SyncDirectory)?;
        let State { durable, live, pending, .. } = &mut inner.state;
        durable.clone_from(live);
        pending.clear();
        Ok(())
    }
}
