//! Entries under other names: moved with all their versions, or copied as they are now. Both are one commit.

use super::Vault;
use super::entries::Entry;
use super::error::{Error, ErrorKind, Result};
use super::exposure::note_copy;
use super::read::{entry_in, not_found};
use super::records::{put_record, remove_entry, take_out};
use super::rotation::refuse_pending;
use super::write::missing_value;
use crate::crypto;
use crate::format::keyspace;
use crate::format::record::EntryRecord;
use crate::name::EntryId;
use crate::store::{Batch, Snapshot};

impl Vault {
    /// Gives an entry another name or environment; versions and metadata stay.
    pub fn rename(&self, from: &EntryId, to: &EntryId, overwrite: bool, now: u64) -> Result<Option<String>> {
        self.change(now, &mut |snapshot, batch| self.rename_in(snapshot, batch, from, to, overwrite, now)).map(|((), note)| note)
    }

    pub(super) fn rename_in(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        from: &EntryId,
        to: &EntryId,
        overwrite: bool,
        now: u64,
    ) -> Result<()> {
        refuse_same(from, to)?;
        let entry = entry_in(snapshot, from)?.ok_or_else(|| not_found(from))?;
        make_room(snapshot, batch, to, overwrite)?;
        self.rename_journal(snapshot, batch, &entry, to)?;
        let record = entry.record();
        if self.compartment(record.category.as_ref(), from) != self.compartment(record.category.as_ref(), to) {
            return self.move_sealed_anew(snapshot, batch, &entry, to, now);
        }
        // Values bind to the entry's uid and not to its name: they move as they are sealed.
        for version in &record.versions {
            let sealed = snapshot.get(&keyspace::value(from, version.number))?.ok_or_else(missing_value)?;
            batch.put(keyspace::value(to, version.number), sealed);
        }
        take_out(batch, &entry);
        put_record(batch, to, &EntryRecord { modified: now, ..record.clone() }, None);
        batch.count_entries(1);
        Ok(())
    }

    /// Copies the current value and the metadata of an entry to another name: a new entry with its own versions.
    pub fn copy(&self, from: &EntryId, to: &EntryId, overwrite: bool, now: u64) -> Result<Option<String>> {
        self.change(now, &mut |snapshot, batch| self.copy_in(snapshot, batch, from, to, overwrite, now)).map(|((), note)| note)
    }

    pub(super) fn copy_in(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        from: &EntryId,
        to: &EntryId,
        overwrite: bool,
        now: u64,
    ) -> Result<()> {
        refuse_same(from, to)?;
        let entry = entry_in(snapshot, from)?.ok_or_else(|| not_found(from))?;
        make_room(snapshot, batch, to, overwrite)?;
        let value = self.value_in(snapshot, &entry, None)?;
        let old = entry.record();
        let mut record = EntryRecord::new(crypto::random()?, now);
        record.category.clone_from(&old.category);
        record.tags.clone_from(&old.tags);
        record.meta.clone_from(&old.meta);
        record.expires = old.expires;
        self.add_version(batch, to, &mut record, &value, entry.kind(), now)?;
        record.due = self.next_due(snapshot, &mut Batch::default(), &record, None, true, now)?;
        note_copy(snapshot, batch, old, &record)?;
        put_record(batch, to, &record, None);
        batch.count_entries(1);
        Ok(())
    }

    /// Moves an entry whose values belong to another compartment at its new place: each is opened and sealed anew.
    fn move_sealed_anew(&self, snapshot: &dyn Snapshot, batch: &mut Batch, entry: &Entry, to: &EntryId, now: u64) -> Result<()> {
        let mut record = EntryRecord { modified: now, ..entry.record().clone() };
        let compartment = self.compartment(record.category.as_ref(), to);
        self.seal_versions(snapshot, batch, entry, &mut record, to, &compartment)?;
        take_out(batch, entry);
        put_record(batch, to, &record, None);
        batch.count_entries(1);
        Ok(())
    }
}

fn refuse_same(from: &EntryId, to: &EntryId) -> Result<()> {
    if from == to { Err(Error::usage("the old and the new name are the same")) } else { Ok(()) }
}

fn make_room(snapshot: &dyn Snapshot, batch: &mut Batch, to: &EntryId, overwrite: bool) -> Result<()> {
    match entry_in(snapshot, to)? {
        None => Ok(()),
        Some(entry) if overwrite => {
            refuse_pending(snapshot, &entry)?;
            remove_entry(snapshot, batch, &entry)
        }
        Some(_) => {
            Err(Error::new(ErrorKind::Conflict, "exists", format!("'{to}' exists already")).hint("use --force to replace it"))
        }
    }
}
