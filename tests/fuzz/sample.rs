//! The vault that mutations start from, its keys, and the states that were committed to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use vault::crypto::keys::{IndexKeys, raw_key_identity};
use vault::crypto::{self, Signer, Verifier};
use vault::format::commit::{Record, RecordContext};
use vault::format::header::UnverifiedHeader;
use vault::format::slot::{KeyRing, SlotPayload};
use vault::store::file::{FileKeys, FileOptions, FileStore, Known, OpenedFile};
use vault::store::{Snapshot, Store, StoreError, Walk};
use vault::{Credential, Locked, Options, RawKey, Vault};
use zeroize::Zeroizing;

use super::place::MemoryPlace;

/// Written by `seeds.rs`.
pub const BYTES: &[u8] = include_bytes!("corpus/file/sample");
pub const RAW_KEY: [u8; 32] = [7; 32];
pub const BLOCK: usize = 4096;

/// Every key of a state with its value.
pub type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

pub struct Sample {
    pub header: UnverifiedHeader,
    /// The records with their positions, oldest first.
    pub records: Vec<Record>,
    /// What each record's tree holds.
    pub states: Vec<Contents>,
    ring: KeyRing,
}

pub static SAMPLE: LazyLock<Sample> = LazyLock::new(Sample::load);

impl Sample {
    fn load() -> Self {
        let length = vault::format::header::length(BYTES).unwrap();
        let header = UnverifiedHeader::parse(&BYTES[..length]).unwrap();
        let id = header.id();
        let identity = raw_key_identity(&RawKey::new(Zeroizing::new(RAW_KEY)), id).unwrap();
        let payload = crypto::decrypt_age(&identity, &header.slots()[0].wrap).unwrap();
        let Ok(SlotPayload::Full(number, master, _)) = SlotPayload::decode(&payload, id) else { panic!("a full slot") };
        let ring = KeyRing::open(&master, id, number, header.sealed_ring().1).unwrap();
        let mut sample = Self { header, records: Vec::new(), states: Vec::new(), ring };
        let keys = sample.keys();
        for (index, block) in BYTES.chunks_exact(BLOCK).enumerate() {
            let offset = index * BLOCK;
            let record = context(&keys, &sample.header).decode(block, offset as u64, &keys.verifier);
            if let Ok(record) = record {
                let (_, store) = open(&BYTES[..offset + BLOCK], sample.keys()).unwrap();
                sample.records.push(record);
                sample.states.push(contents(store.snapshot().unwrap().as_ref()).unwrap());
            }
        }
        sample
    }

    /// The keys of somebody who reads and writes.
    pub fn keys(&self) -> FileKeys {
        let signer = self.signer();
        FileKeys {
            id: *self.header.id(),
            index: IndexKeys::derive(&self.ring.index, self.header.id()),
            verifier: Verifier::new(&signer.public()).unwrap(),
            signer: Some(signer),
        }
    }

    pub fn signer(&self) -> Signer {
        Signer::new(&self.ring.signing)
    }

    /// The header's bytes.
    pub fn header_bytes(&self) -> &'static [u8] {
        &BYTES[..self.header.length() as usize]
    }
}

pub fn context<'a>(keys: &'a FileKeys, header: &UnverifiedHeader) -> RecordContext<'a> {
    RecordContext { id: &keys.id, epoch: header.epoch(), key: keys.index.record(), header_length: header.length() }
}

/// Opens bytes as a vault file in memory.
pub fn open(bytes: &[u8], keys: FileKeys) -> Result<(Arc<MemoryPlace>, FileStore), StoreError> {
    let place = MemoryPlace::new(bytes);
    let options = FileOptions { lock_timeout: Duration::from_secs(60), compact: false, cached_nodes: 256 };
    let file = OpenedFile::open(place.as_ref())?;
    FileStore::new(place.clone(), file, keys, Known::default(), options).map(|store| (place, store))
}

/// Unlocks the file at a path as the program does.
pub fn unlock(path: &Path) -> vault::vault::Result<Vault> {
    Locked::open(path)?.unlock(&Credential::RawKey(RawKey::new(Zeroizing::new(RAW_KEY))), Options::default())
}

/// Everything that a walk shows, in the order of the walk, which must ascend.
pub fn contents(snapshot: &dyn Snapshot) -> Result<Contents, StoreError> {
    let mut contents = Contents::new();
    snapshot.range(&[], None, &mut |key, value| {
        assert!(contents.last_key_value().is_none_or(|(last, _)| last.as_slice() < key), "a walk does not ascend");
        let value = match value {
            Some(value) => value.to_vec(),
            None => snapshot.get(key)?.expect("a key that a walk shows has a value"),
        };
        contents.insert(key.to_vec(), value);
        Ok(Walk::Continue(()))
    })?;
    Ok(contents)
}
