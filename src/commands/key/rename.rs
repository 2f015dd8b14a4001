//! `vault key rename`

use clap::Args;

use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::commands::exit;
use crate::vault::Result;

/// Give a slot another label
#[derive(Args, Debug)]
pub struct RenameArgs {
    /// The slot: its label, or its recipient
    old: String,
    /// What to call it
    new: String,
}

pub fn run(context: &mut Context, args: RenameArgs) -> Result<u8> {
    let mut vault = context.unlock()?;
    context.about(&vault, Action::KeyRename, None)?;
    vault.rename_slot(&args.old, &args.new, context.now())?;
    context.record(&vault, &[Event::new(Action::KeyRename).detail(format!("slot '{}' to '{}'", args.old, args.new))])?;
    Ok(exit::OK)
}
