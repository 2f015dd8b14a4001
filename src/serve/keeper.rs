//! Keeps the vault open, or sealed, and knows which keys open it: a key is derived once, and then known by a keyed hash of it for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

use super::limits::group;
use crate::crypto::{self, keyed_hash};
use crate::secret::Passphrase;
use crate::vault::{
    AuditSource, Credential, Error, ErrorKind, Grant, KeptSlot, Locked, OpenedSlot, Options, Result, Rotation, Seen, Vault,
};

/// How many key derivations run at once: each takes a quarter of a gigabyte.
const DERIVATIONS: usize = 2;
/// How many derivations from one address may wait; the next is told to come again.
const WAITING_OF_ONE: usize = 4;
/// How many derivations may wait altogether.
const WAITING: usize = 64;
/// How many keys are known at once.
const KNOWN: usize = 1024;

/// A vault that is open.
pub struct Open {
    /// The vault, by a key that opens all of it.
    pub vault: Vault,
    /// What opens it again when its header changed.
    way: Arc<Way>,
    /// What its log needs.
    pub source: AuditSource,
    /// A write failed so that its outcome is not known: the next look opens the file anew, which settles it.
    doubted: AtomicBool,
    /// Counts how often it was opened: what was learned from another opening may not hold any more.
    pub generation: u64,
}

impl Open {
    /// Which state is the newest; `None` if it has to be opened again to know.
    fn look(&self) -> Option<Result<Seen>> {
        match self.vault.refresh() {
            Ok(seen) => (!self.doubted.load(Ordering::Relaxed)).then_some(Ok(seen)),
            Err(error) if error.code() == "keys_changed" => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// What was written last may be there or not.
    pub fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }
}

/// What opens the vault, also after others have changed its keys.
pub enum Way {
    /// A key. Of a passphrase the identity of its slot, so that it is derived once and not kept.
    Credential(Credential),
    /// What an agent held: it opens the vault until its keys change.
    Kept(KeptSlot),
}

impl Way {
    /// The way that a key opens, if it does, without what is not needed any more.
    pub fn of(locked: &Locked, credential: Credential) -> Result<Self> {
        Ok(Self::Credential(match credential {
            Credential::Passphrase(_) | Credential::RawKey(_) => Credential::Slot(locked.slot_identity(&credential)?),
            other => other,
        }))
    }

