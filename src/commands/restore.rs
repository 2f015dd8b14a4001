//! `vault restore`

use std::path::{Path, PathBuf};

use clap::Args;

use super::context::Context;
use super::exit;
use super::files::{make_parent, read_file, write_private, write_verified};
use crate::audit::{Action, Event};
use crate::store::Walk;
use crate::vault::{Error, ErrorKind, Filter, Locked, Result, Scope};

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
    if backup.facts().is_some_and(|facts| facts.tail) {
        return Err(Error::new(
            ErrorKind::Damaged,
            "damaged_tail",
            format!("the end of {} cannot be read: its newest commit is damaged, or a write failed there", args.file.display()),
        )
        .hint("nothing was changed; `vault backup` of that file holds the commit before, and can be restored"));
    }
    let bytes = read_file(&args.file)?;
    // A link to the vault stays a link.
    let path = if there { path.canonicalize().unwrap_or(path) } else { path };
    make_parent(&path)?;
    // Nobody's write is to go into the file that is kept beside, and be acknowledged, while this one takes its place.
    let _held = match there {
        true => Some(Locked::hold_writers(&path, context.lock_timeout()?)?),
        false => None,
    };
    let checked = write_verified(&path, &bytes, |new| {
        let checked = context.unlock_exempt(new)?.check()?;
        if there {
            let kept = free_name(&path);
            write_private(&kept, &read_file(&path)?)?;
            context.note(&format!("the vault that was there is kept as {}", kept.display()));
        }
        Ok(checked)
    })?;
    // What is there now is what the user wants: the witness starts from it.
    let vault = context.unlock_and_trust(&path)?;
    context.set_foreign_log_aside(&vault)?;
    // The restore as a whole, and each entry that is there now.
    let mut events = vec![Event::new(Action::Restore).detail(format!("{} entries", checked.entries))];
    vault.entries(&Filter { scope: Scope::All, category: None }, &mut |entry| {
        events.push(Event::new(Action::Restore).entry(&entry));
        Ok(Walk::Continue(()))
    })?;
    context.record(&vault, &events)?;
    context.note(&format!("{} entries, {} values restored", checked.entries, checked.values));
    Ok(exit::OK)
}

/// A name beside the vault under which nothing is kept yet: an earlier restore's copy may be the only one of its entries.
fn free_name(path: &Path) -> PathBuf {
    let name = |number: u32| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".before-restore");
        if number > 1 {
            name.push(format!("-{number}"));
        }
        path.with_file_name(name)
    };
    (1..).map(name).find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| name(u32::MAX))
}
