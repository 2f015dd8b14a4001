//! `vault lock`

use clap::Args;

use super::context::Context;
use super::exit;
use super::held::{agent_failed, bytes};
use crate::agent::Agent;
use crate::vault::{Error, Result};

/// Make the agent forget: every vault, or with --vault that one
#[derive(Args, Debug)]
pub struct LockArgs {}

pub fn run(context: &mut Context, _args: LockArgs) -> Result<u8> {
    let path = match &context.global.vault {
        // The vault may be gone; what was held for its path is not.
        Some(path) => Some(
            path.canonicalize()
                .or_else(|_| std::path::absolute(path))
                .map_err(|error| Error::io(format!("look at {}", path.display()), &error))?,
        ),
        None => None,
    };
    let forgotten = match Agent::connect().map_err(|error| agent_failed(&error))? {
        Some(mut agent) => agent.forget(path.as_deref().map(bytes)).map_err(|error| agent_failed(&error))?,
        None => 0,
    };
    context.note(&match forgotten {
        0 => "nothing was unlocked".to_owned(),
        1 => "1 vault is locked".to_owned(),
        count => format!("{count} vaults are locked"),
    });
    Ok(exit::OK)
}
