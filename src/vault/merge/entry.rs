//! One entry of two sides: what becomes of its metadata, and of its versions.

use std::collections::{BTreeMap, BTreeSet};

use super::{Joining, Side, fields};
use crate::format::record::{EntryRecord, Kind, Version};
use crate::format::rotation::Rotations;
use crate::name::EntryId;
use crate::secret::SecretValue;
use crate::vault::Result;
use crate::vault::entries::Entry;

/// Where the value of a version comes from.
pub(super) enum Source {
    /// A version of the own side's entry.
    Own(u64),
    /// A version of the other side's entry.
    Other(u64),
    /// Made of both.
    Made(SecretValue),
}

/// An entry as it is to be.
pub(super) struct Draft {
    pub id: EntryId,
    /// Everything but the versions.
    pub record: EntryRecord,
    /// Ascending by number; of each, the version as it is where it comes from, but for its number.
    pub versions: Vec<(Version, Source)>,
    /// What both sides changed: fields, `value`, `category` …
    pub conflicts: Vec<String>,
}

/// Whether two states of an entry are the same to whoever reads it. Keys and compartments of versions are not compared: they may have been renewed.
pub(super) fn same(one: &Entry, other: &Entry) -> bool {
    let (a, b) = (one.record(), other.record());
    let versions = a.versions.len() == b.versions.len() && a.versions.iter().zip(&b.versions).all(|(a, b)| same_version(a, b));
    versions
        && one.id() == other.id()
        && a.uid == b.uid
        && (&a.category, &a.tags, &a.meta, a.expires, a.due) == (&b.category, &b.tags, &b.meta, b.expires, b.due)
        && a.rotations == b.rotations
}

fn same_version(one: &Version, other: &Version) -> bool {
    (one.number, one.created, one.kind) == (other.number, other.created, other.kind)
}

/// A draft that is one side's entry as it is.
pub(super) fn taken(entry: &Entry) -> Draft {
    let record = entry.record();
    let versions = record.versions.iter().map(|version| (version.clone(), Source::Other(version.number))).collect();
    Draft { id: entry.id().clone(), record: record.clone(), versions, conflicts: Vec::new() }
}

