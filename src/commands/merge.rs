//! `vault merge`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::context::{Context, OutputFormat};
use super::exit;
use super::files::write_verified;
use crate::audit::{Action, Event};
use crate::term::output;
use crate::vault::{Error, Locked, MergeConflict, Merged, MergedEntry, Result, Side, Vault};

/// Join two copies of one vault that were written apart
///
/// Per entry, and per field of JSON values, from the common ancestor: merge BASE OURS THEIRS, as git calls it. merge OURS THEIRS
/// finds the ancestor in the files themselves, and merge THEIRS does so with the vault at hand: for the copies that sync programs
/// leave. The result is in OURS, or in --out. What both changed is listed, both values are kept as versions, that of OURS is the
/// current one, and the exit code is 10. Keys or slots may have been changed on one side only.
#[derive(Args, Debug)]
pub struct MergeArgs {
    /// The common ancestor, if it is at hand, the copy that is written, and the other one
    #[arg(value_name = "FILE", num_args = 1..=3, required = true)]
    files: Vec<PathBuf>,
    /// Write the result here, and leave both copies as they are
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: MergeArgs) -> Result<u8> {
    let configured = context.vault_path()?;
    let (base, ours, theirs) = match args.files.as_slice() {
        [theirs] => (None, &configured, theirs),
        [ours, theirs] => (None, ours, theirs),
        [base, ours, theirs] => (Some(base), ours, theirs),
        _ => return Err(Error::usage("merge takes one to three files")),
    };
    if is_same(ours, theirs) {
        return Err(Error::usage("both copies are the same file"));
    }
    // Only the vault at its place is compared with what this machine remembers: git merges in files that it removes afterwards.
    let own = if is_same(ours, &configured) { context.unlock_at(ours)? } else { context.unlock_exempt(ours)? };
    let other = context.unlock_exempt(theirs)?;
    context.about(&own, Action::Merge, None)?;
    let base = base.and_then(|base| ancestor(context, base));
    let base = base.as_ref();
    let now = context.now();
    let merged = match (own.merge_side(&other, base)?, &args.out) {
        (Side::Own, None) => own.merge(&other, base, Side::Own, now)?,
        (Side::Own, Some(out)) => write_verified(out, &own.image()?, |copy| {
            let copy = context.unlock_exempt(copy)?;
            copy.merge(&other, base, Side::Own, now)
        })?,
        // The other copy has the newer keys: what is written is that one, with what is new here.
        (Side::Other, out) => {
            let _held = match out {
                Some(_) => None,
                None => Some(Locked::hold_writers(ours, context.lock_timeout()?)?),
            };
            let place = out.as_ref().unwrap_or(ours);
            let place = place.canonicalize().unwrap_or_else(|_| place.clone());
            write_verified(&place, &other.image()?, |copy| {
                let copy = context.unlock_exempt(copy)?;
                copy.merge(&own, base, Side::Other, now)
            })?
        }
    };
    let Merged { added, changed, removed, conflicts, .. } = &merged;
    let detail = format!("{added} added, {changed} changed, {removed} removed, {} conflicts", conflicts.len());
    let mut events = vec![Event::new(Action::Merge).detail(detail)];
    if args.out.is_none() {
        // The merge as a whole, and what became of each entry. Elsewhere nothing became of those of this vault.
        events.extend(merged.entries.iter().map(|MergedEntry { id, uid, version, what }| {
            Event::new(Action::Merge).id(id).uid(*uid).version(*version).detail(*what)
        }));
    }
    context.record(&own, &events)?;
    report(context, &args, &merged)?;
    let clean = merged.conflicts.is_empty() && merged.system_conflicts == 0;
    Ok(if clean { exit::OK } else { exit::FINDINGS })
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The ancestor, unless there is none: git gives an empty file where it knows of none.
fn ancestor(context: &mut Context, path: &Path) -> Option<Vault> {
    let there = std::fs::metadata(path).is_ok_and(|status| status.is_file() && status.len() > 0);
    if !there {
        return None;
    }
    match context.unlock_exempt(path) {
        Ok(vault) => Some(vault),
        Err(error) => {
            context.note(&format!("note: the common ancestor cannot be used ({error}); it is looked for in both copies"));
            None
        }
    }
}

fn report(context: &Context, args: &MergeArgs, merged: &Merged) -> Result<()> {
    if let Some(note) = &merged.note {
        context.note(&format!("note: {note}"));
    }
    match args.format {
        OutputFormat::Json => {
            let object = json!({
                "version": 1,
                "added": merged.added,
                "changed": merged.changed,
                "removed": merged.removed,
                "conflicts": merged.conflicts.iter().map(object).collect::<Vec<_>>(),
                "system_conflicts": merged.system_conflicts,
            });
            output::print(&format!("{object}\n"))
        }
        OutputFormat::Text => {
            context.note(&format!("{} added, {} changed, {} removed", merged.added, merged.changed, merged.removed));
            if merged.system_conflicts > 0 {
                context.note(&format!("{} records of keys and settings were changed on both sides", merged.system_conflicts));
            }
            let lines: String = merged.conflicts.iter().map(|conflict| format!("{}\n", line(conflict))).collect();
            output::print(&lines)
        }
    }
}

fn object(conflict: &MergeConflict) -> serde_json::Value {
    json!({
        "name": conflict.id.name.as_str(),
        "environment": conflict.id.environment.as_ref().map(|environment| environment.as_str()),
        "what": conflict.what,
        "current": conflict.version,
        "other": conflict.other,
    })
}

fn line(conflict: &MergeConflict) -> String {
    let name = output::printable(&conflict.id.to_string());
    let what = match conflict.what.as_str() {
        "removed" => "removed in one copy, changed in the other: it stays".to_owned(),
        "name" => "the name was taken".to_owned(),
        what => format!("{} changed in both", output::printable(what)),
    };
    match conflict.other {
        Some(other) => format!("{name}: {what}; version {} is current, version {other} is the other", conflict.version),
        None => format!("{name}: {what}"),
    }
}
