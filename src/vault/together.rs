//! Many changes in one commit: each sees those before it, and one that fails leaves nothing of itself behind.

use zeroize::Zeroizing;

use super::Vault;
use super::audit::AuditAnchor;
use super::entries::Entry;
use super::error::Result;
use super::read::entry_in;
use super::write::{MakeWrite, Outcome, Write};
use crate::format::keyspace;
use crate::name::EntryId;
use crate::secret::SecretValue;
use crate::store::overlay::Overlay;
use crate::store::{Batch, Snapshot};

/// Changes that will be one commit.
pub struct Changes<'a> {
    vault: &'a Vault,
    state: Overlay<'a>,
    now: u64,
}

impl Vault {
    /// Lets `make` make changes, and commits all that did not fail. What `make` was told of them is true once this returns `Ok`, and of none of them
    /// otherwise; it is called again if another writer came between. Returns what the user should know though the commit holds.
    pub fn change_together(&self, now: u64, make: &mut dyn FnMut(&mut Changes<'_>)) -> Result<Option<String>> {
        self.change(now, &mut |snapshot, batch| {
            let mut changes = Changes { vault: self, state: Overlay::over(snapshot), now };
            make(&mut changes);
            changes.state.into_batch(batch);
            Ok(())
        })
        .map(|((), note)| note)
    }
}

impl Vault {
    /// Lets `make` make changes of which all are one commit or, if it fails, none is made; it is called again if another writer came between.
    pub(super) fn change_whole<T>(&self, now: u64, make: &mut dyn FnMut(&mut Changes<'_>) -> Result<T>) -> Result<T> {
        self.change(now, &mut |snapshot, batch| {
            let mut changes = Changes { vault: self, state: Overlay::over(snapshot), now };
            let made = make(&mut changes)?;
            changes.state.into_batch(batch);
            Ok(made)
        })
        .map(|(made, _)| made)
    }
}

impl Changes<'_> {
    pub(super) fn vault(&self) -> &Vault {
        self.vault
    }

    /// The time of the commit, in milliseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// How many bytes the changes so far bring into the commit.
    pub fn bytes(&self) -> usize {
        self.state.absorbed()
    }

    /// The entry with exactly this identity, as the changes before have left it.
    pub fn entry(&self, id: &EntryId) -> Result<Option<Entry>> {
        entry_in(&self.state, id)
    }

    /// The value of a version (`None`: the current one) of an entry that was found here.
    pub fn value(&self, entry: &Entry, version: Option<u64>) -> Result<SecretValue> {
        self.vault.value_in(&self.state, entry, version)
    }

    /// As [`Vault::set`].
    pub fn set(&mut self, id: &EntryId, write: &Write) -> Result<Outcome> {
        let now = self.now;
        self.attempt(|vault, state, batch| vault.write_entry(state, batch, id, write, now)).map(outcome)
    }

    /// As [`Vault::update`].
    pub fn update(&mut self, id: &EntryId, if_version: Option<u64>, make: &mut MakeWrite<'_>) -> Result<Outcome> {
        let now = self.now;
        self.attempt(|vault, state, batch| vault.update_in(state, batch, id, if_version, make, now)).map(outcome)
    }

    /// As [`Vault::rollback`].
    pub fn rollback(&mut self, id: &EntryId, number: u64) -> Result<Outcome> {
        let now = self.now;
        self.attempt(|vault, state, batch| vault.rollback_in(state, batch, id, number, now))
    }

    /// As [`Vault::remove`].
    pub fn remove(&mut self, ids: &[EntryId]) -> Result<()> {
        self.attempt(|vault, state, batch| vault.remove_in(state, batch, ids, false))
    }

    /// As [`Vault::rename`].
    pub fn rename(&mut self, from: &EntryId, to: &EntryId, overwrite: bool) -> Result<()> {
        let now = self.now;
        self.attempt(|vault, state, batch| vault.rename_in(state, batch, from, to, overwrite, now))
    }

