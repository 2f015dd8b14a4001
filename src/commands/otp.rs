//! `vault otp`

use clap::Args;
use serde_json::json;

use super::choose::Among;
use super::completions::entry_names;
use super::context::{Context, OutputFormat};
use super::{exit, present};
use crate::audit::{Action, Event};
use crate::format::record::Kind;
use crate::secret::SecretValue;
use crate::term::{clipboard, output, qr};
use crate::vault::field::{self, FieldPath};
use crate::vault::otp::{self, Moving, OneTime};
use crate::vault::{Change, Entry, Error, ErrorKind, Result, Vault, Write};

/// Print the one-time code of an entry
///
/// The entry, or a field of its JSON value, holds what a site shows when codes are set up: an otpauth:// URI or a base32
/// secret. A code by time (TOTP) is that of now; a code by counter (HOTP) is printed once the counter in the vault has
/// moved on, which is a new version of the entry.
#[derive(Args, Debug)]
pub struct OtpArgs {
    /// The entry; at a terminal it may be chosen from a list
    #[arg(add = entry_names())]
    name: Option<String>,
    /// A field of a JSON value: login.totp or /login/totp
    field: Option<String>,
    /// Store a URI or secret, from a hidden prompt at a terminal, else from standard input
    #[arg(long, requires = "name", conflicts_with_all = ["uri", "qr", "clip", "format", "no_newline", "allow_expired"])]
    import: bool,
    /// Print the otpauth:// URI instead, which makes the same codes elsewhere
    #[arg(long, conflicts_with = "format")]
    uri: bool,
    /// Draw the URI as a QR code, for the camera of a phone
    #[arg(long, conflicts_with_all = ["uri", "clip", "format", "no_newline"])]
    qr: bool,
    /// Copy to the clipboard, and clear it after so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "45", conflicts_with = "format")]
    clip: Option<u64>,
    /// Never a line end
    #[arg(short = 'n', long)]
    no_newline: bool,
    /// Also if the entry has expired
    #[arg(long)]
    allow_expired: bool,
    /// How to print; JSON tells for how many seconds a code holds
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: OtpArgs) -> Result<u8> {
    let field = args.field.as_deref().map(FieldPath::parse).transpose()?;
    if args.import {
        return import(context, args.name.as_deref().unwrap_or_default(), field.as_ref());
    }
    let (vault, id) = context.unlock_for(args.name.as_deref(), Among::Fallback)?;
    context.about(&vault, Action::Otp, Some(&id))?;
    let entry = vault.entry_or_fallback(&id)?.ok_or_else(|| present::not_found(&id))?;
    if !args.allow_expired {
        context.check_expiry(&vault, &entry)?;
    }
    let value = of_field(&vault.value_of(&entry, None)?, field.as_ref())?;
    let event = Event::new(Action::Otp).entry(&entry);
    if args.qr || args.uri {
        let uri = otp::uri(&value, id.name.as_str())?;
        context.record(&vault, &[event.detail("the secret, as a URI")])?;
        return if args.qr { draw(context, &uri) } else { hand_over(context, &args, &uri) };
    }
    // Before a counter moves on for a code that nobody would see.
    output::refuse_closed()?;
    if args.clip.is_some() {
        clipboard::refuse_absent()?;
    }
    let otp = OneTime::parse(&value)?;
    let now = context.now();
    let code = match otp.moving() {
        Moving::Time(_) => otp.code(now),
        Moving::Counter(_) => use_counter(context, &vault, &entry, field.as_ref(), args.allow_expired)?,
    };
    context.record(&vault, &[event])?;
    if args.format == OutputFormat::Json {
        let (kind, period) = match otp.moving() {
            Moving::Time(period) => ("totp", Some(period)),
            Moving::Counter(_) => ("hotp", None),
        };
        let object = json!({
            "version": 1,
            "type": kind,
            "code": String::from_utf8_lossy(code.expose()),
            "valid_seconds": otp.seconds_left(now),
            "period": period,
        });
        output::print(&format!("{object}\n"))?;
        return Ok(exit::OK);
    }
    hand_over(context, &args, &code)
}