    fn open(&self, locked: &Locked) -> Result<OpenedSlot> {
        match self {
            Self::Credential(credential) => locked.open_slot(credential),
            Self::Kept(kept) => locked.reopen(kept),
        }
    }
}

/// What a passphrase opened.
pub struct Session {
    /// The public half of its slot.
    pub slot: String,
    /// What it is called in logs: `key:` and the label of the slot.
    pub name: String,
    /// What it may do.
    pub grant: Grant,
    /// The vault as this key opens it, if it opens some compartments only.
    pub limited: Option<Vault>,
    ends: Instant,
    /// The opening of the vault under which it was found to hold.
    generation: u64,
}

impl Session {
    /// Whether it was found to hold under this opening of the vault.
    pub fn is_of(&self, open: &Open) -> bool {
        self.generation == open.generation
    }
}

/// Why a key is refused.
#[derive(Debug)]
pub enum KeyRefused {
    /// It opens nothing.
    Wrong,
    /// Too many are being tried.
    Busy,
    /// The file could not be read, or does not hold.
    Failed(Error),
}

/// What a slot is called: its public half, and what stands in logs.
struct Called {
    slot: String,
    name: String,
}

type Found = Arc<std::result::Result<Arc<Session>, KeyRefused>>;

/// Keeps one vault.
pub struct Keeper {
    path: PathBuf,
    options: Options,
    now: RwLock<Option<Arc<Open>>>,
    generation: AtomicU64,
    known: RwLock<HashMap<[u8; 32], Arc<Session>>>,
    remember: Duration,
    deriving: Semaphore,
    /// Held by whoever opens the vault again.
    reopening: Arc<Semaphore>,
    pending: Mutex<Pending>,
    /// The key of the hashes by which keys are known; of this process alone.
    hash_key: Zeroizing<[u8; 32]>,
}

#[derive(Default)]
struct Pending {
    by_key: HashMap<[u8; 32], watch::Receiver<Option<Found>>>,
    by_address: HashMap<Option<IpAddr>, usize>,
}

impl Keeper {
    /// A vault that is sealed.
    pub fn sealed(path: PathBuf, options: Options, remember: Duration) -> Result<Self> {
        Ok(Self {
            path,
            options,
            now: RwLock::new(None),
            generation: AtomicU64::new(0),
            known: RwLock::default(),
            remember,
            deriving: Semaphore::new(DERIVATIONS),
            reopening: Arc::new(Semaphore::new(1)),
            pending: Mutex::default(),
            hash_key: crypto::random_key()?,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The vault as it is now, or `None` while it is sealed. A header that others changed is followed, as far as the key that opened it goes.
    pub async fn open(self: &Arc<Self>) -> Result<Option<(Arc<Open>, Seen)>> {
        let Some(open) = self.current() else { return Ok(None) };
        if let Some(seen) = open.look() {
            return Ok(Some((open, seen?)));
        }
        // One at a time, where it may take as long as a plugin takes; whoever comes behind finds it done.
        let failed = || Error::new(ErrorKind::Internal, "internal", "the vault could not be opened again");
        let one = self.reopening.clone().acquire_owned().await.map_err(|_| failed())?;
        let keeper = self.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let _one = one;
            keeper.open_now()
        });
        opened.await.map_err(|_| failed())?
    }

    /// The same for a thread that may wait.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] while the keys of the vault change.
    pub fn open_here(&self) -> Result<Option<(Arc<Open>, Seen)>> {
        let busy = |_| Error::new(ErrorKind::Busy, "busy", "the keys of the vault are being changed");
        let _one = self.reopening.clone().try_acquire_owned().map_err(busy)?;
        self.open_now()
    }

    fn open_now(&self) -> Result<Option<(Arc<Open>, Seen)>> {
        let Some(open) = self.current() else { return Ok(None) };
        if let Some(seen) = open.look() {
            return Ok(Some((open, seen?)));
        }
        let open = self.reopen(&open)?;
        let seen = open.vault.refresh()?;
        Ok(Some((open, seen)))
    }

    /// The vault, without a look at the file.
    pub fn current(&self) -> Option<Arc<Open>> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens the vault.
    ///
    /// # Errors
    /// [`ErrorKind::NotPermitted`] for a limited key: it cannot serve what others may read.
    pub fn unseal_by(&self, locked: Locked, way: Way) -> Result<Arc<Open>> {
        let slot = way.open(&locked)?;
        let vault = locked.unlock_with(slot, self.options.clone())?;
        self.install(vault, way)
    }

    /// Opens the vault with a key, which is derived here.
    pub fn unseal(&self, credential: Credential) -> Result<Arc<Open>> {
        let locked = Locked::open(&self.path)?;
        let way = Way::of(&locked, credential)?;
        self.unseal_by(locked, way)
    }

    /// Whether a key opens a slot of the vault, sealed or not.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] if it does not.
    pub fn proves(&self, credential: &Credential) -> Result<()> {
        Locked::open(&self.path)?.open_slot(credential).map(drop)
    }

    fn install(&self, vault: Vault, way: Way) -> Result<Arc<Open>> {
        vault.refuse_limited()?;
        vault.prove()?;
        let open = self.opened(vault, Arc::new(way))?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Some(open.clone());
        Ok(open)
    }

    /// Another opening of the vault: whoever was let in by keys of the header before is asked again.
    fn opened(&self, vault: Vault, way: Arc<Way>) -> Result<Arc<Open>> {
        let source =
            vault.audit_source().ok_or_else(|| Error::new(ErrorKind::Internal, "internal", "the vault is not in a file"))?;
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.forget_keys();
        Ok(Arc::new(Open { vault, way, source, doubted: AtomicBool::new(false), generation }))
    }

    fn reopen(&self, old: &Arc<Open>) -> Result<Arc<Open>> {
        if let Some(open) = self.newer_than(old, self.current().as_ref())? {
            return Ok(open);
        }
        // Without the lock, so that whoever needs nothing of the new opening goes on by the old one.
        let locked = Locked::open(&self.path)?;
        let again = old.way.open(&locked).and_then(|slot| locked.unlock_with(slot, self.options.clone()));
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = self.newer_than(old, now.as_ref())? {
            return Ok(open);
        }
        match again {
            Ok(vault) => {
                let open = self.opened(vault, old.way.clone())?;
                *now = Some(open.clone());
                Ok(open)
            }
            // The slot is gone, or has another key: what it gave opens nothing any more.
            Err(error)
                if [ErrorKind::Locked, ErrorKind::NotPermitted, ErrorKind::Stale, ErrorKind::Damaged].contains(&error.kind()) =>
            {
                *now = None;
                self.end_sessions();
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Replaces the master key and the system key in one step of the file, and goes on with the new ones.
    pub async fn rotate_master(self: &Arc<Self>, now: u64) -> Result<()> {
        let failed = || Error::new(ErrorKind::Internal, "internal", "the master key could not be rotated");
        // Whoever finds other keys meanwhile waits, and then finds the new opening.
        let one = self.reopening.clone().acquire_owned().await.map_err(|_| failed())?;
        let keeper = self.clone();
        let rotated = tokio::task::spawn_blocking(move || {
            let _one = one;
            keeper.rotate_here(now)
        });
        rotated.await.map_err(|_| failed())?
    }

    fn rotate_here(&self, now: u64) -> Result<()> {
        let sealed = || Error::new(ErrorKind::Locked, "sealed", "the vault is sealed");
        let old = self.current().ok_or_else(sealed)?;
        let locked = Locked::open(&self.path)?;
        let slot = old.way.open(&locked)?;
        let mut vault = locked.unlock_with(slot, self.options.clone())?;
        vault.rotate_keys(Rotation::Master, now)?;
        let way = match old.way.as_ref() {
            Way::Credential(_) => old.way.clone(),
            // What an agent held opens the vault no more; the vault that is open does.
            Way::Kept(_) => Arc::new(Way::Kept(Locked::open(&self.path)?.keep_for(&vault)?)),
        };
        let mut current = self.now.write().unwrap_or_else(PoisonError::into_inner);
        // Sealed meanwhile: it stays so.
        if current.is_some() {
            *current = Some(self.opened(vault, way)?);
        }
        Ok(())
    }

    /// What somebody who was faster has opened.
    fn newer_than(&self, old: &Open, now: Option<&Arc<Open>>) -> Result<Option<Arc<Open>>> {
        match now {
            Some(open) if open.generation != old.generation => Ok(Some(open.clone())),
            Some(_) => Ok(None),
            None => Err(Error::new(ErrorKind::Locked, "sealed", "the vault is sealed")),
        }
    }

    /// Forgets the vault's keys. Returns whether it was open.
    pub fn seal(&self) -> bool {
        let was = self.now.write().unwrap_or_else(PoisonError::into_inner).take().is_some();
        self.end_sessions();
        was
    }

    /// No key that was let in before is let in by that any more, nor one that is being derived now.
    fn end_sessions(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.forget_keys();
    }

    fn forget_keys(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a passphrase opens: known, or derived now, two at once at most. The vault is opened with it if it was sealed and the key
    /// opens all of it. `admit` is asked before a derivation, whether this address may have one.
    pub async fn session(
        self: &Arc<Self>,
        key: Zeroizing<Vec<u8>>,
        from: Option<IpAddr>,
        admit: impl FnOnce() -> bool,
    ) -> std::result::Result<Arc<Session>, KeyRefused> {
        let from = from.map(group);
        let hash = keyed_hash(&self.hash_key, &key).0;
        if let Some(session) = self.known(&hash) {
            return Ok(session);
        }
        // By the keys that there are now: what others changed would cost a derivation more, and no try is counted for a file that cannot be read.
        self.open().await.map_err(KeyRefused::Failed)?;
        let mut waiting = {
            let mut pending = self.pending();
            match pending.by_key.get(&hash) {
                Some(waiting) => waiting.clone(),
                None => {
                    let total: usize = pending.by_address.values().sum();
                    let of_one = pending.by_address.get(&from).copied().unwrap_or_default();
                    if total >= WAITING || of_one >= WAITING_OF_ONE || !admit() {
                        return Err(KeyRefused::Busy);
                    }
                    *pending.by_address.entry(from).or_default() += 1;
                    let (sender, waiting) = watch::channel(None);
                    pending.by_key.insert(hash, waiting.clone());
                    // It goes on though whoever asked hangs up: otherwise a derivation could be begun again and again and never paid for.
                    tokio::spawn(self.clone().derive(key, hash, from, sender));
                    waiting
                }
            }
        };
        let gone = || KeyRefused::Failed(Error::new(ErrorKind::Internal, "internal", "a key derivation ended without a result"));
        let found = waiting.wait_for(Option::is_some).await.map_err(|_| gone())?.clone().ok_or_else(gone)?;
        match found.as_ref() {
            Ok(session) => Ok(session.clone()),
            Err(KeyRefused::Failed(error)) => Err(KeyRefused::Failed(error.clone())),
            Err(KeyRefused::Wrong) => Err(KeyRefused::Wrong),
            Err(KeyRefused::Busy) => Err(KeyRefused::Busy),
        }
    }

    fn known(&self, hash: &[u8; 32]) -> Option<Arc<Session>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let generation = self.generation.load(Ordering::Acquire);
        known.get(hash).filter(|session| session.generation == generation && session.ends > Instant::now()).cloned()
    }

    async fn derive(
        self: Arc<Self>,
        key: Zeroizing<Vec<u8>>,
        hash: [u8; 32],
        from: Option<IpAddr>,
        sender: watch::Sender<Option<Found>>,
    ) {
        let found = match self.deriving.acquire().await {
            Ok(_permit) => {
                let keeper = self.clone();
                let opened = tokio::task::spawn_blocking(move || keeper.try_key(key, &hash)).await;
                opened.unwrap_or_else(|_| {
                    Err(KeyRefused::Failed(Error::new(ErrorKind::Internal, "internal", "a key derivation failed")))
                })
            }
            Err(_) => Err(KeyRefused::Busy),
        };
        let mut pending = self.pending();
        pending.by_key.remove(&hash);
        if let Some(count) = pending.by_address.get_mut(&from) {
            *count -= 1;
            if *count == 0 {
                pending.by_address.remove(&from);
            }
        }
        drop(pending);
        let _ = sender.send(Some(Arc::new(found)));
    }

    fn try_key(&self, key: Zeroizing<Vec<u8>>, hash: &[u8; 32]) -> std::result::Result<Arc<Session>, KeyRefused> {
        let failed = |error: Error| match error.code() {
            "wrong_key" | "wrong_passphrase" => KeyRefused::Wrong,
            _ => KeyRefused::Failed(error),
        };
        // Before the header is read: one that changes meanwhile makes what is found here out of date.
        let generation = self.generation.load(Ordering::Acquire);
        let locked = Locked::open(&self.path).map_err(failed)?;
        if !locked.has_passphrase_slot() {
            return Err(KeyRefused::Wrong);
        }
        // Derived once: the identity then opens its slot without another derivation.
        let way = Way::of(&locked, Credential::Passphrase(Passphrase::new(key))).map_err(failed)?;
        let slot = way.open(&locked).map_err(failed)?;
        let vault = locked.unlock_with(slot, self.options.clone()).map_err(failed)?;
        let source = vault.audit_source().ok_or(KeyRefused::Wrong)?;
        let is_full = source.full;
        let label = vault.slots().map_err(failed)?.into_iter().find(|slot| slot.in_use).map(|slot| slot.label);
        let called = Called { name: format!("key:{}", label.as_deref().unwrap_or(&source.opened_by)), slot: source.opened_by };
        if is_full && self.current().is_none() {
            // Sealed while this was derived: whoever did that does not mean this.
            if self.generation.load(Ordering::Acquire) != generation {
                return Err(KeyRefused::Busy);
            }
            let generation = self.install(vault, way).map_err(failed)?.generation;
            return Ok(self.remember(hash, generation, called, Grant::all(), None));
        }
        let (grant, limited) = if is_full { (Grant::all(), None) } else { (Grant::reading(), Some(vault)) };
        Ok(self.remember(hash, generation, called, grant, limited))
    }

    fn remember(&self, hash: &[u8; 32], generation: u64, called: Called, grant: Grant, limited: Option<Vault>) -> Arc<Session> {
        let now = Instant::now();
        let Called { slot, name } = called;
        let session = Arc::new(Session { slot, name, grant, limited, ends: now + self.remember, generation });
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, session| session.ends > now);
        if known.len() >= KNOWN
            && let Some(oldest) = known.iter().min_by_key(|(_, session)| session.ends).map(|(hash, _)| *hash)
        {
            known.remove(&oldest);
        }
        known.insert(*hash, session.clone());
        session
    }
}
