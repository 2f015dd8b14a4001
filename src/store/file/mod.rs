//! The vault file as a store: lock-free readers, one writer, one fdatasync for an everyday commit.

pub mod check;
pub mod commit;
mod compact;
mod facts;
mod keys;
pub mod lock;
mod opened;
mod snapshot;
mod state;
pub mod storage;
mod transaction;
pub mod tree;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use commit::Newest;
pub use compact::Renewal;
pub use facts::Facts;
pub use keys::FileKeys;
pub use opened::OpenedFile;
use snapshot::FileSnapshot;
use state::State;
use storage::{FileId, Place};
use transaction::FileTransaction;
use tree::NodeCache;

use super::{Committed, Revision, Snapshot, Store, StoreError, Transaction};
use crate::crypto::Hash;
use crate::format::BLOCK;
use crate::format::commit::{Record, RecordContext};
use crate::format::header::Header;

/// What is known about a file from outside of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known {
    /// The record that this machine acknowledged last, and the file in which it stands: a commit may be built on it without settling it.
    pub acknowledged: Option<(Hash, FileId)>,
}

/// How the store behaves.
#[derive(Debug, Clone, Copy)]
pub struct FileOptions {
    /// How long a writer waits for the lock.
    pub lock_timeout: Duration,
    /// Whether a commit may compact the file when most of it is dead.
    pub compact: bool,
    /// How many nodes of the tree are kept open.
    pub cached_nodes: usize,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { lock_timeout: Duration::from_secs(30), compact: true, cached_nodes: tree::CACHE }
    }
}

/// Dead bytes below this are not worth a rewrite.
const COMPACT_FLOOR: u64 = 1 << 20;
/// Above so many live bytes, no everyday commit pays for a rewrite.
const COMPACT_MOST: u64 = 64 << 20;

/// The vault file, unlocked.
pub struct FileStore {
    place: Arc<dyn Place>,
    options: FileOptions,
    shared: Mutex<Shared>,
}

struct Shared {
    state: Arc<State>,
    known: Known,
    /// What a state must descend from to be built upon.
    demanded: Option<Revision>,
    /// A compaction failed, and is tried again later.
    put_off: Option<PutOff>,
    /// How many did.
    failed_compactions: u64,
    /// Set by a failed write whose outcome is not known: the handle refuses everything further.
    poisoned: bool,
}

/// Until when nothing is tried that failed, and how long the pause is.
#[derive(Debug, Clone, Copy)]
struct PutOff {
    until: Instant,
    pause: Duration,
}

impl PutOff {
    /// The first pause is a minute; each is twice as long as the one before, up to a day.
    fn behind(before: Option<Self>) -> Self {
        let pause = before.map_or(Duration::from_secs(60), |before| (before.pause * 2).min(Duration::from_secs(24 * 3600)));
        Self { until: Instant::now() + pause, pause }
    }
}

impl FileStore {
    /// Takes a file whose slot was opened; finds and verifies its newest commit.
    pub fn new(
        place: Arc<dyn Place>,
        file: OpenedFile,
        keys: FileKeys,
        known: Known,
        options: FileOptions,
    ) -> Result<Self, StoreError> {
        let cache = Arc::new(NodeCache::with_room(options.cached_nodes));
        let state = Arc::new(State::load(file, &Arc::new(keys), cache)?);
        let shared = Mutex::new(Shared { state, known, demanded: None, put_off: None, failed_compactions: 0, poisoned: false });
        Ok(Self { place, options, shared })
    }

