//! `vault key rotate`

use clap::Args;

use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::commands::exit;
use crate::vault::{Result, Rotation};

/// Replace the vault's own keys by new ones
///
/// Everybody's slot goes on working: each is given the new keys through its public half. The file is written anew and takes the place of the old one
/// only when all of it was verified.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct RotateArgs {
    /// A new master key: slots and key ring are wrapped anew, no value is
    #[arg(long, group = "which")]
    master: bool,
    /// New data keys: what is written from now on is sealed by them, older values stay under theirs
    #[arg(long, group = "which")]
    data: bool,
    /// Also seal every value by the new data keys and destroy the old ones; what `vault encrypt` made with those does not open any more
    #[arg(long, requires = "data", conflicts_with = "master")]
    reseal: bool,
}

pub fn run(context: &mut Context, args: RotateArgs) -> Result<u8> {
    let rotation = match (args.master, args.reseal) {
        (true, _) => Rotation::Master,
        (false, false) => Rotation::Data,
        (false, true) => Rotation::DataAndValues,
    };
    let mut vault = context.unlock()?;
    context.about(&vault, Action::KeyRotate, None)?;
    let changed = vault.rotate_keys(rotation, context.now())?;
    let what = if args.master { "the master key is new" } else { "the data keys are new" };
    context.record(&vault, &[Event::new(Action::KeyRotate).detail(what)])?;
    context.note(&format!("{what}; {} values were sealed anew", changed.resealed));
    Ok(exit::OK)
}
