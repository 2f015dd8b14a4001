//! Entry records in the tree, with all that belongs to them: how they are put, taken out, and removed.

use std::collections::BTreeSet;

use super::entries::Entry;
use super::error::Result;
use crate::format::keyspace;
use crate::format::record::{EntryRecord, Listing, MAX_VERSIONS};
use crate::format::rotation::Journal;
use crate::format::schedule::Schedule;
use crate::name::EntryId;
use crate::store::{Batch, Snapshot};

/// What is kept for this long is not dropped: the value before a rotation counts until its time is over.
pub(super) fn drop_versions(record: &mut EntryRecord, keep: usize, now: u64) -> Vec<u64> {
    let counts = record.rotations.last.filter(|last| last.until > now).map(|last| last.previous);
    let mut surplus = record.versions.len().saturating_sub(keep);
    let full = record.versions.len() > MAX_VERSIONS;
    let mut dropped = Vec::new();
    record.versions.retain(|version| {
        let goes = surplus > 0 && (Some(version.number) != counts || full) && version.number != record.current;
        if goes {
            surplus -= 1;
            dropped.push(version.number);
        }
        !goes
    });
    dropped
}

/// Removes an entry and what the vault keeps of it beside: its schedule, and the journal of its rotation.
pub(super) fn remove_entry(snapshot: &dyn Snapshot, batch: &mut Batch, entry: &Entry) -> Result<()> {
    for kind in [Schedule::RECORD, Journal::RECORD] {
        let key = keyspace::system(kind, &entry.uid_hex());
        // Removing what is not there would write a page anew.
        if snapshot.get(&key)?.is_some() {
            batch.delete(key);
        }
    }
    take_out(batch, entry);
    Ok(())
}

/// Removes an entry from its place.
pub(super) fn take_out(batch: &mut Batch, entry: &Entry) {
    let (id, record) = (entry.id(), entry.record());
    batch.delete(keyspace::entry(id));
    for version in &record.versions {
        batch.delete(keyspace::value(id, version.number));
    }
    batch.delete(keyspace::listing(id));
    for key in index_keys(id, record) {
        batch.delete(key);
    }
    batch.count_entries(-1);
}

/// Puts a record and whatever of its index keys is not there already.
pub(super) fn put_record(batch: &mut Batch, id: &EntryId, record: &EntryRecord, old: Option<&EntryRecord>) {
    batch.put(keyspace::entry(id), record.encode().to_vec());
    let old_keys = old.map(|old| index_keys(id, old)).unwrap_or_default();
    let keys = index_keys(id, record);
    for key in old_keys.difference(&keys) {
        batch.delete(key.clone());
    }
    for key in keys.difference(&old_keys) {
        batch.put(key.clone(), Vec::new());
    }
    if old.is_none_or(|old| old.expires != record.expires) {
        batch.put(keyspace::listing(id), Listing::new(record.expires).encode().to_vec());
    }
}

fn index_keys(id: &EntryId, record: &EntryRecord) -> BTreeSet<Vec<u8>> {
    let category = record.category.as_ref().map(|category| keyspace::category(category, id));
    let expires = record.expires.map(|at| keyspace::time(keyspace::EXPIRY, at, id));
    let due = record.due.map(|at| keyspace::time(keyspace::DUE, at, id));
    [category, expires, due].into_iter().flatten().collect()
}
