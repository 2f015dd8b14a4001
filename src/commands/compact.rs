//! `vault compact`

use clap::Args;

use super::context::Context;
use super::exit;
use crate::audit::{Action, Event};
use crate::vault::Result;

/// Drop the bytes of what was overwritten and removed, by writing the file anew
#[derive(Args, Debug)]
pub struct CompactArgs {}

pub fn run(context: &mut Context, _args: CompactArgs) -> Result<u8> {
    let vault = context.unlock()?;
    let before = vault.facts().map_or(0, |facts| facts.length);
    context.about(&vault, Action::Compact, None)?;
    vault.compact(context.now())?;
    context.record(&vault, &[Event::new(Action::Compact)])?;
    // Looked at anew: the file is another one now.
    let after = vault.path().and_then(|path| std::fs::metadata(path).ok()).map_or(0, |metadata| metadata.len());
    context.note(&format!("{before} bytes before, {after} after"));
    Ok(exit::OK)
}
