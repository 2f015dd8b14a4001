//! Appending: under the lock of the log, behind its last sound record, all of one call in one write (FORMAT.md, section 6).

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::AuditError;
use super::action::{Action, Status};
use super::anchor::{Anchor, AnchorFile};
use super::body;
use super::event::{Actor, Event};
use super::found::{Cut, Found, Tail, compare, refuse_other_names};
use super::frame::{Base, Chain, Frame, Keys, LEAST, LINE, Line, MOST, RecordHash, TAIL, hash_before, line};
use super::place::{IRREGULAR, open};
use super::read::{Located, fill, last_sound};
use super::settings::{Settings, Sync};
use crate::crypto;
use crate::store::file::lock;
use crate::store::file::storage::sync_directory;

/// When, in milliseconds, who, and what.
pub type Happened<'a> = (u64, &'a Actor, &'a Event);

/// How far a log reaches after an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The log.
    pub log: [u8; 16],
    /// The number of its last record.
    pub sequence: u64,
    /// The hash of that record.
    pub hash: RecordHash,
    /// Up to which record the vault itself says so, as far as this machine remembers.
    pub in_vault: u64,
    /// The end of the log was torn, and was cut.
    pub recovered: bool,
    /// The log is not the one that this machine knew.
    pub mismatch: bool,
}

/// A log that is appended to. A process that stays keeps it, and need not open the file each time.
pub struct Log {
    settings: Settings,
    id: [u8; 16],
    keys: Option<Keys>,
    open: Option<File>,
    /// When it was last written down how far the log reaches, with what was known then.
    anchored: Option<(Instant, Anchor)>,
    /// How far it reaches, if that was not written down.
    ahead: Option<Anchor>,
    /// What to write down if there is no log.
    lost: Option<String>,
}

/// The lock, for as long as this lives.
struct Held<'a>(&'a File);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        lock::release(self.0);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let (Some(ahead), Some(path)) = (self.ahead.take(), self.settings.anchor.clone()) else { return };
        // As with every append: it protects the next use.
        let Ok((file, _)) = self.locked() else { return };
        let _held = Held(&file);
        let Ok(anchor_file) = AnchorFile::open(&path) else { return };
        // Others may have appended since, and know more.
        if anchor_file.load().is_some_and(|known| known.log == ahead.log && known.sequence < ahead.sequence) {
            let _ = anchor_file.store(&ahead);
        }
    }
}

impl Log {
    /// The log of the vault that `keys` are of.
    pub fn new(settings: Settings, keys: Keys) -> Self {
        Self::of(settings, *keys.id(), Some(keys))
    }

    /// The log of a vault that did not open. Refusals are appended in the clear where there is a sound log; nothing is made, and nothing repaired.
    pub fn without_key(settings: Settings, id: [u8; 16]) -> Self {
        Self::of(Settings { create_like: None, ..settings }, id, None)
    }

    fn of(settings: Settings, id: [u8; 16], keys: Option<Keys>) -> Self {
        Self { settings, id, keys, open: None, anchored: None, ahead: None, lost: None }
    }

    /// The same, where somebody knows of a log here: if none is, the one that is begun begins with a record that says so.
    pub fn knowing(mut self, lost: Option<String>) -> Self {
        self.lost = lost;
        self
    }

    /// How long to wait for another process from now on.
    pub fn wait(&mut self, patience: Duration) {
        self.settings.patience = patience;
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.settings.log
    }

    /// Whether the log can be written to now: it is there, or can be made, and nobody holds it.
    pub fn probe(settings: Settings, id: [u8; 16]) -> Result<(), AuditError> {
        let mut log = Self::of(settings, id, None);
        let (file, metadata) = log.locked()?;
        let found = log.look(&file, metadata.len())?;
        refuse_other_names(found.as_ref(), &metadata)
    }

