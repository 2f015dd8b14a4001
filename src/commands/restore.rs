//! `vault restore`

use std::path::PathBuf;

use clap::Args;

use super::context::{Context, read_file, write_private};
use super::exit;
use crate::vault::{Error, ErrorKind, Result};

/// Put a backup in the vault's place
///
/// The backup is opened and checked in full first. A vault that is there is only replaced with --force, and is kept beside
/// it with .before-restore behind its name. This machine then takes the backup for the newest state.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// Replace the vault that is there
    #[arg(long)]
    force: bool,
}

pub fn run(context: &mut Context, args: RestoreArgs) -> Result<u8> {
    let path = context.vault_path()?;
    let there = path.symlink_metadata().is_ok();
    if there && !args.force {
        return Err(Error::new(ErrorKind::Conflict, "exists", format!("{} exists already; it was not touched", path.display()))
            .hint("use --force to replace it; it is kept beside"));
    }
    let backup = context.unlock_exempt(&args.file)?;
    let checked = backup.check()?;
    let bytes = read_file(&args.file)?;
    if there {
        let mut kept = path.file_name().unwrap_or_default().to_owned();
        kept.push(".before-restore");
        let kept = path.with_file_name(kept);
        std::fs::copy(&path, &kept).map_err(|error| Error::io(format!("write {}", kept.display()), &error))?;
        context.note(&format!("the vault that was there is kept as {}", kept.display()));
    }
    write_private(&path, &bytes)?;
    // What is there now is what the user wants: the witness starts from it.
    context.unlock_and_trust(&path)?;
    context.note(&format!("{} entries, {} values restored", checked.entries, checked.values));
    Ok(exit::OK)
}
