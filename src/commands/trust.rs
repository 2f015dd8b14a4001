//! `vault trust`

use clap::Args;

use super::context::Context;
use super::exit;
use crate::audit::{Action, Event};
use crate::term::output;
use crate::vault::Result;

/// Accept a vault whose signing key, slots or age this machine does not expect
///
/// Shows what is accepted. From then on the vault is compared with this.
#[derive(Args, Debug)]
pub struct TrustArgs {}

pub fn run(context: &mut Context, _args: TrustArgs) -> Result<u8> {
    let path = context.vault_path()?;
    let vault = context.unlock_and_trust(&path)?;
    context.set_foreign_log_aside(&vault)?;
    context.record(&vault, &[Event::new(Action::Trust).detail(vault.fingerprint().unwrap_or_default())])?;
    let mut rows = vec![vec!["vault".to_owned(), vault.id()]];
    rows.extend(vault.fingerprint().map(|fingerprint| vec!["fingerprint".to_owned(), fingerprint]));
    for slot in vault.slots()? {
        let access = if slot.info.full { "full" } else { "limited" };
        let what = format!("{} {access} {}", slot.info.kind, slot.info.recipient);
        rows.push(vec![format!("slot {}", output::printable(&slot.label)), what]);
    }
    output::print(&output::columns(&rows))?;
    Ok(exit::OK)
}
