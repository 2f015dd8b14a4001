//! The engine in memory: for tests, and the model that the file is compared with.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Batch, Committed, Revision, Snapshot, Store, StoreError, Transaction, Visit, Walk};
use crate::crypto::Hash;

#[derive(Clone, Default)]
struct State {
    sequence: u64,
    entries: u64,
    map: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A store that forgets everything when it is dropped.
#[derive(Default)]
pub struct MemoryStore(Mutex<Arc<State>>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Arc<State>> {
        // A panic elsewhere leaves the state whole: it is replaced in one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot for State {
    fn revision(&self) -> Revision {
        Revision { sequence: self.sequence, hash: Hash::of(&self.sequence.to_le_bytes()) }
    }

    fn entries(&self) -> u64 {
        self.entries
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.map.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let bounds = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
        for (key, value) in self.map.range::<[u8], _>(bounds) {
            if visit(key, Some(value))? == Walk::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

impl Store for MemoryStore {
    fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        Ok(self.lock().clone())
    }

    fn begin(&self) -> Result<Box<dyn Transaction + '_>, StoreError> {
        let guard = self.lock();
        Ok(Box::new(MemoryTransaction { base: guard.clone(), guard }))
    }
}

struct MemoryTransaction<'a> {
    base: Arc<State>,
    guard: MutexGuard<'a, Arc<State>>,
}

impl Transaction for MemoryTransaction<'_> {
    fn snapshot(&self) -> &dyn Snapshot {
        self.base.as_ref()
    }

    fn commit(mut self: Box<Self>, batch: Batch, _time: u64) -> Result<Committed, StoreError> {
        let mut next = State::clone(&self.base);
        next.sequence += 1;
        next.entries = next.entries.saturating_add_signed(batch.entries());
        for (key, value) in batch.into_sorted() {
            match value {
                Some(value) => next.map.insert(key.into_vec(), value.into_vec()),
                None => next.map.remove(key.as_ref()),
            };
        }
        let revision = next.revision();
        *self.guard = Arc::new(next);
        Ok(Committed { revision, note: None })
    }
}
