//! `vault rollback`

use clap::Args;

use super::completions::entry_names;
use super::context::Context;
use super::exit;
use crate::audit::Action;
use crate::vault::Result;

/// Make an old version of an entry current again, as a new version
///
/// As every new value, it does not expire.
#[derive(Args, Debug)]
pub struct RollbackArgs {
    /// The entry
    #[arg(add = entry_names())]
    name: String,
    /// The version to go back to
    #[arg(long, value_name = "N")]
    version: u64,
}

pub fn run(context: &mut Context, args: RollbackArgs) -> Result<u8> {
    let id = context.entry_id(&args.name)?;
    let vault = context.unlock()?;
    context.about(&vault, Action::Rollback, Some(&id))?;
    let outcome = vault.rollback(&id, args.version, context.now())?;
    context.record_write(&vault, Action::Rollback, &id, outcome.version)?;
    context.note(&format!("'{id}' is at version {}, which is version {} again", outcome.version, args.version));
    if let Some(note) = &outcome.note {
        context.note(&format!("note: {note}"));
    }
    Ok(exit::OK)
}
