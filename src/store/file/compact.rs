//! The rewrite: a whole new file beside the vault, renamed over it (SPEC, section 7).
//!
//! Order: write new, fsync, verify that it opens, take its lock, compare once more, rename, fsync the directory, release.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::commit::{self, Appender, find_newest};
use super::keys::{FileKeys, record_context};
use super::opened::OpenedFile;
use super::state::State;
use super::storage::{FileId, Storage, write_all};
use super::transaction::FileTransaction;
use super::tree::{NodeCache, PageReader, Root, TreeWriter};
use crate::crypto::Hash;
use crate::format::commit::{Record, RecordContext};
use crate::format::header::{Header, UnverifiedHeader};
use crate::format::page::PageContext;
use crate::format::{BLOCK, FormatError, keyspace};
use crate::store::{Batch, Change, Revision, StoreError, Walk};

/// How many sequences back the lineage reaches.
const LINEAGE: u64 = 10_000;
/// Changes are applied in batches of about so many bytes, which bounds the memory of a rewrite.
const BATCH: usize = 32 << 20;

/// What becomes of a stored value in a rewrite: the same, another, or nothing. Keys come in ascending order.
pub type EachValue<'a> = dyn FnMut(&[u8], Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> + 'a;

/// What a rewrite changes besides dropping dead bytes.
pub struct Renewal<'a> {
    /// The header; the rewrite sets its epoch.
    pub header: Header,
    /// The keys of the new file, if they are other ones.
    pub keys: Option<FileKeys>,
    /// What becomes of each stored value; `None`: all stay as they are.
    pub each: Option<Box<EachValue<'a>>>,
    /// What is changed on top of that.
    pub batch: Batch,
}

impl Renewal<'_> {
    /// A renewal of the header alone.
    pub fn of_header(header: Header) -> Self {
        Self { header, keys: None, each: None, batch: Batch::default() }
    }
}

impl FileTransaction<'_> {
    /// Writes the file anew from `state`, with the next epoch and what else is planned; replaces the old one.
    pub(super) fn rewrite(&self, state: &State, renewal: Option<Renewal<'_>>, time: u64) -> Result<Revision, StoreError> {
        let place = self.store.place.as_ref();
        let before = place.status().map_err(StoreError::io("look at the vault"))?;
        if before.links > 1 {
            return Err(StoreError::CannotRewrite(
                "the vault has more than one hard link, and a rewrite would part them".to_owned(),
            ));
        }
        let mut renewal = match renewal {
            Some(renewal) => renewal,
            None => Renewal::of_header(state.header()?.clone()),
        };
        let renewed_keys = renewal.keys.take().map(Arc::new);
        let keys = renewed_keys.as_ref().unwrap_or(&state.keys).clone();
        let storage = place.create_temporary().map_err(StoreError::io("create the temporary file of a rewrite"))?;
        let result = write_new(storage.as_ref(), state, &keys, renewal, time).and_then(|(revision, header)| {
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
            Ok((revision, new.id, header))
        });
        let (revision, id, header): (Revision, FileId, UnverifiedHeader) = match result {
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
        // From here on this handle knows the file by its new keys. It was verified a moment ago; if it cannot be read now, the next use says so.
        storage.unlock();
        let cache = Arc::new(NodeCache::with_room(self.store.options.cached_nodes));
        if let Ok(state) = State::load(OpenedFile { storage: storage.into(), header }, &keys, cache) {
            shared.state = Arc::new(state);
        }
        Ok(revision)
    }
}

fn write_new(
    storage: &dyn Storage,
    state: &State,
    keys: &FileKeys,
    renewal: Renewal<'_>,
    time: u64,
) -> Result<(Revision, UnverifiedHeader), StoreError> {
    let signer = keys.signer.as_ref().ok_or(StoreError::ReadOnlyKey)?;
    let Renewal { mut header, mut each, batch, .. } = renewal;
    header.epoch = state.header.epoch() + 1;
    let bytes = header.encode(signer)?;
    write_all(storage, 0, &bytes).map_err(StoreError::io("write the new file"))?;
    let header_length = bytes.len() as u64;
    let old = &state.newest.record;
    let mut record = Record::new(header.epoch, old.next_sequence()?, Hash::of(&bytes), header_length);
    record.previous_hash = Some(state.newest.hash);
    record.entries = old.entries.saturating_add_signed(batch.entries());
    record.time = time;
    let mut out = Appender::new(storage, header_length, header_length, None)?;
    let cache = NodeCache::default();
    let target = PageReader {
        storage,
        context: PageContext { id: &keys.id, epoch: header.epoch, key: keys.index.page() },
        from: header_length,
        to: u64::MAX,
        cache: &cache,
    };
    let mut writer = TreeWriter { reader: &target, out: &mut out, live: 0 };
    let mut root = copy_tree(state, &mut each, &mut writer)?;
    let changes = batch.into_sorted();
    if !changes.is_empty() {
        root = writer.apply(root, &changes)?;
    }
    let live = writer.live;
    record.root = root.map(|(at, _)| at);
    record.level = root.map_or(0, |(_, level)| level);
    record.live = live;
    let context = RecordContext { id: &keys.id, epoch: header.epoch, key: keys.index.record(), header_length };
    let (written, hash) = out.finish(record, &context, signer)?;
    let header = verify_new(storage, keys, &bytes, &written, &hash)?;
    Ok((Revision { sequence: written.sequence, hash }, header))
}

/// Copies all that the old root reaches: what `each` leaves as it is stays sealed as it is, pages are sealed anew.
fn copy_tree(state: &State, each: &mut Option<Box<EachValue<'_>>>, writer: &mut TreeWriter<'_, '_>) -> Result<Root, StoreError> {
    let reader = state.reader();
    let mut lineage = lineage(state)?;
    // In one piece, a tree of any size is built in full pages from left to right.
    let mut changes: Vec<Change> = Vec::new();
    let mut size = 0;
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
            let value = match each {
                None => value,
                Some(each) => match each(key, value)? {
                    Some(value) => value,
                    None => return Ok(Walk::Continue(())),
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
    Ok(root)
}

/// The keys that remember earlier records: those of the old file, those that it remembered, back to the limit.
pub(super) fn lineage(state: &State) -> Result<BTreeSet<Vec<u8>>, StoreError> {
    let oldest = (state.newest.record.sequence + 1).saturating_sub(LINEAGE);
    let mut lineage = BTreeSet::new();
    let from = keyspace::lineage_from(oldest);
    state.reader().range(state.root(), &from, Some(&[keyspace::LINEAGE + 1]), &mut |key, _| {
        lineage.insert(key.to_vec());
        Ok(Walk::Continue(()))
    })?;
    let context = state.record_context();
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
fn verify_new(
    storage: &dyn Storage,
    keys: &FileKeys,
    header: &[u8],
    written: &Record,
    hash: &Hash,
) -> Result<UnverifiedHeader, StoreError> {
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
    Ok(parsed)
}
