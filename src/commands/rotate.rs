//! `vault rotate`

use clap::Args;

use super::completions::entry_names;
use super::context::{Context, refuse_value};
use super::exit;
use crate::format::record::Kind;
use crate::vault::field;
use crate::vault::generate::Generator;
use crate::vault::{Change, Result, Write};

/// Give an entry a new value; the old one stays in its history
///
/// The value is generated, or comes from standard input or a hidden prompt.
#[derive(Args, Debug)]
pub struct RotateArgs {
    /// The entry; it must be there
    #[arg(add = entry_names())]
    name: String,
    /// What people try first: a value on the command line, where other programs and the shell's history see it
    #[arg(hide = true)]
    value: Vec<std::ffi::OsString>,
    /// Generate the value: random:32 hex:32 base64url:32 alnum:24 password:20 words:6 uuid pin:6
    #[arg(long, value_name = "SPEC")]
    generate: Option<Generator>,
    /// Only if this is the current version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
}

pub fn run(context: &mut Context, args: RotateArgs) -> Result<u8> {
    refuse_value(&args.value)?;
    let id = context.entry_id(&args.name)?;
    let value = match &args.generate {
        Some(generator) => generator.generate()?,
        None => context.value_from_input(&format!("New value of {}", args.name), false)?,
    };
    let vault = context.unlock()?;
    // A value keeps its kind where it can: JSON that is replaced by JSON stays JSON.
    let was_json = vault.entry(&id)?.is_some_and(|entry| entry.kind() == Kind::Json);
    let kind = if was_json && field::check_json(value.expose()).is_ok() { Kind::Json } else { Kind::of(value.expose()) };
    let write = Write { if_version: args.if_version, update_only: true, expires: Change::Clear, ..Write::value(value, kind) };
    let outcome = vault.set(&id, write, context.now())?;
    context.note(&format!("'{id}' is at version {}", outcome.version));
    if let Some(note) = &outcome.note {
        context.note(&format!("note: {note}"));
    }
    Ok(exit::OK)
}
