//! `vault edit`

use clap::Args;

use super::choose::Among;
use super::completions::entry_names;
use super::context::Context;
use super::exit;
use crate::audit::{Action, Event};
use crate::format::record::Kind;
use crate::process;
use crate::secret::SecretValue;
use crate::term::editor;
use crate::vault::field;
use crate::vault::{Change, Entry, Error, Result, Write, expires_no_more};

/// Edit the value of an entry in an editor
///
/// The editor is that of VISUAL or EDITOR. It works on a 0600 file in memory that is wiped afterwards. If somebody else
/// changed the entry in the meantime, nothing is written. As with `set`, the new value does not expire.
#[derive(Args, Debug)]
pub struct EditArgs {
    /// The entry, which is made if it is not there; at a terminal it may be chosen from a list
    #[arg(add = entry_names())]
    name: Option<String>,
}

pub fn run(context: &mut Context, args: EditArgs) -> Result<u8> {
    let (vault, id) = context.unlock_for(args.name.as_deref(), Among::Exact)?;
    context.about(&vault, Action::Edit, Some(&id))?;
    let entry = vault.entry(&id)?;
    let old = match &entry {
        Some(entry) => {
            vault.refuse_rotating(entry)?;
            vault.value_of(entry, None)?
        }
        None => SecretValue::from(""),
    };
    if std::str::from_utf8(old.expose()).is_err() {
        return Err(Error::usage("the value is not text").hint("write it with `vault set NAME --from-file FILE`"));
    }
    if let Some(entry) = &entry {
        context.record(&vault, &[Event::new(Action::Edit).entry(entry)])?;
    }
    let Some(new) = editor::edit(old.expose(), process::undisturbed)? else {
        context.note("nothing changed");
        return Ok(exit::OK);
    };
    let json = entry.as_ref().is_some_and(|entry| entry.kind() == Kind::Json);
    if json {
        field::check_json(new.expose())?;
    }
    let kind = if json { Kind::Json } else { Kind::of(new.expose()) };
    // A time belongs to the value that it was given for.
    let (if_version, expires) = (Some(entry.as_ref().map_or(0, Entry::version)), Change::Clear);
    let write = Write { if_version, expires, ..Write::value(new, kind) };
    context.about(&vault, Action::Set, Some(&id))?;
    let outcome = vault.set(&id, write, context.now())?;
    context.record_write(&vault, Action::Set, &id, outcome.version)?;
    if entry.is_some_and(|entry| entry.expires().is_some()) {
        context.note(&format!("note: {}", expires_no_more(&id)));
    }
    if let Some(note) = &outcome.note {
        context.note(&format!("note: {note}"));
    }
    Ok(exit::OK)
}
