//! Joining two copies of one vault that were written apart: per entry, and per field of JSON values, from their common ancestor.
//!
//! Entries are the same if their uid is, whatever they are called by now. What one side changed since both parted is taken; where both changed the
//! same, both values stay as versions, one of them current, and the conflict is reported. All of it is one commit, whose record names the other
//! side's newest record (SPEC, section 5, key 8), so that the result descends from both.

mod entry;
mod fields;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod model;
mod names;
mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use entry::{Draft, Source, same, taken};

use super::entries::Entry;
use super::error::{Error, ErrorKind, Result};
use super::read::{index_damaged, walk};
use super::records::{put_record, take_out};
use super::write::refuse_unknown;
use super::{Vault, not_permitted};
use crate::crypto::Hash;
use crate::format::keyspace::{self, EntryKey};
use crate::format::record::{EntryRecord, MAX_LABELS, MAX_VERSIONS, Version};
use crate::name::EntryId;
use crate::store::{Batch, Revision, Snapshot, Walk};

/// One of two copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that takes the other's changes.
    Own,
    /// The other one.
    Other,
}

/// Something that both sides changed, each in its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeConflict {
    /// The entry, as it is called now.
    pub id: EntryId,
    /// `value`, the path of a field behind `#`, `category`, `meta KEY`, `removed`, `name`, …
    pub what: String,
    /// The version that is current now.
    pub version: u64,
    /// The version that holds the other value, where there is one.
    pub other: Option<u64>,
}

/// An entry that a merge wrote or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedEntry {
    /// The entry, as it is called now.
    pub id: EntryId,
    /// What stays the same whatever it is called.
    pub uid: [u8; 16],
    /// The version that is current now; of one that was removed the last one.
    pub version: u64,
    /// `added`, `changed` or `removed`.
    pub what: &'static str,
}

/// What a merge led to.
#[derive(Debug, Default)]
pub struct Merged {
    /// Entries that came from the other side.
    pub added: u64,
    /// Entries that the other side changed.
    pub changed: u64,
    /// Entries that the other side removed.
    pub removed: u64,
    /// Each of those.
    pub entries: Vec<MergedEntry>,
    /// What both changed.
    pub conflicts: Vec<MergeConflict>,
    /// How many system records both changed; those of the favoured side stand.
    pub system_conflicts: u64,
    /// Something that the user should know though the merge holds.
    pub note: Option<String>,
}

/// The state from which two copies went apart.
struct Ancestor<'a> {
    vault: &'a Vault,
    state: Arc<dyn Snapshot>,
}

/// What a merge works with.
struct Joining<'a> {
    own: &'a Vault,
    own_state: &'a dyn Snapshot,
    other: &'a Vault,
    other_state: &'a dyn Snapshot,
    base: Option<Ancestor<'a>>,
    favour: Side,
    now: u64,
}

/// What is to become of an entry.
struct Plan<'e> {
    draft: Draft,
    /// As it is on the own side, where it is there.
    own: Option<&'e Entry>,
    other: &'e Entry,
}

impl Plan<'_> {
    /// Whether it is there and gets another name.
    fn moves(&self) -> bool {
        self.own.is_some_and(|own| *own.id() != self.draft.id)
    }
}

type ByUid = BTreeMap<[u8; 16], Entry>;

impl Vault {
    /// Which of two copies can take the other's changes: this one, or only the other, because its keys were changed since they parted.
    ///
    /// # Errors
    /// [`ErrorKind::NotPermitted`] if these are no copies of one vault under one signing key, or a key is limited; [`ErrorKind::Conflict`] if the
    /// keys were changed on both sides.
    pub fn merge_side(&self, other: &Vault, base: Option<&Vault>) -> Result<Side> {
        let (Some(own_file), Some(other_file)) = (&self.file, &other.file) else { return Err(no_file()) };
        if self.limited() || other.limited() {
            return Err(Error::new(
                ErrorKind::NotPermitted,
                "read_only_key",
                "a limited key does not see all of a vault, and cannot merge",
            )
            .hint("use a key that is not limited"));
        }
        if self.id != other.id || own_file.store.keys().verifier.public() != other_file.store.keys().verifier.public() {
            return Err(Error::new(
                ErrorKind::NotPermitted,
                "other_vault",
                "these are not two copies of one vault: the id or the signing key is another",
            )
            .hint("after a change of the signing key, export what is new in the older copy and import it"));
        }
        let (own, theirs) = (own_file.store.header()?.without_epoch(), other_file.store.header()?.without_epoch());
        if own == theirs {
            return Ok(Side::Own);
        }
        let base = match base.filter(|base| base.id == self.id).and_then(|base| base.file.as_ref()) {
            Some(base) => Some(base.store.header()?.without_epoch()),
            None => None,
        };
        let before = match base.filter(|base| *base == own || *base == theirs) {
            Some(base) => Some(base),
            // The base may be from before a change of keys that both copies have.
            None => match self.parted(other)? {
                // A header never changes within one file.
                Some(common) if own_file.store.at(&common)?.is_some() => Some(own.clone()),
                Some(common) if other_file.store.at(&common)?.is_some() => Some(theirs.clone()),
                _ => None,
            },
        };
        match before {
            Some(before) if before == theirs => Ok(Side::Own),
            Some(before) if before == own => Ok(Side::Other),
            _ => Err(Error::new(
                ErrorKind::Conflict,
                "keys_changed_on_both_sides",
                "keys or slots were changed in both copies since they parted, and cannot be joined",
            )
            .hint("take one copy, export what is new in the other, and import it")),
        }
    }

