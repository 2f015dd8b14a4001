//! A slot to be made: what opens it, and its public half.

use crate::crypto::{self, AgeRecipient, Argon2Cost, RecipientKind, X25519Identity, keys};
use crate::format::header::SlotKind;
use crate::secret::{Passphrase, RawKey};
use crate::vault::error::Result;

/// A slot to be made with a new vault.
pub enum NewSlot {
    /// Opens by a passphrase, at this cost.
    Passphrase(Passphrase, Argon2Cost),
    /// Opens by a raw 32-byte key.
    RawKey(RawKey),
    /// Opens by whoever has the identity of this recipient.
    Recipient(AgeRecipient),
}

/// The kind and the public half of a slot to be made; for a passphrase this costs a key derivation, so it is done before the lock is taken.
pub(in crate::vault) fn public_half(id: &[u8; 16], slot: &NewSlot) -> Result<(SlotKind, AgeRecipient)> {
    Ok(match slot {
        NewSlot::RawKey(key) => (SlotKind::Raw, keys::raw_key_identity(key, id)?.recipient()),
        NewSlot::Recipient(recipient) => (slot_kind(recipient), recipient.clone()),
        NewSlot::Passphrase(passphrase, cost) => {
            let cost = cost.check()?;
            let salt = crypto::random()?;
            let identity = X25519Identity::from_secret(&*crypto::argon2id(passphrase, &salt, cost)?)?;
            (SlotKind::Passphrase(salt, cost), identity.recipient())
        }
    })
}

fn slot_kind(recipient: &AgeRecipient) -> SlotKind {
    match recipient.kind() {
        RecipientKind::X25519 => SlotKind::Age,
        RecipientKind::Ssh => SlotKind::Ssh,
        RecipientKind::Plugin | RecipientKind::Tag => SlotKind::Plugin,
    }
}
