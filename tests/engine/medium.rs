//! A medium in memory: what processes see, what a power cut would leave, and calls that fail.
//!
//! Each file has a live image (the page cache), a durable one (the disk) and the changes in between; so has the directory.
//! A power cut keeps any part of the changes, down to single sectors. A kill keeps the live images and frees the locks.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use vault::store::file::storage::{FileId, Place, Status, Storage};

use crate::random::Random;

const BLOCK: usize = 4096;
type Block = Arc<[u8; BLOCK]>;
static ZERO: LazyLock<Block> = LazyLock::new(|| Arc::new([0; BLOCK]));

/// The bytes of a file, in blocks that copies share.
#[derive(Clone, Default)]
pub struct Bytes {
    blocks: Vec<Block>,
    length: u64,
}

impl Bytes {
    pub fn new(bytes: &[u8]) -> Self {
        let mut new = Self::default();
        new.write(0, bytes);
        new
    }

    pub fn len(&self) -> u64 {
        self.length
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = vec![0; self.length as usize];
        self.read(0, &mut out);
        out
    }

    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let count = self.length.saturating_sub(offset).min(buffer.len() as u64) as usize;
        let mut done = 0;
        while done < count {
            let at = offset as usize + done;
            let part = (BLOCK - at % BLOCK).min(count - done);
            buffer[done..done + part].copy_from_slice(&self.blocks[at / BLOCK][at % BLOCK..at % BLOCK + part]);
            done += part;
        }
        count
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.set_length(self.length.max(offset + bytes.len() as u64));
        let mut done = 0;
        while done < bytes.len() {
            let at = offset as usize + done;
            let part = (BLOCK - at % BLOCK).min(bytes.len() - done);
            Arc::make_mut(&mut self.blocks[at / BLOCK])[at % BLOCK..at % BLOCK + part].copy_from_slice(&bytes[done..done + part]);
            done += part;
        }
    }

    /// Appends the same block many times, at no cost.
    pub fn append_blocks(&mut self, block: &[u8; BLOCK], count: usize) {
        assert!(self.length.is_multiple_of(BLOCK as u64));
        self.blocks.resize(self.blocks.len() + count, Arc::new(*block));
        self.length += (count * BLOCK) as u64;
    }

    /// What a file gains reads as zeros.
    pub fn set_length(&mut self, length: u64) {
        self.blocks.resize((length as usize).div_ceil(BLOCK), ZERO.clone());
        let rest = length as usize % BLOCK;
        if length < self.length && rest > 0 {
            Arc::make_mut(self.blocks.last_mut().unwrap())[rest..].fill(0);
        }
        self.length = length;
    }
}

#[derive(Clone)]
enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Length(u64),
}

#[derive(Clone, Default)]
struct File {
    live: Bytes,
    durable: Bytes,
    /// What was done since the last fsync, in order.
    pending: Vec<Change>,
    owner: Option<u64>,
}

