//! `vault key remove`

use clap::Args;

use super::exposure::print_exposures;
use crate::audit::{Action, Event};
use crate::commands::context::{Context, OutputFormat};
use crate::commands::exit;
use crate::vault::Result;

/// Remove a way to unlock, and give the vault other keys
///
/// Master key, index key, signing key and the data keys of what the slot opened are made anew, so the removed key opens nothing in the new file. It
/// still opens copies that were made before, and whoever had it may have kept what it opened: the entries to be rotated are printed, and stay on the
/// worklist of `vault key exposure` until each is. The vault's fingerprint changes: other machines accept it with `vault trust`.
#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// The slot: its label, or its recipient
    label: String,
    /// Also if the vault was unlocked with this very slot
    #[arg(long)]
    force: bool,
    /// How to print the worklist
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: RemoveArgs) -> Result<u8> {
    let mut vault = context.unlock()?;
    let now = context.now();
    context.about(&vault, Action::KeyRemove, None)?;
    let changed = vault.remove_slot(&args.label, args.force, now)?;
    context.record(&vault, &[Event::new(Action::KeyRemove).detail(format!("slot '{}'", args.label))])?;
    context.note(&format!("slot '{}' was removed; the vault has new keys", args.label));
    if let Some(fingerprint) = vault.fingerprint() {
        context.note(&format!("its fingerprint is now {fingerprint}"));
    }
    context.note(&format!("{} entries that it could read are to be rotated", changed.exposed));
    let exposures = vault.exposures(None)?;
    print_exposures(&exposures.into_iter().filter(|exposure| exposure.removed == now).collect::<Vec<_>>(), args.format)?;
    Ok(exit::OK)
}
