//! `vault user disable`

use clap::Args;

use super::change;
use crate::commands::context::Context;
use crate::commands::exit;
use crate::vault::Result;
use crate::vault::users::end_sessions;

/// Keep users from signing in, and end their sessions
///
/// What they keep stays. If one of them is not there, or no administrator would be left, none is disabled.
#[derive(Args, Debug)]
pub struct DisableArgs {
    /// The users
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

pub fn run(context: &mut Context, args: DisableArgs) -> Result<u8> {
    change(context, &args.names, ("was disabled", "had been disabled already"), &mut |user, state, now| {
        if user.disabled.is_some() {
            return Ok(false);
        }
        user.disabled = Some(now);
        end_sessions(user, state);
        Ok(true)
    })?;
    Ok(exit::OK)
}
