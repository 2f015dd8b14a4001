//! `vault lock`

use std::path::{Path, PathBuf};

use clap::Args;

use super::context::Context;
use super::exit;
use super::held::{agent_failed, bytes};
use crate::agent::client;
use crate::audit::{Action, Event};
use crate::crypto::Hash;
use crate::vault::{Error, Locked, Result};

/// Make the agent forget: every vault, or with --vault that one and its copies
#[derive(Args, Debug)]
pub struct LockArgs {
    /// Also end the agent, whatever version it is of
    #[arg(long)]
    stop: bool,
}

pub fn run(context: &mut Context, args: LockArgs) -> Result<u8> {
    if args.stop {
        let ended = client::stop().map_err(|error| agent_failed(&error))?;
        context.note(if ended { "the agent was ended" } else { "there was no agent" });
        return Ok(exit::OK);
    }
    record(context)?;
    let vault = context.global.vault.as_deref().map(place).transpose()?;
    let vault = vault.as_ref().map(|(path, stamps)| (bytes(path), stamps.clone()));
    let forgotten = client::forget(vault).map_err(|error| agent_failed(&error))?;
    context.note(&match forgotten {
        0 => "nothing was unlocked".to_owned(),
        1 => "1 vault is locked".to_owned(),
        count => format!("{count} vaults are locked"),
    });
    Ok(exit::OK)
}

/// Records it for the vault of this run, if the agent has its key: without one there is nothing to seal a record by.
fn record(context: &mut Context) -> Result<()> {
    let held = context.vault_path().and_then(|path| Locked::open(&path)).map(|locked| (context.held_slot(&locked), locked));
    if let Ok((Some(slot), locked)) = held
        && let Ok(vault) = context.unlock_opened(locked, slot)
    {
        context.recording.through_agent();
        context.record(&vault, &[Event::new(Action::Lock)])?;
    }
    Ok(())
}

/// The path of a vault with links resolved, and the stamps of its slots. It may be gone; what was held for its path is not.
fn place(path: &Path) -> Result<(PathBuf, Vec<Hash>)> {
    if let Ok(locked) = Locked::open(path) {
        return Ok((locked.path().to_owned(), locked.stamps()));
    }
    let absolute = std::path::absolute(path).map_err(|error| Error::io(format!("look at {}", path.display()), &error))?;
    let resolved = match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => absolute,
    };
    Ok((resolved, Vec::new()))
}
