//! `vault rm`

use clap::Args;

use super::completions::entry_names;
use super::context::Context;
use super::exit;
use crate::vault::Result;

/// Remove entries, with all their versions
///
/// All of them or, if one is not there, none. What was removed is hidden at once; its sealed bytes go with the next
/// compaction, which --purge runs. Copies of the file made before still hold it.
#[derive(Args, Debug)]
pub struct RmArgs {
    /// The entries
    #[arg(required = true, add = entry_names())]
    names: Vec<String>,
    /// Also drop the sealed bytes from the file now
    #[arg(long)]
    purge: bool,
}

pub fn run(context: &mut Context, args: RmArgs) -> Result<u8> {
    let mut ids = args.names.iter().map(|name| context.entry_id(name)).collect::<Result<Vec<_>>>()?;
    ids.sort();
    ids.dedup();
    let vault = context.unlock()?;
    let note = vault.remove(&ids, context.now())?;
    if let Some(note) = note {
        context.note(&format!("note: {note}"));
    }
    if args.purge {
        vault.compact(context.now())?;
    }
    Ok(exit::OK)
}
