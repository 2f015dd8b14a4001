//! `vault rm`

use std::collections::BTreeSet;

use clap::Args;

use super::completions::entry_names;
use super::context::Context;
use super::{exit, present};
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
    /// Also drop the sealed bytes from the file now, and seal nothing more with the data keys that sealed them
    #[arg(long)]
    purge: bool,
}

pub fn run(context: &mut Context, args: RmArgs) -> Result<u8> {
    let mut ids = args.names.iter().map(|name| context.entry_id(name)).collect::<Result<Vec<_>>>()?;
    ids.sort();
    ids.dedup();
    let mut vault = context.unlock()?;
    let mut compartments = BTreeSet::new();
    if args.purge {
        for id in &ids {
            let entry = vault.entry(id)?.ok_or_else(|| present::not_found(id))?;
            compartments.extend(entry.compartments().map(str::to_owned));
        }
    }
    let note = vault.remove(&ids, context.now())?;
    if let Some(note) = note {
        context.note(&format!("note: {note}"));
    }
    if args.purge {
        vault.purge(&compartments, context.now())?;
    }
    Ok(exit::OK)
}
