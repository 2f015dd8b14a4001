//! Changing entries. What a change depends on is read under the lock, and all of a change is one commit.

use std::collections::{BTreeMap, BTreeSet};

use super::entries::Entry;
use super::error::{Error, ErrorKind, Result};
use super::exposure::note_copy;
use super::read::{entry_in, not_found};
use super::{Vault, not_permitted};
use crate::crypto;
use crate::format::keyspace;
use crate::format::record::{EntryRecord, Kind, Listing, MAX_LABELS, MAX_META, MAX_VALUE, MAX_VERSIONS, Version};
use crate::name::{Category, EntryId, Tag};
use crate::secret::SecretValue;
use crate::store::{Batch, Committed, Snapshot, StoreError, Walk};

/// What becomes of something that an entry may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It becomes this.
    Set(T),
    /// It goes.
    Clear,
}

/// A write of one entry.
#[derive(Default)]
pub struct Write {
    /// The new value and its kind; `None` changes metadata only and makes no version.
    pub value: Option<(SecretValue, Kind)>,
    /// The category.
    pub category: Change<Category>,
    /// The tags, all of them.
    pub tags: Change<BTreeSet<Tag>>,
    /// Metadata by key: a new value, or `None` to remove.
    pub meta: BTreeMap<String, Option<String>>,
    /// When the entry expires.
    pub expires: Change<u64>,
    /// The current version must be this one (0: there must be none).
    pub if_version: Option<u64>,
    /// The entry must not exist.
    pub create_only: bool,
    /// The entry must exist.
    pub update_only: bool,
}

impl Write {
    /// The same write with another value.
    pub fn with_value(&self, value: SecretValue, kind: Kind) -> Self {
        Self {
            value: Some((value, kind)),
            category: self.category.clone(),
            tags: self.tags.clone(),
            meta: self.meta.clone(),
            expires: self.expires.clone(),
            if_version: self.if_version,
            create_only: self.create_only,
            update_only: self.update_only,
        }
    }

    /// A write of a value, with everything else kept.
    pub fn value(value: SecretValue, kind: Kind) -> Self {
        Self { value: Some((value, kind)), ..Self::default() }
    }
}

/// What a write led to.
#[derive(Debug)]
pub struct Outcome {
    /// The entry's current version.
    pub version: u64,
    /// Whether the entry is new.
    pub created: bool,
    /// Something that the user should know though the write holds.
    pub note: Option<String>,
}

/// Makes a write from the current entry and its value, or from nothing if there is none.
pub type MakeWrite<'a> = dyn FnMut(Option<(&Entry, &SecretValue)>) -> Result<Write> + 'a;

impl Vault {
    /// Writes one entry.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if `if_version` or `create_only` does not hold, [`ErrorKind::NotFound`] if only metadata is to change and there is no entry.
    pub fn set(&self, id: &EntryId, write: Write, now: u64) -> Result<Outcome> {
        self.change(now, &mut |snapshot, batch| self.write_entry(snapshot, batch, id, &write, now))
            .map(|((version, created), note)| Outcome { version, created, note })
    }

    /// Makes a new value from the current one under the lock, so that nothing written in between is lost.
    pub fn update(&self, id: &EntryId, now: u64, if_version: Option<u64>, make: &mut MakeWrite<'_>) -> Result<Outcome> {
        self.change(now, &mut |snapshot, batch| {
            let entry = entry_in(snapshot, id)?;
            let mut write = match &entry {
                Some(entry) => {
                    let value = self.value_in(snapshot, entry, None)?;
                    make(Some((entry, &value)))?
                }
                None => make(None)?,
            };
            write.if_version = write.if_version.or(if_version);
            self.write_entry(snapshot, batch, id, &write, now)
        })
        .map(|((version, created), note)| Outcome { version, created, note })
    }

