//! Changing entries. What a change depends on is read under the lock, and all of a change is one commit.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::{Belief, Clock};
use super::entries::Entry;
use super::error::{Error, ErrorKind, Result};
use super::read::{entry_in, not_found};
use super::records::{drop_versions, put_record, remove_entry};
use super::rotation::refuse_pending;
use super::{Vault, not_permitted};
use crate::crypto;
use crate::format::keyspace;
use crate::format::record::{EntryRecord, Kind, MAX_LABELS, MAX_META, MAX_VALUE, MAX_VERSIONS, Version};
use crate::format::rotation::LastRotation;
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
    /// The write is a rotation, and the value before it counts for so many milliseconds more.
    pub rotation: Option<u64>,
    /// The value is written though a rotation of the entry is under way, which then cannot put its own in place.
    pub force: bool,
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
            rotation: self.rotation,
            force: self.force,
            if_version: self.if_version,
            create_only: self.create_only,
            update_only: self.update_only,
        }
    }

    /// A write of a value, with everything else kept.
    pub fn value(value: SecretValue, kind: Kind) -> Self {
        Self { value: Some((value, kind)), ..Self::default() }
    }

    /// A rotation of an entry that is there: the value before it counts for so many milliseconds more, and the new one does not expire.
    pub fn rotation(value: SecretValue, kind: Kind, grace: u64) -> Self {
        Self { rotation: Some(grace), expires: Change::Clear, update_only: true, ..Self::value(value, kind) }
    }
}

