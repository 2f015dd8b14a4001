//! How a file stands to what this machine remembers of it: the same, newer, older, forked, or foreign.

use std::collections::BTreeSet;

use super::error::{Error, ErrorKind, Result};
use super::slots::{SlotView, no_slot};
use super::witness::{Memory, Witness};
use super::{Options, Vault, WitnessPolicy, fingerprint};
use crate::format::FormatError;
use crate::format::header::Header;
use crate::store::file::{Facts, FileStore};
use crate::store::{Committed, Revision, Store as _, StoreError};

/// What may be done with the file.
pub(super) struct Standing {
    warnings: Vec<String>,
    refusal: Option<Refusal>,
    /// The newest durable state that was judged: whatever is written must descend from it.
    judged: Revision,
}

enum Refusal {
    Older,
    Slots(Vec<String>),
}

impl Refusal {
    fn error(&self) -> Error {
        match self {
            Self::Older => Error::new(
                ErrorKind::Stale,
                "older_than_seen",
                "this copy of the vault is older than one that this machine has seen, or does not descend from it",
            )
            .hint("fetch the newer one; or accept this one with --accept-older"),
            Self::Slots(labels) => Error::new(
                ErrorKind::NotPermitted,
                "untrusted_slot",
                format!("slots were added that this machine has not seen: {}", labels.join(", ")),
            )
            .hint("if they are expected, accept them with `vault trust`"),
        }
    }
}

impl Standing {
    /// Compares the file with what is remembered, and remembers what is new and durable.
    pub(super) fn judge(store: &FileStore, memory: Option<Memory>, witness: Option<&Witness>, options: &Options) -> Result<Self> {
        let public = *store.keys().verifier.public();
        if options.fingerprint.as_ref().is_some_and(|expected| !expected.eq_ignore_ascii_case(&fingerprint(&public))) {
            return Err(Error::new(
                ErrorKind::NotPermitted,
                "other_fingerprint",
                "the vault does not have the expected fingerprint",
            ));
        }
        let mut standing = Self { warnings: Vec::new(), refusal: None, judged: store.facts().revision };
        let Some(witness) = witness else { return Ok(standing) };
        let mut facts = store.facts();
        let mut header = store.header()?;
        let mut slots = recipients(&header);
        let mut seen = durable(&facts);
        standing.judged = seen.unwrap_or(facts.revision);
        if options.trust {
            // What another vault at this path was no longer matters; if it cannot be forgotten, the user is asked again.
            let _ = witness.forget_others();
        }
        let Some(mut memory) = memory else {
            // A vault of another id is no first sight of a vault where one is known: recipients stand in the clear, so anybody can make a vault
            // that the same identity or passphrase opens.
            if !options.trust && witness.knows_another() {
                return Err(other_vault());
            }
            // Unless another process remembered something meanwhile.
            remember(witness, &mut |old| {
                old.is_none().then(|| Memory::new(seen.unwrap_or(facts.revision), public, slots.clone()))
            });
            return Ok(standing);
        };
        if options.trust {
            remember(witness, &mut |_| Some(Memory::new(seen.unwrap_or(facts.revision), public, slots.clone())));
            return Ok(standing);
        }
        if memory.signing_key != public {
            if memory.announced != Some(public) {
                return Err(other_vault());
            }
            // This machine gave the vault its new keys, and died before it could say so: what it was about to do is what it did.
            memory = Memory { signing_key: public, slots: slots.clone(), announced: None, ..memory };
            let announced = memory.clone();
            remember(witness, &mut |_| Some(announced.clone()));
        }
        let mut forward = store.descends_from(&memory.newest)?;
        if !forward {
            // The file was opened before the memory was read: another process may have replaced it in between, and remembered that.
            store.snapshot()?;
            (facts, header) = (store.facts(), store.header()?);
            (slots, seen) = (recipients(&header), durable(&facts));
            forward = store.descends_from(&memory.newest)?;
        }
        standing.judged = seen.filter(|seen| !forward || seen.sequence > memory.newest.sequence).unwrap_or(match forward {
            true => memory.newest,
            false => facts.revision,
        });
        if !forward && memory.accepted != Some(facts.revision.hash) {
            if options.accept_older {
                let accepted = Memory {
                    newest: seen.unwrap_or(facts.revision),
                    accepted: Some(facts.revision.hash),
                    acknowledged_in: None,
                    ..memory
                };
                remember(witness, &mut |_| Some(accepted.clone()));
                return Ok(standing);
            }
            if facts.tail && facts.revision.sequence < memory.newest.sequence {
                // A commit that this machine acknowledged stood where now something else stands: not an older copy, a damaged one.
                let what = FormatError::Malformed("a commit that was acknowledged is no longer readable");
                return Err(StoreError::from(what).at(facts.length).into());
            }
            standing.refuse(Refusal::Older, options)?;
        }
        let added: Vec<&String> = slots.difference(&memory.slots).collect();
        if !added.is_empty() {
            let keys = store.keys();
            let mut labels = Vec::new();
            for slot in header.slots.iter().filter(|slot| added.contains(&&slot.recipient)) {
                labels.push(format!("'{}' ({})", slot.open_label(&header.id, keys.index.slot_label())?.text, slot.recipient));
            }
            standing.refuse(Refusal::Slots(labels), options)?;
        } else if slots != memory.slots {
            // Fewer slots than before need nobody's consent.
            remember(witness, &mut |old| old.map(|old| Memory { slots: slots.clone(), ..old }));
        }
        if let Some(seen) = seen.filter(|seen| forward && seen.sequence > memory.newest.sequence) {
            remember(witness, &mut |old| match old {
                Some(old) if old.newest.sequence < seen.sequence => Some(Memory { newest: seen, acknowledged_in: None, ..old }),
                other => other,
            });
        }
        Ok(standing)
    }