    /// Makes version `number` current again, as a new version.
    pub fn rollback(&self, id: &EntryId, number: u64, now: u64) -> Result<Outcome> {
        self.change(now, &mut |snapshot, batch| {
            let entry = entry_in(snapshot, id)?.ok_or_else(|| not_found(id))?;
            let value = self.value_in(snapshot, &entry, Some(number))?;
            let version = entry.record().version(number).ok_or_else(missing_value)?;
            let write = Write { value: Some((value, version.kind)), ..Write::default() };
            self.write_version(snapshot, batch, id, &write, Some(version.repeats.unwrap_or(number)), now)
        })
        .map(|((version, created), note)| Outcome { version, created, note })
    }

    /// Removes entries with all their versions; all of them or none.
    pub fn remove(&self, ids: &[EntryId], now: u64) -> Result<Option<String>> {
        self.change(now, &mut |snapshot, batch| {
            for id in ids {
                let entry = entry_in(snapshot, id)?.ok_or_else(|| not_found(id))?;
                remove_entry(batch, &entry);
            }
            Ok(())
        })
        .map(|((), note)| note)
    }

    /// Gives an entry another name or environment; versions and metadata stay.
    pub fn rename(&self, from: &EntryId, to: &EntryId, overwrite: bool, now: u64) -> Result<Option<String>> {
        if from == to {
            return Err(Error::usage("the old and the new name are the same"));
        }
        self.change(now, &mut |snapshot, batch| {
            let entry = entry_in(snapshot, from)?.ok_or_else(|| not_found(from))?;
            make_room(snapshot, batch, to, overwrite)?;
            let record = entry.record();
            if self.compartment(record.category.as_ref(), from) != self.compartment(record.category.as_ref(), to) {
                return self.move_sealed_anew(snapshot, batch, &entry, to, now);
            }
            // Values bind to the entry's uid and not to its name: they move as they are sealed.
            for version in &record.versions {
                let sealed = snapshot.get(&keyspace::value(from, version.number))?.ok_or_else(missing_value)?;
                batch.put(keyspace::value(to, version.number), sealed);
            }
            remove_entry(batch, &entry);
            put_record(batch, to, &EntryRecord { modified: now, ..record.clone() }, None);
            batch.count_entries(1);
            Ok(())
        })
        .map(|((), note)| note)
    }

    /// Copies the current value and the metadata of an entry to another name: a new entry with its own versions.
    pub fn copy(&self, from: &EntryId, to: &EntryId, overwrite: bool, now: u64) -> Result<Option<String>> {
        if from == to {
            return Err(Error::usage("the old and the new name are the same"));
        }
        self.change(now, &mut |snapshot, batch| {
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
            note_copy(snapshot, batch, old, &record)?;
            put_record(batch, to, &record, None);
            batch.count_entries(1);
            Ok(())
        })
        .map(|((), note)| note)
    }

