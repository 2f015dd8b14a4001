//! `vault edit`

use clap::Args;

use super::completions::entry_names;
use super::context::Context;
use super::exit;
use crate::format::record::Kind;
use crate::process;
use crate::secret::SecretValue;
use crate::term::editor;
use crate::vault::field;
use crate::vault::{Entry, Error, Result, Write};

/// Edit the value of an entry in an editor
///
/// The editor is that of VISUAL or EDITOR. It works on a 0600 file in memory that is wiped afterwards. If somebody else
/// changed the entry in the meantime, nothing is written.
#[derive(Args, Debug)]
pub struct EditArgs {
    /// The entry; it is made if it is not there
    #[arg(add = entry_names())]
    name: String,
}

pub fn run(context: &mut Context, args: EditArgs) -> Result<u8> {
    let id = context.entry_id(&args.name)?;
    let vault = context.unlock()?;
    let entry = vault.entry(&id)?;
    let old = match &entry {
        Some(entry) => vault.value_of(entry, None)?,
        None => SecretValue::from(""),
    };
    if std::str::from_utf8(old.expose()).is_err() {
        return Err(Error::usage("the value is not text").hint("write it with `vault set NAME --from-file FILE`"));
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
    let write =
        Write { if_version: Some(entry.as_ref().map_or(0, Entry::version)), value: Some((new, kind)), ..Write::default() };
    let outcome = vault.set(&id, write, context.now())?;
    if let Some(note) = &outcome.note {
        context.note(&format!("note: {note}"));
    }
    Ok(exit::OK)
}
