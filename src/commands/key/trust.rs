//! `vault key trust`

use clap::Args;

use crate::audit::{Action, Event};
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
    let vault = context.unlock()?;
    context.about(&vault, Action::KeyTrust, None)?;
    let slot = vault.trust_slot(&args.label)?;
    context.record(&vault, &[Event::new(Action::KeyTrust).detail(format!("slot '{}'", slot.label))])?;
    let access = if slot.info.full { "full" } else { "limited" };
    let rows = vec![vec![output::printable(&slot.label), slot.info.kind, access.to_owned(), slot.info.recipient]];
    output::print(&output::columns(&rows))?;
    Ok(exit::OK)
}
