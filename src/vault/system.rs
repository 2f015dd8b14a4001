//! System records: what the vault keeps for itself beside the entries (SPEC, section 6, keyspace 0x10), sealed by the system key of the ring. A
//! limited key neither reads nor writes them.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::error::{Error, ErrorKind, Result};
use super::read::{index_damaged, walk};
use super::reseal::SystemKeys;
use super::{ForeignKeys, Keys, Vault, users};
use crate::crypto::keys::label;
use crate::crypto::{self, Transcript};
use crate::format::slot::KeyRing;
use crate::format::{FormatError, keyspace, padding};
use crate::secret::SystemKey;
use crate::store::{Batch, Snapshot, Walk};

/// The longest kind and name of a record, in bytes, together.
const MAX_KEY: usize = 1024;

/// What is called with the name and the content of each record.
pub type VisitSystem<'a> = dyn FnMut(&str, Zeroizing<Vec<u8>>) -> Result<Walk> + 'a;

impl Vault {
    /// The content of a record.
    ///
    /// # Errors
    /// [`ErrorKind::NotPermitted`] with a limited key.
    pub fn system_get(&self, kind: &str, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        self.read(&mut |state| self.system_get_in(state.as_ref(), kind, name))
    }

    /// Writes a record; what was there is replaced. Returns what the user should know though the write holds.
    pub fn system_put(&self, kind: &str, name: &str, content: &[u8], now: u64) -> Result<Option<String>> {
        self.change(now, &mut |_, batch| self.system_put_in(batch, kind, name, content)).map(|((), note)| note)
    }

    /// Removes a record, if it is there. Returns what the user should know though the write holds.
    pub fn system_delete(&self, kind: &str, name: &str, now: u64) -> Result<Option<String>> {
        self.system_key()?;
        self.change(now, &mut |_, batch| {
            batch.delete(keyspace::system(kind, name));
            Ok(())
        })
        .map(|((), note)| note)
    }

    /// Refuses a key that opens some compartments only, before anything is begun that needs another one.
    ///
    /// # Errors
    /// [`ErrorKind::NotPermitted`] with a limited key.
    pub fn refuse_limited(&self) -> Result<()> {
        self.system_key().map(|_| ())
    }

    /// Walks the records of a kind, in the order of their names.
    pub fn system_range(&self, kind: &str, visit: &mut VisitSystem<'_>) -> Result<()> {
        self.read(&mut |state| self.system_range_in(state.as_ref(), kind, visit))
    }

    pub(super) fn system_get_in(&self, snapshot: &dyn Snapshot, kind: &str, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let system = self.system_key()?;
        let key = keyspace::system(kind, name);
        snapshot.get(&key)?.map(|sealed| self.open_system(system, &key, &sealed)).transpose()
    }

    pub(super) fn system_put_in(&self, batch: &mut Batch, kind: &str, name: &str, content: &[u8]) -> Result<()> {
        let system = self.system_key()?;
        if kind.is_empty() || kind.contains('\0') || kind.len() + name.len() > MAX_KEY {
            return Err(Error::new(ErrorKind::Usage, "too_large", "the name of a system record is too long"));
        }
        let key = keyspace::system(kind, name);
        let sealed = self.seal_system(system, &key, content)?;
        batch.put(key, sealed);
        Ok(())
    }

    /// Seals the content of a record under this system key.
    pub(super) fn seal_system(&self, system: &SystemKey, key: &[u8], content: &[u8]) -> Result<Vec<u8>> {
        Ok(crypto::seal(system.expose(), self.system_aad(key).as_bytes(), &padding::pad(content))?)
    }

    pub(super) fn system_range_in(&self, snapshot: &dyn Snapshot, kind: &str, visit: &mut VisitSystem<'_>) -> Result<()> {
        let system = self.system_key()?;
        walk(snapshot, &keyspace::system(kind, ""), &mut |key, value| {
            let content = match value {
                Some(sealed) => self.open_system(system, key, sealed)?,
                None => self.open_system(system, key, &snapshot.get(key)?.ok_or_else(index_damaged)?)?,
            };
            visit(keyspace::parse_system(key)?.1, content)
        })
    }

    /// A record under another system key; `None` for one that is not to be there any more.
    pub(super) fn renew_system(&self, key: &[u8], sealed: &[u8], new: &SystemKey, keys: SystemKeys) -> Result<Option<Vec<u8>>> {
        let mut content = self.open_system(self.system_key()?, key, sealed)?;
        if let SystemKeys::Renewed(now) = keys {
            match users::renewed(keyspace::parse_system(key)?, content, now)? {
                Some(renewed) => content = renewed,
                None => return Ok(None),
            }
        }
        self.seal_system(new, key, &content).map(Some)
    }

