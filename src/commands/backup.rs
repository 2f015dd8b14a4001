//! `vault backup`

use std::path::PathBuf;

use clap::Args;

use super::context::Context;
use super::exit;
use super::files::write_verified;
use crate::vault::{Error, ErrorKind, Result};

/// Write a verified copy of the vault file
///
/// The copy holds the newest commit and everything before it, whatever is written meanwhile. It is opened and checked in
/// full before this ends.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// Where the copy goes; nothing may be there
    file: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

pub fn run(context: &mut Context, args: BackupArgs) -> Result<u8> {
    if !args.force && args.file.symlink_metadata().is_ok() {
        return Err(Error::new(ErrorKind::Conflict, "exists", format!("{} exists already", args.file.display()))
            .hint("use --force to replace it"));
    }
    let path = context.vault_path()?;
    let vault = context.unlock_exempt(&path)?;
    if vault.facts().is_some_and(|facts| facts.tail) {
        context.note("warning: bytes at the end of the vault belong to no commit that can be read; they are not in the copy");
    }
    let bytes = vault.image()?;
    let checked = write_verified(&args.file, &bytes, |copy| context.unlock_exempt(copy)?.check())?;
    context.note(&format!("{} entries, {} values verified in {}", checked.entries, checked.values, args.file.display()));
    Ok(exit::OK)
}
