//! What readers see: one state of the file.

use std::sync::Arc;

use super::state::State;
use crate::store::{Revision, Snapshot, StoreError, Visit};

/// One state of the file, whatever is written meanwhile.
pub(super) struct FileSnapshot {
    pub(super) state: Arc<State>,
}

impl Snapshot for FileSnapshot {
    fn revision(&self) -> Revision {
        self.state.revision()
    }

    fn entries(&self) -> u64 {
        self.state.newest.record.entries
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.state.reader().get(self.state.root(), key)
    }

    fn range(&self, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.state.reader().range(self.state.root(), from, to, visit)
    }
}
