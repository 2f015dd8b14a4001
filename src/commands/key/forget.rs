//! `vault key forget`

use clap::Args;

use crate::commands::context::Context;
use crate::commands::exit;
use crate::keychain;
use crate::vault::{Error, ErrorKind, Locked, Result};

/// Remove the key of the vault from the keychain of the system
///
/// No key is needed. Exit code 3 if none was kept.
#[derive(Args, Debug)]
pub struct ForgetArgs {}

pub fn run(context: &mut Context, _args: ForgetArgs) -> Result<u8> {
    let locked = Locked::open(&context.vault_path()?)?;
    if !keychain::forget(&locked.id())? {
        return Err(Error::new(ErrorKind::NotFound, "nothing_kept", "the keychain keeps no key for this vault"));
    }
    context.note("the keychain keeps no key for this vault any more");
    Ok(exit::OK)
}
