//! `vault key remember`

use clap::Args;

use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::commands::exit;
use crate::keychain::{self, KeychainError};
use crate::vault::{Credential, Locked, Result};

/// Keep a key for the vault in the keychain of the system
///
/// Unlocks with a passphrase or a raw key, from wherever it is given, and keeps what it becomes for its slot: not the passphrase, and nothing that opens
/// another vault. It goes on opening the vault until the slot is removed or gets another passphrase. Commands look for it, behind all keys that are
/// given and before they ask, if your config.toml says `keychain = true`.
#[derive(Args, Debug)]
pub struct RememberArgs {}

pub fn run(context: &mut Context, _args: RememberArgs) -> Result<u8> {
    let path = context.vault_path()?;
    let locked = Locked::open(&path)?;
    // Nobody should type a passphrase for a keychain that is not there. What it keeps already will be replaced, whatever it is.
    match keychain::recall(&locked.id()) {
        Ok(_) | Err(KeychainError::Failed(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let credential = context.take_own_credential(&locked)?;
    let slot = Credential::Slot(locked.slot_identity(&credential)?);
    // It is not kept before it has opened the vault.
    context.prefer(Credential::Slot(locked.slot_identity(&slot)?));
    let vault = context.unlock_at(&path)?;
    vault.prove()?;
    context.record(&vault, &[Event::new(Action::KeyRemember)])?;
    context.remember_in_keychain(&locked, &slot)?;
    Ok(exit::OK)
}
