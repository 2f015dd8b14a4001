//! `vault user rm`

use clap::Args;

use super::{event, find_all};
use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::commands::exit;
use crate::term::output;
use crate::vault::Result;

/// Remove users, and what is kept of their attempts to sign in
///
/// All of them or, if one is not there or no administrator would be left, none.
#[derive(Args, Debug)]
pub struct RemoveArgs {
    /// The users
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Also if they keep something, which goes with them
    #[arg(long)]
    force: bool,
}

pub fn run(context: &mut Context, args: RemoveArgs) -> Result<u8> {
    let vault = context.unlock()?;
    context.about(&vault, Action::UserRemove, None)?;
    let names = find_all(&vault, &args.names)?;
    let shown = vault.remove_users(&names, args.force, context.now())?;
    let events: Vec<Event> = shown.iter().map(|name| event(Action::UserRemove, name, "was removed")).collect();
    context.record(&vault, &events)?;
    for name in shown {
        context.note(&format!("the user '{}' was removed", output::printable(&name)));
    }
    Ok(exit::OK)
}
