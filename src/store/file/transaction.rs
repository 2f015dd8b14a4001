//! A change under the writer's lock: settle, append, make durable, compare with the path, acknowledge.

use std::sync::Arc;
use std::time::Instant;

use super::commit::{self, Appender, MAX_SPAN};
use super::opened::OpenedFile;
use super::snapshot::FileSnapshot;
use super::state::State;
use super::tree::TreeWriter;
use super::{COMPACT_FLOOR, COMPACT_MOST, FileStore, PutOff};
use crate::crypto::Hash;
use crate::format::BLOCK;
use crate::format::commit::Record;
use crate::store::{Batch, Committed, Revision, Snapshot, StoreError, Transaction};

/// A change under the lock, which is released with it.
pub(super) struct FileTransaction<'a> {
    pub(super) store: &'a FileStore,
    pub(super) state: Arc<State>,
    pub(super) snapshot: FileSnapshot,
}

impl Drop for FileTransaction<'_> {
    fn drop(&mut self) {
        // The state lives on as the snapshot that readers use, and with it the open file: the lock must go by itself.
        self.state.storage.unlock();
    }
}

impl Transaction for FileTransaction<'_> {
    fn snapshot(&self) -> &dyn Snapshot {
        &self.snapshot
    }

    fn commit(self: Box<Self>, batch: Batch, time: u64) -> Result<Committed, StoreError> {
        if batch.is_empty() {
            return Ok(Committed { revision: self.state.revision(), note: None });
        }
        // Litter of a rewrite that did not finish. Not being able to remove it harms nothing that is written now.
        let _ = self.store.place.remove_temporary();
        self.settle()?;
        let old_end = self.state.length;
        let written = match self.append(batch, time) {
            Ok(written) => written,
            Err(error) => return Err(self.undo(old_end, error)),
        };
        let (record, hash) = written;
        let end = record.offset + BLOCK;
        if self.state.newest.record.previous_offset.is_none() {
            // The process that renamed or linked this file into place may have died before its own fsync of the directory.
            self.store.place.sync_directory().map_err(|error| self.poison(error))?;
        }
        match self.store.place.status() {
            Ok(status) if status.id == self.state.id && status.length == end => {}
            // Somebody who does not lock writes to this very file: cutting it would cut what is not ours.
            Ok(status) if status.id == self.state.id => return Err(StoreError::Replaced),
            // The file lives on under another name or under none: it is left as it was.
            Ok(_) => return Err(self.undo(old_end, StoreError::Replaced)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(self.undo(old_end, StoreError::Replaced)),
            // Not acknowledged, so it must not stay.
            Err(source) => return Err(self.undo(old_end, StoreError::Io { doing: "look at the vault", source })),
        }
        let revision = Revision { sequence: record.sequence, hash };
        let dead = record.dead(self.state.header.length());
        let live = record.live;
        {
            let mut shared = self.store.shared();
            shared.known.acknowledged = Some((hash, self.state.id));
            shared.demanded = shared.demanded.map(|_| revision);
        }
        let mut note = None;
        if self.store.options.compact && dead > live && dead > COMPACT_FLOOR {
            if live <= COMPACT_MOST && self.store.shared().put_off.is_some_and(|put_off| put_off.until > Instant::now()) {
                // It failed a while ago, and all of it would be written for nothing once more.
            } else if live <= COMPACT_MOST {
                // The commit holds whatever becomes of this.
                match self.reload().and_then(|state| self.rewrite(&state, None, time)) {
                    Ok(revision) => {
                        self.store.shared().put_off = None;
                        return Ok(Committed { revision, note });
                    }
                    Err(error) => {
                        let mut shared = self.store.shared();
                        shared.failed_compactions += 1;
                        let before = shared.put_off;
                        shared.put_off = Some(PutOff::behind(before));
                        note =
                            before.is_none().then(|| format!("the vault could not be compacted, which is tried again: {error}"));
                    }
                }
            } else {
                note = Some(format!("{} MiB of the vault are dead: `vault compact` drops them", dead >> 20));
            }
        }
        Ok(Committed { revision, note })
    }
}

impl FileTransaction<'_> {
    /// The state behind the commit that was just made, through the descriptor that holds the lock.
    fn reload(&self) -> Result<State, StoreError> {
        let file = OpenedFile { storage: self.state.storage.clone(), header: self.state.header.clone() };
        State::load(file, &self.state.keys, self.state.cache.clone())
    }

    /// Makes the newest record durable, unless it is known to be (SPEC, section 5, "Settling").
    fn settle(&self) -> Result<(), StoreError> {
        let State { storage, newest, id, length, .. } = self.state.as_ref();
        let known = self.store.shared().known.acknowledged;
        let acknowledged = known == Some((newest.hash, *id));
        if acknowledged && !newest.tail {
            return Ok(());
        }
        let record = &newest.record;
        let from = if record.durable { record.offset } else { record.span_start };
        let from = if acknowledged { record.offset + BLOCK } else { from };
        commit::rewrite_same(storage.as_ref(), from, *length)?;
        storage.sync().map_err(|error| self.poison(error))?;
        self.store.place.sync_directory().map_err(|error| self.poison(error))
    }

    fn append(&self, batch: Batch, time: u64) -> Result<(Record, Hash), StoreError> {
        let state = self.state.as_ref();
        let signer = state.keys.signer.as_ref().ok_or(StoreError::ReadOnlyKey)?;
        let old = &state.newest.record;
        let span_start = old.offset + BLOCK;
        let entries = old.entries.saturating_add_signed(batch.entries());
        let merged = batch.merged();
        let mut out = Appender::new(state.storage.as_ref(), span_start, state.length, Some(MAX_SPAN))?;
        let reader = state.reader();
        let mut writer = TreeWriter { reader: &reader, out: &mut out, live: old.live };
        let root = writer.apply(state.root(), &batch.into_sorted())?;
        let live = writer.live;
        // Above both that it descends from.
        let sequence = match merged {
            Some(merged) => Record::following(old.sequence.max(merged.sequence))?,
            None => old.next_sequence()?,
        };
        let mut record = Record::new(old.epoch, sequence, old.header_hash, span_start);
        record.merged = merged.map(|merged| merged.hash);
        record.root = root.map(|(at, _)| at);
        record.level = root.map_or(0, |(_, level)| level);
        record.previous_offset = Some(old.offset);
        record.previous_hash = Some(state.newest.hash);
        record.live = live;
        record.entries = entries;
        record.time = time;
        out.finish(record, &state.record_context(), signer)
    }

    /// After a write that is not going to be acknowledged: back to the old end, before anybody else gets the lock. The error is the one that counts.
    fn undo(&self, old_end: u64, error: StoreError) -> StoreError {
        let storage = self.state.storage.as_ref();
        match storage.set_length(old_end).and_then(|()| storage.sync()) {
            Ok(()) => error,
            Err(_) => match error {
                StoreError::Io { source, .. } => self.poison(source),
                other => self.poison(std::io::Error::other(other.to_string())),
            },
        }
    }

    pub(super) fn poison(&self, error: std::io::Error) -> StoreError {
        self.store.shared().poisoned = true;
        StoreError::StateUnknown(error)
    }
}
