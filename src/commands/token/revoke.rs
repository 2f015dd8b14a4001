//! `vault token revoke`

use clap::Args;

use super::find;
use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::commands::exit;
use crate::term::output;
use crate::vault::Result;

/// Revoke tokens: no server that opens the vault accepts them any more
///
/// They stay in the list. One that was revoked before stays as it is. If one of them is not there, none is revoked.
#[derive(Args, Debug)]
pub struct RevokeArgs {
    /// The tokens: their ids, or their labels
    #[arg(required = true, value_name = "TOKEN")]
    which: Vec<String>,
}

pub fn run(context: &mut Context, args: RevokeArgs) -> Result<u8> {
    let vault = context.unlock()?;
    context.about(&vault, Action::TokenRevoke, None)?;
    let found = args.which.iter().map(|text| find(&vault, text)).collect::<Result<Vec<_>>>()?;
    for (id, token) in found {
        let label = output::printable(&token.label);
        if vault.revoke_token(id, context.now())? {
            context.record(&vault, &[Event::new(Action::TokenRevoke).detail(format!("token {id} '{}'", token.label))])?;
            context.note(&format!("token {id} '{label}' was revoked"));
        } else {
            context.note(&format!("note: token {id} '{label}' had been revoked already"));
        }
    }
    Ok(exit::OK)
}
