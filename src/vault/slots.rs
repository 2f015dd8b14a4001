//! Slots: who can open the vault, and what becomes of its keys when that changes (SPEC, sections 2 and 3).
//!
//! A slot is wrapped to a public half, so whoever holds a full key gives every slot its new keys without the help of those who use them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use zeroize::Zeroizing;

use super::error::{Error, ErrorKind, Result};
use super::exposure;
use super::reseal::{Reseal, SystemKeys};
use super::unlock::{NewSlot, SlotInfo, public_half};
use super::{Keys, Vault};
use crate::crypto::keys::{self, IndexKeys};
use crate::crypto::{self, AgeRecipient, CryptoError, Signer, Verifier};
use crate::format::header::{Header, Slot, SlotKind, SlotLabel};
use crate::format::keyspace;
use crate::format::slot::{KeyRing, LimitedKeys, NumberedKey, OlderKey, SlotPayload};
use crate::name::{Category, Environment, Tag};
use crate::secret::{DataKey, IndexKey, MasterKey, SigningSeed, SystemKey};
use crate::store::file::{FileKeys, Renewal};
use crate::store::{Batch, Snapshot, StoreError};

/// What a slot may be limited to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// The entries of a category.
    Category(Category),
    /// The entries of an environment.
    Environment(Environment),
}

impl Limit {
    /// Reads `category:C` or `env:E`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("category", name)) => Category::parse(name).map(Self::Category).map_err(|error| Error::name("category", error)),
            Some(("env", name)) => {
                Environment::parse(name).map(Self::Environment).map_err(|error| Error::name("environment", error))
            }
            _ => {
                Err(Error::usage(format!("'{text}' is nothing that a key can be limited to"))
                    .hint("write category:NAME or env:NAME"))
            }
        }
    }

    /// The compartment's name in the format.
    pub fn compartment(&self) -> String {
        match self {
            Self::Category(name) => format!("category:{name}"),
            Self::Environment(name) => format!("env:{name}"),
        }
    }
}

/// A slot as the holder of a key sees it.
#[derive(Debug, Clone)]
pub struct SlotView {
    /// What people call it.
    pub label: String,
    /// What stands in the clear.
    pub info: SlotInfo,
    /// The compartments that a limited slot opens: `category:C`, `env:E`.
    pub compartments: BTreeSet<String>,
    /// Whether the vault was unlocked with it.
    pub in_use: bool,
}

/// Numbers of the keys at hand.
#[derive(Debug, Clone)]
pub struct KeyNumbers {
    /// Of the master key.
    pub master: u64,
    /// Of the newest data key of each compartment.
    pub data: Vec<KeyNumber>,
}

/// A data key, without the key.
#[derive(Debug, Clone)]
pub struct KeyNumber {
    /// What it seals: empty for all that is not limited.
    pub compartment: String,
    /// Its number.
    pub number: u64,
    /// When it was made, in milliseconds.
    pub created: u64,
}

/// Which keys a rotation replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The master key: ring and full slots are wrapped anew, values and data keys stay.
    Master,
    /// The data keys: new writes use new ones, the old ones still open what they sealed.
    Data,
    /// The data keys, and every value is sealed anew; the old keys are destroyed.
    DataAndValues,
}

/// What a change of keys led to.
#[derive(Debug, Clone, Copy)]
pub struct KeysChanged {
    /// How many values were sealed anew.
    pub resealed: u64,
    /// How many entries stand on the worklist because a removed slot could read them.
    pub exposed: u64,
}

