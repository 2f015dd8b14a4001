//! Verifying a whole vault: every byte of the file, every record against the indexes, every value that the key opens.

use std::collections::BTreeMap;

use super::Vault;
use super::entries::Entry;
use super::error::{ErrorKind, Result};
use super::read::{index_damaged, walk};
use crate::format::FormatError;
use crate::format::keyspace::{self, EntryKey};
use crate::format::record::{EntryRecord, Listing};
use crate::format::slot::OlderKey;
use crate::store::{Snapshot, Walk};

/// What a check of a whole vault found to be sound.
#[derive(Debug, Clone, Copy)]
pub struct Checked {
    /// Length of the file.
    pub bytes: u64,
    /// Commits in the file.
    pub commits: u64,
    /// Entries.
    pub entries: u64,
    /// Versions whose values were opened.
    pub values: u64,
    /// Versions whose values the key at hand does not open.
    pub closed: u64,
    /// Bytes behind the newest commit that belong to none.
    pub tail: u64,
}

/// How many keys there should be of each kind, as the entry records tell.
#[derive(Default)]
struct Expected {
    values: u64,
    categories: u64,
    expiries: u64,
    dues: u64,
}

impl Vault {
    /// Verifies every byte of the file, every record of an entry against the indexes, and opens every value, every older data key and every
    /// system record that the key opens.
    pub fn check(&self) -> Result<Checked> {
        let file = match &self.file {
            Some(file) => Some(file.store.check()?),
            None => None,
        };
        let snapshot = self.store.snapshot()?;
        let snapshot = snapshot.as_ref();
        let mut checked = Checked {
            bytes: file.map_or(0, |file| file.bytes),
            commits: file.map_or(0, |file| file.commits),
            entries: 0,
            values: 0,
            closed: 0,
            tail: file.map_or(0, |file| file.tail),
        };
        refuse_empty_key(snapshot)?;
        let (expected, stored_values) = self.check_entries(snapshot, &mut checked)?;
        // Each entry's own keys are there; as many as there should be means that there are no others.
        let listed = count(snapshot, keyspace::LISTING, false)?;
        let agrees = listed == checked.entries
            && checked.entries == snapshot.entries()
            && stored_values == expected.values
            && count(snapshot, keyspace::CATEGORY, true)? == expected.categories
            && count(snapshot, keyspace::EXPIRY, true)? == expected.expiries
            && count(snapshot, keyspace::DUE, true)? == expected.dues;
        if !agrees {
            return Err(index_damaged());
        }
        count(snapshot, keyspace::LINEAGE, true)?;
        self.check_older_keys(snapshot)?;
        super::exposure::check(snapshot)?;
        self.check_system(snapshot)?;
        Ok(checked)
    }

    /// Walks entry records and values; returns what the records lead one to expect, and how many values are stored.
    fn check_entries(&self, snapshot: &dyn Snapshot, checked: &mut Checked) -> Result<(Expected, u64)> {
        let mut expected = Expected::default();
        let mut stored_values = 0u64;
        walk(snapshot, &[keyspace::ENTRY], &mut |key, value| {
            let id = match keyspace::parse_entry_key(key)? {
                EntryKey::Value(..) => {
                    stored_values += 1;
                    return Ok(Walk::Continue(()));
                }
                EntryKey::Record(id) => id,
            };
            let record = match value {
                Some(value) => EntryRecord::decode(value)?,
                None => EntryRecord::decode(&snapshot.get(key)?.ok_or_else(index_damaged)?)?,
            };
            let entry = Entry::new(id, record);
            check_indexes(snapshot, &entry)?;
            let record = entry.record();
            expected.categories += u64::from(record.category.is_some());
            expected.expiries += u64::from(record.expires.is_some());
            expected.dues += u64::from(record.due.is_some());
            expected.values += record.versions.len() as u64;
            checked.entries += 1;
            for version in entry.versions() {
                match self.value_in(snapshot, &entry, Some(version.number)) {
                    Ok(_) => checked.values += 1,
                    Err(error) if error.kind() == ErrorKind::NotPermitted => checked.closed += 1,
                    Err(error) => return Err(error),
                }
            }
            Ok(Walk::Continue(()))
        })?;
        Ok((expected, stored_values))
    }

    /// Opens the older data keys of each compartment whose newest key is at hand: from the newest down, each by the next newer one.
    fn check_older_keys(&self, snapshot: &dyn Snapshot) -> Result<()> {
        let mut chains: BTreeMap<String, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
        walk(snapshot, &[keyspace::OLDER_KEY], &mut |key, value| {
            let (compartment, number) = keyspace::parse_older_key(key)?;
            let stored = value.ok_or_else(index_damaged)?.to_vec();
            chains.entry(compartment.to_owned()).or_default().push((number, stored));
            Ok(Walk::Continue(()))
        })?;
        for (compartment, chain) in &chains {
            let Some(newest) = self.keys.data().newest(compartment) else {
                // Only a limited key lacks the newest of a compartment that has older ones.
                if self.limited() {
                    continue;
                }
                return Err(FormatError::Malformed("there are older data keys of a compartment that has no newest").into());
            };
            let mut opened = None;
            for (number, stored) in chain.iter().rev() {
                let newer = opened.as_ref().unwrap_or(newest);
                let older = OlderKey { id: &self.id, compartment, number: *number };
                if *number >= newer.number || older.sealed_by(stored)? != newer.number {
                    return Err(FormatError::Malformed("an older data key is not sealed by the next newer one").into());
                }
                opened = Some(older.open(stored, newer)?);
            }
        }
        Ok(())
    }
}

/// Every key begins with its keyspace; the empty one would belong to none.
fn refuse_empty_key(snapshot: &dyn Snapshot) -> Result<()> {
    let mut found = false;
    snapshot.range(&[], Some(&[0]), &mut |_, _| {
        found = true;
        Ok(Walk::Break(()))
    })?;
    if found { Err(FormatError::Malformed("a key of the tree is empty").into()) } else { Ok(()) }
}

/// Counts the keys of a keyspace; those of an index have nothing behind them.
fn count(snapshot: &dyn Snapshot, space: u8, empty: bool) -> Result<u64> {
    let mut stored = 0;
    walk(snapshot, &[space], &mut |_, value| {
        if empty && value != Some(&[]) {
            return Err(index_damaged());
        }
        stored += 1;
        Ok(Walk::Continue(()))
    })?;
    Ok(stored)
}

fn check_indexes(snapshot: &dyn Snapshot, entry: &Entry) -> Result<()> {
    let id = entry.id();
    let listing = snapshot.get(&keyspace::listing(id))?.ok_or_else(index_damaged)?;
    let mut holds = Listing::decode(&listing)?.expires == entry.expires();
    let category = entry.category().map(|category| keyspace::category(category, id));
    let expires = entry.expires().map(|expires| keyspace::time(keyspace::EXPIRY, expires, id));
    let due = entry.record().due.map(|due| keyspace::time(keyspace::DUE, due, id));
    for key in [category, expires, due].into_iter().flatten() {
        holds &= snapshot.get(&key)?.is_some();
    }
    if holds { Ok(()) } else { Err(index_damaged()) }
}
