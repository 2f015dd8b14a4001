//! `rotate --resume` and `rotate --abort`.

use super::machine::Machine;
use super::phases::Drive;
use super::{RotateArgs, endings, finish, take_up};
use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::commands::{exit, present};
use crate::format::rotation::Phase;
use crate::vault::{Error, ErrorKind, Result};

/// Goes on with the rotation of an entry, or with all that were left.
pub fn resume(context: &mut Context, args: &RotateArgs) -> Result<u8> {
    let only = args.name.is_some().then(|| args.id(context)).transpose()?;
    let vault = context.unlock()?;
    let left = match &only {
        Some(id) => {
            let entry = vault.entry(id)?.ok_or_else(|| present::not_found(id))?;
            let pending = vault.pending_rotation(&entry)?.ok_or_else(|| none(id))?;
            vec![pending]
        }
        None => vault.pending_rotations()?,
    };
    let (machine, endings) = (Machine::this(), endings()?);
    let mut failed = None;
    for mut pending in left {
        let id = pending.journal.id.clone();
        if args.dry_run {
            context.note(&format!("the rotation of '{id}' would go on ({})", pending.journal.phase.word()));
            continue;
        }
        context.about(&vault, Action::Rotate, Some(&id))?;
        let went_on = take_up(&vault, &machine, &mut pending, context.now())
            .and_then(|hold| Drive { context, vault: &vault, pending, hold, endings: &endings, force: args.force }.run());
        match went_on {
            Ok(outcome) => finish(context, &vault, &id, &outcome)?,
            Err(error) if only.is_some() || error.code() == "interrupted" => return Err(error),
            Err(error) if error.code() == "rotation_running" => context.note(&format!("note: {error}")),
            Err(error) => {
                context.record_refusal(&error);
                context.note(&format!("warning: {}", crate::term::output::printable(&error.to_string())));
                failed = Some(error);
            }
        }
    }
    Ok(if failed.is_some() { exit::FINDINGS } else { exit::OK })
}

/// Drops the rotation of an entry, whoever carries it out.
pub fn abort(context: &mut Context, args: &RotateArgs) -> Result<u8> {
    let id = args.id(context)?;
    let vault = context.unlock()?;
    let entry = vault.entry(&id)?.ok_or_else(|| present::not_found(&id))?;
    let pending = vault.pending_rotation(&entry)?.ok_or_else(|| none(&id))?;
    if args.dry_run {
        context.note(&format!("the rotation of '{id}' would be dropped ({})", pending.journal.phase.word()));
        return Ok(exit::OK);
    }
    context.about(&vault, Action::Rotate, Some(&id))?;
    let note = vault.drop_rotation(&pending, Some("aborted"), context.now())?;
    context.record(&vault, &[Event::new(Action::Rotate).entry(&entry).detail("dropped the rotation that was under way")])?;
    context.note(&format!("the rotation of '{id}' is dropped; it stays at version {}", entry.version()));
    if pending.journal.phase != Phase::Pending {
        context.note("note: what its commands did is not undone");
    }
    if let Some(note) = note {
        context.note(&format!("note: {note}"));
    }
    Ok(exit::OK)
}

fn none(id: &crate::name::EntryId) -> Error {
    Error::new(ErrorKind::NotFound, "no_rotation", format!("no rotation of '{id}' is under way"))
}
