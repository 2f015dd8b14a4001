//! Reading entries: one by one, by listing, and all of them to verify.

use std::sync::Arc;

use super::Vault;
use super::entries::Entry;
use super::error::{Error, ErrorKind, Result};
use crate::format::keyspace::{self, EntryKey};
use crate::format::record::{EntryRecord, Listing};
use crate::name::{Category, EntryId, Environment};
use crate::secret::SecretValue;
use crate::store::{Snapshot, StoreError, Walk};

/// Which environments a listing shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Exactly one, or the entries without one.
    One(Option<Environment>),
    /// All of them.
    All,
}

/// Which entries a listing shows. What it says about names is decided by the caller, entry by entry.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Which environments.
    pub scope: Scope,
    /// Only this category, found by its index.
    pub category: Option<Category>,
}

/// The newest state when there was a look at the file.
#[derive(Clone)]
pub struct Seen(pub(super) Arc<dyn Snapshot>);

/// An entry that a listing found.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The environment, empty for none.
    pub environment: &'a str,
    /// The name.
    pub name: &'a str,
    /// When it expires, where the listing knows it (not when it goes by category).
    pub expires: Option<u64>,
}

impl Found<'_> {
    /// The entry's identity.
    pub fn id(&self) -> Result<EntryId> {
        let malformed = |_| StoreError::from(crate::format::FormatError::Malformed("a name in the tree is no name"));
        let environment = match self.environment {
            "" => None,
            text => Some(Environment::parse(text).map_err(malformed)?),
        };
        Ok(EntryId { environment, name: crate::name::Name::parse(self.name).map_err(malformed)? })
    }
}

impl Vault {
    /// Opens one value that the key at hand should open, to show that it does: the first in the order of names. An empty vault proves itself by its
    /// newest commit.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if it does not open.
    pub fn prove(&self) -> Result<()> {
        self.read(&mut |snapshot| {
            let snapshot = snapshot.as_ref();
            let mut proved = Ok(());
            walk(snapshot, &[keyspace::ENTRY], &mut |key, value| {
                let (EntryKey::Record(id), Some(value)) = (keyspace::parse_entry_key(key)?, value) else {
                    return Ok(Walk::Continue(()));
                };
                let entry = Entry::new(id, EntryRecord::decode(value)?);
                match self.value_in(snapshot, &entry, None) {
                    Err(error) if error.kind() == ErrorKind::NotPermitted => Ok(Walk::Continue(())),
                    other => {
                        proved = other.map(drop);
                        Ok(Walk::Break(()))
                    }
                }
            })?;
            std::mem::replace(&mut proved, Ok(()))
        })
    }

    /// The entry with exactly this identity.
    pub fn entry(&self, id: &EntryId) -> Result<Option<Entry>> {
        self.read(&mut |state| Ok(entry_in(state.as_ref(), id)?.map(|entry| entry.found_in(state))))
    }

    /// The entry with exactly this identity, in the state of a look at the file.
    pub fn entry_at(&self, seen: &Seen, id: &EntryId) -> Result<Option<Entry>> {
        self.read_at(seen, &mut |state| Ok(entry_in(state.as_ref(), id)?.map(|entry| entry.found_in(state))))
    }

    /// Reads the state of a look at the file; the newest one if somebody has copied another file over it.
    pub(super) fn read_at<T>(&self, seen: &Seen, read: &mut dyn FnMut(&Arc<dyn Snapshot>) -> Result<T>) -> Result<T> {
        match read(&seen.0) {
            Err(error) if error.kind() == ErrorKind::Damaged => self.read(read),
            result => result,
        }
    }

    /// The entry with this identity or, if there is none, the one of that name without an environment.
    pub fn entry_or_fallback(&self, id: &EntryId) -> Result<Option<Entry>> {
        self.read(&mut |state| {
            let found = match entry_in(state.as_ref(), id)? {
                None if id.environment.is_some() => entry_in(state.as_ref(), &EntryId::plain(id.name.clone()))?,
                found => found,
            };
            Ok(found.map(|entry| entry.found_in(state)))
        })
    }

    /// The value of a version (`None`: the current one) of exactly this entry, whether it has expired or not.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such entry or version, [`ErrorKind::NotPermitted`] if the key does not open it.
    pub fn value(&self, id: &EntryId, version: Option<u64>) -> Result<SecretValue> {
        self.read(&mut |state| {
            let entry = entry_in(state.as_ref(), id)?.ok_or_else(|| not_found(id))?;
            self.value_in(state.as_ref(), &entry, version)
        })
    }

