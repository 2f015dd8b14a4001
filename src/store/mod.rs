//! The ordered, transactional key–value interface, and its engines.
//!
//! Nothing above this room knows which engine it talks to: the vault file, the one in memory that tests use, or one to come.

pub mod file;
pub mod memory;
pub mod overlay;

use std::io;
use std::sync::Arc;

use crate::crypto::Hash;
use crate::format::FormatError;

/// Which state of the store was seen: a sequence number and the hash of what made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// Counts commits through the life of the store.
    pub sequence: u64,
    /// Hash of the commit's record.
    pub hash: Hash,
}

/// Whether a walk goes on.
pub type Walk = std::ops::ControlFlow<()>;

/// What a walk is shown: the key, and the value if it is at hand (a large one is fetched by [`Snapshot::get`]).
pub type Visit<'a> = dyn FnMut(&[u8], Option<&[u8]>) -> Result<Walk, StoreError> + 'a;

/// One state of the store; later commits do not change it.
pub trait Snapshot: Send + Sync {
    /// Which state this is.
    fn revision(&self) -> Revision;

    /// The number of entries in it, as commits counted them.
    fn entries(&self) -> u64;

    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Walks the keys in `from..to` in ascending order (`None`: to the end). An error ends the walk; nothing is skipped silently.
    fn range(&self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError>;
}

/// A change in the making. What it depends on is read from its own snapshot; dropping it changes nothing.
pub trait Transaction {
    /// The state that the change is made from.
    fn snapshot(&self) -> &dyn Snapshot;

    /// Commits all of the batch or nothing. When it returns, the commit is durable. `time` is noted, in milliseconds.
    ///
    /// An engine whose transactions can collide answers [`StoreError::Conflict`]; the change is then made anew.
    fn commit(self: Box<Self>, batch: Batch, time: u64) -> Result<Committed, StoreError>;
}

/// What a commit led to.
#[derive(Debug)]
pub struct Committed {
    /// The new state.
    pub revision: Revision,
    /// Something that the user should know though the commit holds, such as a compaction that could not be done.
    pub note: Option<String>,
}

/// An engine.
pub trait Store: Send + Sync {
    /// The newest committed state.
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError>;

    /// Begins a change; other writers wait, or collide when they commit.
    fn begin(&self) -> Result<Box<dyn Transaction + '_>, StoreError>;
}

/// A key, and the value that it gets; `None` removes it.
pub type Change = (Box<[u8]>, Option<Box<[u8]>>);

/// Changes to be committed together.
#[derive(Default)]
pub struct Batch {
    changes: Vec<Change>,
    entries: i64,
    merged: Option<Revision>,
}

impl Batch {
    /// Sets a key.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.push((key.into_boxed_slice(), Some(value.into_boxed_slice())));
    }

    /// Removes a key, if it is there.
    pub fn delete(&mut self, key: Vec<u8>) {
        self.changes.push((key.into_boxed_slice(), None));
    }

    /// Notes that the number of entries changes by `delta`.
    pub fn count_entries(&mut self, delta: i64) {
        self.entries += delta;
    }

    /// Notes that with this the newest state of another copy is merged in: the commit descends from it too. An engine without a history has no use
    /// for that.
    pub fn merges(&mut self, revision: Revision) {
        self.merged = Some(revision);
    }

    /// The state that is merged in.
    pub fn merged(&self) -> Option<Revision> {
        self.merged
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// By how much the number of entries changes.
    pub fn entries(&self) -> i64 {
        self.entries
    }

    /// The changes, ascending by key; of several changes of one key, the last.
    pub fn into_sorted(mut self) -> Vec<Change> {
        self.changes.sort_by(|a, b| a.0.cmp(&b.0));
        let mut sorted: Vec<Change> = Vec::with_capacity(self.changes.len());
        for change in self.changes {
            match sorted.last_mut() {
                Some(last) if last.0 == change.0 => *last = change,
                _ => sorted.push(change),
            }
        }
        sorted
    }
}

/// What a store can refuse.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no vault at the path.
    #[error("there is no vault")]
    Missing,
    /// Something is at the path already.
    #[error("something is there already")]
    Exists,
    /// The bytes break the format, or their seal, hash or signature does not hold.
    #[error("{source}{}", place(*.offset))]
    Damaged {
        /// Where in the file, if that is known.
        offset: Option<u64>,
        /// What does not hold.
        source: FormatError,
    },
    /// The file needs a newer version of the program.
    #[error("{0}")]
    Newer(String),
    /// Another writer held the lock until the time was over.
    #[error("another process is writing")]
    Busy,
    /// The operating system failed or refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A write failed, and it could not be undone: whether it holds is not known.
    #[error("a write failed and could not be undone, so whether it holds is not known: {0}")]
    StateUnknown(io::Error),
    /// The file at the path is another one than that which was written.
    #[error("the file was replaced while it was being written, and the change is not in the new one")]
    Replaced,
    /// The state does not descend from one that must have come before it.
    #[error("the vault was replaced by an older copy, or by one that does not descend from what was seen")]
    Older,
    /// The keys of the vault were changed since it was unlocked.
    #[error("the keys of the vault were changed by another process")]
    KeysChanged,
    /// The keys at hand read, and do not write.
    #[error("this key reads, and does not write")]
    ReadOnlyKey,
    /// Another change came first.
    #[error("another change came first")]
    Conflict,
    /// What was to be written does not fit the format.
    #[error("{0}")]
    TooLarge(&'static str),
    /// The path cannot be renamed over.
    #[error("{0}")]
    CannotRewrite(String),
}

fn place(offset: Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" (at byte {offset})"))
}

impl StoreError {
    /// Adds the place to damage.
    pub fn at(self, offset: u64) -> Self {
        match self {
            Self::Damaged { offset: None, source } => Self::Damaged { offset: Some(offset), source },
            other => other,
        }
    }

    /// An error of the operating system.
    pub fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }
}

impl From<FormatError> for StoreError {
    fn from(error: FormatError) -> Self {
        match error {
            FormatError::Newer(what) => Self::Newer(what),
            FormatError::TooLarge(what) => Self::TooLarge(what),
            FormatError::Crypto(error) => Self::Io { doing: "a cryptographic primitive failed", source: io::Error::other(error) },
            source => Self::Damaged { offset: None, source },
        }
    }
}
