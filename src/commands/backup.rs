//! `vault backup`

use std::path::PathBuf;

use clap::Args;

use super::context::{Context, write_private};
use super::exit;
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
    let bytes = vault.image()?;
    write_private(&args.file, &bytes)?;
    let checked = context.unlock_exempt(&args.file)?.check()?;
    context.note(&format!("{} entries, {} values verified in {}", checked.entries, checked.values, args.file.display()));
    Ok(exit::OK)
}