    /// The value of a version of an entry that was found before, as it was then: the entry may have been overwritten or removed since.
    pub fn value_of(&self, entry: &Entry, version: Option<u64>) -> Result<SecretValue> {
        let then = entry.state().map(|state| self.value_in(state.as_ref(), entry, version));
        match then {
            Some(Err(error)) if error.kind() != ErrorKind::Damaged => Err(error),
            Some(Ok(value)) => Ok(value),
            // Somebody may have copied another file over the bytes of that state; if so, only the newest one can be read.
            _ => self.read(&mut |state| {
                let newer = entry_in(state.as_ref(), entry.id())?.ok_or_else(|| not_found(entry.id()))?;
                self.value_in(state.as_ref(), &newer, version)
            }),
        }
    }

    pub(super) fn value_in(&self, snapshot: &dyn Snapshot, entry: &Entry, version: Option<u64>) -> Result<SecretValue> {
        let record = entry.record();
        let number = version.unwrap_or(record.current);
        let Some(version) = record.version(number) else {
            let (first, last) = (record.versions.first().map_or(0, |first| first.number), record.current);
            return Err(Error::new(
                ErrorKind::NotFound,
                "version_not_found",
                format!("'{}' has no version {number}", entry.id()),
            )
            .hint(format!("it has versions {first} to {last}; see `vault history {}`", entry.id().as_arguments())));
        };
        let sealed = snapshot
            .get(&keyspace::value(entry.id(), number))?
            .ok_or(crate::format::FormatError::Malformed("the value of an entry is not there"))?;
        self.open(snapshot, &record.uid, version, &sealed)
    }