    /// Takes the changes of another copy. `base`: the common ancestor, if it is at hand; else it is looked for in both files. In a conflict the
    /// value of the favoured side is the current one.
    ///
    /// # Errors
    /// Those of [`merge_side`](Self::merge_side).
    pub fn merge(&self, other: &Vault, base: Option<&Vault>, favour: Side, now: u64) -> Result<Merged> {
        if self.merge_side(other, base)? != Side::Own {
            return Err(Error::new(
                ErrorKind::Conflict,
                "keys_changed",
                "the keys of the other copy are newer: merge into that one",
            ));
        }
        let (Some(_), Some(other_file)) = (&self.file, &other.file) else { return Err(no_file()) };
        let theirs = other.store.snapshot()?;
        refuse_unknown(theirs.as_ref())?;
        let lineage = other_file.store.lineage()?;
        let (merged, note) = self.change(now, &mut |state, batch| {
            let missing = lineage.iter().filter_map(|key| match state.get(key) {
                Ok(Some(_)) => None,
                Ok(None) => Some(Ok(key.clone())),
                Err(error) => Some(Err(error)),
            });
            let own_lineage = self.file.as_ref().map(|file| file.store.lineage()).transpose()?.unwrap_or_default();
            let missing: Vec<Vec<u8>> = missing.collect::<std::result::Result<_, _>>()?;
            let missing: Vec<Vec<u8>> = missing.into_iter().filter(|key| !own_lineage.contains(key)).collect();
            if missing.is_empty() {
                // All that the other copy has came here before.
                return Ok(Merged::default());
            }
            let joining = Joining {
                own: self,
                own_state: state,
                other,
                other_state: theirs.as_ref(),
                base: self.ancestor(other, base)?,
                favour,
                now,
            };
            let merged = joining.run(batch)?;
            for key in missing {
                batch.put(key, Vec::new());
            }
            batch.merges(theirs.revision());
            Ok(merged)
        })?;
        Ok(Merged { note, ..merged })
    }

    /// The newest record that both files know.
    fn parted(&self, other: &Vault) -> Result<Option<Revision>> {
        let (Some(own), Some(theirs)) = (&self.file, &other.file) else { return Err(no_file()) };
        let (own, theirs) = (own.store.lineage()?, theirs.store.lineage()?);
        Ok(own.intersection(&theirs).last().and_then(|key| {
            let (sequence, hash) = key.get(1..)?.split_first_chunk::<8>()?;
            Some(Revision { sequence: u64::from_be_bytes(*sequence), hash: Hash(hash.try_into().ok()?) })
        }))
    }

    /// The state in which both copies were the same: the given one if both descend from it, else what either file still holds of it.
    fn ancestor<'a>(&'a self, other: &'a Vault, base: Option<&'a Vault>) -> Result<Option<Ancestor<'a>>> {
        let (Some(own_file), Some(other_file)) = (&self.file, &other.file) else { return Err(no_file()) };
        if let Some(vault) = base.filter(|base| base.id == self.id && !base.limited()) {
            let state = vault.store.snapshot()?;
            let revision = state.revision();
            if own_file.store.descends_from(&revision)? && other_file.store.descends_from(&revision)? {
                return Ok(Some(Ancestor { vault, state }));
            }
        }
        let Some(common) = self.parted(other)? else { return Ok(None) };
        for (vault, file) in [(self, own_file), (other, other_file)] {
            if let Some(state) = file.store.at(&common)? {
                return Ok(Some(Ancestor { vault, state }));
            }
        }
        Ok(None)
    }
}

