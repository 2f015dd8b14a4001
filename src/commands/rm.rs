//! `vault rm`

use std::collections::BTreeSet;

use clap::Args;

use super::completions::entry_names;
use super::context::Context;
use super::record::event_of;
use super::source::Source;
use super::{exit, present};
use crate::audit::{Action, Event};
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
    /// Also if a rotation of one is under way, which is dropped
    #[arg(long)]
    force: bool,
}

pub fn run(context: &mut Context, args: RmArgs) -> Result<u8> {
    let mut ids = args.names.iter().map(|name| context.entry_id(name)).collect::<Result<Vec<_>>>()?;
    ids.sort();
    ids.dedup();
    let mut source = context.source()?;
    context.about(source.vault(), Action::Remove, ids.first())?;
    let mut compartments = BTreeSet::new();
    if args.purge {
        let vault = source.only_vault("--purge")?;
        for id in &ids {
            let entry = vault.entry(id)?.ok_or_else(|| present::not_found(id))?;
            compartments.extend(entry.compartments().map(str::to_owned));
        }
    }
    let events = source.vault().map(|vault| ids.iter().map(|id| event_of(vault, Action::Remove, id)).collect::<Vec<Event>>());
    let note = source.remove(&ids, args.force, context.now())?;
    context.record(source.vault(), &events.unwrap_or_default())?;
    if let Some(note) = note {
        context.note(&format!("note: {note}"));
    }
    if args.purge
        && let Source::Vault(vault) = &mut source
    {
        vault.purge(&compartments, context.now())?;
    }
    Ok(exit::OK)
}
