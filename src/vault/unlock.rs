//! From a file to an unlocked vault: which keys there are, which slot they open, and what that gives.

use std::path::Path;
use std::sync::Arc;

use super::error::{Error, ErrorKind, Result};
use super::slots::{SlotInfo, copy_of};
use super::{Keys, Options, Vault};
use crate::crypto::keys::{self, IndexKeys};
use crate::crypto::{
    self, AgeIdentity, AgeRecipient, Argon2Cost, CryptoError, Hash, Opens, PluginIdentity, RecipientKind, Signer, Transcript,
    Verifier, X25519Identity,
};
use crate::format::FormatError;
use crate::format::header::{Slot, SlotKind, UnverifiedHeader, hex};
use crate::format::slot::{KeyRing, LimitedKeys, SlotPayload};
use crate::secret::{Passphrase, RawKey, SlotSecret};
use crate::store::StoreError;
use crate::store::file::lock;
use crate::store::file::storage::{OsPlace, Storage};
use crate::store::file::{FileKeys, OpenedFile};

/// Something that may open a slot.
pub enum Credential {
    /// A passphrase; each try costs a key derivation.
    Passphrase(Passphrase),
    /// A raw 32-byte key.
    RawKey(RawKey),
    /// Private keys; each is tried on slots of its own kind.
    Identities(Vec<AgeIdentity>),
    /// What a passphrase or a raw key becomes for one slot (SPEC, section 3): it opens that slot of that vault, and nothing else.
    Slot(X25519Identity),
}

/// A vault file that was opened and not unlocked: nothing but its slots may be looked at, and nothing of it is trusted.
pub struct Locked {
    place: Arc<OsPlace>,
    file: OpenedFile,
}

impl Locked {
    /// Opens the vault file at `path`.
    ///
    /// # Errors
    /// [`ErrorKind::NoVault`] if nothing is there, [`ErrorKind::Damaged`] if it is no vault, or one of a newer format.
    pub fn open(path: &Path) -> Result<Self> {
        let place = Arc::new(OsPlace::new(path).map_err(|error| Error::io(format!("open {}", path.display()), &error))?);
        let file = OpenedFile::open(place.as_ref()).map_err(|error| match error {
            StoreError::Missing => Error::new(ErrorKind::NoVault, "no_vault", format!("there is no vault at {}", path.display()))
                .hint("make one with `vault init`, or say where it is with --vault"),
            other => other.into(),
        })?;
        Ok(Self { place, file })
    }

    /// Keeps writers out of the file at `path` until the result is dropped: for putting another file there.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] if another writer has the lock for longer than `timeout`, [`ErrorKind::Io`] if the file cannot be opened for writing.
    pub fn hold_writers(path: &Path, timeout: std::time::Duration) -> Result<Box<dyn Storage>> {
        let place = OsPlace::new(path).map_err(|error| Error::io(format!("open {}", path.display()), &error))?;
        Ok(lock::hold(&place, timeout)?)
    }

    /// The slots.
    pub fn slots(&self) -> Vec<SlotInfo> {
        self.file.header().slots().iter().map(SlotInfo::of).collect()
    }

    /// Whether a slot of this kind is there, so that nobody is asked for a passphrase that opens nothing.
    pub fn has_passphrase_slot(&self) -> bool {
        self.file.header().slots().iter().any(|slot| matches!(slot.kind, SlotKind::Passphrase(..)))
    }

    /// The path, with symbolic links resolved.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// The vault's id in hex digits, as the header has it.
    pub fn id(&self) -> String {
        hex(self.file.header().id())
    }

    /// The vault's id, as the header has it.
    pub fn id_bytes(&self) -> [u8; 16] {
        *self.file.header().id()
    }

    /// The identity of the slot that a passphrase or a raw key opens: what may be kept in its place. It is no use elsewhere, tells nothing about the
    /// passphrase that a guess would not, and opens nothing once the slot is removed or has another passphrase.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] if `credential` fits no slot; [`ErrorKind::Usage`] for age identities, which are kept by their owners already.
    pub fn slot_identity(&self, credential: &Credential) -> Result<X25519Identity> {
        let header = self.file.header();
        match credential {
            Credential::Passphrase(passphrase) => Ok(find_passphrase(header, passphrase)?.1),
            Credential::RawKey(key) => {
                let identity = keys::raw_key_identity(key, header.id())?;
                let fits = header.slots().iter().any(|slot| slot.kind == SlotKind::Raw && is_public_half(slot, &identity));
                if fits { Ok(identity) } else { Err(wrong_key()) }
            }
            Credential::Slot(identity) if self.has_slot_of(identity) => Ok(X25519Identity::parse(&identity.expose())?),
            Credential::Slot(_) => Err(wrong_key()),
            Credential::Identities(_) => Err(Error::usage("an age identity is not remembered: it is kept in a file already")
                .hint("name the file as `identity` in your config.toml")),
        }
    }