fn no_file() -> Error {
    Error::new(ErrorKind::Internal, "internal", "this vault is not in a file")
}

fn by_uid(snapshot: &dyn Snapshot) -> Result<ByUid> {
    let mut all = BTreeMap::new();
    walk(snapshot, &[keyspace::ENTRY], &mut |key, value| {
        let EntryKey::Record(id) = keyspace::parse_entry_key(key)? else { return Ok(Walk::Continue(())) };
        let record = match value {
            Some(value) => EntryRecord::decode(value)?,
            None => EntryRecord::decode(&snapshot.get(key)?.ok_or_else(index_damaged)?)?,
        };
        all.insert(record.uid, Entry::new(id, record));
        Ok(Walk::Continue(()))
    })?;
    Ok(all)
}

impl Joining<'_> {
    fn run(&self, batch: &mut Batch) -> Result<Merged> {
        let (own, other) = (by_uid(self.own_state)?, by_uid(self.other_state)?);
        let base = match &self.base {
            Some(base) => Some(by_uid(base.state.as_ref())?),
            None => None,
        };
        let old = |uid: &[u8; 16]| base.as_ref().and_then(|base| base.get(uid));
        let mut merged = Merged::default();
        // Removed there, and as it was here.
        let gone = |(uid, entry): &(&[u8; 16], &Entry)| !other.contains_key(*uid) && old(uid).is_some_and(|old| same(old, entry));
        let removed: BTreeMap<[u8; 16], &Entry> = own.iter().filter(gone).map(|(uid, entry)| (*uid, entry)).collect();
        let mut alive: BTreeSet<[u8; 16]> = own.keys().filter(|uid| !removed.contains_key(*uid)).copied().collect();
        let mut by_name: BTreeMap<&EntryId, &Entry> = BTreeMap::new();
        for (uid, entry) in own.iter().filter(|(uid, _)| !removed.contains_key(*uid)) {
            // Those that the other side has too are joined with their own counterpart alone.
            if !other.contains_key(uid) {
                by_name.insert(entry.id(), entry);
                if old(uid).is_some() {
                    merged.conflicts.push(conflict(entry.id(), "removed", entry.version(), None));
                }
            }
        }
        let mut plans = Vec::new();
        for (uid, theirs) in &other {
            let Some(ours) = own.get(uid) else { continue };
            if self.alike(ours, theirs, old(uid))? || old(uid).is_some_and(|old| same(old, theirs)) {
                continue;
            }
            plans.push(Plan { draft: self.join(ours, theirs, old(uid))?, own: Some(ours), other: theirs });
        }
        for (uid, theirs) in other.iter().filter(|(uid, _)| !own.contains_key(*uid)) {
            if old(uid).is_some_and(|old| same(old, theirs)) {
                // Removed here, and as it was there.
                continue;
            }
            let twin = by_name.remove(theirs.id());
            let mut draft = match twin {
                Some(ours) => self.join(ours, theirs, None)?,
                None => taken(theirs),
            };
            if old(uid).is_some() {
                draft.conflicts.push("removed".to_owned());
            }
            plans.push(Plan { draft, own: twin, other: theirs });
        }
        let planned: BTreeSet<[u8; 16]> = plans.iter().filter_map(|plan| Some(plan.own?.record().uid)).collect();
        let left = own.iter().filter(|(uid, _)| !removed.contains_key(*uid) && !planned.contains(*uid));
        names::settle(&mut plans, left.map(|(_, entry)| entry.id().clone()).collect())?;
        // All that leaves its place goes before anything is put there: names may be exchanged.
        let moved = plans.iter().filter(|plan| plan.moves()).filter_map(|plan| plan.own);
        for entry in removed.values().copied().chain(moved) {
            take_out(batch, entry);
        }
        merged.removed = removed.len() as u64;
        merged.entries.extend(removed.values().map(|entry| MergedEntry {
            id: entry.id().clone(),
            uid: *entry.uid(),
            version: entry.version(),
            what: "removed",
        }));
        // Made on both sides under one name: what the other side keeps of its own belongs to ours from now on.
        let mut twins: BTreeMap<[u8; 16], [u8; 16]> = BTreeMap::new();
        for plan in plans {
            match plan.own {
                Some(own) => {
                    twins.insert(plan.other.record().uid, own.record().uid);
                    merged.changed += 1;
                }
                None => {
                    alive.insert(plan.other.record().uid);
                    merged.added += 1;
                }
            }
            self.put(batch, plan, &mut merged)?;
        }
        self.exposures(batch)?;
        merged.system_conflicts = self.system(batch, &alive, &twins)?;
        Ok(merged)
    }

    /// Puts an entry as it is to be; every value that moves is opened and sealed anew. What was at another place is gone by then.
    fn put(&self, batch: &mut Batch, plan: Plan<'_>, merged: &mut Merged) -> Result<()> {
        let stays = plan.own.filter(|_| !plan.moves());
        let Plan { draft: Draft { id, mut record, mut versions, conflicts }, own, other } = plan;
        if record.tags.len() > MAX_LABELS || record.meta.len() > MAX_LABELS {
            return Err(Error::usage(format!("'{id}' would have more than 64 tags or pairs of metadata")));
        }
        let with_value = |what: &str| what == "value" || what.starts_with('#');
        let newest =
            |from: fn(&Source) -> bool| versions.iter().rfind(|(_, source)| from(source)).map(|(version, _)| version.number);
        let sides = [newest(|source| matches!(source, Source::Own(_))), newest(|source| matches!(source, Source::Other(_)))];
        // What both sides hold now stays however few versions are kept, if it cannot be joined.
        let in_conflict = conflicts.iter().any(|what| with_value(what));
        let is_kept = |number| number == record.current || in_conflict && sides.contains(&Some(number));
        let keep = self.own.options.keep_versions.clamp(1, MAX_VERSIONS);
        let mut surplus = versions.len().saturating_sub(keep);
        versions.retain(|(version, _)| {
            let goes = surplus > 0 && !is_kept(version.number);
            surplus -= usize::from(goes);
            !goes
        });
        let other_side = match self.favour {
            Side::Own => sides[1],
            Side::Other => sides[0],
        };
        let other_side = other_side.filter(|number| *number != record.current);
        record.uid = own.map_or(record.uid, |own| own.record().uid);
        let compartment = self.own.compartment(record.category.as_ref(), &id);
        let key = self.own.keys.data().newest(&compartment).ok_or_else(not_permitted)?.number;
        match stays {
            Some(own) => {
                let kept: BTreeSet<u64> = versions.iter().map(|(version, _)| version.number).collect();
                for version in own.record().versions.iter().filter(|version| !kept.contains(&version.number)) {
                    batch.delete(keyspace::value(&id, version.number));
                }
            }
            None => batch.count_entries(1),
        }
        record.versions.clear();
        for (mut version, source) in versions {
            let in_place = stays.is_some() && version.compartment == compartment;
            if !(in_place && matches!(source, Source::Own(number) if number == version.number)) {
                let value = match source {
                    Source::Own(number) => self.own.value_in(self.own_state, own.unwrap_or(other), Some(number))?,
                    Source::Other(number) => self.other.value_in(self.other_state, other, Some(number))?,
                    Source::Made(value) => value,
                };
                version.key = key;
                version.compartment.clone_from(&compartment);
                version.sealed_as = version.number;
                batch.put(keyspace::value(&id, version.number), self.own.seal(&record.uid, &version, &value)?);
            }
            record.versions.push(version);
        }
        record.current = record.versions.last().map_or(0, |last: &Version| last.number);
        put_record(batch, &id, &record, stays.map(Entry::record));
        let what = if own.is_some() { "changed" } else { "added" };
        merged.entries.push(MergedEntry { id: id.clone(), uid: record.uid, version: record.current, what });
        merged
            .conflicts
            .extend(conflicts.iter().map(|what| conflict(&id, what, record.current, other_side.filter(|_| with_value(what)))));
        Ok(())
    }

    /// What removed slots could read is not forgotten because it was noted in the other copy.
    fn exposures(&self, batch: &mut Batch) -> Result<()> {
        walk(self.other_state, &[keyspace::EXPOSURE], &mut |key, value| {
            if self.own_state.get(key)?.is_none() {
                batch.put(key.to_vec(), value.ok_or_else(index_damaged)?.to_vec());
            }
            Ok(Walk::Continue(()))
        })
    }
}

fn conflict(id: &EntryId, what: &str, version: u64, other: Option<u64>) -> MergeConflict {
    MergeConflict { id: id.clone(), what: what.to_owned(), version, other }
}
