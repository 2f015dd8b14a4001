//! Vaults to test with: their keys, a header, and what is in them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vault::crypto::keys::{Commitments, IndexKeys};
use vault::crypto::{Signer, Verifier};
use vault::format::header::{Header, Slot, SlotKind, SlotLabel};
use vault::format::keyspace::LINEAGE;
use vault::secret::{IndexKey, SigningSeed};
use vault::store::file::storage::Place;
use vault::store::file::{FileKeys, FileOptions, FileStore, Known, OpenedFile};
use vault::store::{Batch, Committed, Revision, Snapshot, Store, StoreError, Walk};
use zeroize::Zeroizing;

pub type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// Never compacts by itself; does not wait long for a lock that nobody releases.
pub const PLAIN: FileOptions = FileOptions { lock_timeout: Duration::from_secs(60), compact: false, cached_nodes: 256 };
/// Does not wait long for a lock that it will not get.
pub const HASTY: FileOptions = FileOptions { lock_timeout: Duration::from_millis(20), ..PLAIN };
/// Compacts by itself.
pub const COMPACTING: FileOptions = FileOptions { compact: true, ..PLAIN };

/// A vault with fixed keys.
#[derive(Clone, Copy)]
pub struct Sample {
    pub id: [u8; 16],
    pub index: [u8; 32],
    pub seed: [u8; 32],
}

pub const SAMPLE: Sample = Sample { id: [7; 16], index: [8; 32], seed: [9; 32] };

impl Sample {
    /// All keys: of somebody who reads and writes.
    pub fn keys(&self) -> FileKeys {
        FileKeys { signer: Some(self.signer()), ..self.reading_keys() }
    }

    /// The keys of somebody who reads, and can seal whatever he likes, but not sign it.
    pub fn reading_keys(&self) -> FileKeys {
        FileKeys {
            id: self.id,
            index: IndexKeys::derive(&IndexKey::new(Zeroizing::new(self.index)), &self.id),
            verifier: Verifier::new(&self.signer().public()).unwrap(),
            signer: None,
        }
    }

    pub fn signer(&self) -> Signer {
        Signer::new(&SigningSeed::new(Zeroizing::new(self.seed)))
    }

    pub fn header(&self) -> Header {
        let keys = self.keys();
        let commitments = Commitments { master: [1; 32], index: [2; 32] };
        let mut header = Header::new(self.id, self.signer().public(), 1, vec![0; 300], commitments);
        let label = SlotLabel::full("somebody");
        let slot =
            Slot::new(&self.id, keys.index.slot_label(), SlotKind::Raw, true, "age1somebody".to_owned(), &label, vec![0; 200]);
        header.slots.push(slot.unwrap());
        header
    }

    pub fn create(&self, place: &dyn Place) -> Result<(), StoreError> {
        FileStore::create(place, &self.header(), &self.keys(), 1)
    }

    /// Opens as a process that knows nothing but the keys.
    pub fn open(&self, place: Arc<dyn Place>) -> Result<FileStore, StoreError> {
        self.open_with(place, Known::default(), PLAIN)
    }

    pub fn open_with(&self, place: Arc<dyn Place>, known: Known, options: FileOptions) -> Result<FileStore, StoreError> {
        let file = OpenedFile::open(place.as_ref())?;
        FileStore::new(place, file, self.keys(), known, options)
    }
}

/// A change of some keys: a value, or none to delete.
pub type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

pub fn batch(changes: &Changes) -> Batch {
    let mut batch = Batch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.put(key.clone(), value.clone()),
            None => batch.delete(key.clone()),
        }
    }
    batch
}

pub fn commit(store: &FileStore, changes: &Changes) -> Result<Committed, StoreError> {
    store.begin()?.commit(batch(changes), 2)
}

pub fn apply(contents: &mut Contents, changes: &Changes) {
    for (key, value) in changes {
        match value {
            Some(value) => contents.insert(key.clone(), value.clone()),
            None => contents.remove(key),
        };
    }
}

/// Everything in a state that was put there; what the engine keeps for itself is left out.
pub fn contents_of(snapshot: &dyn Snapshot) -> Result<Contents, StoreError> {
    contents_within(snapshot, &[], None)
}

pub fn contents_within(snapshot: &dyn Snapshot, from: &[u8], to: Option<&[u8]>) -> Result<Contents, StoreError> {
    let mut contents = Contents::new();
    snapshot.range(from, to, &mut |key, value| {
        if key.first() == Some(&LINEAGE) {
            return Ok(Walk::Continue(()));
        }
        let value = match value {
            Some(value) => value.to_vec(),
            None => snapshot.get(key)?.expect("a key that a walk shows has a value"),
        };
        contents.insert(key.to_vec(), value);
        Ok(Walk::Continue(()))
    })?;
    Ok(contents)
}

pub fn contents(store: &FileStore) -> Result<(Revision, Contents), StoreError> {
    let snapshot = store.snapshot()?;
    Ok((snapshot.revision(), contents_of(snapshot.as_ref())?))
}
