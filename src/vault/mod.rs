//! What the product means: unlocking, entries and their versions, categories, environments, and what a machine remembers of a vault.
//!
//! Nothing here touches a terminal, the environment, the home directory or the clock; the edges pass them in.

mod audit;
mod check;
pub mod clock;
mod condition;
mod create;
mod differences;
mod entries;
mod error;
mod expiry;
mod exposure;
pub mod field;
mod foreign;
pub mod generate;
mod import;
pub mod mention;
mod merge;
pub mod otp;
mod read;
mod records;
mod reference;
mod relocate;
mod reseal;
mod rotation;
mod schedule;
mod slots;
mod standing;
mod stream;
mod system;
mod template;
mod together;
mod tokens;
mod unlock;
pub mod users;
mod witness;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use audit::{AuditAnchor, AuditSource};
pub use check::Checked;
pub use condition::Condition;
pub use differences::Difference;
pub use entries::{Entry, VersionInfo};
pub use error::{Error, ErrorKind, Result};
pub use expiry::{Pruned, Times};
pub use exposure::Exposure;
pub use foreign::{ForeignKeys, Variable, check_age, verify_checksum, with_checksum};
pub use import::{Import, ImportPolicy};
pub use merge::{MergeConflict, Merged, MergedEntry, Side};
pub use read::{Filter, Found, Scope, Seen};
pub use reference::Reference;
pub use rotation::{PendingRotation, Start};
pub use schedule::{DueRotation, TIER};
pub use slots::{KeyNumber, KeyNumbers, KeysChanged, Limit, NewSlot, Rotation, SlotInfo, SlotView};
pub use stream::{StreamInfo, stream_info};
pub use template::{fill_template, has_reference, whole_reference};
pub use together::Changes;
pub use tokens::{Grant, PresentedToken, TokenId, TokenRefused, is_within, parse_network};
pub use unlock::{Credential, KeptSlot, Locked, OpenedSlot};
pub use write::{Change, MakeWrite, Outcome, Write, expires_no_more};

use clock::Clock;

use crate::crypto::{self, Attached, Hash};
use crate::format::FormatError;
use crate::format::header::hex;
use crate::format::keyspace;
use crate::format::record::{ValueContext, Version};
use crate::format::slot::{DataKeys, KeyRing, NumberedKey, OlderKey};
use crate::name::{Category, EntryId, Environment};
use crate::secret::{MasterKey, SecretValue};
use crate::store::file::storage::OsPlace;
use crate::store::file::tree::CACHE;
use crate::store::file::{Facts, FileOptions, FileStore, Known, OpenedFile};
use crate::store::{Snapshot, Store, Walk};
use standing::Standing;
use unlock::Opened;
use witness::Witness;

/// What to do when a file is not the one that this machine expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WitnessPolicy {
    /// Reads warn, writes refuse.
    #[default]
    Warn,
    /// Reads refuse as well.
    Strict,
    /// Nothing is compared and nothing remembered.
    Off,
}

/// How a vault is used; all of it comes from the edge.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where this machine remembers what it has seen; `None`: nowhere.
    pub witness_directory: Option<PathBuf>,
    /// What to do about an older or foreign file.
    pub witness: WitnessPolicy,
    /// Accept the file though it is older than what was seen, and remember that.
    pub accept_older: bool,
    /// Accept signing key, slots and age of the file as they are, and remember that.
    pub trust: bool,
    /// The fingerprint that the vault must have.
    pub fingerprint: Option<String>,
    /// How long a writer waits for its turn.
    pub lock_timeout: Duration,
    /// How many pages of the tree are kept open: more for who stays and is asked often.
    pub cached_pages: usize,
    /// How many versions of an entry are kept, 1 to 100.
    pub keep_versions: usize,
    /// How often entries of a tier get another value, in milliseconds, by the word in their metadata `tier`.
    pub tiers: BTreeMap<String, u64>,
    /// Believe the clock whatever it says, and have the vault follow it.
    pub trust_clock: bool,
    /// What keys are given from the edge, for slots that only a plugin can wrap keys for.
    pub callbacks: Attached,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            witness_directory: None,
            witness: WitnessPolicy::Warn,
            accept_older: false,
            trust: false,
            fingerprint: None,
            lock_timeout: Duration::from_secs(30),
            cached_pages: CACHE,
            keep_versions: 10,
            tiers: BTreeMap::new(),
            trust_clock: false,
            callbacks: Attached::default(),
        }
    }
}

