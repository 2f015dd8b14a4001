//! `vault key rename`

use clap::Args;

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
    context.unlock()?.rename_slot(&args.old, &args.new, context.now())?;
    Ok(exit::OK)
}
