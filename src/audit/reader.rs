//! Reading records, from either end. A reader takes no lock: what is only half written yet is not there yet.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::AuditError;
use super::body::Record;
use super::frame::{Base, Chain, Closed, Frame, Keys, LINE, Line, MOST};
use super::read::{Backward, Forward, Located, ReadAt, fill};
use super::verify::{Expected, Verified, verify};
use crate::store::Walk;
use crate::store::file::lock;
use crate::store::file::storage::FLAGS;

/// A log that is read.
pub struct Reader {
    path: PathBuf,
    file: File,
    keys: Keys,
    chain: Chain,
    base: Option<Base>,
    first: u64,
}

/// A record, and where it stands.
pub struct Item<'a> {
    /// Its number.
    pub sequence: u64,
    /// Where its frame begins.
    pub offset: u64,
    /// Whether it stands in the clear, where everybody who can write the file can have put it.
    pub clear: bool,
    /// Whether it is sealed by a key that the vault had before the present one, or never.
    pub older: bool,
    /// What it says; `None` if it does not open with the keys at hand, or is none.
    pub record: Option<Record<'a>>,
}

/// What is called with each record.
pub type Visit<'a> = dyn FnMut(Item<'_>) -> Result<Walk, AuditError> + 'a;

impl Reader {
    /// Opens a log.
    ///
    /// # Errors
    /// [`AuditError::Missing`] if there is none, [`AuditError::Foreign`] if it is none of this vault.
    pub fn open(path: &Path, keys: Keys) -> Result<Self, AuditError> {
        let file = open(path)?;
        let (chain, base, first) = begin(&file, &keys)?;
        Ok(Self { path: path.to_owned(), file, keys, chain, base, first })
    }

    /// The file that is at the path now, if it is another one: pruning puts one there.
    fn reopen(&mut self) -> Result<bool, AuditError> {
        let Ok(there) = std::fs::symlink_metadata(&self.path) else { return Ok(false) };
        if (there.dev(), there.ino()) == self.file_id()? {
            return Ok(false);
        }
        self.file = open(&self.path)?;
        (self.chain, self.base, self.first) = begin(&self.file, &self.keys)?;
        Ok(true)
    }

    /// The log's id.
    pub fn log(&self) -> [u8; 16] {
        *self.chain.log()
    }

    /// What stands for the records before the first; `None` if it does not open.
    pub fn base(&self) -> Option<Base> {
        self.base
    }

    /// The keys with which it is read.
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The hash of the record that ends at `offset`.
    pub(super) fn hash_before(&self, offset: u64) -> Result<[u8; 32], AuditError> {
        let hash = previous_of(&self.file, offset).map_err(AuditError::io("read the audit log"))?;
        hash.ok_or(AuditError::Unsound)
    }

    /// Which file it is: device and inode. Pruning puts another one in its place.
    pub fn file_id(&self) -> Result<(u64, u64), AuditError> {
        self.file.metadata().map(|metadata| (metadata.dev(), metadata.ino())).map_err(AuditError::io("look at the audit log"))
    }

    /// From the first record to the last.
    pub fn forward(&mut self, visit: &mut Visit<'_>) -> Result<u64, AuditError> {
        self.forward_from(self.first, visit)
    }

    /// From the record at `offset` to the last; returns where that ends.
    pub fn forward_from(&mut self, offset: u64, visit: &mut Visit<'_>) -> Result<u64, AuditError> {
        let Self { file, keys, chain, .. } = self;
        let previous = previous_of(file, offset).map_err(AuditError::io("read the audit log"))?;
        let mut walk = Forward::new(file, offset, previous);
        while let Some(located) = walk.next().map_err(AuditError::io("read the audit log"))? {
            if let Walk::Break(()) = visit(item(chain, keys, located))? {
                break;
            }
        }
        Ok(walk.offset())
    }

    /// From the last record to the first.
    pub fn backward(&mut self, visit: &mut Visit<'_>) -> Result<(), AuditError> {
        let Self { file, keys, chain, first, .. } = self;
        let failed = || AuditError::io("read the audit log");
        let mut end = file.length().map_err(failed())?;
        // The last append may not be whole yet: then the file ends behind it in a moment, and before it now.
        if Backward::new(file, end).previous().map_err(failed())?.is_none() {
            let mut holds =
                |Located { frame, previous, .. }: Located<'_>| previous.is_some_and(|previous| chain.holds(frame, &previous));
            end = super::read::last_sound(file, end, &mut holds).map_err(failed())?.map_or(*first, |(end, ..)| end);
        }
        let mut walk = Backward::new(file, end);
        while let Some(located) = walk.previous().map_err(failed())? {
            if located.offset < *first {
                break;
            }
            if let Walk::Break(()) = visit(item(chain, keys, located))? {
                break;
            }
        }
        Ok(())
    }

