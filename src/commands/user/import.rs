//! `vault user import`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::event;
use crate::audit::{Action, Event};
use crate::commands::context::{Context, OutputFormat};
use crate::commands::exit;
use crate::commands::files::{open_input, read_all};
use crate::commands::pepper::{current_pepper, pepper_of};
use crate::term::output;
use crate::vault::users::{Imported, Peppers, Unread, UserName, read_export};
use crate::vault::{Error, ErrorKind, Result};

/// Take over the users of another service, and what they keep, all in one commit
///
/// FILE is the service's collection `users` as mongoexport writes it: one JSON document a line, or an array. Known fields: _id, username, email,
/// hashed_password (bcrypt, of cost 14 at most), salt, totp_secret, two_factor_enabled, failed_attempts, last_failed_attempt_time, lockout_until,
/// created_at; others are passed over. --data is its collection `sensitive_data`: _id, user_id (or username), data_type, encrypted_value (hex of
/// nonce, ciphertext and tag of AES-256-GCM). --keys are the keys of its key store:
/// {"master_key":"HEX","user_keys":{"NAME":{"key":"HEX","nonce":"HEX"}}}.
///
/// Passwords stay what they are: each is compared as the service did it, over password, salt and pepper, and kept the way of this vault once its user
/// signs in. Nothing is imported if a user is there already, if two would be one, or if something cannot be read or decrypted; all of that is listed.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The users, - for standard input
    file: PathBuf,
    /// What they keep
    #[arg(long, value_name = "FILE", requires = "keys")]
    data: Option<PathBuf>,
    /// The keys that open it
    #[arg(long, value_name = "FILE", requires = "data")]
    keys: Option<PathBuf>,
    /// The pepper of the service, in the one line of this file [default: PEPPER, then the file PEPPER_FILE]
    #[arg(long, value_name = "FILE", conflicts_with = "no_pepper")]
    pepper_file: Option<PathBuf>,
    /// The service had no pepper
    #[arg(long)]
    no_pepper: bool,
    /// This one is an administrator; may be repeated. All others are writers
    #[arg(long = "admin", value_name = "NAME")]
    admins: Vec<String>,
    /// Read and decrypt everything, say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// How to print what was done
    #[arg(long, value_enum, default_value_t)]
    report: OutputFormat,
}

pub fn run(context: &mut Context, args: ImportArgs) -> Result<u8> {
    let peppers = Peppers::new(pepper(&args)?, Vec::new());
    let read = |path: &PathBuf| read_all(&mut *open_input(Some(path))?, 64 * 1024, "read the input");
    let (users, data, keys) =
        (read(&args.file)?, args.data.as_ref().map(read).transpose()?, args.keys.as_ref().map(read).transpose()?);
    let data = data.as_deref().zip(keys.as_deref()).map(|(data, keys)| (data.as_slice(), keys.as_slice()));
    let export = read_export(&users, data)?;
    let vault = context.unlock()?;
    context.about(&vault, Action::UserImport, None)?;
    let admins: Vec<UserName> = args.admins.iter().map(|name| UserName::of(name)).collect();
    let pepper = peppers.mark(vault.id_bytes())?;
    let imported = vault.import_users(&export, &admins, pepper, args.dry_run, context.now())?;
    refuse(context, &imported.unread)?;
    if !args.dry_run {
        let whole =
            Event::new(Action::UserImport).detail(format!("{} users, {} records", imported.users.len(), imported.records));
        let each = imported.users.iter().map(|name| event(Action::UserImport, name, "was taken over"));
        context.record(&vault, &std::iter::once(whole).chain(each).collect::<Vec<_>>())?;
    }
    report(context, &args, &imported)?;
    Ok(exit::OK)
}

/// The pepper that the service had. That there was none has to be said: with the wrong one, or without, nobody could sign in.
fn pepper(args: &ImportArgs) -> Result<Option<crate::secret::PepperSecret>> {
    if args.no_pepper {
        return Ok(None);
    }
    let pepper = match &args.pepper_file {
        Some(path) => Some(pepper_of(path)?),
        None => current_pepper()?,
    };
    match pepper {
        Some(pepper) => Ok(Some(pepper)),
        None => Err(Error::usage("the pepper of the service is missing")
            .hint("give it as PEPPER, PEPPER_FILE or --pepper-file; if there was none, say --no-pepper")),
    }
}

/// Lists why nothing is imported.
fn refuse(context: &Context, unread: &[Unread]) -> Result<()> {
    let Some(first) = unread.first() else { return Ok(()) };
    for unread in unread {
        context.note(&output::printable(&unread.text));
    }
    let more = unread.len() - 1;
    let others = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    // A conflict only if nothing else is wrong with the files.
    let (kind, code) = match unread.iter().all(|unread| unread.is_conflict) {
        true => (ErrorKind::Conflict, "user_exists"),
        false => (ErrorKind::Usage, "not_importable"),
    };
    Err(Error::new(kind, code, format!("nothing was imported: {}{others}", first.text)))
}

fn report(context: &Context, args: &ImportArgs, imported: &Imported) -> Result<()> {
    let (users, records) = (imported.users.len(), imported.records);
    if args.report == OutputFormat::Json {
        return output::print(&format!(
            "{}\n",
            json!({ "version": 1, "dry_run": args.dry_run, "users": imported.users, "records": records })
        ));
    }
    let would = if args.dry_run { "would be " } else { "" };
    context.note(&format!("{users} users and {records} records {would}taken over"));
    Ok(())
}
