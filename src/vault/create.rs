//! Making a vault file, with its keys and its first slots.

use std::path::Path;

use zeroize::Zeroizing;

use super::Vault;
use super::audit::AuditSource;
use super::error::{Error, ErrorKind, Result};
use super::slots::{NewSlot, check_label, public_half};
use super::witness::Witness;
use crate::crypto::keys::{self, Commitments, IndexKeys};
use crate::crypto::{self, Signer, Verifier};
use crate::format::header::{Header, Slot, SlotLabel};
use crate::format::slot::{KeyRing, SlotPayload};
use crate::secret::{AuditKey, MasterKey};
use crate::store::file::storage::{OsPlace, Place};
use crate::store::file::{FileKeys, FileStore};

impl Vault {
    /// Makes a new vault file with fresh keys and the given slots, each with its label. Nothing may be at `path`. Returns what a log of its use needs.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if something is there; [`ErrorKind::Usage`] without a slot or with two of the same recipient.
    pub fn create(path: &Path, slots: &[(String, NewSlot)], now: u64) -> Result<AuditSource> {
        let place = OsPlace::new(path).map_err(|error| Error::io(format!("create {}", path.display()), &error))?;
        let (header, key) = Self::create_at(&place, slots, now).map_err(|error| match error.kind() {
            ErrorKind::Conflict => {
                Error::new(ErrorKind::Conflict, "exists", format!("{} exists already; it was not touched", path.display()))
                    .hint("choose another path with --vault")
            }
            _ => error,
        })?;
        // Canonical now that it is there.
        let path = path.canonicalize().unwrap_or_else(|_| place.path().to_owned());
        let opened_by = header.slots.first().map(|slot| slot.recipient.clone()).unwrap_or_default();
        Ok(AuditSource { id: header.id, path, key, opened_by, full: true })
    }

    /// Forgets what `witness_directory` remembers of vaults at `path`: for one that was just made there on purpose.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if something is remembered and cannot be removed.
    pub fn forget(witness_directory: &Path, path: &Path) -> Result<()> {
        let place = OsPlace::new(path).map_err(|error| Error::io(format!("open {}", path.display()), &error))?;
        Witness::forget_all(witness_directory, place.path())
            .map_err(|error| Error::io("forget the vault that was there before", &error))
    }

    /// Makes a new vault file at a place; its header, and the key of the log of its use.
    fn create_at(place: &dyn Place, slots: &[(String, NewSlot)], now: u64) -> Result<(Header, AuditKey)> {
        if slots.is_empty() {
            return Err(Error::usage("a vault needs at least one slot"));
        }
        let id: [u8; 16] = crypto::random()?;
        let master = MasterKey::new(crypto::random_key()?);
        let ring = KeyRing::generate(now)?;
        let signer = Signer::new(&ring.signing);
        let commitments =
            Commitments { master: keys::commit_to_master(&master, &id), index: keys::commit_to_index(&ring.index, &id) };
        let index = IndexKeys::derive(&ring.index, &id);
        let mut header = Header::new(id, signer.public(), ring.master, ring.seal(&master, &id)?, commitments);
        let payload = SlotPayload::full(ring.master, master).encode(&id);
        for (label, slot) in slots {
            let slot = wrap(&id, &index, slot, label, &payload)?;
            if header.slots.iter().any(|other| other.recipient == slot.recipient) {
                return Err(Error::usage("two slots have the same recipient"));
            }
            header.slots.push(slot);
        }
        let file_keys = FileKeys { id, index, verifier: Verifier::new(&signer.public())?, signer: Some(signer) };
        FileStore::create(place, &header, &file_keys, now)?;
        Ok((header, keys::audit_key(&ring.index, &id)))
    }
}

fn wrap(id: &[u8; 16], index: &IndexKeys, slot: &NewSlot, label: &str, payload: &Zeroizing<Vec<u8>>) -> Result<Slot> {
    check_label(label)?;
    let (kind, recipient) = public_half(id, slot)?;
    let file = crypto::encrypt_age(&recipient, payload).map_err(|error| Error::from(error).of(&format!("slot '{label}'")))?;
    Ok(Slot::new(id, index.slot_label(), kind, true, recipient.to_string(), &SlotLabel::full(label), file)?)
}