    /// Begins a transaction, lets `make` fill a batch from what it reads there, and commits.
    pub(super) fn change<T>(
        &self,
        now: u64,
        make: &mut dyn FnMut(&dyn Snapshot, &mut Batch) -> Result<T>,
    ) -> Result<(T, Option<String>)> {
        const TRIES: usize = 16;
        self.may_write()?;
        for _ in 0..TRIES {
            let transaction = self.store.begin()?;
            refuse_unknown(transaction.snapshot())?;
            let mut batch = Batch::default();
            let made = make(transaction.snapshot(), &mut batch)?;
            // Nothing was written, so nothing was made durable that could be remembered.
            let unchanged = batch.is_empty();
            match transaction.commit(batch, now) {
                Ok(committed) => {
                    if !unchanged {
                        self.acknowledge(&committed);
                    }
                    let Committed { note, .. } = committed;
                    return Ok((made, note));
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    pub(super) fn write_entry(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        id: &EntryId,
        write: &Write,
        now: u64,
    ) -> Result<(u64, bool)> {
        self.write_version(snapshot, batch, id, write, None, now)
    }

    /// `repeats`: the version whose value this write brings back.
    fn write_version(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        id: &EntryId,
        write: &Write,
        repeats: Option<u64>,
        now: u64,
    ) -> Result<(u64, bool)> {
        let old = entry_in(snapshot, id)?;
        check_conditions(old.as_ref(), id, write)?;
        let created = old.is_none();
        let mut record = match &old {
            Some(entry) => entry.record().clone(),
            None if write.value.is_some() => {
                batch.count_entries(1);
                EntryRecord::new(crypto::random()?, now)
            }
            None => return Err(not_found(id)),
        };
        record.modified = now;
        apply(&mut record.category, &write.category);
        match &write.tags {
            Change::Keep => {}
            Change::Clear => record.tags.clear(),
            Change::Set(tags) => record.tags.clone_from(tags),
        }
        for (key, value) in &write.meta {
            match value {
                Some(value) => record.meta.insert(key.clone(), value.clone()),
                None => record.meta.remove(key),
            };
        }
        check_labels(&record)?;
        apply(&mut record.expires, &write.expires);
        if let Some(old) = &old {
            self.seal_for_compartment(snapshot, batch, old, &mut record)?;
        }
        if let Some((value, kind)) = &write.value {
            self.add_version(batch, id, &mut record, value, *kind, now)?;
            if let Some(last) = record.versions.last_mut() {
                last.repeats = repeats;
            }
            let keep = self.options.keep_versions.clamp(1, MAX_VERSIONS);
            while record.versions.len() > keep {
                let dropped = record.versions.remove(0);
                batch.delete(keyspace::value(id, dropped.number));
            }
        }
        put_record(batch, id, &record, old.as_ref().map(Entry::record));
        Ok((record.current, created))
    }

    /// Seals a value as the next version of a record.
    fn add_version(
        &self,
        batch: &mut Batch,
        id: &EntryId,
        record: &mut EntryRecord,
        value: &SecretValue,
        kind: Kind,
        now: u64,
    ) -> Result<()> {
        if value.expose().len() > MAX_VALUE {
            return Err(Error::new(ErrorKind::Usage, "value_too_large", format!("the value of '{id}' is larger than 16 MiB")));
        }
        let compartment = self.compartment(record.category.as_ref(), id);
        let key = self.keys.data().newest(&compartment).ok_or_else(not_permitted)?.number;
        let number = record.current.checked_add(1).ok_or(StoreError::TooLarge("no version number is left"))?;
        let version = Version::new(number, now, kind, key, compartment);
        batch.put(keyspace::value(id, version.number), self.seal(&record.uid, &version, value)?);
        record.current = version.number;
        record.versions.push(version);
        Ok(())
    }

    /// Seals the values of an entry anew that belong to another compartment since its category changed: whoever may read the one is not to read
    /// what was moved out of it, and the other way round.
    fn seal_for_compartment(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        old: &Entry,
        record: &mut EntryRecord,
    ) -> Result<()> {
        let id = old.id();
        let compartment = self.compartment(record.category.as_ref(), id);
        if compartment == self.compartment(old.record().category.as_ref(), id) {
            return Ok(());
        }
        self.seal_versions(snapshot, batch, old, record, id, &compartment)
    }

    /// Opens all values of an entry and seals them for a compartment, at a place.
    fn seal_versions(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        old: &Entry,
        record: &mut EntryRecord,
        to: &EntryId,
        compartment: &str,
    ) -> Result<()> {
        let key = self.keys.data().newest(compartment).ok_or_else(not_permitted)?.number;
        for version in &mut record.versions {
            let value = self.value_in(snapshot, old, Some(version.number))?;
            version.key = key;
            compartment.clone_into(&mut version.compartment);
            batch.put(keyspace::value(to, version.number), self.seal(&record.uid, version, &value)?);
        }
        Ok(())
    }

    /// Moves an entry whose values belong to another compartment at its new place: each is opened and sealed anew.
    fn move_sealed_anew(&self, snapshot: &dyn Snapshot, batch: &mut Batch, entry: &Entry, to: &EntryId, now: u64) -> Result<()> {
        let mut record = EntryRecord { modified: now, ..entry.record().clone() };
        let compartment = self.compartment(record.category.as_ref(), to);
        self.seal_versions(snapshot, batch, entry, &mut record, to, &compartment)?;
        remove_entry(batch, entry);
        put_record(batch, to, &record, None);
        batch.count_entries(1);
        Ok(())
    }
}

/// A keyspace of a later version that is critical: whoever does not know it would leave it behind untrue.
pub(super) fn refuse_unknown(snapshot: &dyn Snapshot) -> Result<()> {
    for (from, to) in keyspace::UNKNOWN {
        let mut found = false;
        snapshot.range(&[from], Some(&[to]), &mut |_, _| {
            found = true;
            Ok(Walk::Break(()))
        })?;
        if found {
            return Err(StoreError::Newer(
                "the vault holds data of a newer version, so this one does not write to it".to_owned(),
            )
            .into());
        }
    }
    Ok(())
}

fn apply<T: Clone>(target: &mut Option<T>, change: &Change<T>) {
    match change {
        Change::Keep => {}
        Change::Clear => *target = None,
        Change::Set(value) => *target = Some(value.clone()),
    }
}

fn check_conditions(old: Option<&Entry>, id: &EntryId, write: &Write) -> Result<()> {
    if write.create_only && old.is_some() {
        return Err(Error::new(ErrorKind::Conflict, "exists", format!("'{id}' exists already"))
            .hint("without --create-only it gets a new version"));
    }
    if write.update_only && old.is_none() {
        return Err(not_found(id));
    }
    let current = old.map_or(0, Entry::version);
    match write.if_version {
        Some(expected) if expected != current => Err(Error::new(
            ErrorKind::Conflict,
            "version_mismatch",
            if current == 0 {
                format!("'{id}' does not exist")
            } else {
                format!("'{id}' is at version {current}, not {expected}")
            },
        )
        .hint("read it again and decide anew")),
        _ => Ok(()),
    }
}

fn check_labels(record: &EntryRecord) -> Result<()> {
    if record.tags.len() > MAX_LABELS || record.meta.len() > MAX_LABELS {
        return Err(Error::usage("an entry has at most 64 tags and 64 pairs of metadata"));
    }
    for (key, value) in &record.meta {
        Tag::parse(key).map_err(|error| Error::name("metadata key", error))?;
        if value.len() > MAX_META {
            return Err(Error::usage(format!("the metadata value of '{key}' is longer than 4,096 bytes")));
        }
    }
    Ok(())
}

fn make_room(snapshot: &dyn Snapshot, batch: &mut Batch, to: &EntryId, overwrite: bool) -> Result<()> {
    match entry_in(snapshot, to)? {
        None => Ok(()),
        Some(entry) if overwrite => {
            remove_entry(batch, &entry);
            Ok(())
        }
        Some(_) => {
            Err(Error::new(ErrorKind::Conflict, "exists", format!("'{to}' exists already")).hint("use --force to replace it"))
        }
    }
}

fn missing_value() -> Error {
    StoreError::from(crate::format::FormatError::Malformed("the value of an entry is not there")).into()
}

pub(super) fn remove_entry(batch: &mut Batch, entry: &Entry) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::name::Name;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;
    use crate::vault::Options;

    #[test]
    fn an_entry_whose_version_numbers_are_used_up_takes_no_other() {
        let store = Arc::new(MemoryStore::new());
        let vault = Vault::over(store.clone(), Options::default()).unwrap();
        let id = EntryId::plain(Name::parse("a").unwrap());
        let value = || Write::value(SecretValue::from("x"), Kind::Text);
        vault.set(&id, value(), 1).unwrap();
        let mut record = vault.entry(&id).unwrap().unwrap().record().clone();
        (record.current, record.versions[0].number) = (u64::MAX, u64::MAX);
        let mut batch = Batch::default();
        batch.put(keyspace::entry(&id), record.encode().to_vec());
        store.begin().unwrap().commit(batch, 2).unwrap();
        assert!(vault.set(&id, value(), 3).is_err());
        assert_eq!(vault.entry(&id).unwrap().unwrap().version(), u64::MAX);
    }
}