    /// As [`Vault::copy`].
    pub fn copy(&mut self, from: &EntryId, to: &EntryId, overwrite: bool) -> Result<()> {
        let now = self.now;
        self.attempt(|vault, state, batch| vault.copy_in(state, batch, from, to, overwrite, now))
    }

    /// As [`Vault::system_get`].
    pub fn system_get(&self, kind: &str, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        self.vault.system_get_in(&self.state, kind, name)
    }

    /// As [`Vault::system_put`].
    pub fn system_put(&mut self, kind: &str, name: &str, content: &[u8]) -> Result<()> {
        self.attempt(|vault, _, batch| vault.system_put_in(batch, kind, name, content))
    }

    /// As [`Vault::system_delete`].
    pub fn system_delete(&mut self, kind: &str, name: &str) -> Result<()> {
        self.attempt(|vault, _, batch| {
            vault.refuse_limited()?;
            batch.delete(keyspace::system(kind, name));
            Ok(())
        })
    }

    /// As [`Vault::put_audit_anchor`].
    pub fn put_audit_anchor(&mut self, anchor: &AuditAnchor) -> Result<()> {
        self.attempt(|vault, state, batch| vault.put_anchor_in(state, batch, anchor))
    }

    pub(super) fn state(&self) -> &dyn Snapshot {
        &self.state
    }

    pub(super) fn attempt<T>(&mut self, change: impl FnOnce(&Vault, &dyn Snapshot, &mut Batch) -> Result<T>) -> Result<T> {
        let mut batch = Batch::default();
        let made = change(self.vault, &self.state, &mut batch)?;
        self.state.absorb(batch);
        Ok(made)
    }
}

fn outcome((version, created): (u64, bool)) -> Outcome {
    Outcome { version, created, note: None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::format::record::Kind;
    use crate::name::Name;
    use crate::store::memory::MemoryStore;
    use crate::vault::{ErrorKind, Options};

    fn id(name: &str) -> EntryId {
        EntryId::plain(Name::parse(name).unwrap())
    }

    fn value(text: &str) -> Write {
        Write::value(SecretValue::from(text), Kind::Text)
    }

    #[test]
    fn each_change_sees_those_before_it_and_a_failed_one_leaves_nothing() {
        let vault = Vault::over(Arc::new(MemoryStore::new()), Options::default()).unwrap();
        vault.set(&id("there"), value("1"), 1).unwrap();
        let mut failed = None;
        vault
            .change_together(2, &mut |changes| {
                assert_eq!(changes.set(&id("a"), &value("1")).unwrap().version, 1);
                assert_eq!(changes.set(&id("a"), &value("2")).unwrap().version, 2);
                let entry = changes.entry(&id("a")).unwrap().unwrap();
                assert_eq!(changes.value(&entry, None).unwrap().expose(), b"2");
                changes.rename(&id("a"), &id("b"), false).unwrap();
                assert!(changes.entry(&id("a")).unwrap().is_none());
                let before = changes.bytes();
                changes.set(&id("large"), &value(&"x".repeat(5000))).unwrap();
                assert!((5000..20_000).contains(&(changes.bytes() - before)), "{}", changes.bytes());
                changes.remove(&[id("large")]).unwrap();
                // All of it or nothing: the first of the two is there.
                failed = changes.remove(&[id("b"), id("none")]).err();
                assert!(changes.entry(&id("b")).unwrap().is_some());
                changes.remove(&[id("there")]).unwrap();
            })
            .unwrap();
        assert_eq!(failed.unwrap().kind(), ErrorKind::NotFound);
        assert_eq!((vault.value(&id("b"), None).unwrap().expose(), vault.count().unwrap()), (&b"2"[..], 1));
        assert!(vault.entry(&id("there")).unwrap().is_none());
        vault.check().unwrap();
    }
}