    /// Whether this is the identity of a slot that opens by a passphrase or a raw key, by its public half. Only unlocking shows whether it opens it.
    pub fn has_slot_of(&self, identity: &X25519Identity) -> bool {
        slot_of(self.file.header(), identity).is_some()
    }

    /// Opens the first slot that `credential` fits, and verifies the newest commit with what it gave.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] if it fits no slot; [`ErrorKind::Damaged`] if it does and the file does not hold what it should;
    /// [`ErrorKind::Stale`] and [`ErrorKind::NotPermitted`] as the witness in `options` says.
    pub fn unlock(self, credential: &Credential, options: Options) -> Result<Vault> {
        let slot = self.open_slot(credential)?;
        self.unlock_with(slot, options)
    }

    /// Opens the first slot that `credential` fits, and looks at nothing else.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] if it fits no slot.
    pub fn open_slot(&self, credential: &Credential) -> Result<OpenedSlot> {
        open_slot(self.file.header(), credential)
    }

    /// Unlocks with what a slot gave, and verifies the newest commit with it.
    ///
    /// # Errors
    /// As [`Locked::unlock`], but for those of the slot.
    pub fn unlock_with(self, slot: OpenedSlot, options: Options) -> Result<Vault> {
        let opened = open_keys(self.file.header(), slot)?;
        Vault::assemble(self.place, self.file, opened, options)
    }

    /// What an agent keeps of a slot that was opened here.
    pub fn keep(&self, slot: &OpenedSlot) -> Result<KeptSlot> {
        let header = self.file.header();
        let kept = header.slots().iter().find(|other| other.recipient == slot.recipient);
        let kept = kept.ok_or(FormatError::NotAuthentic("a slot"))?;
        Ok(KeptSlot { stamp: stamp(header, kept), secret: SlotSecret::new(slot.payload.encode(header.id())) })
    }

    /// What an agent keeps of the slot that opened a vault, under the keys that the file has now.
    ///
    /// # Errors
    /// [`ErrorKind::NotPermitted`] with a limited key.
    pub fn keep_for(&self, vault: &Vault) -> Result<KeptSlot> {
        let (Keys::Full(master, ring), Some(file)) = (&vault.keys, &vault.file) else {
            return Err(Error::new(ErrorKind::NotPermitted, "not_permitted", "the key at hand is limited"));
        };
        let payload = SlotPayload::full(ring.master, copy_of(master));
        self.keep(&OpenedSlot { recipient: file.opened_by.clone(), payload })
    }

    /// The stamps of all slots: what is kept under another one opens this file no more.
    pub fn stamps(&self) -> Vec<Hash> {
        let header = self.file.header();
        header.slots().iter().map(|slot| stamp(header, slot)).collect()
    }

    /// The slot that was kept, opened once more.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if what was kept does not belong to a slot of this file.
    pub fn reopen(&self, kept: &KeptSlot) -> Result<OpenedSlot> {
        let header = self.file.header();
        let slot = header.slots().iter().find(|slot| stamp(header, slot) == kept.stamp);
        let slot = slot.ok_or(FormatError::NotAuthentic("a slot"))?;
        payload_of(header, slot, kept.secret.expose())
    }
}

/// A slot that a key opened: with it the vault can be unlocked.
pub struct OpenedSlot {
    recipient: String,
    payload: SlotPayload,
}

/// What one slot of one vault gave, for whoever keeps it between commands, so that nobody is asked for the key again.
pub struct KeptSlot {
    /// Tells for which slot, and that slot under which keys: it is another one as soon as the vault has other keys or the slot is wrapped anew.
    pub stamp: Hash,
    /// What the slot's age file holds.
    pub secret: SlotSecret,
}

