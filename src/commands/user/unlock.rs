//! `vault user unlock`

use clap::Args;

use super::change;
use crate::commands::context::Context;
use crate::commands::exit;
use crate::vault::Result;

/// Hear users again who are locked because attempts to sign in failed
///
/// The attempts that failed are forgotten. Who was disabled stays so: see `enable`.
#[derive(Args, Debug)]
pub struct UnlockArgs {
    /// The users
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

pub fn run(context: &mut Context, args: UnlockArgs) -> Result<u8> {
    change(context, &args.names, ("is heard again", "was not locked"), &mut |_, state, _| Ok(state.unlock()))?;
    Ok(exit::OK)
}
