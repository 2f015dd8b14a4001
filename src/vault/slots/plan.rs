//! What a change of slots and keys is to lead to: planned under the lock, and written in one rewrite of the file.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use zeroize::Zeroizing;

use super::label::no_slot;
use super::limit::{Limit, opens};
use crate::crypto::keys::{self, IndexKeys};
use crate::crypto::{self, AgeRecipient, CryptoError, Signer, Verifier};
use crate::format::header::{Header, Slot, SlotKind, SlotLabel};
use crate::format::keyspace;
use crate::format::slot::{KeyRing, LimitedKeys, NumberedKey, OlderKey, SlotPayload};
use crate::secret::{DataKey, IndexKey, MasterKey, SigningSeed, SystemKey};
use crate::store::file::{FileKeys, Renewal};
use crate::store::{Batch, Snapshot, StoreError};
use crate::vault::Vault;
use crate::vault::error::{Error, ErrorKind, Result};
use crate::vault::reseal::{Reseal, SystemKeys};

/// The keys and slots that a vault is to have, made from what it has.
pub(super) struct Plan<'a> {
    vault: &'a Vault,
    pub(super) opened_by: &'a str,
    pub(super) snapshot: Arc<dyn Snapshot>,
    header: Header,
    pub(super) slots: Vec<(Slot, SlotLabel)>,
    pub(super) master: MasterKey,
    ring: KeyRing,
    pub(super) batch: Batch,
    /// Full slots wrap the master key.
    master_changed: bool,
    /// Limited slots wrap the index key and the public signing key; labels and pages are sealed under the former.
    index_changed: bool,
    pub(super) labels_changed: bool,
    system: SystemKeys,
    /// Compartments with a new data key.
    data_changed: BTreeSet<String>,
    /// Some entries may belong to another compartment than before.
    compartments_changed: bool,
    pub(super) reseal_all: bool,
    pub(super) exposed: u64,
}

impl<'a> Plan<'a> {
    pub(super) fn new(
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
    pub(super) fn find(&self, name: &str) -> Result<usize> {
        let named: Vec<usize> =
            (0..self.slots.len()).filter(|at| self.slots[*at].1.text == name || self.slots[*at].0.recipient == name).collect();
        match named.as_slice() {
            [at] => Ok(*at),
            [] => Err(no_slot(name)),
            _ => Err(Error::new(ErrorKind::Conflict, "ambiguous_slot", format!("more than one slot is called '{name}'"))
                .hint("name it by its recipient, which `vault key list` shows")),
        }
    }

    pub(super) fn refuse_label(&self, label: &str) -> Result<()> {
        if self.slots.iter().any(|(_, other)| other.text == label) {
            return Err(Error::new(ErrorKind::Conflict, "exists", format!("there is a slot that is called '{label}'")));
        }
        Ok(())
    }

    pub(super) fn refuse_recipient(&self, recipient: &AgeRecipient) -> Result<()> {
        let recipient = recipient.to_string();
        if let Some((_, label)) = self.slots.iter().find(|(slot, _)| slot.recipient == recipient) {
            return Err(Error::new(ErrorKind::Conflict, "exists", format!("slot '{}' opens by the same key", label.text)));
        }
        Ok(())
    }

    pub(super) fn push_slot(&mut self, (kind, recipient): (SlotKind, AgeRecipient), label: SlotLabel) -> Result<()> {
        let full = label.compartments.is_empty();
        let label_key = IndexKeys::derive(&self.ring.index, &self.vault.id);
        // What it wraps is written when all else is planned.
        let slot = Slot::new(&self.vault.id, label_key.slot_label(), kind, full, recipient.to_string(), &label, Vec::new())?;
        self.slots.push((slot, label));
        Ok(())
    }

    /// Makes compartments of what is to be limited, and of their pairs with those that there are.
    pub(super) fn add_compartments(&mut self, limits: &BTreeSet<Limit>, now: u64) -> Result<()> {
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

    pub(super) fn new_master(&mut self) -> Result<()> {
        self.ring.master = self.ring.master.checked_add(1).ok_or(StoreError::TooLarge("no number is left for a master key"))?;
        self.master = MasterKey::new(crypto::random_key()?);
        self.master_changed = true;
        Ok(())
    }

    pub(super) fn new_system(&mut self, system: SystemKeys) -> Result<()> {
        self.ring.system = SystemKey::new(crypto::random_key()?);
        self.system = system;
        Ok(())
    }

    /// New data keys for the chosen compartments. The older ones go into the tree, each sealed by the next; unless nothing is to need them.
    pub(super) fn advance_data(&mut self, chosen: &dyn Fn(&str) -> bool, now: u64) -> Result<()> {
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
    pub(super) fn rekey(&mut self, slot: &Slot, label: &SlotLabel, now: u64) -> Result<()> {
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
    pub(super) fn finish(mut self, resealed: &'a AtomicU64) -> Result<Renewal<'a>> {
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

pub(in crate::vault) fn copy_of(master: &MasterKey) -> MasterKey {
    MasterKey::new(Zeroizing::new(*master.expose()))
}