impl Joining<'_> {
    /// Whether an entry is the same on both sides. Two writes in one millisecond look alike, so what is newer than the ancestor is told by its value.
    pub(super) fn alike(&self, own: &Entry, other: &Entry, base: Option<&Entry>) -> Result<bool> {
        if !same(own, other) {
            return Ok(false);
        }
        let known = if self.base.is_some() { base.map_or(0, Entry::version) } else { own.version() };
        for version in own.record().versions.iter().filter(|version| version.number > known) {
            if !self.same_value(own, other, version.number)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn same_value(&self, own: &Entry, other: &Entry, number: u64) -> Result<bool> {
        let value = self.own.value_in(self.own_state, own, Some(number))?;
        Ok(value.expose() == self.other.value_in(self.other_state, other, Some(number))?.expose())
    }

    /// Without a common ancestor, the histories tell: if one side's newest version is an older one of the other, that side is the ancestor.
    fn evidence<'e>(&self, own: &'e Entry, other: &'e Entry) -> Result<Option<&'e Entry>> {
        let older_in = |newest: &Entry, entry: &Entry| {
            let newest = newest.record().versions.last()?;
            let found = entry.record().versions.iter().find(|version| same_version(version, newest))?;
            (entry.version() > found.number).then_some(found.number)
        };
        let (ancestor, number) = match (older_in(own, other), older_in(other, own)) {
            (Some(number), None) => (own, number),
            (None, Some(number)) => (other, number),
            _ => return Ok(None),
        };
        Ok(self.same_value(own, other, number)?.then_some(ancestor))
    }

    /// The newest version from before both went apart: that of the ancestor, or a later one that both have.
    fn parted(&self, own: &Entry, other: &Entry, base: Option<&Entry>) -> Result<u64> {
        let known = base.map_or(0, Entry::version);
        let theirs = &other.record().versions;
        for version in own.record().versions.iter().rev().take_while(|version| version.number > known) {
            if theirs.iter().any(|other| same_version(version, other)) && self.same_value(own, other, version.number)? {
                return Ok(version.number);
            }
        }
        Ok(known)
    }

    /// Joins an entry that both sides have. `base`: as it was when they parted.
    pub(super) fn join(&self, own: &Entry, other: &Entry, base: Option<&Entry>) -> Result<Draft> {
        let related = own.record().uid == other.record().uid;
        let base = match base {
            None if related => self.evidence(own, other)?,
            base => base,
        };
        let mut conflicts = Vec::new();
        let mut record = self.metadata(own.record(), other.record(), base.map(Entry::record), &mut conflicts);
        let id = self.pick(own.id(), other.id(), base.map(Entry::id), "name", &mut conflicts);
        let versions = self.versions(own, other, base, related, &mut conflicts)?;
        record.rotations = self.rotations(own.record(), other.record(), base.map(Entry::record), &versions);
        record.current = versions.last().map_or(record.current, |(version, _)| version.number);
        record.versions.clear();
        Ok(Draft { id, record, versions, conflicts })
    }

    fn pick<T: PartialEq + Clone>(&self, own: &T, other: &T, base: Option<&T>, what: &str, conflicts: &mut Vec<String>) -> T {
        if own == other || base == Some(other) {
            return own.clone();
        }
        if base == Some(own) {
            return other.clone();
        }
        conflicts.push(what.to_owned());
        match self.favour {
            Side::Own => own.clone(),
            Side::Other => other.clone(),
        }
    }

    fn metadata(
        &self,
        own: &EntryRecord,
        other: &EntryRecord,
        base: Option<&EntryRecord>,
        conflicts: &mut Vec<String>,
    ) -> EntryRecord {
        let mut record = own.clone();
        record.created = own.created.min(other.created);
        record.modified = own.modified.max(other.modified);
        record.category = self.pick(&own.category, &other.category, base.map(|base| &base.category), "category", conflicts);
        record.expires = self.pick(&own.expires, &other.expires, base.map(|base| &base.expires), "expiry", conflicts);
        record.due = match (base, own.due, other.due) {
            // Without an ancestor, a side that has no due time has not taken one away.
            (None, None, due) | (None, due, None) => due,
            (base, ..) => self.pick(&own.due, &other.due, base.map(|base| &base.due), "rotation", conflicts),
        };
        let none = BTreeSet::new();
        let old_tags = base.map_or(&none, |base| &base.tags);
        let added = own.tags.union(&other.tags).filter(|tag| !old_tags.contains(*tag));
        let kept = old_tags.iter().filter(|tag| own.tags.contains(*tag) && other.tags.contains(*tag));
        record.tags = added.chain(kept).cloned().collect();
        let mut meta = BTreeMap::new();
        for key in own.meta.keys().chain(other.meta.keys()).collect::<BTreeSet<_>>() {
            let (one, two) = (own.meta.get(key), other.meta.get(key));
            let old = match base {
                Some(base) => base.meta.get(key),
                // Nothing was there, as far as is known: whoever has it added it.
                None => None,
            };
            let value = self.pick(&one, &two, Some(&old), &format!("meta {key}"), conflicts);
            meta.extend(value.map(|value| (key.clone(), value.clone())));
        }
        record.meta = meta;
        record
    }

    /// What is remembered of rotations is that of the side whose value is the current one now; its numbers are those that the versions have here. Whether
    /// one is under way goes with the journal, which is a system record.
    fn rotations(
        &self,
        own: &EntryRecord,
        other: &EntryRecord,
        base: Option<&EntryRecord>,
        versions: &[(Version, Source)],
    ) -> Rotations {
        let theirs = match versions.last() {
            Some((_, Source::Other(_))) => true,
            Some((_, Source::Made(_))) => self.favour == Side::Other,
            _ => false,
        };
        let mut rotations = if theirs { other.rotations.clone() } else { own.rotations.clone() };
        if let Some(last) = rotations.last.as_mut().filter(|_| theirs) {
            let renumbered =
                versions.iter().find(|(_, source)| matches!(source, Source::Other(number) if *number == last.previous));
            last.previous = renumbered.map_or(last.previous, |(version, _)| version.number);
        }
        rotations.count = own.rotations.count.max(other.rotations.count);
        if rotations.last.is_none() {
            rotations.last = own.rotations.last.or(other.rotations.last);
        }
        let [ours, theirs] = [own.rotations.pending, other.rotations.pending];
        rotations.pending = if base.is_some_and(|base| base.rotations.pending == ours) { theirs } else { ours };
        rotations
    }

    fn versions(
        &self,
        own: &Entry,
        other: &Entry,
        base: Option<&Entry>,
        related: bool,
        conflicts: &mut Vec<String>,
    ) -> Result<Vec<(Version, Source)>> {
        let (ours, theirs) = (&own.record().versions, &other.record().versions);
        let parted = if related { self.parted(own, other, base)? } else { 0 };
        let mut versions: Vec<(Version, Source)> =
            ours.iter().map(|version| (version.clone(), Source::Own(version.number))).collect();
        let mut new: Vec<&Version> = theirs.iter().filter(|version| version.number > parted).collect();
        if new.is_empty() {
            return Ok(versions);
        }
        if own.version() <= parted {
            versions.extend(new.into_iter().map(|version| (version.clone(), Source::Other(version.number))));
            return Ok(versions);
        }
        let value = self.own.value_in(self.own_state, own, None)?;
        let foreign = self.other.value_in(self.other_state, other, None)?;
        let agree = own.kind() == other.kind() && value.expose() == foreign.expose();
        if agree {
            // The newest is here already; what led to it there is not.
            new.pop();
            if new.is_empty() {
                return Ok(versions);
            }
        }
        // Both wrote: the other side's versions come behind the own ones, under new numbers, and on top of them what is current.
        let mut number = own.version();
        let mut next = || {
            number = number.saturating_add(1);
            number
        };
        for version in new {
            let (mut version, from) = (version.clone(), version.number);
            (version.number, version.repeats) = (next(), None);
            versions.push((version, Source::Other(from)));
        }
        let again = |number: u64| {
            let mut version = ours.last()?.clone();
            (version.number, version.created, version.repeats) = (number, self.now, Some(version.number));
            Some((version, Source::Own(own.version())))
        };
        if agree {
            versions.extend(again(next()));
            return Ok(versions);
        }
        let both_json = own.kind() == Kind::Json && other.kind() == Kind::Json;
        let old = if both_json { self.value_when_parted(own, base, parted) } else { None };
        let joined = if both_json { fields::join(old.as_ref(), &value, &foreign, self.favour) } else { None };
        match joined {
            Some(joined) => {
                conflicts.extend(joined.conflicts.into_iter().map(|path| format!("#{path}")));
                let version = Version::new(next(), self.now, Kind::Json, 0, String::new());
                versions.push((version, Source::Made(joined.value)));
            }
            None => {
                conflicts.push("value".to_owned());
                if self.favour == Side::Own {
                    versions.extend(again(next()));
                }
            }
        }
        Ok(versions)
    }

    /// The value that both sides had, if it can still be read anywhere.
    fn value_when_parted(&self, own: &Entry, base: Option<&Entry>, parted: u64) -> Option<SecretValue> {
        let kept = self.own.value_in(self.own_state, own, Some(parted)).ok();
        kept.or_else(|| {
            let ancestor = self.base.as_ref()?;
            ancestor.vault.value_in(ancestor.state.as_ref(), base?, None).ok()
        })
    }
}
