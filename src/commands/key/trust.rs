//! `vault key trust`

use clap::Args;

use crate::commands::context::Context;
use crate::commands::exit;
use crate::term::output;
use crate::vault::Result;

/// Accept a slot that was added elsewhere
///
/// Until then this machine reads the vault and does not write to it. Shows what is accepted.
#[derive(Args, Debug)]
pub struct TrustArgs {
    /// The slot: its label, or its recipient
    label: String,
}

pub fn run(context: &mut Context, args: TrustArgs) -> Result<u8> {
    let slot = context.unlock()?.trust_slot(&args.label)?;
    let access = if slot.info.full { "full" } else { "limited" };
    let rows = vec![vec![output::printable(&slot.label), slot.info.kind, access.to_owned(), slot.info.recipient]];
    output::print(&output::columns(&rows))?;
    Ok(exit::OK)
}
