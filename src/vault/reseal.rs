//! Sealing values anew while a file is written anew: for those whose compartment or data key is not what it should be.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Vault, compartment_of};
use crate::format::FormatError;
use crate::format::keyspace::{self, EntryKey};
use crate::format::record::{EntryRecord, ValueContext, Version};
use crate::format::slot::{KeyRing, NumberedKey};
use crate::store::{Snapshot, StoreError};

/// What becomes of system records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SystemKeys {
    /// They stay as they are.
    Stay,
    /// They are sealed under another key, as they are.
    Wrapped,
    /// Besides, users get another key for what they keep, and their sessions end: somebody who knew all of it is to know no more.
    Renewed(u64),
}

/// Looks at everything that is copied, in the order of the keys: an entry's record, then its values.
pub(super) struct Reseal<'a> {
    vault: &'a Vault,
    snapshot: Arc<dyn Snapshot>,
    ring: KeyRing,
    /// What becomes of system records.
    system: SystemKeys,
    /// Whether every value is to be under the newest key of its compartment, so that no older one is needed.
    all: bool,
    /// The versions of the entry at hand that move: from what to what.
    moving: HashMap<u64, (Version, Version)>,
    uid: [u8; 16],
    /// Older keys that were opened: a chain is followed once.
    older: HashMap<(String, u64), NumberedKey>,
    count: &'a AtomicU64,
}

impl<'a> Reseal<'a> {
    /// `ring`: the keys that there will be.
    pub fn new(
        vault: &'a Vault,
        snapshot: Arc<dyn Snapshot>,
        ring: KeyRing,
        system: SystemKeys,
        all: bool,
        count: &'a AtomicU64,
    ) -> Self {
        Self { vault, snapshot, ring, system, all, moving: HashMap::new(), uid: [0; 16], older: HashMap::new(), count }
    }

    /// What becomes of one stored value.
    pub fn each(&mut self, key: &[u8], stored: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        match key.first() {
            Some(&keyspace::OLDER_KEY) if self.all => Ok(None),
            Some(&keyspace::SYSTEM) if self.system != SystemKeys::Stay => {
                let renewed = self.vault.renew_system(key, &stored, &self.ring.system, self.system);
                renewed.map_err(|_| FormatError::NotAuthentic("a system record").into())
            }
            Some(&keyspace::ENTRY) => match keyspace::parse_entry_key(key)? {
                EntryKey::Record(id) => {
                    let record = EntryRecord::decode(&stored)?;
                    Ok(Some(self.plan(&id, record)?.unwrap_or(stored)))
                }
                EntryKey::Value(_, number) => match self.moving.remove(&number) {
                    Some((from, to)) => self.seal_anew(&from, &to, &stored).map(Some),
                    None => Ok(Some(stored)),
                },
            },
            _ => Ok(Some(stored)),
        }
    }

    /// Notes which versions move; the record as it is to be, if that is another.
    fn plan(&mut self, id: &crate::name::EntryId, mut record: EntryRecord) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.moving.is_empty() {
            return Err(FormatError::Malformed("the value of an entry is not there").into());
        }
        self.uid = record.uid;
        let compartment = compartment_of(&self.ring.data, record.category.as_ref(), id);
        let missing = FormatError::Malformed("a compartment has no data key");
        let newest = self.ring.data.newest(&compartment).ok_or(missing)?.number;
        for version in &mut record.versions {
            if version.compartment != compartment || (self.all && version.key != newest) {
                let old = version.clone();
                version.key = newest;
                version.compartment.clone_from(&compartment);
                self.moving.insert(version.number, (old, version.clone()));
            }
        }
        Ok((!self.moving.is_empty()).then(|| record.encode().to_vec()))
    }

    fn seal_anew(&mut self, from: &Version, to: &Version, stored: &[u8]) -> Result<Vec<u8>, StoreError> {
        let old = ValueContext { id: &self.vault.id, uid: &self.uid, version: from.sealed_as, compartment: &from.compartment };
        let newest = self.vault.keys.data().newest(&from.compartment);
        let missing = || StoreError::from(FormatError::Malformed("the data key of a value is not there"));
        let value = match newest.filter(|newest| newest.number == from.key) {
            Some(newest) => old.open(&newest.key, newest.number, stored)?,
            None => {
                let place = (from.compartment.clone(), from.key);
                if !self.older.contains_key(&place) {
                    let newest = newest.ok_or_else(missing)?;
                    let opened = self.vault.older_key(self.snapshot.as_ref(), &from.compartment, from.key, newest);
                    self.older.insert(place.clone(), opened.map_err(|_| missing())?);
                }
                let older = self.older.get(&place).ok_or_else(missing)?;
                old.open(&older.key, older.number, stored)?
            }
        };
        let key = self.ring.data.newest(&to.compartment).ok_or_else(missing)?;
        let new = ValueContext { id: &self.vault.id, uid: &self.uid, version: to.sealed_as, compartment: &to.compartment };
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(new.seal(key, &value)?)
    }
}
