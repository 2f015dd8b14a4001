//! Entries as their readers see them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::format::header::hex;
use crate::format::record::{EntryRecord, Kind};
use crate::format::rotation::LastRotation;
use crate::name::{Category, EntryId, Tag};
use crate::store::Snapshot;

/// Everything about an entry but its values.
pub struct Entry {
    id: EntryId,
    record: EntryRecord,
    /// The state in which it was found, so that its values are those of then, whatever is written or removed meanwhile.
    state: Option<Arc<dyn Snapshot>>,
}

/// A version, without its value.
#[derive(Debug, Clone, Copy)]
pub struct VersionInfo {
    /// Its number.
    pub number: u64,
    /// When it was written, in milliseconds.
    pub created: u64,
    /// What kind of value it holds.
    pub kind: Kind,
    /// Whether it is the current one.
    pub current: bool,
}

impl Entry {
    /// An entry as a record describes it. Its values are wherever the record came from.
    pub fn new(id: EntryId, record: EntryRecord) -> Self {
        Self { id, record, state: None }
    }

    pub(super) fn found_in(self, state: &Arc<dyn Snapshot>) -> Self {
        Self { state: Some(state.clone()), ..self }
    }

    pub(super) fn state(&self) -> Option<&Arc<dyn Snapshot>> {
        self.state.as_ref()
    }

    pub(super) fn record(&self) -> &EntryRecord {
        &self.record
    }

    /// Name and environment.
    pub fn id(&self) -> &EntryId {
        &self.id
    }

    /// What stays the same whatever the entry is called.
    pub fn uid(&self) -> &[u8; 16] {
        &self.record.uid
    }

    /// The same in hex digits.
    pub fn uid_hex(&self) -> String {
        hex(&self.record.uid)
    }

    /// Number of the current version.
    pub fn version(&self) -> u64 {
        self.record.current
    }

    /// Kind of the current value.
    pub fn kind(&self) -> Kind {
        self.record.versions.last().map_or(Kind::Bytes, |version| version.kind)
    }

    /// The compartments whose keys seal its versions: empty for what is not limited.
    pub fn compartments(&self) -> impl Iterator<Item = &str> {
        self.record.versions.iter().map(|version| version.compartment.as_str())
    }

    /// When the entry was made, in milliseconds.
    pub fn created(&self) -> u64 {
        self.record.created
    }

    /// When its value or metadata last changed.
    pub fn modified(&self) -> u64 {
        self.record.modified
    }

    /// The category.
    pub fn category(&self) -> Option<&Category> {
        self.record.category.as_ref()
    }

    /// The tags.
    pub fn tags(&self) -> &BTreeSet<Tag> {
        &self.record.tags
    }

    /// The metadata.
    pub fn meta(&self) -> &BTreeMap<String, String> {
        &self.record.meta
    }

    /// When the entry expires, in milliseconds.
    pub fn expires(&self) -> Option<u64> {
        self.record.expires
    }

    /// Whether it has expired at `now`.
    pub fn is_expired(&self, now: u64) -> bool {
        self.record.expires.is_some_and(|expires| expires <= now)
    }

    /// When the entry is due for another value, in milliseconds.
    pub fn due(&self) -> Option<u64> {
        self.record.due
    }

    /// Whether it is due at `now`.
    pub fn is_due(&self, now: u64) -> bool {
        self.record.due.is_some_and(|due| due <= now)
    }

    /// How often it was rotated.
    pub fn rotated(&self) -> u64 {
        self.record.rotations.count
    }

    /// Its last rotation.
    pub fn last_rotation(&self) -> Option<LastRotation> {
        self.record.rotations.last
    }

    /// When a rotation failed since the last that did not, and how.
    pub fn failed_rotation(&self) -> Option<(u64, &str)> {
        self.record.rotations.failed.as_ref().map(|(time, what)| (*time, what.as_str()))
    }

    /// Whether a rotation is under way.
    pub fn is_rotating(&self) -> bool {
        self.record.rotations.pending
    }

    /// The versions that are kept, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = VersionInfo> {
        self.record.versions.iter().map(|version| VersionInfo {
            number: version.number,
            created: version.created,
            kind: version.kind,
            current: version.number == self.record.current,
        })
    }
}
