//! `vault get`

use std::path::PathBuf;

use clap::Args;

use super::choose::Among;
use super::ci::{self, Ci};
use super::completions::entry_names;
use super::context::{Context, format_time};
use super::files::write_private;
use super::{exit, present};
use crate::audit::{Action, Event, Status};
use crate::format::record::Kind;
use crate::secret::SecretValue;
use crate::term::{clipboard, output};
use crate::vault::field::{self, FieldPath};
use crate::vault::{Entry, Error, ErrorKind, Result, Vault};

/// Print the value of an entry
///
/// To a pipe the value alone, byte for byte; to a terminal with a line end. With -e, an entry that the environment does
/// not have is looked up without an environment. At a terminal, without a name, an entry is chosen from a list.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// The entry; at a terminal it may be chosen from a list
    #[arg(add = entry_names())]
    name: Option<String>,
    /// A field of a JSON value: db.host or /db/host
    field: Option<String>,
    /// This version instead of the current one
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// The value before the last rotation, while it counts: exit code 9 when it no longer does
    #[arg(long, conflicts_with = "version")]
    previous: bool,
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
    let (source, id) = context.source_for(args.name.as_deref(), Among::Fallback)?;
    context.about(source.vault(), Action::Get, Some(&id))?;
    let mut event = Event::new(Action::Get).id(&id);
    let found = (|| {
        let held = source.entry_or_fallback(&id, args.version)?.ok_or_else(|| present::not_found(&id))?;
        let entry = &held.entry;
        context.about_entry(entry);
        let version = match args.previous {
            true => Some(previous(context, source.only_vault("--previous")?, entry, args.allow_expired)?),
            false => args.version,
        };
        if !args.allow_expired && version.is_none_or(|version| version == entry.version()) {
            context.check_expiry(source.vault(), entry)?;
        }
        let value = source.value_of(&held, version)?;
        event = Event::new(Action::Get).entry(entry).version(version);
        let kind = entry.versions().find(|known| Some(known.number) == version).map_or(entry.kind(), |version| version.kind);
        match &field {
            Some(path) => field::get(&value, path).map(|value| (value, Kind::Text)),
            None => Ok((value, kind)),
        }
    })();
    let (value, kind) = match (found, &args.default) {
        (Err(error), Some(default)) if error.kind() == ErrorKind::NotFound => {
            event = event.ended(Status::NotFound, Some(error.code()));
            (SecretValue::from(default.as_str()), Kind::Text)
        }
        (found, _) => found?,
    };
    context.record(source.vault(), &[event])?;
    ci::mask(context, args.ci, [value.expose()]);
    if let Some(path) = &args.out {
        write_private(path, value.expose())?;
        return Ok(exit::OK);
    }
    if let Some(seconds) = args.clip {
        clipboard::copy(&value, seconds)?;
        context.note(&clipboard::note(seconds));
        return Ok(exit::OK);
    }
    let terminal = output::stdout_is_terminal();
    if terminal && kind == Kind::Bytes && std::str::from_utf8(value.expose()).is_err() {
        return Err(Error::usage("the value is not text, and standard output is a terminal")
            .hint("pipe it, or write it to a file with --out"));
    }
    output::value(value.expose(), terminal && !args.no_newline)?;
    Ok(exit::OK)
}

/// The version before the last rotation, if it still counts.
fn previous(context: &Context, vault: &Vault, entry: &Entry, allow_expired: bool) -> Result<u64> {
    let last = entry.last_rotation().ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "no_previous", format!("'{}' was never rotated", entry.id()))
            .hint("`vault history` shows its versions, `vault get --version N` gives one")
    })?;
    if last.until <= context.time_for_reading(vault)? && !allow_expired {
        let until = format_time(last.until);
        return Err(Error::new(
            ErrorKind::Expired,
            "previous_expired",
            format!("the value of '{}' before counted until {until}", entry.id()),
        )
        .hint(format!("it is version {}, if that is still kept", last.previous)));
    }
    Ok(last.previous)
}