impl Vault {
    /// The slots, in the order in which they were added.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if a label does not open.
    pub fn slots(&self) -> Result<Vec<SlotView>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let keys = file.store.keys();
        let mut slots = Vec::new();
        for slot in &file.store.header()?.slots {
            let info = SlotInfo::of(slot);
            let SlotLabel { text: label, compartments, .. } = slot.open_label(&self.id, keys.index.slot_label())?;
            slots.push(SlotView { label, info, compartments, in_use: slot.recipient == file.opened_by });
        }
        Ok(slots)
    }

    /// The numbers of the keys that the slot at hand gives.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if the header is not authentic.
    pub fn key_numbers(&self) -> Result<KeyNumbers> {
        let master = match &self.file {
            Some(file) => file.store.header()?.master,
            None => 1,
        };
        let data = self.keys.data();
        let number = |name: &str| {
            let key = data.newest(name)?;
            Some(KeyNumber { compartment: name.to_owned(), number: key.number, created: key.created })
        };
        Ok(KeyNumbers { master, data: data.compartments().filter_map(number).collect() })
    }

    /// Adds a slot: a full one without `limits`; else one that opens names, metadata, and the values of these compartments, and writes nothing.
    /// What becomes a compartment by this has its values sealed anew.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if there is a slot of this label or recipient.
    pub fn add_slot(&mut self, label: &str, slot: &NewSlot, limits: &BTreeSet<Limit>, now: u64) -> Result<KeysChanged> {
        self.add_slots(&[(label, slot)], limits, now)
    }

    /// Adds slots as [`Vault::add_slot`] does, all in one change.
    ///
    /// # Errors
    /// As of [`Vault::add_slot`]; then none is added.
    pub fn add_slots(&mut self, slots: &[(&str, &NewSlot)], limits: &BTreeSet<Limit>, now: u64) -> Result<KeysChanged> {
        let mut made = Vec::with_capacity(slots.len());
        for (label, slot) in slots {
            check_label(label)?;
            made.push((*label, public_half(&self.id, slot)?));
        }
        self.renew(now, |plan| {
            plan.add_compartments(limits, now)?;
            for (label, made) in made {
                plan.refuse_label(label)?;
                plan.refuse_recipient(&made.1)?;
                plan.push_slot(made, SlotLabel::limited(label, limits.iter().map(Limit::compartment).collect()))?;
            }
            Ok(())
        })
    }

    /// Puts another secret in the place of a slot's own, as a new passphrase for an old one. The keys stay: whoever has an older copy of the file
    /// and the old secret has them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no slot of this label.
    pub fn replace_slot(&mut self, label: &str, slot: &NewSlot, now: u64) -> Result<KeysChanged> {
        let made = public_half(&self.id, slot)?;
        let recipient = made.1.to_string();
        let replaces_own = std::cell::Cell::new(false);
        let changed = self.renew(now, |plan| {
            let at = plan.find(label)?;
            plan.refuse_recipient(&made.1)?;
            let (old, label) = plan.slots.remove(at);
            replaces_own.set(old.recipient == plan.opened_by);
            plan.push_slot(made, label)?;
            plan.slots[at..].rotate_right(1);
            Ok(())
        })?;
        if replaces_own.get()
            && let Some(file) = &mut self.file
        {
            file.opened_by = recipient;
        }
        Ok(changed)
    }

    /// Gives a slot another label.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none of the old label, [`ErrorKind::Conflict`] if there is one of the new.
    pub fn rename_slot(&mut self, old: &str, new: &str, now: u64) -> Result<KeysChanged> {
        check_label(new)?;
        self.renew(now, |plan| {
            let at = plan.find(old)?;
            plan.refuse_label(new)?;
            new.clone_into(&mut plan.slots[at].1.text);
            plan.labels_changed = true;
            Ok(())
        })
    }

    /// Removes a slot and gives the vault other keys: master, index and signing key, and the data keys of what the slot opened. What it could
    /// read and is still current is kept as a worklist until each is rotated.
    ///
    /// # Errors
    /// [`ErrorKind::NotPermitted`] for the last full slot, and without `force` for the one in use.
    pub fn remove_slot(&mut self, label: &str, force: bool, now: u64) -> Result<KeysChanged> {
        self.renew(now, |plan| {
            let at = plan.find(label)?;
            let (slot, label) = plan.slots.remove(at);
            if slot.full && !plan.slots.iter().any(|(slot, _)| slot.full) {
                return Err(lock_out("it is the last slot that opens everything: without it nobody could open the vault again")
                    .hint("add another one first: `vault key add`"));
            }
            if slot.recipient == plan.opened_by && !force {
                return Err(lock_out("the vault was unlocked with it just now")
                    .hint("unlock with another one, to be sure that there is one; or use --force"));
            }
            plan.rekey(&slot, &label, now)?;
            plan.exposed = exposure::note_removal(plan.snapshot.as_ref(), &mut plan.batch, &slot, &label, now)?;
            Ok(())
        })
    }

    /// Replaces keys by new ones.
    ///
    /// # Errors
    /// [`ErrorKind::NotPermitted`] with a limited key.
    pub fn rotate_keys(&mut self, rotation: Rotation, now: u64) -> Result<KeysChanged> {
        self.renew(now, |plan| match rotation {
            Rotation::Master => {
                plan.new_master()?;
                plan.new_system(SystemKeys::Wrapped)
            }
            Rotation::Data | Rotation::DataAndValues => {
                plan.reseal_all = rotation == Rotation::DataAndValues;
                plan.advance_data(&|_| true, now)
            }
        })
    }

    /// Writes the file anew without dead bytes, and retires the data keys of these compartments: what they sealed and is gone was the last that they
    /// seal in common with what is written from now on.
    ///
    /// # Errors
    /// [`ErrorKind::NotPermitted`] with a limited key.
    pub fn purge(&mut self, compartments: &BTreeSet<String>, now: u64) -> Result<KeysChanged> {
        self.renew(now, |plan| plan.advance_data(&|name| compartments.contains(name), now))
    }

    /// Writes the file anew with the keys and slots that `make` plans.
    fn renew(&mut self, now: u64, make: impl FnOnce(&mut Plan<'_>) -> Result<()>) -> Result<KeysChanged> {
        self.may_write()?;
        let this: &Self = self;
        let file =
            this.file.as_ref().ok_or_else(|| Error::new(ErrorKind::Internal, "internal", "this vault is not in a file"))?;
        let Keys::Full(master, _) = &this.keys else { return Err(StoreError::ReadOnlyKey.into()) };
        let resealed = AtomicU64::new(0);
        let mut exposed = 0;
        let mut next = None;
        let committed = file.store.renew(this.clock(now).for_commit(), |header, snapshot| {
            super::write::refuse_unknown(snapshot.as_ref())?;
            let mut plan = Plan::new(this, &file.opened_by, master, header, snapshot)?;
            make(&mut plan)?;
            exposed = plan.exposed;
            next = Some(copy_of(&plan.master));
            let renewal = plan.finish(&resealed)?;
            this.announce(&renewal.header);
            Ok::<_, Error>(renewal)
        })?;
        let next = next.ok_or_else(|| Error::new(ErrorKind::Internal, "internal", "the renewal was not planned"))?;
        let header = file.store.header()?;
        let ring = KeyRing::open(&next, &this.id, header.master, &header.ring)?;
        this.acknowledge_keys(&committed);
        self.keys = Keys::Full(next, ring);
        Ok(KeysChanged { resealed: resealed.into_inner(), exposed })
    }
}