impl File {
    /// After a failure the pages count as clean: a later fsync succeeds without writing them.
    fn sync(&mut self, failure: Option<Failure>) {
        let pending = std::mem::take(&mut self.pending);
        let reached = match failure {
            None => pending,
            Some(Failure::Partly(_)) => split(&pending, 512).into_iter().step_by(2).collect(),
            Some(_) => Vec::new(),
        };
        for change in &reached {
            match change {
                Change::Write { offset, bytes } => self.durable.write(*offset, bytes),
                Change::Length(length) => self.durable.set_length(*length),
            }
        }
        if failure.is_none() {
            // The length is the file system's own: it is durable with the next fsync, whatever became of the pages.
            self.durable.set_length(self.live.len());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    Vault,
    Temporary,
    New,
}

#[derive(Clone, Copy)]
enum Entry {
    Link(Name, usize),
    Unlink(Name),
    Rename,
}

type Directory = BTreeMap<Name, usize>;

fn enter_into(directory: &mut Directory, entry: Entry) {
    match entry {
        Entry::Link(name, file) => {
            directory.insert(name, file);
        }
        Entry::Unlink(name) => {
            directory.remove(&name);
        }
        Entry::Rename => {
            if let Some(file) = directory.remove(&Name::Temporary) {
                directory.insert(Name::Vault, file);
            }
        }
    }
}

/// Files and directory at one moment, live and durable.
#[derive(Clone, Default)]
pub struct State {
    files: Vec<File>,
    live: Directory,
    durable: Directory,
    pending: Vec<Entry>,
}

impl State {
    /// A durable vault file with these bytes.
    pub fn with_vault(bytes: Bytes) -> Self {
        let file = File { live: bytes.clone(), durable: bytes, ..File::default() };
        let directory = Directory::from([(Name::Vault, 0)]);
        Self { files: vec![file], live: directory.clone(), durable: directory, pending: Vec::new() }
    }

    /// Puts more bytes behind those of the vault file, without making them durable.
    pub fn append(&mut self, bytes: &[u8]) {
        let file = &mut self.files[self.live[&Name::Vault]];
        let offset = file.live.len();
        file.live.write(offset, bytes);
        file.pending.push(Change::Write { offset, bytes: bytes.into() });
    }

    /// What the vault file holds, as processes see it.
    pub fn vault(&self) -> Option<&Bytes> {
        self.live.get(&Name::Vault).map(|&file| &self.files[file].live)
    }

    /// The processes die, the machine runs on.
    pub fn killed(&self) -> Self {
        let mut state = self.clone();
        for file in &mut state.files {
            file.owner = None;
        }
        state
    }

    /// An fsync of each file with something pending fails.
    pub fn fail_fsync(&mut self, failure: Failure) {
        for file in self.files.iter_mut().filter(|file| !file.pending.is_empty()) {
            file.sync(Some(failure));
        }
    }

    /// Only what is durable for certain.
    pub fn cut(&self) -> Self {
        let files = self.files.iter().map(|file| reboot(file.durable.clone())).collect();
        Self { files, live: self.durable.clone(), durable: self.durable.clone(), pending: Vec::new() }
    }

    /// What power cuts at this moment may leave: of each file and of the directory any part of what is pending.
    pub fn power_cuts(&self, random: &mut Random, samples: usize) -> Vec<(String, Self)> {
        let files: Vec<Vec<(String, Bytes)>> = self.files.iter().map(|file| remains(file, random, samples)).collect();
        let directories = remaining_names(&self.durable, &self.pending);
        let most = files.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let mut out = Vec::new();
        for index in 0..most {
            for (names, directory) in &directories {
                let mut what = names.clone();
                let mut kept = Vec::new();
                for variants in &files {
                    // The first file with many variants walks through all of them; the others are drawn.
                    let variant = if variants.len() == most { index } else { random.below(variants.len()) };
                    if variants.len() > 1 {
                        what = format!("{what}; {}", variants[variant].0);
                    }
                    kept.push(reboot(variants[variant].1.clone()));
                }
                let state = Self { files: kept, live: directory.clone(), durable: directory.clone(), pending: Vec::new() };
                out.push((what, state));
            }
        }
        out
    }
}

fn reboot(bytes: Bytes) -> File {
    File { live: bytes.clone(), durable: bytes, ..File::default() }
}

fn remaining_names(durable: &Directory, pending: &[Entry]) -> Vec<(String, Directory)> {
    let subsets = 1usize << pending.len().min(4);
    (0..subsets)
        .map(|subset| {
            let mut directory = durable.clone();
            for (index, entry) in pending.iter().enumerate() {
                if subset & (1 << index.min(3)) != 0 {
                    enter_into(&mut directory, *entry);
                }
            }
            let what = if pending.is_empty() { String::new() } else { format!("names {subset:b} of {}", pending.len()) };
            (what, directory)
        })
        .collect()
}

/// How long a file is after a power cut, and what stands where data was lost.
#[derive(Debug, Clone, Copy)]
enum Length {
    /// As far as data was kept.
    Natural,
    /// As long as it was made, zeros where data was lost.
    Full,
    /// As long as it was made, old blocks and random bytes where data was lost.
    Garbage,
    /// As long as it was before.
    Old,
}

/// What a power cut may leave of a file.
fn remains(file: &File, random: &mut Random, samples: usize) -> Vec<(String, Bytes)> {
    let mut out = vec![("nothing pending kept".to_owned(), file.durable.clone())];
    if file.pending.is_empty() {
        return out;
    }
    for (unit, units) in [("call", split(&file.pending, usize::MAX)), ("4096", split(&file.pending, 4096))] {
        let count = units.len();
        let mut keep = |what: String, length: Length, random: &mut Random, kept: &dyn Fn(usize) -> bool| {
            out.push((format!("{what} of {count} by {unit}, {length:?}"), keep_some(file, &units, length, random, kept)));
        };
        for index in chosen(count, samples, random) {
            keep(format!("all but {index}"), Length::Natural, random, &|unit| unit != index);
            keep(format!("all but {index}"), Length::Full, random, &|unit| unit != index);
        }
        for index in chosen(count, samples, random) {
            keep(format!("first {}", index + 1), Length::Natural, random, &|unit| unit <= index);
        }
        keep("none".to_owned(), Length::Full, random, &|_| false);
        keep("none".to_owned(), Length::Garbage, random, &|_| false);
        keep("all".to_owned(), Length::Old, random, &|_| true);
    }
    let sectors = split(&file.pending, 512);
    for _ in 0..samples {
        let percent = *random.pick(&[10, 50, 90]);
        let length = *random.pick(&[Length::Natural, Length::Full, Length::Garbage]);
        let kept: Vec<bool> = sectors.iter().map(|_| random.chance(percent)).collect();
        out.push((
            format!("{percent}% of {} sectors, {length:?}", sectors.len()),
            keep_some(file, &sectors, length, random, &|unit| kept[unit]),
        ));
        let lost = random.below(sectors.len());
        out.push((format!("all sectors but {lost}"), keep_some(file, &sectors, Length::Full, random, &|unit| unit != lost)));
        out.push((format!("sectors up to {lost}"), keep_some(file, &sectors, Length::Natural, random, &|unit| unit <= lost)));
    }
    out
}

/// All of `0..count` if they are few, else the ends and some in between.
fn chosen(count: usize, samples: usize, random: &mut Random) -> Vec<usize> {
    if count <= samples {
        return (0..count).collect();
    }
    let mut chosen: Vec<usize> = (0..samples - 2).map(|_| random.below(count)).collect();
    chosen.extend([0, count - 1]);
    chosen
}

/// Writes in pieces that lie in one aligned sector each.
fn split(changes: &[Change], sector: usize) -> Vec<Change> {
    let mut out = Vec::new();
    for change in changes {
        match change {
            Change::Write { offset, bytes } if sector < usize::MAX => {
                let mut done = 0;
                while done < bytes.len() {
                    let at = *offset as usize + done;
                    let part = (sector - at % sector).min(bytes.len() - done);
                    out.push(Change::Write { offset: at as u64, bytes: bytes[done..done + part].into() });
                    done += part;
                }
            }
            other => out.push(other.clone()),
        }
    }
    out
}

fn keep_some(file: &File, units: &[Change], length: Length, random: &mut Random, kept: &dyn Fn(usize) -> bool) -> Bytes {
    let mut bytes = file.durable.clone();
    let old = bytes.len();
    if let Length::Garbage = length {
        let mut at = old;
        while at < file.live.len() {
            let mut block = random.bytes(BLOCK);
            if random.chance(10) && old >= BLOCK as u64 {
                file.durable.read(random.below(old as usize / BLOCK) as u64 * BLOCK as u64, &mut block);
            }
            bytes.write(at, &block);
            at += BLOCK as u64;
        }
    }
    for (index, unit) in units.iter().enumerate() {
        match unit {
            Change::Write { offset, bytes: written } if kept(index) => bytes.write(*offset, written),
            Change::Length(length) if kept(index) => bytes.set_length(*length),
            _ => {}
        }
    }
    match length {
        Length::Natural => {}
        Length::Full | Length::Garbage => bytes.set_length(file.live.len()),
        Length::Old => bytes.set_length(old),
    }
    bytes
}

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
        enter_into(&mut self.state.live, entry);
        self.state.pending.push(entry);
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