/// What else there is to a write.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Circumstances {
    /// The version whose value it brings back.
    pub repeats: Option<u64>,
    /// It is the end of a rotation that was under way.
    pub ends_rotation: bool,
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
        self.change(now, &mut |snapshot, batch| self.update_in(snapshot, batch, id, if_version, make, now))
            .map(|((version, created), note)| Outcome { version, created, note })
    }

    pub(super) fn update_in(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        id: &EntryId,
        if_version: Option<u64>,
        make: &mut MakeWrite<'_>,
        now: u64,
    ) -> Result<(u64, bool)> {
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
    }

    /// Makes version `number` current again, as a new version. As every new value, it does not expire.
    pub fn rollback(&self, id: &EntryId, number: u64, now: u64) -> Result<Outcome> {
        let (outcome, note) = self.change(now, &mut |snapshot, batch| self.rollback_in(snapshot, batch, id, number, now))?;
        let notes: Vec<String> = outcome.note.iter().cloned().chain(note).collect();
        Ok(Outcome { note: (!notes.is_empty()).then(|| notes.join("; ")), ..outcome })
    }

    pub(super) fn rollback_in(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        id: &EntryId,
        number: u64,
        now: u64,
    ) -> Result<Outcome> {
        let entry = entry_in(snapshot, id)?.ok_or_else(|| not_found(id))?;
        let value = self.value_in(snapshot, &entry, Some(number))?;
        let version = entry.record().version(number).ok_or_else(missing_value)?;
        let write = Write { expires: Change::Clear, ..Write::value(value, version.kind) };
        let circumstances = Circumstances { repeats: Some(version.repeats.unwrap_or(number)), ..Circumstances::default() };
        let (version, created) = self.write_version(snapshot, batch, id, &write, circumstances, now)?;
        Ok(Outcome { version, created, note: entry.expires().map(|_| expires_no_more(id)) })
    }

    /// Removes entries with all their versions, and what else the vault keeps of them; all of them or none.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if a rotation of one is under way.
    pub fn remove(&self, ids: &[EntryId], now: u64) -> Result<Option<String>> {
        self.remove_entries(ids, false, now)
    }

    /// Removes entries whatever is under way with them.
    pub fn remove_all_the_same(&self, ids: &[EntryId], now: u64) -> Result<Option<String>> {
        self.remove_entries(ids, true, now)
    }

    fn remove_entries(&self, ids: &[EntryId], force: bool, now: u64) -> Result<Option<String>> {
        self.change(now, &mut |snapshot, batch| self.remove_in(snapshot, batch, ids, force)).map(|((), note)| note)
    }

    pub(super) fn remove_in(&self, snapshot: &dyn Snapshot, batch: &mut Batch, ids: &[EntryId], force: bool) -> Result<()> {
        for id in ids {
            let entry = entry_in(snapshot, id)?.ok_or_else(|| not_found(id))?;
            if !force {
                refuse_pending(snapshot, &entry)?;
            }
            remove_entry(snapshot, batch, &entry)?;
        }
        Ok(())
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
            let clock = self.clock(now);
            let mut batch = Batch::default();
            let made = make(transaction.snapshot(), &mut batch)?;
            // Nothing was written, so nothing was made durable that could be remembered.
            let unchanged = batch.is_empty();
            match transaction.commit(batch, clock.for_commit()) {
                Ok(committed) => {
                    if unchanged {
                        return Ok((made, committed.note));
                    }
                    self.acknowledge(&committed);
                    let Committed { note, .. } = committed;
                    let notes: Vec<String> = note.into_iter().chain(doubt(&clock)).collect();
                    return Ok((made, (!notes.is_empty()).then(|| notes.join("; "))));
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
        self.write_version(snapshot, batch, id, write, Circumstances::default(), now)
    }

    pub(super) fn write_version(
        &self,
        snapshot: &dyn Snapshot,
        batch: &mut Batch,
        id: &EntryId,
        write: &Write,
        circumstances: Circumstances,
        now: u64,
    ) -> Result<(u64, bool)> {
        let old = entry_in(snapshot, id)?;
        check_conditions(old.as_ref(), id, write)?;
        if let Some(entry) = old.as_ref().filter(|_| write.value.is_some() && !write.force && !circumstances.ends_rotation) {
            refuse_pending(snapshot, entry)?;
        }
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
            let previous = record.current;
            self.add_version(batch, id, &mut record, value, *kind, now)?;
            if let Some(last) = record.versions.last_mut() {
                last.repeats = circumstances.repeats;
            }
            if let Some(grace) = write.rotation {
                record.rotations.advance(LastRotation { time: now, until: now.saturating_add(grace), previous });
            }
            let keep = self.options.keep_versions.clamp(1, MAX_VERSIONS);
            for dropped in drop_versions(&mut record, keep, now) {
                batch.delete(keyspace::value(id, dropped));
            }
        }
        if circumstances.ends_rotation {
            record.rotations.pending = false;
        }
        record.due = self.next_due(snapshot, batch, &record, old.as_ref().map(Entry::record), write.value.is_some(), now)?;
        put_record(batch, id, &record, old.as_ref().map(Entry::record));
        Ok((record.current, created))
    }

    /// Seals a value as the next version of a record.
    pub(super) fn add_version(
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
    pub(super) fn seal_versions(
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

/// What is said of a clock that is not believed: times that were written by it may be wrong.
fn doubt(clock: &Clock) -> Option<String> {
    const DAY: u64 = 86_400_000;
    let days = clock.now().abs_diff(clock.newest()?) / DAY;
    let how = match clock.belief() {
        Belief::Believed => return None,
        Belief::Ahead => "ahead of",
        Belief::Behind => "behind",
    };
    Some(format!(
        "the clock of this machine is {days} days {how} the vault's newest commit, and is not believed (--trust-clock, if it is right)"
    ))
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
    match (write.if_version, old) {
        (Some(expected), Some(old)) => old.expect_version(expected),
        (Some(expected), None) if expected > 0 => Err(version_mismatch(format!("'{id}' does not exist"))),
        _ => Ok(()),
    }
}

impl Entry {
    /// Refuses the entry if its current version is another one.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] then.
    pub fn expect_version(&self, expected: u64) -> Result<()> {
        if self.version() == expected {
            return Ok(());
        }
        Err(version_mismatch(format!("'{}' is at version {}, not {expected}", self.id(), self.version())))
    }
}

/// What is said where a new value ends a time that nobody may have thought of.
pub fn expires_no_more(id: &EntryId) -> String {
    format!("'{id}' does not expire any more: its time was that of the value before (`set --meta-only --ttl` gives it another)")
}

fn version_mismatch(message: String) -> Error {
    Error::new(ErrorKind::Conflict, "version_mismatch", message).hint("read it again and decide anew")
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

pub(super) fn missing_value() -> Error {
    StoreError::from(crate::format::FormatError::Malformed("the value of an entry is not there")).into()
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
