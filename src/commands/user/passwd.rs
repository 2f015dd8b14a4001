//! `vault user passwd`

use clap::Args;

use super::password::PasswordSource;
use super::{event, find};
use crate::audit::Action;
use crate::commands::context::Context;
use crate::commands::exit;
use crate::commands::pepper::peppers;
use crate::term::output;
use crate::vault::Result;
use crate::vault::users::{UserName, end_sessions, new_verifier};

/// Give a user another password, and end their sessions
///
/// It is asked for twice at a terminal, else it is the first line of standard input. A lock because of failed attempts stays: see `unlock`.
#[derive(Args, Debug)]
pub struct PasswdArgs {
    /// The user
    name: String,
    #[command(flatten)]
    source: PasswordSource,
}

pub fn run(context: &mut Context, args: PasswdArgs) -> Result<u8> {
    let peppers = peppers()?;
    let password = args.source.read(context)?;
    let vault = context.unlock()?;
    context.about(&vault, Action::UserChange, None)?;
    let (_, user) = find(&vault, &args.name)?;
    let new = new_verifier(&password, &peppers, vault.id_bytes())?;
    vault.update_user(&UserName::of(&args.name), context.now(), &mut |user, state| {
        (user.password, user.pepper) = (new.verifier.clone(), new.pepper);
        end_sessions(user, state);
        Ok(())
    })?;
    context.record(&vault, &[event(Action::UserChange, &user.name, "has another password")])?;
    context.note(&format!("the user '{}' has another password, and no session", output::printable(&user.name)));
    Ok(exit::OK)
}
