//! `vault user 2fa-off`

use clap::Args;

use super::change;
use crate::commands::context::Context;
use crate::commands::exit;
use crate::vault::Result;
use crate::vault::users::{end_sessions, turn_off_second_factor};

/// Ask a user for no code any more, and end their sessions
///
/// For who has lost what made the codes. The secret behind them is replaced, the app and the codes for recovery hold no more.
#[derive(Args, Debug)]
pub struct TwoFactorOffArgs {
    /// The user
    name: String,
}

pub fn run(context: &mut Context, args: TwoFactorOffArgs) -> Result<u8> {
    change(context, &[args.name], ("is asked for no code", "was asked for no code before"), &mut |user, state, _| {
        // What was begun is ended as well, though no code was asked for.
        let was_on = user.second_factor || user.otp_new.is_some() || !user.recovery.is_empty();
        if was_on {
            turn_off_second_factor(user, state)?;
            end_sessions(user, state);
        }
        Ok(was_on)
    })?;
    Ok(exit::OK)
}
