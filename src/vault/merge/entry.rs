//! One entry of two sides: what becomes of its metadata, and of its versions.

use std::collections::{BTreeMap, BTreeSet};

use super::{Joining, Side, fields};
use crate::format::record::{EntryRecord, Kind, Version};
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

/// Without a common ancestor, the histories tell: if one side's newest version is an older one of the other, that side is the ancestor.
fn evidence<'e>(own: &'e Entry, other: &'e Entry) -> Option<&'e Entry> {
    let holds = |entry: &Entry, newest: &Entry| {
        let newest = newest.record().versions.last();
        newest.is_some_and(|newest| entry.record().versions.iter().any(|version| same_version(version, newest)))
    };
    match (holds(own, other), holds(other, own)) {
        (true, false) => Some(other),
        (false, true) => Some(own),
        _ => None,
    }
}

impl Joining<'_> {
    /// Joins an entry that both sides have. `base`: as it was when they parted.
    pub(super) fn join(&self, own: &Entry, other: &Entry, base: Option<&Entry>) -> Result<Draft> {
        let related = own.record().uid == other.record().uid;
        let base = base.or_else(|| if related { evidence(own, other) } else { None });
        let mut conflicts = Vec::new();
        let mut record = self.metadata(own.record(), other.record(), base.map(Entry::record), &mut conflicts);
        let id = self.pick(own.id(), other.id(), base.map(Entry::id), "name", &mut conflicts);
        let versions = self.versions(own, other, base, related, &mut conflicts)?;
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
        record.due = self.pick(&own.due, &other.due, base.map(|base| &base.due), "rotation", conflicts);
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

    fn versions(
        &self,
        own: &Entry,
        other: &Entry,
        base: Option<&Entry>,
        related: bool,
        conflicts: &mut Vec<String>,
    ) -> Result<Vec<(Version, Source)>> {
        let (ours, theirs) = (&own.record().versions, &other.record().versions);
        let shared = ours.iter().filter(|version| related && theirs.iter().any(|other| same_version(version, other)));
        let shared = shared.map(|version| version.number).max().unwrap_or(0);
        let parted = base.filter(|_| related).map_or(shared, |base| shared.max(base.version()));
        let mut versions: Vec<(Version, Source)> =
            ours.iter().map(|version| (version.clone(), Source::Own(version.number))).collect();
        let new: Vec<&Version> = theirs.iter().filter(|version| version.number > parted).collect();
        if new.is_empty() {
            return Ok(versions);
        }
        if own.version() <= parted {
            versions.extend(new.into_iter().map(|version| (version.clone(), Source::Other(version.number))));
            return Ok(versions);
        }
        let value = self.own.value_in(self.own_state, own, None)?;
        let foreign = self.other.value_in(self.other_state, other, None)?;
        if own.kind() == other.kind() && value.expose() == foreign.expose() {
            return Ok(versions);
        }
        // Both wrote: the other side's versions come behind the own ones, under new numbers, and on top of them what is current.
        let mut number = own.version();
        let mut next = || {
            number = number.saturating_add(1);
            number
        };
        for version in new {
            let mut version = version.clone();
            (version.number, version.repeats) = (next(), None);
            let from =
                other.record().versions.iter().find(|old| old.created == version.created && old.sealed_as == version.sealed_as);
            let from = from.map_or(other.version(), |old| old.number);
            versions.push((version, Source::Other(from)));
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
                if self.favour == Side::Own
                    && let Some(current) = ours.last()
                {
                    let mut version = current.clone();
                    (version.number, version.created, version.repeats) = (next(), self.now, Some(current.number));
                    versions.push((version, Source::Own(current.number)));
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