fn stamp(header: &UnverifiedHeader, slot: &Slot) -> Hash {
    let commitments = header.commitments();
    let stamp = Transcript::new(keys::label::SLOT_STAMP)
        .bytes(header.id())
        .u64(header.sealed_ring().0)
        .bytes(&commitments.master)
        .bytes(&commitments.index)
        .bytes(header.claimed_signing_key())
        .bytes(slot.recipient.as_bytes())
        .bytes(&slot.wrap);
    Hash::of(stamp.as_bytes())
}

fn open_slot(header: &UnverifiedHeader, credential: &Credential) -> Result<OpenedSlot> {
    let id = header.id();
    match credential {
        Credential::RawKey(key) => {
            let identity = keys::raw_key_identity(key, id)?;
            try_identity(header, &identity, &SlotKind::Raw)?.ok_or_else(wrong_key)
        }
        Credential::Identities(identities) => {
            let mut failure = None;
            // First those that need neither a question nor another program.
            for plain in [true, false] {
                for identity in identities.iter().filter(|identity| identity.is_plain() == plain) {
                    match try_kind(header, identity) {
                        Ok(Some(payload)) => return Ok(payload),
                        Ok(None) => {}
                        // Another one may do without what this one lacks.
                        Err(error) if !plain && error.kind() != ErrorKind::Damaged => failure = failure.or(Some(error)),
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(failure.unwrap_or_else(|| Error::new(ErrorKind::Locked, "wrong_key", "none of the identities opens this vault")))
        }
        Credential::Passphrase(passphrase) => {
            let (slot, identity) = find_passphrase(header, passphrase)?;
            unwrap(header, slot, &identity)
        }
        Credential::Slot(identity) => unwrap(header, slot_of(header, identity).ok_or_else(wrong_key)?, identity),
    }
}

fn wrong_key() -> Error {
    Error::new(ErrorKind::Locked, "wrong_key", "the key does not open this vault")
}

fn is_public_half(slot: &Slot, identity: &X25519Identity) -> bool {
    slot.recipient == identity.recipient().to_string()
}

/// The slot whose own identity this is.
fn slot_of<'a>(header: &'a UnverifiedHeader, identity: &X25519Identity) -> Option<&'a Slot> {
    let recipient = identity.recipient().to_string();
    let derived = |slot: &&Slot| matches!(slot.kind, SlotKind::Passphrase(..) | SlotKind::Raw);
    header.slots().iter().filter(derived).find(|slot| slot.recipient == recipient)
}

/// Tries an identity on the slots of its kind.
fn try_kind(header: &UnverifiedHeader, identity: &AgeIdentity) -> Result<Option<OpenedSlot>> {
    match identity {
        AgeIdentity::X25519(identity) => try_identity(header, identity, &SlotKind::Age),
        AgeIdentity::Ssh(identity) => {
            let mut slots = header.slots().iter().filter(|slot| slot.kind == SlotKind::Ssh);
            let Some(slot) = slots.find(|slot| slot.recipient == identity.recipient()) else { return Ok(None) };
            match identity.open(&slot.wrap) {
                Ok(Some(payload)) => payload_of(header, slot, &payload).map(Some),
                Ok(None) | Err(CryptoError::Authentication) => Err(FormatError::NotAuthentic("a slot").into()),
                Err(error) => Err(Error::from(error).while_unlocking()),
            }
        }
        AgeIdentity::Plugin(identity) => try_plugin(header, identity),
    }
}

/// The plugin sees the stanzas of all slots that could be its own: those of its name, and the tagged ones, which do not say whose they are.
fn try_plugin(header: &UnverifiedHeader, identity: &PluginIdentity) -> Result<Option<OpenedSlot>> {
    let may_open = |slot: &&Slot| {
        slot.kind == SlotKind::Plugin
            && AgeRecipient::parse(&slot.recipient).is_ok_and(|recipient| match recipient.kind() {
                RecipientKind::Plugin => recipient.plugin() == Some(identity.name()),
                RecipientKind::Tag => true,
                RecipientKind::X25519 | RecipientKind::Ssh => false,
            })
    };
    let slots: Vec<&Slot> = header.slots().iter().filter(may_open).collect();
    let files: Vec<&[u8]> = slots.iter().map(|slot| slot.wrap.as_slice()).collect();
    match identity.open_one_of(&files) {
        Ok(Some((at, payload))) => payload_of(header, slots[at], &payload).map(Some),
        Ok(None) => Ok(None),
        Err(CryptoError::Authentication) => Err(FormatError::NotAuthentic("a slot").into()),
        Err(error) => Err(Error::from(error).while_unlocking()),
    }
}

fn try_identity(header: &UnverifiedHeader, identity: &X25519Identity, kind: &SlotKind) -> Result<Option<OpenedSlot>> {
    let mut slots = header.slots().iter().filter(|slot| slot.kind == *kind);
    // Where there is one slot of the kind, trying it costs less than computing the public half that would be compared.
    if let (Some(slot), None) = (slots.next(), slots.next())
        && let Ok(payload) = unwrap(header, slot, identity)
    {
        return Ok(Some(payload));
    }
    let recipient = identity.recipient().to_string();
    match header.slots().iter().find(|slot| slot.recipient == recipient && slot.kind == *kind) {
        Some(slot) => unwrap(header, slot, identity).map(Some),
        None => Ok(None),
    }
}

/// The slot that a passphrase fits, and what it becomes for it.
fn find_passphrase<'a>(header: &'a UnverifiedHeader, passphrase: &Passphrase) -> Result<(&'a Slot, X25519Identity)> {
    let wrong = || Error::new(ErrorKind::Locked, "wrong_passphrase", "the passphrase does not open this vault");
    let mut work = 0;
    let mut refused = None;
    for slot in header.slots() {
        let SlotKind::Passphrase(salt, cost) = &slot.kind else { continue };
        // Before anything is allocated: the header is not authentic yet.
        let cost = match cost.check() {
            Ok(cost) => cost,
            Err(problem) => {
                refused = Some(problem);
                continue;
            }
        };
        work += cost.work();
        if work > Argon2Cost::TOTAL_WORK {
            return Err(wrong().hint("the file has more passphrase slots than are tried in one go"));
        }
        let identity = X25519Identity::from_secret(&*crypto::argon2id(passphrase, salt, cost)?)?;
        if is_public_half(slot, &identity) {
            return Ok((slot, identity));
        }
    }
    match refused {
        Some(problem) => Err(problem.into()),
        None => Err(wrong()),
    }
}