/// The keys and slots that a vault is to have, made from what it has.
struct Plan<'a> {
    vault: &'a Vault,
    opened_by: &'a str,
    snapshot: Arc<dyn Snapshot>,
    header: Header,
    slots: Vec<(Slot, SlotLabel)>,
    master: MasterKey,
    ring: KeyRing,
    batch: Batch,
    /// Full slots wrap the master key.
    master_changed: bool,
    /// Limited slots wrap the index key and the public signing key; labels and pages are sealed under the former.
    index_changed: bool,
    labels_changed: bool,
    system: SystemKeys,
    /// Compartments with a new data key.
    data_changed: BTreeSet<String>,
    /// Some entries may belong to another compartment than before.
    compartments_changed: bool,
    reseal_all: bool,
    exposed: u64,
}

impl<'a> Plan<'a> {
    fn new(
        vault: &'a Vault,
        opened_by: &'a str,
        master: &MasterKey,
        header: &Header,
        snapshot: &Arc<dyn Snapshot>,
    ) -> Result<Self> {
        let ring = KeyRing::open(master, &vault.id, header.master, &header.ring)?;
        let label_key = IndexKeys::derive(&ring.index, &vault.id);
        let open = |slot: &Slot| Ok((slot.clone(), slot.open_label(&vault.id, label_key.slot_label())?));
        Ok(Self {
            vault,
            opened_by,
            snapshot: snapshot.clone(),
            header: header.clone(),
            slots: header.slots.iter().map(open).collect::<Result<_>>()?,
            master: copy_of(master),
            ring,
            batch: Batch::default(),
            master_changed: false,
            index_changed: false,
            labels_changed: false,
            system: SystemKeys::Stay,
            data_changed: BTreeSet::new(),
            compartments_changed: false,
            reseal_all: false,
            exposed: 0,
        })
    }

    /// The slot of this label; or of this recipient, which is what is left where two have the same label.
    fn find(&self, name: &str) -> Result<usize> {
        let named: Vec<usize> =
            (0..self.slots.len()).filter(|at| self.slots[*at].1.text == name || self.slots[*at].0.recipient == name).collect();
        match named.as_slice() {
            [at] => Ok(*at),
            [] => Err(no_slot(name)),
            _ => Err(Error::new(ErrorKind::Conflict, "ambiguous_slot", format!("more than one slot is called '{name}'"))
                .hint("name it by its recipient, which `vault key list` shows")),
        }
    }

