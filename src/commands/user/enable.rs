//! `vault user enable`

use clap::Args;

use super::change;
use crate::commands::context::Context;
use crate::commands::exit;
use crate::vault::Result;

/// Let users sign in again who were disabled
#[derive(Args, Debug)]
pub struct EnableArgs {
    /// The users
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

pub fn run(context: &mut Context, args: EnableArgs) -> Result<u8> {
    change(context, &args.names, ("was enabled", "was not disabled"), &mut |user, _, _| Ok(user.disabled.take().is_some()))?;
    Ok(exit::OK)
}
