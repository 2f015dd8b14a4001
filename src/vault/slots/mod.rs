//! Slots: who can open the vault, and what becomes of its keys when that changes (SPEC, sections 2 and 3).
//!
//! A slot is wrapped to a public half, so whoever holds a full key gives every slot its new keys without the help of those who use them.

mod info;
mod label;
mod limit;
mod new_slot;
mod plan;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;

pub use info::SlotInfo;
pub(super) use label::{check_label, no_slot};
pub use limit::Limit;
pub(super) use limit::opens;
pub use new_slot::NewSlot;
pub(super) use new_slot::public_half;
use plan::Plan;
pub(super) use plan::copy_of;

use super::error::{Error, ErrorKind, Result};
use super::exposure;
use super::reseal::SystemKeys;
use super::{Keys, Vault};
use crate::format::header::SlotLabel;
use crate::format::slot::KeyRing;
use crate::store::StoreError;

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

fn lock_out(why: &str) -> Error {
    Error::new(ErrorKind::NotPermitted, "lock_out", format!("the slot was not removed: {why}"))
}