fn unwrap(header: &UnverifiedHeader, slot: &Slot, identity: &impl Opens) -> Result<OpenedSlot> {
    let padded = crypto::decrypt_age(identity, &slot.wrap).map_err(|_| FormatError::NotAuthentic("a slot"))?;
    payload_of(header, slot, &padded)
}

fn payload_of(header: &UnverifiedHeader, slot: &Slot, padded: &[u8]) -> Result<OpenedSlot> {
    let payload = SlotPayload::decode(padded, header.id())?;
    if slot.full != matches!(payload, SlotPayload::Full(..)) {
        return Err(FormatError::NotAuthentic("a slot").into());
    }
    Ok(OpenedSlot { recipient: slot.recipient.clone(), payload })
}

/// What an opened slot gives.
pub(super) struct Opened {
    /// What opens the file.
    pub file: FileKeys,
    /// What else there is.
    pub keys: Keys,
    /// The public half of the slot.
    pub slot: String,
}

/// What a slot's payload gives, compared with what the header claims.
fn open_keys(header: &UnverifiedHeader, slot: OpenedSlot) -> Result<Opened> {
    let OpenedSlot { recipient: slot, payload } = slot;
    let id = *header.id();
    let claimed = header.commitments();
    let not_authentic = || FormatError::NotAuthentic("the header");
    let (index, public, signer, keys) = match payload {
        SlotPayload::Full(number, master, _) => {
            let (claimed_number, sealed) = header.sealed_ring();
            if number != claimed_number || keys::commit_to_master(&master, &id) != claimed.master {
                return Err(not_authentic().into());
            }
            let ring = KeyRing::open(&master, &id, number, sealed)?;
            let signer = Signer::new(&ring.signing);
            if keys::commit_to_index(&ring.index, &id) != claimed.index {
                return Err(not_authentic().into());
            }
            (IndexKeys::derive(&ring.index, &id), signer.public(), Some(signer), Keys::Full(master, ring))
        }
        SlotPayload::Limited(LimitedKeys { index, public, data, .. }) => {
            if keys::commit_to_index(&index, &id) != claimed.index {
                return Err(not_authentic().into());
            }
            (IndexKeys::derive(&index, &id), public, None, Keys::Limited(data))
        }
    };
    if public != *header.claimed_signing_key() {
        return Err(not_authentic().into());
    }
    let verifier = Verifier::new(&public).map_err(|_| not_authentic())?;
    Ok(Opened { file: FileKeys { id, index, verifier, signer }, keys, slot })
}
