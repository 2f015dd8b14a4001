//! `vault get`

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::ci::{self, Ci};
use super::completions::entry_names;
use super::context::Context;
use super::files::write_private;
use super::{exit, present};
use crate::format::record::Kind;
use crate::secret::SecretValue;
use crate::term::{clipboard, output};
use crate::vault::field::{self, FieldPath};
use crate::vault::{Error, ErrorKind, Result};

/// Print the value of an entry
///
/// To a pipe the value alone, byte for byte; to a terminal with a line end. With -e, an entry that the environment does
/// not have is looked up without an environment.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// The entry
    #[arg(add = entry_names())]
    name: String,
    /// A field of a JSON value: db.host or /db/host
    field: Option<String>,
    /// This version instead of the current one
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// Print this if there is no such entry, version or field
    #[arg(long, value_name = "VALUE")]
    default: Option<String>,
    /// Never a line end
    #[arg(short = 'n', long)]
    no_newline: bool,
    /// Write to this file, 0600, instead
    #[arg(long, value_name = "FILE", conflicts_with = "clip")]
    out: Option<PathBuf>,
    /// Copy to the clipboard, and clear it after so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "45")]
    clip: Option<u64>,
    /// Also if the entry has expired
    #[arg(long)]
    allow_expired: bool,
    /// Have the value masked in the log of a CI job first: each of its lines, and each field of a JSON value
    #[arg(long, value_name = "RUNNER", value_enum)]
    ci: Option<Ci>,
}

pub fn run(context: &mut Context, args: GetArgs) -> Result<u8> {
    let field = args.field.as_deref().map(FieldPath::parse).transpose()?;
    let id = context.entry_id(&args.name)?;
    let vault = context.unlock()?;
    let found = (|| {
        let entry = vault.entry_or_fallback(&id)?.ok_or_else(|| present::not_found(&id))?;
        if !args.allow_expired && args.version.is_none_or(|version| version == entry.version()) {
            context.check_expiry(&entry)?;
        }
        let value = vault.value_of(&entry, args.version)?;
        let kind =
            entry.versions().find(|version| Some(version.number) == args.version).map_or(entry.kind(), |version| version.kind);
        match &field {
            Some(path) => field::get(&value, path).map(|value| (value, Kind::Text)),
            None => Ok((value, kind)),
        }
    })();
    let (value, kind) = match (found, &args.default) {
        (Err(error), Some(default)) if error.kind() == ErrorKind::NotFound => (SecretValue::from(default.as_str()), Kind::Text),
        (found, _) => found?,
    };
    ci::mask(context, args.ci, [value.expose()]);
    if let Some(path) = &args.out {
        write_private(path, value.expose())?;
        return Ok(exit::OK);
    }
    if let Some(seconds) = args.clip {
        clipboard::copy(&value, seconds)?;
        context.note(&format!("copied; the clipboard is cleared in {seconds} seconds unless something else is there by then"));
        return Ok(exit::OK);
    }
    let terminal = output::stdout_is_terminal();
    if terminal && kind == Kind::Bytes && std::str::from_utf8(value.expose()).is_err() {
        return Err(Error::usage("the value is not text, and standard output is a terminal")
            .hint("pipe it, or write it to a file with --out"));
    }
    print(&value, terminal && !args.no_newline)?;
    Ok(exit::OK)
}

/// Writes in one go and unbuffered: no copy of the value stays in a buffer.
fn print(value: &SecretValue, newline: bool) -> Result<()> {
    output::refuse_closed()?;
    let mut stdout = std::fs::File::from(
        std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned().map_err(|error| Error::io("write", &error))?,
    );
    let written = stdout.write_all(value.expose()).and_then(|()| if newline { stdout.write_all(b"\n") } else { Ok(()) });
    match written {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Error::io("write to standard output", &error)),
    }
}