    /// Appends a record for each event. When this returns they are written; durable they are as the settings say.
    ///
    /// # Errors
    /// Then none of them is in the log.
    pub fn append(&mut self, now: u64, actor: &Actor, events: &[Event]) -> Result<Appended, AuditError> {
        let lines: Vec<Happened<'_>> = events.iter().map(|event| (now, actor, event)).collect();
        self.append_all(&lines)
    }

    /// Appends what several did, each at its time (in milliseconds), in one write.
    ///
    /// # Errors
    /// Then none of them is in the log.
    pub fn append_all(&mut self, lines: &[Happened<'_>]) -> Result<Appended, AuditError> {
        let (file, metadata) = self.locked()?;
        let result = self.append_to(&file, &metadata, lines);
        lock::release(&file);
        if result.is_ok() {
            self.open = Some(file);
        }
        result
    }

    /// Makes durable what was appended.
    pub fn sync(&self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), File::sync_data)
    }

    /// For a process that stays: makes durable what was appended when the time for it has come, while it does something else. Whoever wants to know
    /// when that is done waits for what is returned.
    pub fn sync_later(&self) -> Option<JoinHandle<io::Result<()>>> {
        let (Sync::Every(time), Some(file)) = (self.settings.sync, &self.open) else { return None };
        // Its lock was let go of, and is not taken with this.
        let file = file.try_clone().ok()?;
        let later = move || {
            std::thread::sleep(time);
            file.sync_data()
        };
        std::thread::Builder::new().name("sync".to_owned()).spawn(later).ok()
    }

    /// Remembers on this machine that the vault itself knows of the log `log` up to this record.
    pub fn note_in_vault(&mut self, log: &[u8; 16], sequence: u64) -> Result<(), AuditError> {
        let Some(path) = self.settings.anchor.clone() else { return Ok(()) };
        let (file, _) = self.locked()?;
        let _held = Held(&file);
        let Ok(anchor_file) = AnchorFile::open(&path) else { return Ok(()) };
        if let Some(anchor) = anchor_file.load().filter(|anchor| anchor.log == *log) {
            let anchor = Anchor { in_vault: sequence.max(anchor.in_vault), ..anchor };
            anchor_file.store(&anchor).map_err(AuditError::io("remember the audit log"))?;
        }
        Ok(())
    }

    /// The keys, for a while in which the log is not appended to.
    pub(super) fn take_keys(&mut self) -> Result<Keys, AuditError> {
        self.keys.take().ok_or(AuditError::Missing)
    }

    /// Gives them back.
    pub(super) fn give_keys(&mut self, keys: Keys) -> &mut Self {
        self.keys = Some(keys);
        self
    }

    /// The file, open and locked, and still the one at the path.
    pub(super) fn locked(&mut self) -> Result<(File, Metadata), AuditError> {
        let deadline = Instant::now() + self.settings.patience;
        loop {
            let file = match self.open.take() {
                Some(file) => file,
                None => open(&self.settings)?,
            };
            if !lock::exclusive_until(&file, deadline).map_err(AuditError::io("lock the audit log"))? {
                return Err(AuditError::Busy);
            }
            let own = file.metadata().map_err(AuditError::io("look at the audit log"))?;
            if !own.is_file() {
                return Err(AuditError::Foreign(IRREGULAR));
            }
            // Pruning puts another file at the path.
            match std::fs::symlink_metadata(&self.settings.log) {
                Ok(there) if (there.dev(), there.ino()) == (own.dev(), own.ino()) => return Ok((file, own)),
                _ if Instant::now() >= deadline => return Err(AuditError::Busy),
                _ => {}
            }
        }
    }

    fn append_to(&mut self, file: &File, metadata: &Metadata, lines: &[Happened<'_>]) -> Result<Appended, AuditError> {
        let length = metadata.len();
        let mut out = Vec::with_capacity(512 * lines.len().min(1024) + 512);
        let mut found = self.look(file, length)?;
        refuse_other_names(found.as_ref(), metadata)?;
        let recently = self.anchored.filter(|(at, _)| at.elapsed() < self.settings.anchor_every).map(|(_, anchor)| anchor);
        let path = self.settings.anchor.as_deref().filter(|_| recently.is_none());
        let anchor_file = path.and_then(|path| AnchorFile::open(path).ok());
        let anchor = recently.or_else(|| anchor_file.as_ref().and_then(AnchorFile::load));
        let mut notes = Vec::new();
        if let Some(cut) = found.as_ref().and_then(|found| found.cut.as_ref()) {
            notes.push(Event::new(Action::AuditRecovered).ended(Status::Error, None).detail(cut.to_string()));
        }
        let recovered = !notes.is_empty();
        // What was compared a moment ago is compared again when it is due.
        let compared = anchor.filter(|_| recently.is_none());
        let mismatch = compared.and_then(|anchor| compare(&anchor, found.as_mut(), file).transpose()).transpose()?;
        let is_there = found.as_ref().is_some_and(|found| found.tail.is_some());
        let mismatch = mismatch.or_else(|| self.lost.take().filter(|_| !is_there));
        let is_other = mismatch.is_some();
        if let Some(detail) = mismatch {
            notes.push(Event::new(Action::AuditMismatch).ended(Status::Error, None).detail(detail));
        }
        if self.keys.is_none() && (!notes.is_empty() || found.is_none()) {
            // Whoever has a key is to see it as it is.
            return Err(AuditError::Missing);
        }
        let (mut chain, tail) = match found {
            Some(Found { chain, tail: Some(tail), .. }) => (chain, tail),
            _ => self.begin(lines.first().map_or(0, |(time, ..)| *time), &mut out)?,
        };
        // What the log has to say itself is said by whoever comes first.
        let first = lines.first().map(|(time, actor, _)| (*time, *actor));
        let notes = notes.iter().filter_map(|note| first.map(|(time, actor)| (time, actor, note)));
        let sealing = self.keys.as_ref().map(Keys::newest);
        let (mut sequence, mut hash) = (tail.sequence, tail.hash);
        chain.expect(lines.len());
        for (time, actor, event) in notes.chain(lines.iter().copied()) {
            sequence = sequence.checked_add(1).ok_or(AuditError::TooLarge)?;
            hash = chain.write(sealing, sequence, &hash, &body::encode(time, actor, event), &mut out)?;
        }
        self.write(file, tail.end, length, &out)?;
        let log = *chain.log();
        let in_vault = anchor.filter(|anchor| anchor.log == log).map_or(0, |anchor| anchor.in_vault);
        let anchor = Anchor { log, sequence, hash, in_vault };
        match &anchor_file {
            Some(anchor_file) => {
                // A memory that cannot be kept is no reason to fail: it protects the next use, not this one.
                let _ = anchor_file.store(&anchor);
                (self.anchored, self.ahead) = (Some((Instant::now(), anchor)), None);
            }
            None => self.ahead = Some(anchor),
        }
        Ok(Appended { log, sequence, hash, in_vault, recovered, mismatch: is_other })
    }

    /// What is in the file; `None` if nothing is.
    fn look(&self, file: &File, length: u64) -> Result<Option<Found>, AuditError> {
        let mut start = [0; LINE];
        let filled = fill(file, 0, &mut start).map_err(AuditError::io("read the audit log"))?;
        let log = match Line::parse(&start[..filled], &self.id) {
            _ if length == 0 => return Ok(None),
            Line::Own(log) => log,
            Line::Torn => {
                let cut = Cut::of(file, 0, length)?;
                return Ok(Some(Found { chain: Chain::new(&self.id, &[0; 16]), tail: None, cut: Some(cut) }));
            }
            Line::Other => return Err(AuditError::Foreign("the audit log is that of another vault")),
            Line::Newer => return Err(AuditError::Newer),
            Line::Foreign => return Err(AuditError::Foreign("what stands at the place of the audit log is none")),
        };
        let mut chain = Chain::new(&self.id, &log);
        if let Some(tail) = self.last(file, length, &mut chain)? {
            return Ok(Some(Found { chain, tail: Some(tail), cut: None }));
        }
        let mut holds = |located: Located<'_>| self.is_sound(&mut chain, located);
        let sound = last_sound(file, length, &mut holds).map_err(AuditError::io("read the audit log"))?;
        let tail = sound.map(|(end, sequence, hash)| Tail { end, sequence, hash });
        let from = tail.map_or(0, |tail| tail.end);
        Ok(Some(Found { chain, tail, cut: Some(Cut::of(file, from, length)?) }))
    }

    /// The last record, if the file ends in a sound one.
    fn last(&self, file: &File, length: u64, chain: &mut Chain) -> Result<Option<Tail>, AuditError> {
        const USUAL: usize = 1024;
        let room = usize::try_from(length.saturating_sub(LINE as u64)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; room.min(USUAL)];
        let read = |buffer: &mut [u8]| {
            let from = length - buffer.len() as u64;
            file.read_exact_at(buffer, from).map_err(AuditError::io("read the audit log"))
        };
        read(&mut buffer)?;
        let Some(stated) = buffer.last_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize) else { return Ok(None) };
        if !(LEAST..=MOST).contains(&stated) || stated > room {
            return Ok(None);
        }
        if stated + TAIL > buffer.len() && buffer.len() < room {
            buffer.resize(room.min(stated + TAIL), 0);
            read(&mut buffer)?;
        }
        let Some(frame) = Frame::last(&buffer) else { return Ok(None) };
        let begin = buffer.len() - frame.length();
        let offset = length - frame.length() as u64;
        let previous = (begin >= TAIL).then(|| hash_before(&buffer[..begin]));
        let sound = self.is_sound(chain, Located { offset, frame, previous });
        Ok(sound.then(|| Tail { end: length, sequence: frame.sequence(), hash: frame.hash() }))
    }

    fn is_sound(&self, chain: &mut Chain, Located { offset, frame, previous }: Located<'_>) -> bool {
        if offset == LINE as u64 {
            // A base states its hash; only its key says whether it is right.
            return match &self.keys {
                Some(keys) => !matches!(chain.open_base(frame, keys), Err(super::frame::Closed::NotAuthentic)),
                None => !frame.is_clear(),
            };
        }
        previous.is_some_and(|previous| chain.holds(frame, &previous))
    }

    /// The line and the base of a new log.
    fn begin(&self, now: u64, out: &mut Vec<u8>) -> Result<(Chain, Tail), AuditError> {
        let keys = self.keys.as_ref().ok_or(AuditError::Missing)?;
        let log: [u8; 16] = crypto::random()?;
        let mut chain = Chain::new(&self.id, &log);
        out.extend_from_slice(line(&self.id, &log).as_bytes());
        let base = Base { time: now, sequence: 0, hash: chain.start() };
        chain.write_base(keys.newest(), &base, out)?;
        Ok((chain, Tail { end: 0, sequence: 0, hash: base.hash }))
    }

    /// Puts `bytes` behind `end`, and nothing else behind it; if that fails, the log is as it was.
    fn write(&self, file: &File, end: u64, length: u64, bytes: &[u8]) -> Result<(), AuditError> {
        let failed = AuditError::io("write the audit log");
        if length != end {
            file.set_len(end).map_err(AuditError::io("cut the audit log"))?;
        }
        if let Err(error) = file.write_all_at(bytes, end) {
            // What was written of it would only be cut later.
            let _ = file.set_len(end);
            return Err(failed(error));
        }
        if self.settings.sync == Sync::Always {
            file.sync_data().map_err(AuditError::io("sync the audit log"))?;
            if end == 0 {
                sync_directory(&self.settings.log).map_err(AuditError::io("sync the directory of the audit log"))?;
            }
        }
        Ok(())
    }
}
