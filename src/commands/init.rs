//! `vault init`

use std::path::{Path, PathBuf};

use clap::Args;

use super::context::{Context, state_directory};
use super::exit;
use super::files::make_parent;
use super::keys::{read_or_make_key, warn_weak};
use crate::crypto::Argon2Cost;
use crate::vault::{Error, ErrorKind, NewSlot, Result, Vault};

/// Make a new vault
///
/// Without options it opens by a passphrase, from any passphrase source or asked twice. Each of --key-file, --recipient and
/// --ssh-key makes a slot of its own. An existing file is never touched.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// Open by the identity of this recipient: age1…, or a public SSH key as a text; may be repeated
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Vec<String>,
    /// Open by the private half of the SSH key in this public key file; may be repeated
    #[arg(long, value_name = "FILE")]
    ssh_key: Vec<PathBuf>,
    /// What to call the slot
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
}

pub fn run(context: &mut Context, args: InitArgs) -> Result<u8> {
    let path = context.vault_path()?;
    // Where the log is, and what is run because of what is done, stands there.
    context.config()?;
    if path.symlink_metadata().is_ok() {
        return Err(exists(&path));
    }
    let mut slots: Vec<(String, NewSlot)> = Vec::new();
    let label = |default: &str| args.label.clone().unwrap_or_else(|| default.to_owned());
    // With `init`, --key-file names the key of the new slot, and not one to unlock with.
    if let Some(file) = context.global.key_file.clone() {
        slots.push((label("key file"), NewSlot::RawKey(read_or_make_key(context, &file)?)));
    }
    for recipient in &args.recipient {
        slots.push((label("recipient"), NewSlot::Recipient(context.recipient(recipient)?)));
    }
    for file in &args.ssh_key {
        slots.push((label("ssh key"), NewSlot::Recipient(context.ssh_public_key(file)?)));
    }
    // A passphrase that is named beside a key is another way in; one in a variable may be meant for another vault.
    let named = context.global.passphrase_fd.is_some() || context.global.passphrase_file.is_some();
    if slots.is_empty() || named {
        let passphrase = context.new_passphrase()?;
        if passphrase.expose().is_empty() {
            return Err(Error::usage("the passphrase is empty"));
        }
        warn_weak(context, &passphrase);
        slots.push((label("passphrase"), NewSlot::Passphrase(passphrase, Argon2Cost::DEFAULT)));
    }
    number_labels(&mut slots);
    make_parent(&path)?;
    let source = Vault::create(&path, &slots, context.now())?;
    if let Some(directory) = state_directory() {
        Vault::forget(&directory, &path)?;
    }
    context.record_making(source)?;
    context.note(&format!("made {}", path.display()));
    Ok(exit::OK)
}

/// A label names one slot: further ones of the same name are numbered.
fn number_labels(slots: &mut [(String, NewSlot)]) {
    for index in 1..slots.len() {
        let (before, from) = slots.split_at_mut(index);
        let own = from[0].0.clone();
        let mut number = 2;
        while before.iter().any(|(label, _)| *label == from[0].0) {
            from[0].0 = format!("{own} {number}");
            number += 1;
        }
    }
}

fn exists(path: &Path) -> Error {
    Error::new(ErrorKind::Conflict, "exists", format!("{} exists already; it was not touched", path.display()))
        .hint("choose another path with --vault")
}
