//! `vault mv`

use clap::Args;

use super::completions::entry_names;
use super::context::{Context, parse_name};
use super::exit;
use super::record::event_of;
use crate::audit::Action;
use crate::name::{EntryId, Environment};
use crate::vault::{Error, Result};

/// Give an entry another name or environment
///
/// Versions and metadata stay.
#[derive(Args, Debug)]
pub struct MvArgs {
    /// The entry
    #[arg(add = entry_names())]
    from: String,
    /// The new name
    to: String,
    /// The environment of the new name [default: that of the entry]; an empty one for none
    #[arg(long, value_name = "NAME")]
    to_env: Option<String>,
    /// Replace an entry that is there
    #[arg(long)]
    force: bool,
}

pub fn run(context: &mut Context, args: MvArgs) -> Result<u8> {
    let from = context.entry_id(&args.from)?;
    let environment = match args.to_env.as_deref() {
        None => from.environment.clone(),
        Some("") => None,
        Some(text) => Some(Environment::parse(text).map_err(|error| Error::name("environment", error))?),
    };
    let to = EntryId { environment, name: parse_name(&args.to)? };
    let vault = context.unlock()?;
    context.about(&vault, Action::Rename, Some(&from))?;
    let note = vault.rename(&from, &to, args.force, context.now())?;
    context.record(&vault, &[event_of(&vault, Action::Rename, &to).detail(format!("from '{from}'"))])?;
    if let Some(note) = note {
        context.note(&format!("note: {note}"));
    }
    Ok(exit::OK)
}
