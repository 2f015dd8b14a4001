//! The rewrite: a whole new file beside the vault, renamed over it (SPEC, section 7).
//!
//! Order: write new, fsync, verify that it opens, take its lock, compare once more, rename, fsync the directory, release.

use std::collections::BTreeSet;

use super::commit::{self, Appender, find_newest};
use super::storage::{FileId, Storage, write_all};
use super::transaction::FileTransaction;
use super::tree::{NodeCache, PageReader, Root, TreeWriter};
use super::{State, record_context};
use crate::crypto::Hash;
use crate::format::commit::{Record, RecordContext};
use crate::format::header::{Header, UnverifiedHeader};
use crate::format::page::PageContext;
use crate::format::{BLOCK, FormatError, keyspace};
use crate::store::{Change, Revision, StoreError, Walk};

/// How many sequences back the lineage reaches.
const LINEAGE: u64 = 10_000;
/// Changes are applied in batches of about so many bytes, which bounds the memory of a rewrite.
const BATCH: usize = 32 << 20;

impl FileTransaction<'_> {
    /// Writes the file anew from `state`, with the next epoch and, if given, another header; replaces the old one.
    pub(super) fn rewrite(&self, state: &State, header: Option<Header>, time: u64) -> Result<Revision, StoreError> {
        let place = self.store.place.as_ref();
        let before = place.status().map_err(StoreError::io("look at the vault"))?;
        if before.links > 1 {
            return Err(StoreError::CannotRewrite(
                "the vault has more than one hard link, and a rewrite would part them".to_owned(),
            ));
        }
        let storage = place.create_temporary().map_err(StoreError::io("create the temporary file of a rewrite"))?;
        let result = self.write_new(storage.as_ref(), state, header, time).and_then(|revision| {
            let new = storage.status().map_err(StoreError::io("look at the temporary file"))?;
            if !storage.try_lock().map_err(StoreError::io("lock the temporary file"))? {
                return Err(StoreError::Busy);
            }
            let old = place.status().map_err(StoreError::io("look at the vault"))?;
            let temporary = place.temporary_status().map_err(StoreError::io("look at the temporary file"))?;
            if old.id != state.id || old.length != state.length || temporary.id != new.id {
                return Err(StoreError::Replaced);
            }
            place.replace().map_err(|error| match error.raw_os_error() {
                // EBUSY, EXDEV: a single-file bind mount, as containers make them.
                Some(16 | 18) => {
                    StoreError::CannotRewrite("the path is a mount point of its own and cannot be renamed over".to_owned())
                }
                _ => StoreError::Io { doing: "rename the new file over the vault", source: error },
            })?;
            Ok((revision, new.id))
        });
        let (revision, id): (Revision, FileId) = match result {
            Ok(done) => done,
            Err(error) => {
                let _ = place.remove_temporary();
                return Err(error);
            }
        };
        place.sync_directory().map_err(|error| self.poison(error))?;
        let mut shared = self.store.shared();
        shared.known.acknowledged = Some((revision.hash, id));
        shared.demanded = shared.demanded.map(|_| revision);
        drop(shared);
        Ok(revision)
    }

    fn write_new(&self, storage: &dyn Storage, state: &State, header: Option<Header>, time: u64) -> Result<Revision, StoreError> {
        let keys = self.store.keys.as_ref();
        let signer = keys.signer.as_ref().ok_or(StoreError::ReadOnlyKey)?;
        let mut header = match header {
            Some(header) => header,
            None => state.header.authenticated(&keys.verifier, &state.newest.record.header_hash)?.clone(),
        };
        header.epoch = state.header.epoch() + 1;
        let bytes = header.encode(signer)?;
        write_all(storage, 0, &bytes).map_err(StoreError::io("write the new file"))?;
        let header_length = bytes.len() as u64;
        let old = &state.newest.record;
        let mut record = Record::new(header.epoch, old.next_sequence()?, Hash::of(&bytes), header_length);
        record.previous_hash = Some(state.newest.hash);
        record.entries = old.entries;
        record.time = time;
        let mut out = Appender::new(storage, header_length, header_length, None)?;
        let (root, live) = self.copy_tree(storage, state, &header, header_length, &mut out)?;
        record.root = root.map(|(at, _)| at);
        record.level = root.map_or(0, |(_, level)| level);
        record.live = live;
        let context = RecordContext { id: &keys.id, epoch: header.epoch, key: keys.index.record(), header_length };
        let (written, hash) = out.finish(record, &context, signer)?;
        self.verify_new(storage, &bytes, &written, &hash)?;
        Ok(Revision { sequence: written.sequence, hash })
    }

    /// Copies all that the old root reaches: values stay sealed as they are, pages are sealed anew.
    fn copy_tree(
        &self,
        storage: &dyn Storage,
        state: &State,
        header: &Header,
        header_length: u64,
        out: &mut Appender<'_>,
    ) -> Result<(Root, u64), StoreError> {
        let keys = self.store.keys.as_ref();
        let reader = state.reader(keys);
        let cache = NodeCache::default();
        let target = PageReader {
            storage,
            context: PageContext { id: &keys.id, epoch: header.epoch, key: keys.index.page() },
            from: header_length,
            to: u64::MAX,
            cache: &cache,
        };
        let mut lineage = self.lineage(state)?;
        // In one piece, a tree of any size is built in full pages from left to right.
        let mut changes: Vec<Change> = Vec::new();
        let mut size = 0;
        let mut writer = TreeWriter { reader: &target, out, live: 0 };
        let mut root = None;
        let spaces: [(&[u8], Option<&[u8]>); 2] = [(&[], Some(&[keyspace::LINEAGE])), (&[keyspace::LINEAGE + 1], None)];
        for (from, to) in spaces {
            let mut failure = None;
            reader.range(state.root(), from, to, &mut |key, value| {
                let value = match value {
                    Some(value) => value.to_vec(),
                    None => match reader.get(state.root(), key)? {
                        Some(value) => value,
                        None => return Err(FormatError::Malformed("a key of the tree is not where it is looked up").into()),
                    },
                };
                size += key.len() + value.len();
                changes.push((key.into(), Some(value.into_boxed_slice())));
                if size >= BATCH {
                    match writer.apply(root, &changes) {
                        Ok(next) => root = next,
                        Err(error) => {
                            failure = Some(error);
                            return Ok(Walk::Break(()));
                        }
                    }
                    changes.clear();
                    size = 0;
                }
                Ok(Walk::Continue(()))
            })?;
            if let Some(error) = failure {
                return Err(error);
            }
            for key in std::mem::take(&mut lineage) {
                changes.push((key.into_boxed_slice(), Some(Box::default())));
            }
        }
        if !changes.is_empty() {
            root = writer.apply(root, &changes)?;
        }
        Ok((root, writer.live))
    }

    /// The keys that remember earlier records: those of the old file, those that it remembered, back to the limit.
    fn lineage(&self, state: &State) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        let keys = self.store.keys.as_ref();
        let oldest = (state.newest.record.sequence + 1).saturating_sub(LINEAGE);
        let mut lineage = BTreeSet::new();
        let from = keyspace::lineage_from(oldest);
        state.reader(keys).range(state.root(), &from, Some(&[keyspace::LINEAGE + 1]), &mut |key, _| {
            lineage.insert(key.to_vec());
            Ok(Walk::Continue(()))
        })?;
        let context = record_context(keys, &state.header);
        let (mut record, mut hash) = (state.newest.record.clone(), state.newest.hash);
        while record.sequence >= oldest {
            lineage.insert(keyspace::lineage(record.sequence, &hash));
            lineage.extend(record.merged.map(|merged| keyspace::lineage(record.sequence - 1, &merged)));
            let (Some(offset), Some(previous)) = (record.previous_offset, record.previous_hash) else { break };
            let block = commit::read(state.storage.as_ref(), offset, BLOCK as usize)?;
            record = context.decode_hashed(&block, offset, &previous).map_err(|error| StoreError::from(error).at(offset))?;
            hash = previous;
        }
        Ok(lineage)
    }

    /// Opens the new file as a reader would, with all of its pages, before it may take the place of the old one.
    fn verify_new(&self, storage: &dyn Storage, header: &[u8], written: &Record, hash: &Hash) -> Result<(), StoreError> {
        let keys = self.store.keys.as_ref();
        let read = commit::read(storage, 0, header.len())?;
        let parsed = UnverifiedHeader::parse(&read)?;
        let length = storage.status().map_err(StoreError::io("look at the temporary file"))?.length;
        let context = record_context(keys, &parsed);
        let newest = find_newest(storage, length, &context, &keys.verifier, &parsed.hash())?;
        let cache = NodeCache::default();
        let reader = PageReader {
            storage,
            context: PageContext { id: &keys.id, epoch: parsed.epoch(), key: keys.index.page() },
            from: parsed.length(),
            to: newest.record.offset,
            cache: &cache,
        };
        let root = newest.record.root.map(|at| (at, newest.record.level));
        let live = reader.verify(root)?;
        if newest.hash != *hash || newest.record != *written || live != written.live || read != header {
            return Err(StoreError::Io {
                doing: "verify the new file",
                source: std::io::Error::other("what was read is not what was written"),
            });
        }
        Ok(())
    }
}