    /// Writes a new vault file: the header, and an empty first commit. Nothing may be at the place.
    pub fn create(place: &dyn Place, header: &Header, keys: &FileKeys, time: u64) -> Result<(), StoreError> {
        let signer = keys.signer.as_ref().ok_or(StoreError::ReadOnlyKey)?;
        let mut bytes = header.encode(signer)?;
        let length = bytes.len() as u64;
        let context = RecordContext { id: &keys.id, epoch: header.epoch, key: keys.index.record(), header_length: length };
        let mut record = Record::new(header.epoch, 1, Hash::of(&bytes), length);
        record.offset = length;
        record.span_hash = Hash::of(&[]);
        record.time = time;
        bytes.extend_from_slice(&context.encode(&record, signer)?);
        place.create(&bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => StoreError::Exists,
            _ => StoreError::Io { doing: "create the vault", source: error },
        })
    }

    /// The authenticated header of the file as it was seen last.
    pub fn header(&self) -> Result<Header, StoreError> {
        Ok(self.state().header()?.clone())
    }

    /// The keys of the file as it was seen last.
    pub fn keys(&self) -> Arc<FileKeys> {
        self.state().keys.clone()
    }

    /// Which file this is, as it was seen last.
    pub fn file_id(&self) -> FileId {
        self.state().id
    }

    /// The record that this process acknowledged last (or was told that this machine did), and its file.
    pub fn acknowledged(&self) -> Option<(Hash, FileId)> {
        self.shared().known.acknowledged
    }

    /// What the newest commit says about the file, as it was seen last.
    pub fn facts(&self) -> Facts {
        let state = self.state();
        let record = &state.newest.record;
        Facts {
            revision: state.revision(),
            first_of_file: record.previous_offset.is_none(),
            previous: record.previous_hash.map(|hash| Revision { sequence: state.previous_sequence, hash }),
            tail: state.newest.tail,
            length: state.length,
            live: record.live,
            dead: record.dead(state.header.length()),
            epoch: record.epoch,
            time: record.time,
            failed_compactions: self.shared().failed_compactions,
        }
    }

    /// Whether the newest record, as it was seen last, descends from `revision` (SPEC, section 7).
    pub fn descends_from(&self, revision: &Revision) -> Result<bool, StoreError> {
        self.state().descends_from(revision)
    }

    /// The records that the newest state knows to descend from, itself included, as keys of the tree (SPEC, section 6, keyspace 0x7e).
    pub fn lineage(&self) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        compact::lineage(self.refresh()?.as_ref())
    }

    /// An earlier state, if its record still stands in this file.
    pub fn at(&self, revision: &Revision) -> Result<Option<Arc<dyn Snapshot>>, StoreError> {
        let state = self.refresh()?;
        let context = state.record_context();
        let (mut record, mut hash, mut block) = (state.newest.record.clone(), state.newest.hash, state.newest.block.clone());
        while hash != revision.hash {
            let (Some(offset), Some(previous)) = (record.previous_offset, record.previous_hash) else { return Ok(None) };
            if record.sequence < revision.sequence {
                return Ok(None);
            }
            block = commit::read(state.storage.as_ref(), offset, BLOCK as usize)?.into();
            record = context.decode_hashed(&block, offset, &previous).map_err(|error| StoreError::from(error).at(offset))?;
            hash = previous;
        }
        let earlier = State {
            storage: state.storage.clone(),
            keys: state.keys.clone(),
            header: state.header.clone(),
            id: state.id,
            length: state.length,
            previous_sequence: record.sequence.saturating_sub(1),
            newest: Newest { record, hash, block, tail: false },
            cache: state.cache.clone(),
        };
        Ok(Some(Arc::new(FileSnapshot { state: Arc::new(earlier) })))
    }

    /// From now on a change is refused as [`StoreError::Older`] unless the state that it is made from descends from `revision`.
    pub fn demand_descent(&self, revision: Revision) {
        self.shared().demanded = Some(revision);
    }

    /// The bytes of the file up to and with its newest commit: a whole vault file, whatever is written meanwhile.
    pub fn image(&self) -> Result<Vec<u8>, StoreError> {
        let state = self.refresh()?;
        commit::read(state.storage.as_ref(), 0, (state.newest.record.offset + BLOCK) as usize)
    }

    /// Drops dead bytes by writing the file anew.
    pub fn compact(&self, time: u64) -> Result<Committed, StoreError> {
        let transaction = self.lock()?;
        let revision = transaction.rewrite(&transaction.state, None, time)?;
        Ok(Committed { revision, note: None })
    }

    /// Writes the file anew with what `make` plans from the header and the state under the lock.
    pub fn renew<'a, E: From<StoreError>>(
        &self,
        time: u64,
        make: impl FnOnce(&Header, &Arc<dyn Snapshot>) -> Result<Renewal<'a>, E>,
    ) -> Result<Committed, E> {
        let transaction = self.lock()?;
        let snapshot: Arc<dyn Snapshot> = Arc::new(FileSnapshot { state: transaction.state.clone() });
        let renewal = make(transaction.state.header()?, &snapshot)?;
        let revision = transaction.rewrite(&transaction.state, Some(renewal), time)?;
        Ok(Committed { revision, note: None })
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // What it guards is replaced in one step, so a panic elsewhere leaves it whole.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> Arc<State> {
        self.shared().state.clone()
    }

    /// Reads the newest state anew, if the file changed since it was seen last.
    fn refresh(&self) -> Result<Arc<State>, StoreError> {
        let state = self.state();
        let status = self.place.status().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => StoreError::Missing,
            _ => StoreError::Io { doing: "look at the vault", source: error },
        })?;
        if status.id == state.id && status.length == state.length && state.is_there()? {
            return Ok(state);
        }
        let file = OpenedFile::open(self.place.as_ref())?;
        state.same_keys(&file)?;
        let cache = self.cache_for(&state, &file)?;
        let newer = Arc::new(State::load(file, &state.keys, cache)?);
        let demanded = self.shared().demanded;
        // Another file, under the eyes of a process that stays: an older copy brings back what was revoked and overwritten.
        if newer.id != state.id
            && let Some(demanded) = demanded
            && !newer.descends_from(&demanded)?
        {
            return Err(StoreError::Older);
        }
        self.shared().state = newer.clone();
        Ok(newer)
    }

    /// The nodes that are open already, if the file is the one that was seen before: only what is behind them was written since.
    fn cache_for(&self, seen: &State, file: &OpenedFile) -> Result<Arc<NodeCache>, StoreError> {
        let id = file.storage.status().map_err(StoreError::io("look at the vault"))?.id;
        let is_same = id == seen.id && file.header.hash() == seen.header.hash();
        Ok(if is_same { seen.cache.clone() } else { Arc::new(NodeCache::with_room(self.options.cached_nodes)) })
    }

    fn lock(&self) -> Result<FileTransaction<'_>, StoreError> {
        if self.shared().poisoned {
            return Err(StoreError::StateUnknown(std::io::Error::other("an earlier write of this process failed")));
        }
        let seen = self.state();
        if seen.keys.signer.is_none() {
            return Err(StoreError::ReadOnlyKey);
        }
        let deadline = Instant::now() + self.options.lock_timeout;
        loop {
            let file = OpenedFile::open_for(self.place.as_ref(), true)?;
            lock::wait(file.storage.as_ref(), deadline)?;
            // Another writer may have renamed a new file over the path while this one waited for the old one's lock.
            let locked = file.storage.status().map_err(StoreError::io("look at the vault"))?;
            match self.place.status() {
                Ok(status) if status.id == locked.id => {}
                // A file system whose descriptors and paths never agree must not hold a writer for ever.
                Ok(_) if Instant::now() >= deadline => return Err(StoreError::Busy),
                Ok(_) => continue,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(StoreError::Missing),
                Err(error) => return Err(StoreError::Io { doing: "look at the vault", source: error }),
            }
            // The header could have been read before the lock was there; a header never changes within one inode.
            seen.same_keys(&file)?;
            let cache = self.cache_for(&seen, &file)?;
            let state = Arc::new(State::load(file, &seen.keys, cache)?);
            let demanded = self.shared().demanded;
            if let Some(demanded) = demanded
                && !state.descends_from(&demanded)?
            {
                return Err(StoreError::Older);
            }
            return Ok(FileTransaction { store: self, snapshot: FileSnapshot { state: state.clone() }, state });
        }
    }
}

impl Store for FileStore {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Ok(Arc::new(FileSnapshot { state: self.refresh()? }))
    }

    fn begin(&self) -> Result<Box<dyn Transaction + '_>, StoreError> {
        Ok(Box::new(self.lock()?))
    }
}