    fn refuse_label(&self, label: &str) -> Result<()> {
        if self.slots.iter().any(|(_, other)| other.text == label) {
            return Err(Error::new(ErrorKind::Conflict, "exists", format!("there is a slot that is called '{label}'")));
        }
        Ok(())
    }

    fn refuse_recipient(&self, recipient: &AgeRecipient) -> Result<()> {
        let recipient = recipient.to_string();
        if let Some((_, label)) = self.slots.iter().find(|(slot, _)| slot.recipient == recipient) {
            return Err(Error::new(ErrorKind::Conflict, "exists", format!("slot '{}' opens by the same key", label.text)));
        }
        Ok(())
    }

    fn push_slot(&mut self, (kind, recipient): (SlotKind, AgeRecipient), label: SlotLabel) -> Result<()> {
        let full = label.compartments.is_empty();
        let label_key = IndexKeys::derive(&self.ring.index, &self.vault.id);
        // What it wraps is written when all else is planned.
        let slot = Slot::new(&self.vault.id, label_key.slot_label(), kind, full, recipient.to_string(), &label, Vec::new())?;
        self.slots.push((slot, label));
        Ok(())
    }

    /// Makes compartments of what is to be limited, and of their pairs with those that there are.
    fn add_compartments(&mut self, limits: &BTreeSet<Limit>, now: u64) -> Result<()> {
        for limit in limits {
            let name = limit.compartment();
            if self.ring.data.newest(&name).is_some() {
                continue;
            }
            let others: Vec<String> = self.ring.data.compartments().map(str::to_owned).collect();
            let pairs = others.iter().filter_map(|other| match (limit, other.split_once(':')) {
                _ if other.contains('\u{1f}') => None,
                (Limit::Category(_), Some(("env", _))) => Some(format!("{name}\u{1f}{other}")),
                (Limit::Environment(_), Some(("category", _))) => Some(format!("{other}\u{1f}{name}")),
                _ => None,
            });
            for compartment in std::iter::once(name.clone()).chain(pairs) {
                self.ring.data.advance(&compartment, NumberedKey::new(1, now, DataKey::new(crypto::random_key()?)))?;
                self.data_changed.insert(compartment);
            }
            self.compartments_changed = true;
        }
        Ok(())
    }

    fn new_master(&mut self) -> Result<()> {
        self.ring.master = self.ring.master.checked_add(1).ok_or(StoreError::TooLarge("no number is left for a master key"))?;
        self.master = MasterKey::new(crypto::random_key()?);
        self.master_changed = true;
        Ok(())
    }

    fn new_system(&mut self, system: SystemKeys) -> Result<()> {
        self.ring.system = SystemKey::new(crypto::random_key()?);
        self.system = system;
        Ok(())
    }

    /// New data keys for the chosen compartments. The older ones go into the tree, each sealed by the next; unless nothing is to need them.
    fn advance_data(&mut self, chosen: &dyn Fn(&str) -> bool, now: u64) -> Result<()> {
        let names: Vec<String> = self.ring.data.compartments().filter(|name| chosen(name)).map(str::to_owned).collect();
        for name in names {
            let last = self.ring.data.newest(&name).map_or(0, |key| key.number);
            let number = last.checked_add(1).ok_or(StoreError::TooLarge("no number is left for a data key"))?;
            let older = self.ring.data.advance(&name, NumberedKey::new(number, now, DataKey::new(crypto::random_key()?)))?;
            if !self.reseal_all
                && let (Some(older), Some(newer)) = (older, self.ring.data.newest(&name))
            {
                let place = OlderKey { id: &self.vault.id, compartment: &name, number: older.number };
                self.batch.put(keyspace::older_key(&name, older.number), place.seal(&older, newer)?);
            }
            self.data_changed.insert(name);
        }
        Ok(())
    }

    /// New keys of everything that a removed slot opened.
    fn rekey(&mut self, slot: &Slot, label: &SlotLabel, now: u64) -> Result<()> {
        self.new_master()?;
        let audit = keys::audit_key(&self.ring.index, &self.vault.id);
        self.ring.index = IndexKey::new(crypto::random_key()?);
        self.ring.signing = SigningSeed::new(crypto::random_key()?);
        self.index_changed = true;
        if slot.full {
            self.new_system(SystemKeys::Renewed(now))?;
        }
        self.vault.keep_audit_key(&mut self.batch, &self.ring.system, &audit, now)?;
        self.advance_data(&|name| slot.full || opens(&label.compartments, name), now)
    }