/// An unlocked vault.
///
/// ```
/// use vault::{Credential, EntryId, Kind, Locked, Name, NewSlot, Options, SecretValue, Vault, Write};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("vault-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// # let path = directory.join("app.vault");
/// # let now = 1_700_000_000_000;
/// // A key of your own: 32 bytes that you keep somewhere safe.
/// let key = || NewSlot::RawKey(vault::RawKey::new([7; 32].into()));
/// Vault::create(&path, &[("app".to_owned(), key())], now)?;
///
/// let credential = Credential::RawKey(vault::RawKey::new([7; 32].into()));
/// let vault = Locked::open(&path)?.unlock(&credential, Options::default())?;
/// let id = EntryId::plain(Name::parse("db_prod")?);
/// vault.set(&id, Write::value(SecretValue::from("s3cret"), Kind::Text), now)?;
///
/// let value = vault.value(&id, None)?;
/// assert_eq!(value.expose(), b"s3cret");
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok(())
/// # }
/// ```
pub struct Vault {
    store: Arc<dyn Store>,
    file: Option<FileSide>,
    id: [u8; 16],
    keys: Keys,
    options: Options,
}

/// What the slot that was opened gives beyond the keys of the file itself.
enum Keys {
    /// The master key, and everything that it seals.
    Full(MasterKey, KeyRing),
    /// The data keys of some compartments.
    Limited(DataKeys),
}

impl Keys {
    fn data(&self) -> &DataKeys {
        match self {
            Self::Full(_, ring) => &ring.data,
            Self::Limited(data) => data,
        }
    }
}

/// What a vault in a file has beyond its store.
struct FileSide {
    store: Arc<FileStore>,
    witness: Option<Witness>,
    standing: Standing,
    path: PathBuf,
    /// The public half of the slot that was opened.
    opened_by: String,
}

impl Vault {
    fn assemble(place: Arc<OsPlace>, file: OpenedFile, opened: Opened, options: Options) -> Result<Self> {
        let Opened { file: file_keys, keys, slot: opened_by } = opened;
        let id = file_keys.id;
        let path = place.path().to_owned();
        let witness = match (&options.witness_directory, options.witness) {
            (_, WitnessPolicy::Off) | (None, _) => None,
            (Some(directory), _) => Some(Witness::new(directory, &id, &path)),
        };
        // Before the newest record is looked for: what is remembered decides whether it may be built upon.
        let memory = witness.as_ref().and_then(Witness::load);
        let known = Known {
            acknowledged: memory.as_ref().and_then(|memory| memory.acknowledged_in.map(|file| (memory.newest.hash, file))),
        };
        let file_options =
            FileOptions { lock_timeout: options.lock_timeout, cached_nodes: options.cached_pages, ..FileOptions::default() };
        let store = Arc::new(FileStore::new(place, file, file_keys, known, file_options)?);
        let standing = Standing::judge(&store, memory, witness.as_ref(), &options)?;
        if witness.is_some() {
            // What is written later, under the lock, is built on what was judged here or on what came of it.
            store.demand_descent(standing.judged());
        }
        let side = FileSide { store: store.clone(), witness, standing, path, opened_by };
        Ok(Self { store, file: Some(side), id, keys, options })
    }

    /// A vault over another engine, with fresh keys: nothing of it outlives the process.
    pub fn over(store: Arc<dyn Store>, options: Options) -> Result<Self> {
        let keys = Keys::Full(MasterKey::new(crypto::random_key()?), KeyRing::generate(0)?);
        Ok(Self { store, file: None, id: crypto::random()?, keys, options })
    }

