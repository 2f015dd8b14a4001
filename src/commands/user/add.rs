//! `vault user add`

use clap::Args;

use super::password::PasswordSource;
use super::{event, parse_role};
use crate::audit::Action;
use crate::commands::context::Context;
use crate::commands::exit;
use crate::commands::pepper::peppers;
use crate::format::user::Role;
use crate::term::output;
use crate::vault::users::{NewUser, new_verifier};
use crate::vault::{Error, ErrorKind, Result};

/// Make a user
///
/// The password is asked for twice at a terminal, else it is the first line of standard input: 8 characters or more, one of them upper-case, one a
/// digit, and one of !@#$%^&*(),.?":{}|<>. The first administrator can be made only here.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The name
    name: String,
    /// Where codes are sent
    #[arg(long, value_name = "EMAIL", default_value = "", hide_default_value = true)]
    email: String,
    /// What the user may do: reader, writer, or admin
    #[arg(long, value_name = "ROLE", value_parser = parse_role, default_value = "writer")]
    role: Role,
    #[command(flatten)]
    source: PasswordSource,
}

pub fn run(context: &mut Context, args: AddArgs) -> Result<u8> {
    // Before anything is typed, or derived from it.
    let peppers = peppers()?;
    let password = args.source.read(context)?;
    let vault = context.unlock()?;
    context.about(&vault, Action::UserAdd, None)?;
    let password = new_verifier(&password, &peppers, vault.id_bytes())?;
    let new = NewUser { name: args.name.clone(), email: args.email, role: args.role, password };
    vault.add_user(&new, context.now()).map_err(|error| match error.code() {
        "user_exists" => Error::new(ErrorKind::Conflict, "user_exists", format!("there is a user '{}' already", args.name)),
        _ => error,
    })?;
    context.record(&vault, &[event(Action::UserAdd, &args.name, &format!("as {}", args.role.word()))])?;
    context.note(&format!("the user '{}' was made: {}", output::printable(&args.name), args.role.word()));
    Ok(exit::OK)
}
