//! A state of the file: its newest commit, and what that vouches for.

use std::sync::Arc;

use super::commit::{self, Newest, find_newest};
use super::keys::{FileKeys, record_context};
use super::opened::OpenedFile;
use super::storage::{FileId, Storage, read_most};
use super::tree::{NodeCache, PageReader, Root};
use crate::format::commit::RecordContext;
use crate::format::header::{Header, UnverifiedHeader};
use crate::format::page::PageContext;
use crate::format::{BLOCK, keyspace};
use crate::store::{Revision, StoreError};

/// A file and its newest commit, both authentic.
pub(super) struct State {
    pub(super) storage: Arc<dyn Storage>,
    /// What opens this file: a rewrite may give its successor other ones.
    pub(super) keys: Arc<FileKeys>,
    pub(super) header: UnverifiedHeader,
    pub(super) id: FileId,
    pub(super) length: u64,
    pub(super) newest: Newest,
    /// Sequence number of the record before the newest one.
    pub(super) previous_sequence: u64,
    pub(super) cache: Arc<NodeCache>,
}

impl State {
    pub(super) fn load(file: OpenedFile, keys: &Arc<FileKeys>, cache: Arc<NodeCache>) -> Result<Self, StoreError> {
        let OpenedFile { storage, header } = file;
        let keys = keys.clone();
        let context = record_context(&keys, &header);
        let find = || {
            let status = storage.status().map_err(StoreError::io("read the vault"))?;
            let newest = find_newest(storage.as_ref(), status.length, &context, &keys.verifier, &header.hash())?;
            Ok((status, newest))
        };
        // A writer may undo a commit of which this reader has seen the length: only what is there twice is damage.
        let (status, newest) = match find() {
            Err(StoreError::Damaged { .. }) => find()?,
            found => found?,
        };
        header.authenticated(&keys.verifier, &newest.record.header_hash).map_err(|error| StoreError::from(error).at(0))?;
        let mut previous_sequence = newest.record.sequence.saturating_sub(1);
        if let (Some(_), Some(offset), Some(hash)) =
            (newest.record.merged, newest.record.previous_offset, newest.record.previous_hash)
        {
            // In a merge the other side may have been ahead.
            let block = commit::read(storage.as_ref(), offset, BLOCK as usize)?;
            let previous = context.decode_hashed(&block, offset, &hash).map_err(|error| StoreError::from(error).at(offset))?;
            previous_sequence = previous.sequence;
        }
        Ok(Self { storage, keys, header, id: status.id, length: status.length, newest, previous_sequence, cache })
    }

    /// Whether the newest record is still in its place: one that was undone may have been followed by another of the same length.
    pub(super) fn is_there(&self) -> Result<bool, StoreError> {
        let block = read_most(self.storage.as_ref(), self.newest.record.offset, BLOCK as usize);
        Ok(*block.map_err(StoreError::io("read the vault"))? == *self.newest.block)
    }

    pub(super) fn reader(&self) -> PageReader<'_> {
        PageReader {
            storage: self.storage.as_ref(),
            context: PageContext { id: &self.keys.id, epoch: self.header.epoch(), key: self.keys.index.page() },
            from: self.header.length(),
            to: self.newest.record.offset,
            cache: &self.cache,
        }
    }

    /// Whether what was unlocked here is what stands in a file that was opened later. The sealed ring too: a writer that does not know of a new
    /// data key would seal by one that may be destroyed already.
    pub(super) fn same_keys(&self, file: &OpenedFile) -> Result<(), StoreError> {
        let same = file.header.id() == &self.keys.id
            && file.header.claimed_signing_key() == self.keys.verifier.public()
            && file.header.commitments() == self.header.commitments()
            && file.header.sealed_ring() == self.header.sealed_ring();
        if same { Ok(()) } else { Err(StoreError::KeysChanged) }
    }

    pub(super) fn record_context(&self) -> RecordContext<'_> {
        record_context(&self.keys, &self.header)
    }

    /// The header, which the newest record vouches for.
    pub(super) fn header(&self) -> Result<&Header, StoreError> {
        Ok(self.header.authenticated(&self.keys.verifier, &self.newest.record.header_hash)?)
    }

    pub(super) fn root(&self) -> Root {
        self.newest.record.root.map(|at| (at, self.newest.record.level))
    }

    pub(super) fn revision(&self) -> Revision {
        Revision { sequence: self.newest.record.sequence, hash: self.newest.hash }
    }

    pub(super) fn descends_from(&self, revision: &Revision) -> Result<bool, StoreError> {
        let newest = &self.newest;
        if newest.hash == revision.hash {
            return Ok(true);
        }
        if newest.record.sequence <= revision.sequence {
            return Ok(false);
        }
        let key = keyspace::lineage(revision.sequence, &revision.hash);
        if self.reader().get(self.root(), &key)?.is_some() {
            return Ok(true);
        }
        let context = self.record_context();
        let mut record = newest.record.clone();
        loop {
            if record.previous_hash == Some(revision.hash) || record.merged == Some(revision.hash) {
                return Ok(true);
            }
            if record.sequence <= revision.sequence {
                return Ok(false);
            }
            let (Some(offset), Some(hash)) = (record.previous_offset, record.previous_hash) else { return Ok(false) };
            record = commit::read(self.storage.as_ref(), offset, BLOCK as usize)
                .and_then(|block| Ok(context.decode_hashed(&block, offset, &hash)?))
                .map_err(|error| error.at(offset))?;
        }
    }
}