    /// What the user should know about the file before trusting what it says; empty if nothing.
    pub fn warnings(&self) -> &[String] {
        self.file.as_ref().map_or(&[], |file| file.standing.warnings())
    }

    /// The path of the file, with symbolic links resolved.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// The vault's id in hex digits.
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    /// The vault's id.
    pub fn id_bytes(&self) -> &[u8; 16] {
        &self.id
    }

    /// The fingerprint of the public signing key: BLAKE3, in hex digits.
    pub fn fingerprint(&self) -> Option<String> {
        self.file.as_ref().map(|file| fingerprint(file.store.keys().verifier.public()))
    }

    /// What the newest commit says about the file.
    pub fn facts(&self) -> Option<Facts> {
        self.file.as_ref().map(|file| file.store.facts())
    }

    /// A clock that says `now`, beside the newest commit.
    pub fn clock(&self, now: u64) -> Clock {
        Clock::new(now, self.facts().map(|facts| facts.time), self.options.trust_clock)
    }

    /// Runs `read` on the newest state. If it meets damage while the file was being replaced, it runs once more on what is there now.
    pub(crate) fn read<T>(&self, read: &mut dyn FnMut(&Arc<dyn Snapshot>) -> Result<T>) -> Result<T> {
        let snapshot = self.store.snapshot()?;
        match read(&snapshot) {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                let again = self.store.snapshot()?;
                // Only if the same record is still the newest is it damage.
                if again.revision() == snapshot.revision() { Err(error) } else { read(&again) }
            }
            result => result,
        }
    }

    /// Whether the key at hand opens some compartments only.
    fn limited(&self) -> bool {
        matches!(self.keys, Keys::Limited(_))
    }

    /// The compartment of values in this category and environment (SPEC, section 2).
    fn compartment(&self, category: Option<&Category>, id: &EntryId) -> String {
        compartment_of(self.keys.data(), category, id)
    }

    fn seal(&self, uid: &[u8; 16], version: &Version, value: &SecretValue) -> Result<Vec<u8>> {
        let key =
            self.keys.data().newest(&version.compartment).filter(|key| key.number == version.key).ok_or_else(not_permitted)?;
        Ok(self.value_context(uid, version).seal(key, value)?)
    }

    fn open(&self, snapshot: &dyn Snapshot, uid: &[u8; 16], version: &Version, sealed: &[u8]) -> Result<SecretValue> {
        let context = self.value_context(uid, version);
        let newest = self.keys.data().newest(&version.compartment).ok_or_else(not_permitted)?;
        if newest.number == version.key {
            return Ok(context.open(&newest.key, newest.number, sealed)?);
        }
        let older = self.older_key(snapshot, &version.compartment, version.key, newest)?;
        Ok(context.open(&older.key, older.number, sealed)?)
    }

    /// Follows the chain from an older data key to the newest: each is sealed by a newer one. The chain may be as long as the file says.
    fn older_key(&self, snapshot: &dyn Snapshot, compartment: &str, number: u64, newest: &NumberedKey) -> Result<NumberedKey> {
        let mut chain = Vec::new();
        let mut number = number;
        while number < newest.number {
            let stored = snapshot
                .get(&keyspace::older_key(compartment, number))?
                .ok_or(FormatError::Malformed("the data key of a value is not there"))?;
            let next = older_key_behind(snapshot, compartment, number)?.unwrap_or(newest.number);
            let older = OlderKey { id: &self.id, compartment, number };
            if older.sealed_by(&stored)? != next || next > newest.number {
                return Err(FormatError::Malformed("an older data key is not sealed by the next newer one").into());
            }
            chain.push((number, stored));
            number = next;
        }
        if number > newest.number {
            return Err(FormatError::Malformed("a value is sealed by a data key that there is not").into());
        }
        let mut opened: Option<NumberedKey> = None;
        for (number, stored) in chain.into_iter().rev() {
            let newer = opened.as_ref().unwrap_or(newest);
            opened = Some(OlderKey { id: &self.id, compartment, number }.open(&stored, newer)?);
        }
        opened.ok_or_else(|| FormatError::Malformed("the data key of a value is not there").into())
    }

    fn value_context<'a>(&'a self, uid: &'a [u8; 16], version: &'a Version) -> ValueContext<'a> {
        ValueContext { id: &self.id, uid, version: version.sealed_as, compartment: &version.compartment }
    }

    /// The bytes of the newest state of the file: a whole vault file of its own.
    pub fn image(&self) -> Result<Vec<u8>> {
        match &self.file {
            Some(file) => Ok(file.store.image()?),
            None => Err(Error::new(ErrorKind::Internal, "internal", "this vault is not in a file")),
        }
    }

    /// Drops dead bytes by writing the file anew.
    pub fn compact(&self, now: u64) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        self.may_write()?;
        let committed = file.store.compact(self.clock(now).for_commit())?;
        self.acknowledge(&committed);
        Ok(())
    }
}