    /// Walks the entries in the order of their names (by category: within each environment). Values stay sealed, and entries unread.
    pub fn list(&self, filter: &Filter, visit: &mut dyn FnMut(Found<'_>) -> Result<Walk>) -> Result<()> {
        self.read(&mut |state| list_in(state.as_ref(), filter, visit))
    }

    /// Walks the entries with their records, values still sealed.
    pub fn entries(&self, filter: &Filter, visit: &mut dyn FnMut(Entry) -> Result<Walk>) -> Result<()> {
        self.read(&mut |state| {
            let snapshot = state.as_ref();
            if filter.category.is_some() {
                return list_in(snapshot, filter, &mut |found| {
                    let id = found.id()?;
                    let entry = entry_in(snapshot, &id)?.ok_or_else(index_damaged)?;
                    visit(entry.found_in(state))
                });
            }
            let mut prefix = vec![keyspace::ENTRY];
            if let Scope::One(environment) = &filter.scope {
                prefix.extend_from_slice(environment.as_ref().map_or("", Environment::as_str).as_bytes());
                prefix.push(0);
            }
            walk(snapshot, &prefix, &mut |key, value| {
                // Values stand between the records; their keys end in a number.
                if key.last() != Some(&0) || key.iter().filter(|byte| **byte == 0).count() != 2 {
                    return Ok(Walk::Continue(()));
                }
                let EntryKey::Record(id) = keyspace::parse_entry_key(key)? else { return Ok(Walk::Continue(())) };
                let record = match value {
                    Some(value) => EntryRecord::decode(value)?,
                    None => EntryRecord::decode(&snapshot.get(key)?.ok_or_else(index_damaged)?)?,
                };
                visit(Entry::new(id, record).found_in(state))
            })
        })
    }

    /// Looks whether the file is still the one that was opened, and which state is the newest.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] (`keys_changed`) if it has other keys or slots.
    pub fn refresh(&self) -> Result<Seen> {
        Ok(Seen(self.store.snapshot()?))
    }

    /// The number of entries, as commits counted them.
    pub fn count(&self) -> Result<u64> {
        Ok(self.store.snapshot()?.entries())
    }
}

pub(super) fn index_damaged() -> Error {
    StoreError::from(crate::format::FormatError::Malformed("entries and their indexes do not agree")).into()
}

/// That an entry is not there.
pub(super) fn not_found(id: &EntryId) -> Error {
    Error::new(ErrorKind::NotFound, "not_found", format!("there is no entry '{id}'"))
        .hint("`vault list` shows the names; `vault find TEXT` searches them")
}

pub(super) fn entry_in(snapshot: &dyn Snapshot, id: &EntryId) -> Result<Option<Entry>> {
    match snapshot.get(&keyspace::entry(id))? {
        Some(bytes) => Ok(Some(Entry::new(id.clone(), EntryRecord::decode(&bytes)?))),
        None => Ok(None),
    }
}

fn list_in(snapshot: &dyn Snapshot, filter: &Filter, visit: &mut dyn FnMut(Found<'_>) -> Result<Walk>) -> Result<()> {
    let malformed = || index_damaged();
    let (prefix, skip) = match (&filter.category, &filter.scope) {
        (None, Scope::All) => (vec![keyspace::LISTING], 1),
        (None, Scope::One(environment)) => (keyspace::listing_prefix(environment.as_ref()), 1),
        (Some(category), Scope::All) => (keyspace::category_prefix(category), keyspace::category_prefix(category).len()),
        (Some(category), Scope::One(environment)) => {
            (keyspace::category_environment_prefix(category, environment.as_ref()), keyspace::category_prefix(category).len())
        }
    };
    walk(snapshot, &prefix, &mut |key, value| {
        let text = std::str::from_utf8(&key[skip..]).map_err(|_| malformed())?;
        let (environment, name) = text.split_once('\0').ok_or_else(malformed)?;
        let expires = match (&filter.category, value) {
            (None, Some(value)) => Listing::decode(value)?.expires,
            _ => None,
        };
        visit(Found { environment, name, expires })
    })
}

/// What is called with each key and, in a walk over values, its value.
pub(super) type VisitKey<'a> = dyn FnMut(&[u8], Option<&[u8]>) -> Result<Walk> + 'a;

/// Walks the keys with a prefix; carries the caller's error through the store's.
pub(super) fn walk(snapshot: &dyn Snapshot, prefix: &[u8], visit: &mut VisitKey<'_>) -> Result<()> {
    walk_from(snapshot, prefix, prefix, visit)
}

/// The same for those of them that do not come before `from`.
pub(super) fn walk_from(snapshot: &dyn Snapshot, from: &[u8], prefix: &[u8], visit: &mut VisitKey<'_>) -> Result<()> {
    let mut failure = None;
    let end = keyspace::after(prefix);
    snapshot.range(from, end.as_deref(), &mut |key, value| match visit(key, value) {
        Ok(walk) => Ok(walk),
        Err(error) => {
            failure = Some(error);
            Ok(Walk::Break(()))
        }
    })?;
    match failure {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::format::record::Kind;
    use crate::name::Name;
    use crate::store::memory::MemoryStore;
    use crate::store::{Batch, Store};
    use crate::vault::{Change, Options, Write};

    #[test]
    fn a_check_finds_index_keys_that_are_missing_or_too_many() {
        let id = EntryId::plain(Name::parse("a").unwrap());
        let other = EntryId::plain(Name::parse("b").unwrap());
        let category = Category::parse("db").unwrap();
        let checks = |due: Option<u64>, change: &dyn Fn(&mut Batch)| {
            let store = Arc::new(MemoryStore::new());
            let vault = Vault::over(store.clone(), Options::default()).unwrap();
            let mut write = Write::value(SecretValue::from("x"), Kind::Text);
            (write.category, write.expires) = (Change::Set(category.clone()), Change::Set(7));
            vault.set(&id, write, 1).unwrap();
            let mut batch = Batch::default();
            let mut record = vault.entry(&id).unwrap().unwrap().record().clone();
            record.due = due;
            batch.put(keyspace::entry(&id), record.encode().to_vec());
            change(&mut batch);
            store.begin().unwrap().commit(batch, 2).unwrap();
            vault.check().is_ok()
        };
        assert!(checks(None, &|_| {}));
        assert!(checks(Some(5), &|batch| batch.put(keyspace::time(keyspace::DUE, 5, &id), Vec::new())));
        assert!(!checks(Some(5), &|_| {}));
        for key in [
            keyspace::category(&category, &other),
            keyspace::time(keyspace::EXPIRY, 8, &id),
            keyspace::time(keyspace::DUE, 8, &id),
            keyspace::listing(&other),
        ] {
            assert!(!checks(None, &|batch| batch.put(key.clone(), Vec::new())));
        }
        for key in [keyspace::category(&category, &id), keyspace::time(keyspace::EXPIRY, 7, &id), keyspace::listing(&id)] {
            assert!(!checks(None, &|batch| batch.delete(key.clone())));
        }
    }
}