/// Makes the code of the counter as it is under the lock, and moves the counter on: no two callers get the same one.
fn use_counter(
    context: &Context,
    vault: &Vault,
    entry: &Entry,
    field: Option<&FieldPath>,
    allow_expired: bool,
) -> Result<SecretValue> {
    let mut code = None;
    let outcome = vault.update(entry.id(), context.now(), None, &mut |old| {
        let (entry, whole) = old.ok_or_else(|| present::not_found(entry.id()))?;
        if !allow_expired {
            context.check_expiry(vault, entry)?;
        }
        let value = of_field(whole, field)?;
        let next = otp::advanced(&value)?;
        code = Some(OneTime::parse(&value)?.code(0));
        let new = match field {
            Some(path) => field::set(Some(whole), path, &next, false)?,
            None => next,
        };
        Ok(Write::value(new, entry.kind()))
    })?;
    if let Some(note) = &outcome.note {
        context.note(&format!("note: {note}"));
    }
    code.ok_or_else(|| Error::new(ErrorKind::Internal, "internal", "a counter moved on without a code"))
}

fn of_field(value: &SecretValue, field: Option<&FieldPath>) -> Result<SecretValue> {
    match field {
        Some(path) => field::get(value, path),
        None => Ok(SecretValue::new(value.expose().to_vec().into())),
    }
}

fn hand_over(context: &Context, args: &OtpArgs, text: &SecretValue) -> Result<u8> {
    if let Some(seconds) = args.clip {
        clipboard::copy(text, seconds)?;
        context.note(&clipboard::note(seconds));
        return Ok(exit::OK);
    }
    output::value(text.expose(), output::stdout_is_terminal() && !args.no_newline)?;
    Ok(exit::OK)
}

fn draw(context: &Context, uri: &SecretValue) -> Result<u8> {
    let text = std::str::from_utf8(uri.expose())
        .map_err(|_| Error::new(ErrorKind::Internal, "internal", "a URI that was read is not text"))?;
    let colours = output::stdout_is_terminal() && !context.without_colours();
    let drawn = qr::draw(text, qr::Drawing { colours, room: output::stdout_size() })?;
    output::value(drawn.as_bytes(), false)?;
    Ok(exit::OK)
}

/// Stores what makes codes, once it was read as such. What is there already is replaced only by its like: a password of the same name stays.
fn import(context: &mut Context, name: &str, field: Option<&FieldPath>) -> Result<u8> {
    let id = context.entry_id(name)?;
    let value = context.value_from_input(&format!("URI or secret for the codes of {name}"), false)?;
    OneTime::parse(&value)?;
    let vault = context.unlock()?;
    context.about(&vault, Action::Set, Some(&id))?;
    let outcome = vault.update(&id, context.now(), None, &mut |old| {
        let there = match (old, field) {
            (Some((_, whole)), Some(path)) => match field::get(whole, path) {
                Err(error) if error.code() == "field_not_found" => None,
                found => Some(found?),
            },
            (Some((_, whole)), None) => Some(of_field(whole, None)?),
            (None, _) => None,
        };
        if there.is_some_and(|there| OneTime::parse(&there).is_err()) {
            return Err(Error::new(ErrorKind::Conflict, "exists", format!("'{id}' holds something else there"))
                .hint("choose another name, or a field of a JSON value: vault otp NAME FIELD --import"));
        }
        let whole = old.map(|(_, whole)| whole);
        Ok(match field {
            Some(path) => Write::value(field::set(whole, path, &value, false)?, Kind::Json),
            None => Write { expires: Change::Clear, ..Write::value(of_field(&value, None)?, Kind::of(value.expose())) },
        })
    })?;
    context.record_write(&vault, Action::Set, &id, outcome.version)?;
    if let Some(note) = &outcome.note {
        context.note(&format!("note: {note}"));
    }
    Ok(exit::OK)
}