    /// Opens each record of the keyspace, of kinds that this version does not know as well, and reads those that it does.
    pub(super) fn check_system(&self, snapshot: &dyn Snapshot) -> Result<()> {
        // A limited key does not open them; their pages were verified with all others.
        let Keys::Full(_, KeyRing { system, .. }) = &self.keys else { return Ok(()) };
        walk(snapshot, &[keyspace::SYSTEM], &mut |key, value| {
            match value {
                Some(sealed) => self.open_system(system, key, sealed)?,
                None => self.open_system(system, key, &snapshot.get(key)?.ok_or_else(index_damaged)?)?,
            };
            Ok(Walk::Continue(()))
        })?;
        ForeignKeys::read(self, snapshot)?;
        self.check_audit(snapshot)?;
        self.check_tokens(snapshot)?;
        self.check_users(snapshot)?;
        self.check_rotations(snapshot)
    }

    /// All records by their keys, opened.
    pub(super) fn system_all(&self, snapshot: &dyn Snapshot) -> Result<BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>> {
        let system = self.system_key()?;
        let mut all = BTreeMap::new();
        walk(snapshot, &[keyspace::SYSTEM], &mut |key, value| {
            let content = match value {
                Some(sealed) => self.open_system(system, key, sealed)?,
                None => self.open_system(system, key, &snapshot.get(key)?.ok_or_else(index_damaged)?)?,
            };
            all.insert(key.to_vec(), content);
            Ok(Walk::Continue(()))
        })?;
        Ok(all)
    }

    fn system_key(&self) -> Result<&SystemKey> {
        match &self.keys {
            Keys::Full(_, ring) => Ok(&ring.system),
            Keys::Limited(_) => {
                Err(Error::new(ErrorKind::NotPermitted, "not_permitted", "the key at hand is limited, and does not open this")
                    .hint("unlock with a key that is not"))
            }
        }
    }

    fn system_aad(&self, key: &[u8]) -> Transcript {
        Transcript::new(label::SYSTEM).bytes(&self.id).bytes(key)
    }

    fn open_system(&self, system: &SystemKey, key: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let padded = crypto::open(system.expose(), self.system_aad(key).as_bytes(), sealed)
            .map_err(|_| FormatError::NotAuthentic("a system record"))?;
        Ok(Zeroizing::new(padding::unpad(&padded)?.to_vec()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::format::slot::DataKeys;
    use crate::store::Store;
    use crate::store::memory::MemoryStore;
    use crate::vault::Options;

    fn vault() -> (Arc<MemoryStore>, Vault) {
        let store = Arc::new(MemoryStore::new());
        (store.clone(), Vault::over(store, Options::default()).unwrap())
    }

    #[test]
    fn records_are_kept_by_kind_and_name() {
        let (_, vault) = vault();
        let large = vec![7; 100_000];
        for (kind, name, content) in [
            ("thing", "b", &b"2"[..]),
            ("thing", "a", b"1"),
            ("thing", "", b"0"),
            ("things", "c", b"other"),
            ("other", "x", &large),
        ] {
            vault.system_put(kind, name, content, 1).unwrap();
        }
        let all = |kind: &str| {
            let mut found = Vec::new();
            vault
                .system_range(kind, &mut |name, content| {
                    found.push((name.to_owned(), content.to_vec()));
                    Ok(Walk::Continue(()))
                })
                .unwrap();
            found
        };
        assert_eq!(
            all("thing"),
            [("", "0"), ("a", "1"), ("b", "2")].map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec()))
        );
        assert_eq!(all("other"), [("x".to_owned(), large)]);
        vault.check().unwrap();
        vault.system_put("thing", "a", b"new", 2).unwrap();
        assert_eq!(vault.system_get("thing", "a").unwrap().unwrap().as_slice(), b"new");
        vault.system_delete("thing", "a", 3).unwrap();
        assert!(vault.system_get("thing", "a").unwrap().is_none());
        assert!(vault.system_put("", "a", b"", 3).is_err() && vault.system_put("k", &"x".repeat(MAX_KEY), b"", 3).is_err());
    }

    #[test]
    fn a_record_is_bound_to_its_key_and_a_check_opens_it() {
        let (store, vault) = vault();
        vault.system_put("thing", "a", b"1", 1).unwrap();
        let sealed = store.snapshot().unwrap().get(&keyspace::system("thing", "a")).unwrap().unwrap();
        let mut batch = Batch::default();
        batch.put(keyspace::system("thing", "b"), sealed);
        store.begin().unwrap().commit(batch, 2).unwrap();
        assert_eq!(vault.system_get("thing", "b").unwrap_err().kind(), ErrorKind::Damaged);
        assert_eq!(vault.check().unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn a_limited_key_has_no_part_in_them() {
        let (_, mut vault) = vault();
        vault.system_put("thing", "a", b"1", 1).unwrap();
        vault.keys = Keys::Limited(DataKeys::default());
        let refused = [
            vault.system_get("thing", "a").map(|_| ()),
            vault.system_put("thing", "a", b"2", 2).map(|_| ()),
            vault.system_delete("thing", "a", 2).map(|_| ()),
            vault.system_range("thing", &mut |_, _| Ok(Walk::Continue(()))),
        ];
        assert!(refused.iter().all(|refused| refused.as_ref().unwrap_err().kind() == ErrorKind::NotPermitted));
        vault.check().unwrap();
    }
}