    fn refuse(&mut self, refusal: Refusal, options: &Options) -> Result<()> {
        let error = refusal.error();
        if options.witness == WitnessPolicy::Strict {
            return Err(error);
        }
        self.warnings.push(error.to_string());
        self.refusal = self.refusal.take().or(Some(refusal));
        Ok(())
    }

    pub(super) fn judged(&self) -> Revision {
        self.judged
    }

    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn other_vault() -> Error {
    Error::new(
        ErrorKind::NotPermitted,
        "other_signing_key",
        "another vault, or one with another signing key, stands where this machine knows one",
    )
    .hint("if that is expected, accept it with `vault trust`")
}

fn recipients(header: &Header) -> BTreeSet<String> {
    header.slots.iter().map(|slot| slot.recipient.clone()).collect()
}

/// What a reader knows to be durable: the record before the newest, because that was built on it; or the first of a file.
fn durable(facts: &Facts) -> Option<Revision> {
    if facts.first_of_file {
        return Some(facts.revision);
    }
    facts.previous
}

/// A memory that cannot be kept (a read-only home) is no reason to fail: it protects the next use, not this one.
fn remember(witness: &Witness, change: &mut dyn FnMut(Option<Memory>) -> Option<Memory>) {
    let _ = witness.update(change);
}

impl Vault {
    /// Whether the file's standing lets this machine write to it.
    pub(super) fn may_write(&self) -> Result<()> {
        match self.file.as_ref().and_then(|file| file.standing.refusal.as_ref()) {
            Some(refusal) => Err(refusal.error()),
            None => Ok(()),
        }
    }

    /// Remembers a commit that was acknowledged and gave the vault other keys or slots: they are the expected ones from here on.
    pub(super) fn acknowledge_keys(&self, committed: &Committed) {
        let Some(file) = &self.file else { return };
        let (Some(witness), Ok(header)) = (&file.witness, file.store.header()) else { return };
        let acknowledged = file.store.acknowledged().filter(|(hash, _)| *hash == committed.revision.hash).map(|(_, id)| id);
        remember(witness, &mut |old| match old {
            Some(old) if old.newest.sequence > committed.revision.sequence => Some(old),
            old => {
                let mut memory = Memory::new(committed.revision, header.signing_key, recipients(&header));
                memory.acknowledged_in = acknowledged;
                memory.unknown = old.map(|old| old.unknown).unwrap_or_default();
                Some(memory)
            }
        });
    }

    /// Remembers which signing key and slots the vault is about to get, before it does: what this machine makes needs no consent later.
    pub(super) fn announce(&self, header: &Header) {
        let Some(witness) = self.file.as_ref().and_then(|file| file.witness.as_ref()) else { return };
        let announce = |mut memory: Memory| {
            memory.announced = (memory.signing_key != header.signing_key).then_some(header.signing_key);
            memory.slots.extend(recipients(header));
            memory
        };
        remember(witness, &mut |old| old.map(announce));
    }

    /// Accepts one slot that this machine has not seen, and goes on comparing the vault with all else that it remembers.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no slot of this label.
    pub fn trust_slot(&self, label: &str) -> Result<SlotView> {
        let named = |slot: &SlotView| slot.label == label || slot.info.recipient == label;
        let slot = self.slots()?.into_iter().find(named).ok_or_else(|| no_slot(label))?;
        if let Some(witness) = self.file.as_ref().and_then(|file| file.witness.as_ref()) {
            let accept = |mut memory: Memory| {
                memory.slots.insert(slot.info.recipient.clone());
                memory
            };
            witness.update(&mut |old| old.map(accept)).map_err(|error| Error::io("remember the slot", &error))?;
        }
        Ok(slot)
    }

    /// Remembers a commit that was acknowledged.
    pub(super) fn acknowledge(&self, committed: &Committed) {
        let Some(file) = &self.file else { return };
        let Some(witness) = &file.witness else { return };
        let acknowledged = file.store.acknowledged().filter(|(hash, _)| *hash == committed.revision.hash).map(|(_, id)| id);
        let public = *file.store.keys().verifier.public();
        let slots = || {
            let header = file.store.header();
            header.map(|header| header.slots.into_iter().map(|slot| slot.recipient).collect()).unwrap_or_default()
        };
        remember(witness, &mut |old| match old {
            // By maximum: a process that committed later may have been here before.
            Some(old) if old.newest.sequence > committed.revision.sequence => Some(old),
            Some(old) => Some(Memory { newest: committed.revision, acknowledged_in: acknowledged, accepted: None, ..old }),
            None => {
                let mut memory = Memory::new(committed.revision, public, slots());
                memory.acknowledged_in = acknowledged;
                Some(memory)
            }
        });
    }
}
