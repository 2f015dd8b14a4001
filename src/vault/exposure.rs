//! The worklist that a removed slot leaves behind: what it could read and is still current (SPEC, section 6).
//!
//! Keys that change keep a removed slot from what is written later. What it could read it may have kept, so each such value stays on the list until
//! the entry has another one.

use std::collections::HashMap;

use super::Vault;
use super::error::{Error, ErrorKind, Result};
use super::read::walk;
use super::slots::opens;
use crate::format::FormatError;
use crate::format::exposure::{Exposed, ExposureKey, Removal};
use crate::format::header::{Slot, SlotLabel};
use crate::format::keyspace::{self, EntryKey};
use crate::format::record::EntryRecord;
use crate::name::EntryId;
use crate::store::{Batch, Snapshot, Walk};

/// A removed slot, and what of that which it could read is still current.
#[derive(Debug, Clone)]
pub struct Exposure {
    /// What people called the slot.
    pub label: String,
    /// When it was removed, in milliseconds.
    pub removed: u64,
    /// `passphrase`, `raw`, `age`, …
    pub kind: String,
    /// The public half.
    pub recipient: String,
    /// How many entries it could read when it was removed.
    pub total: u64,
    /// The entries whose current value it could read, with the version that is current now.
    pub open: Vec<(EntryId, u64)>,
}

/// Notes in `batch` what a slot that is being removed can read. Returns how many entries that are.
pub(super) fn note_removal(snapshot: &dyn Snapshot, batch: &mut Batch, slot: &Slot, label: &SlotLabel, now: u64) -> Result<u64> {
    // Labels of old may hold what ends a text in keys.
    let name: String = label.text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let removal = Removal::new(slot.recipient.clone(), slot.kind.word().to_owned());
    batch.put(keyspace::exposure(&name, now), removal.encode().to_vec());
    let mut exposed = 0;
    each_record(snapshot, &mut |_, record| {
        let current = record.versions.last().ok_or(FormatError::Malformed("an entry has no version"))?;
        if slot.full || opens(&label.compartments, &current.compartment) {
            // Whoever opens everything has also read the value that a rotation is about to bring.
            let read = record.current.saturating_add(u64::from(slot.full && record.rotations.pending));
            batch.put(keyspace::exposed(&name, now, &record.uid), Exposed::new(read).encode().to_vec());
            exposed += 1;
        }
        Ok(())
    })?;
    Ok(exposed)
}

/// Puts a copy of an exposed value on the lists on which the original stands.
pub(super) fn note_copy(snapshot: &dyn Snapshot, batch: &mut Batch, from: &EntryRecord, to: &EntryRecord) -> Result<()> {
    for (label, removed, _) in removals(snapshot)? {
        let Some(stored) = snapshot.get(&keyspace::exposed(&label, removed, &from.uid))? else { continue };
        if origin(from) <= Exposed::decode(&stored)?.version {
            batch.put(keyspace::exposed(&label, removed, &to.uid), Exposed::new(to.current).encode().to_vec());
        }
    }
    Ok(())
}

/// The version whose value is current: the one that a rollback repeated, or the current one itself.
fn origin(record: &EntryRecord) -> u64 {
    record.versions.last().map_or(0, |version| version.repeats.unwrap_or(version.number))
}

fn removals(snapshot: &dyn Snapshot) -> Result<Vec<(String, u64, Removal)>> {
    let mut found = Vec::new();
    // From one removal to the next: what stands on a list is not walked.
    let mut from = vec![keyspace::EXPOSURE];
    loop {
        let mut next = None;
        snapshot.range(&from, keyspace::after(&[keyspace::EXPOSURE]).as_deref(), &mut |key, value| {
            let ExposureKey { label, removed, uid: None } = keyspace::parse_exposure(key)? else {
                return Err(FormatError::Malformed("what a removed slot could read stands without the slot").into());
            };
            let value = value.ok_or(FormatError::Malformed("the record of a removed slot is too long"))?;
            next = Some((label.to_owned(), removed, Removal::decode(value)?));
            Ok(Walk::Break(()))
        })?;
        let Some((label, removed, removal)) = next else { return Ok(found) };
        match keyspace::after(&keyspace::exposure(&label, removed)) {
            Some(after) => from = after,
            None => return Ok(found),
        }
        found.push((label, removed, removal));
    }
}

/// Reads every record of the keyspace: each entry that was readable stands behind the slot that could read it.
pub(super) fn check(snapshot: &dyn Snapshot) -> Result<()> {
    let mut last = None;
    walk(snapshot, &[keyspace::EXPOSURE], &mut |key, value| {
        let ExposureKey { label, removed, uid } = keyspace::parse_exposure(key)?;
        let value = value.ok_or(FormatError::Malformed("the record of a removed slot is too long"))?;
        if uid.is_none() {
            Removal::decode(value)?;
            last = Some((label.to_owned(), removed));
        } else if last.as_ref().is_some_and(|(slot, time)| slot == label && *time == removed) {
            Exposed::decode(value)?;
        } else {
            return Err(FormatError::Malformed("what a removed slot could read stands without the slot").into());
        }
        Ok(Walk::Continue(()))
    })
}

fn each_record(snapshot: &dyn Snapshot, visit: &mut dyn FnMut(EntryId, EntryRecord) -> Result<()>) -> Result<()> {
    walk(snapshot, &[keyspace::ENTRY], &mut |key, value| {
        if let EntryKey::Record(id) = keyspace::parse_entry_key(key)? {
            let record = match value {
                Some(value) => EntryRecord::decode(value)?,
                None => EntryRecord::decode(&snapshot.get(key)?.ok_or_else(super::read::index_damaged)?)?,
            };
            visit(id, record)?;
        }
        Ok(Walk::Continue(()))
    })
}

impl Vault {
    /// The removed slots, those of one label or all, each with what it could read and is still current.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if no slot of this label was removed.
    pub fn exposures(&self, label: Option<&str>) -> Result<Vec<Exposure>> {
        self.read(&mut |snapshot| {
            let snapshot = snapshot.as_ref();
            let removals = removals(snapshot)?;
            let mut current: HashMap<[u8; 16], (EntryId, u64, u64)> = HashMap::new();
            if !removals.is_empty() {
                each_record(snapshot, &mut |id, record| {
                    current.insert(record.uid, (id, origin(&record), record.current));
                    Ok(())
                })?;
            }
            let mut exposures = Vec::new();
            for (name, removed, removal) in removals {
                if label.is_some_and(|label| label != name) {
                    continue;
                }
                let mut exposure = Exposure {
                    removed,
                    kind: removal.kind,
                    recipient: removal.recipient,
                    total: 0,
                    open: Vec::new(),
                    label: name,
                };
                let list = keyspace::exposure(&exposure.label, removed);
                walk(snapshot, &list, &mut |key, value| {
                    let (Some(uid), Some(value)) = (keyspace::parse_exposure(key)?.uid, value) else {
                        return Ok(Walk::Continue(()));
                    };
                    exposure.total += 1;
                    let version = Exposed::decode(value)?.version;
                    // One that was removed is nobody's any more.
                    if let Some((id, origin, current)) = current.get(&uid)
                        && *origin <= version
                    {
                        exposure.open.push((id.clone(), *current));
                    }
                    Ok(Walk::Continue(()))
                })?;
                exposure.open.sort();
                exposures.push(exposure);
            }
            match label {
                Some(label) if exposures.is_empty() => {
                    Err(Error::new(ErrorKind::NotFound, "no_slot", format!("no slot '{label}' was removed from this vault")))
                }
                _ => Ok(exposures),
            }
        })
    }
}