    /// Wraps the keys for every slot that needs it, and says what becomes of the values.
    fn finish(mut self, resealed: &'a AtomicU64) -> Result<Renewal<'a>> {
        let id = self.vault.id;
        let signer = Signer::new(&self.ring.signing);
        let index = IndexKeys::derive(&self.ring.index, &id);
        self.header.slots.clear();
        for (mut slot, label) in std::mem::take(&mut self.slots) {
            if self.is_affected(&slot, &label) {
                slot.wrap = self.wrap(&slot, &label, signer.public())?;
            }
            if self.index_changed || self.labels_changed {
                slot.seal_label(&id, index.slot_label(), &label)?;
            }
            self.header.slots.push(slot);
        }
        self.header.signing_key = signer.public();
        self.header.master = self.ring.master;
        self.header.ring = self.ring.seal(&self.master, &id)?;
        self.header.master_commitment = keys::commit_to_master(&self.master, &id);
        self.header.index_commitment = keys::commit_to_index(&self.ring.index, &id);
        let verifier = Verifier::new(&signer.public())?;
        let file_keys = self.index_changed.then_some(FileKeys { id, index, verifier, signer: Some(signer) });
        let mut renewal = Renewal { keys: file_keys, batch: self.batch, ..Renewal::of_header(self.header) };
        if self.compartments_changed || self.system != SystemKeys::Stay || self.reseal_all {
            let mut reseal = Reseal::new(self.vault, self.snapshot, self.ring, self.system, self.reseal_all, resealed);
            renewal.each = Some(Box::new(move |key, value| reseal.each(key, value)));
        }
        Ok(renewal)
    }

    /// Whether what a slot wraps is no longer what it should.
    fn is_affected(&self, slot: &Slot, label: &SlotLabel) -> bool {
        let keys_changed = match slot.full {
            true => self.master_changed,
            false => self.index_changed || self.data_changed.iter().any(|name| opens(&label.compartments, name)),
        };
        keys_changed || slot.wrap.is_empty()
    }

    fn wrap(&self, slot: &Slot, label: &SlotLabel, public: [u8; 32]) -> Result<Vec<u8>> {
        if let SlotKind::Other(kind) = &slot.kind {
            // To leave it out would take the vault from somebody.
            let message = format!("slot '{}' is of a kind that this version does not know ({kind})", label.text);
            return Err(StoreError::Newer(message).into());
        }
        let named = |error: CryptoError| Error::from(error).of(&format!("slot '{}'", label.text));
        let recipient = AgeRecipient::parse(&slot.recipient).map_err(named)?;
        let recipient = recipient.with_callbacks(self.vault.options.callbacks.clone());
        let payload = if slot.full {
            SlotPayload::full(self.ring.master, copy_of(&self.master))
        } else {
            let index = IndexKey::new(Zeroizing::new(*self.ring.index.expose()));
            let data = self.ring.data.of(|name| opens(&label.compartments, name));
            SlotPayload::Limited(LimitedKeys::new(index, public, data))
        };
        crypto::encrypt_age(&recipient, &payload.encode(&self.vault.id)).map_err(named)
    }
}

/// Whether a slot of these compartments opens values of `name`: that of a category and an environment by either (SPEC, section 2).
pub(super) fn opens(compartments: &BTreeSet<String>, name: &str) -> bool {
    compartments.contains(name)
        || name.split_once('\u{1f}').is_some_and(|(one, other)| compartments.contains(one) || compartments.contains(other))
}

pub(super) fn copy_of(master: &MasterKey) -> MasterKey {
    MasterKey::new(Zeroizing::new(*master.expose()))
}

/// A label keeps the rules of a tag, so that it can be typed and shown.
pub(super) fn check_label(label: &str) -> Result<()> {
    Tag::parse(label).map(drop).map_err(|error| Error::name("label", error))
}

pub(super) fn no_slot(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, "no_slot", format!("there is no slot '{name}'")).hint("`vault key list` shows them")
}

fn lock_out(why: &str) -> Error {
    Error::new(ErrorKind::NotPermitted, "lock_out", format!("the slot was not removed: {why}"))
}