    /// The record whose frame begins at `offset`.
    pub fn at(&mut self, offset: u64) -> Result<Option<(u64, Record<'static>)>, AuditError> {
        let mut found = None;
        self.forward_from(offset, &mut |item| {
            found = item.record.map(|record| (item.sequence, record.into_owned()));
            Ok(Walk::Break(()))
        })?;
        Ok(found)
    }

    /// Whether a record of this number and hash ends at `offset`.
    pub fn ends_at(&self, offset: u64, sequence: u64, hash: &[u8; 32]) -> bool {
        let mut walk = Backward::new(&self.file, offset);
        matches!(walk.previous(), Ok(Some(Located { frame, .. })) if frame.sequence() == sequence && frame.hash() == *hash)
    }

    /// When the first record was made; `None` without one that can be read.
    pub fn first_time(&mut self) -> Result<Option<u64>, AuditError> {
        Ok(self.at(self.first)?.map(|(_, record)| record.time))
    }

    /// Where the first record begins, behind the base.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// How long the log is now.
    pub fn length(&self) -> Result<u64, AuditError> {
        ReadAt::length(&self.file).map_err(AuditError::io("look at the audit log"))
    }

    /// Verifies all of it, and what others know of it; `expect` is asked for that while nobody writes, with the log's id.
    pub fn verify(&mut self, expect: &mut dyn FnMut(&[u8; 16]) -> Vec<Expected>) -> Result<Verified, AuditError> {
        // Who holds the lock for long, stopped perhaps, must not keep anybody from verifying.
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut held = lock::exclusive_until(&self.file, deadline).unwrap_or(false);
        // What is known is of the file that stands there now.
        while self.reopen()? && Instant::now() < deadline {
            held = lock::exclusive_until(&self.file, deadline).unwrap_or(false);
        }
        let (expected, length) = (expect(self.chain.log()), self.length());
        if held {
            lock::release(&self.file);
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
        verify(&Front(&self.file, length?), &self.keys, &expected, threads)
    }
}

/// What a log begins with: its line, its base, and where the first record begins.
fn begin(file: &File, keys: &Keys) -> Result<(Chain, Option<Base>, u64), AuditError> {
    let mut start = vec![0; LINE + MOST];
    let filled = fill(file, 0, &mut start).map_err(AuditError::io("read the audit log"))?;
    let log = match Line::parse(&start[..filled], keys.id()) {
        Line::Own(log) => log,
        Line::Newer => return Err(AuditError::Newer),
        Line::Other => return Err(AuditError::Foreign("the audit log is that of another vault")),
        Line::Torn if filled == 0 => return Err(AuditError::Missing),
        Line::Torn | Line::Foreign => return Err(AuditError::Foreign("what stands at the place of the audit log is none")),
    };
    let mut chain = Chain::new(keys.id(), &log);
    let frame = Frame::first(&start[LINE..filled]);
    let base = frame.and_then(|frame| chain.open_base(frame, keys).ok());
    let first = LINE + frame.map_or(0, Frame::length);
    Ok((chain, base, first as u64))
}

/// The front of a file that grows.
struct Front<'a>(&'a File, u64);

impl ReadAt for Front<'_> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.1)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.1.saturating_sub(offset);
        let most = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
        ReadAt::read(self.0, offset, &mut buffer[..most])
    }
}

/// The hash that stands before `offset`.
fn previous_of(file: &File, offset: u64) -> io::Result<Option<[u8; 32]>> {
    if offset <= LINE as u64 {
        return Ok(None);
    }
    let mut bytes = [0; super::frame::TAIL];
    let from = offset - bytes.len() as u64;
    Ok((fill(file, from, &mut bytes)? == bytes.len()).then(|| super::frame::hash_before(&bytes)))
}

fn item<'a>(chain: &'a mut Chain, keys: &Keys, Located { offset, frame, previous }: Located<'_>) -> Item<'a> {
    let body = match previous {
        Some(previous) => chain.open(frame, &previous, keys),
        None => Err(Closed::NotAuthentic),
    };
    let record = body.ok().and_then(|body| Record::decode(body).ok());
    Item {
        sequence: frame.sequence(),
        offset,
        clear: frame.is_clear(),
        older: !frame.is_clear() && !keys.is_newest(frame),
        record,
    }
}

/// Opens a log for reading.
pub(super) fn open(path: &Path) -> Result<File, AuditError> {
    let file = OpenOptions::new().read(true).custom_flags(FLAGS).open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => AuditError::Missing,
        _ => AuditError::io("open the audit log")(error),
    })?;
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    if is_file { Ok(file) } else { Err(AuditError::Foreign(super::place::IRREGULAR)) }
}
