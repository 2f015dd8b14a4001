//! `vault user role`

use clap::Args;

use super::{change, parse_role};
use crate::commands::context::Context;
use crate::commands::exit;
use crate::format::user::Role;
use crate::vault::Result;
use crate::vault::users::end_sessions;

/// Give a user another role, and end their sessions
///
/// A reader reads what is theirs, a writer also writes it, an administrator administers users and keys besides. One administrator stays.
#[derive(Args, Debug)]
pub struct RoleArgs {
    /// The user
    name: String,
    /// The role: reader, writer, or admin
    #[arg(value_parser = parse_role)]
    role: Role,
}

pub fn run(context: &mut Context, args: RoleArgs) -> Result<u8> {
    let role = args.role;
    let (done, nothing) = (format!("is {} now", role.word()), format!("was {} before", role.word()));
    change(context, &[args.name], (&done, &nothing), &mut |user, state, _| {
        if user.role == role {
            return Ok(false);
        }
        user.role = role;
        end_sessions(user, state);
        Ok(true)
    })?;
    Ok(exit::OK)
}