/// The compartment of values in this category and environment, where these are the keys that there are.
fn compartment_of(data: &DataKeys, category: Option<&Category>, id: &EntryId) -> String {
    compartment_in(data, category, id.environment.as_ref())
}

fn compartment_in(data: &DataKeys, category: Option<&Category>, environment: Option<&Environment>) -> String {
    let is_one = |name: String| data.newest(&name).map(|_| name);
    let by_category = category.and_then(|category| is_one(format!("category:{category}")));
    let by_environment = environment.and_then(|environment| is_one(format!("env:{environment}")));
    match (by_category, by_environment) {
        (Some(category), Some(environment)) => format!("{category}\u{1f}{environment}"),
        (one, other) => one.or(other).unwrap_or_default(),
    }
}

/// The number of the first older data key of a compartment behind `number`.
fn older_key_behind(snapshot: &dyn Snapshot, compartment: &str, number: u64) -> Result<Option<u64>> {
    let mut found = None;
    let Some(behind) = number.checked_add(1) else { return Ok(None) };
    let (from, last) = (keyspace::older_key(compartment, behind), keyspace::older_key(compartment, u64::MAX));
    snapshot.range(&from, keyspace::after(&last).as_deref(), &mut |key, _| {
        found = Some(keyspace::parse_older_key(key)?.1);
        Ok(Walk::Break(()))
    })?;
    Ok(found)
}

/// The fingerprint of a public signing key.
pub fn fingerprint(public: &[u8; 32]) -> String {
    Hash::of(public).to_hex()
}

fn not_permitted() -> Error {
    Error::new(ErrorKind::NotPermitted, "not_permitted", "the key at hand does not open values of this category or environment")
        .hint("unlock with a key that does")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::secret::DataKey;
    use crate::store::Batch;
    use crate::store::memory::MemoryStore;

    #[test]
    fn a_chain_of_older_keys_may_be_long_and_must_lead_to_the_newest() {
        const NEWEST: u64 = 30_000;
        let key = |number: u64| {
            let bytes = [[0; 24].as_slice(), &number.to_le_bytes()].concat().try_into().unwrap();
            NumberedKey::new(number, 0, DataKey::new(zeroize::Zeroizing::new(bytes)))
        };
        let store = Arc::new(MemoryStore::new());
        let vault = Vault::over(store.clone(), Options::default()).unwrap();
        let mut batch = Batch::default();
        let mut put = |number: u64, sealing: u64| {
            let older = OlderKey { id: &vault.id, compartment: "", number };
            batch.put(keyspace::older_key("", number), older.seal(&key(number), &key(sealing)).unwrap());
        };
        for number in 2..NEWEST {
            put(number, number + 1);
        }
        put(1, NEWEST + 1);
        store.begin().unwrap().commit(batch, 1).unwrap();
        let snapshot = store.snapshot().unwrap();
        let found = |number| vault.older_key(snapshot.as_ref(), "", number, &key(NEWEST)).map(|found| *found.key.expose());
        assert_eq!(found(2).unwrap(), *key(2).key.expose());
        assert_eq!(found(NEWEST - 1).unwrap(), *key(NEWEST - 1).key.expose());
        for number in [0, 1, NEWEST, NEWEST + 1] {
            assert!(found(number).is_err(), "{number}");
        }
    }
}
