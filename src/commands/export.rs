//! `vault export`

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use super::context::{Context, parse_category};
use super::exchange::{ExchangeFormat, text_error};
use super::exit;
use super::files::write_private;
use crate::crypto::{encrypt_age, encrypt_age_with_passphrase};
use crate::interchange::{self, Row};
use crate::name::EntryId;
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Entry, Error, Filter, Result, Scope, Vault};

/// Print entries with their values in another format
///
/// dotenv and shell name variables after the entries: upper case, everything outside A-Z, 0-9 and _ as _, one variable for each
/// leaf of a JSON object. age is an encrypted backup that stock age opens: JSON inside, to --recipient or a passphrase.
/// With -e, entries without an environment are there too, unless the environment has one of the same name; json, yaml,
/// toml, csv and age without -e hold the entries of all environments.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The format
    #[arg(long, value_enum)]
    format: ExchangeFormat,
    /// Only this category
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// Put this before the name of each variable
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Write to this file, 0600, instead
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Encrypt the backup to this recipient: age1…, or a public SSH key as a text
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Option<String>,
    /// Also entries that have expired
    #[arg(long)]
    allow_expired: bool,
}

pub fn run(context: &mut Context, args: ExportArgs) -> Result<u8> {
    if args.recipient.is_some() && args.format != ExchangeFormat::Age {
        return Err(Error::usage("--recipient encrypts, so it goes with --format age"));
    }
    let environment = context.environment()?;
    let category = args.category.as_deref().map(parse_category).transpose()?;
    let vault = context.unlock()?;
    let whole = environment.is_none() && !args.format.text().has_variables();
    let mut entries = collect(
        &vault,
        &Filter { scope: if whole { Scope::All } else { Scope::One(environment.clone()) }, category: category.clone() },
    )?;
    if environment.is_some() {
        // What the environment does not have comes from the entries without one, as in `get`.
        let own: std::collections::BTreeSet<_> = entries.iter().map(|entry| entry.id().name.clone()).collect();
        for entry in collect(&vault, &Filter { scope: Scope::One(None), category })? {
            let id = EntryId { environment: environment.clone(), name: entry.id().name.clone() };
            // An entry of the environment that the category filter left out still stands before the general one.
            if !own.contains(&id.name) && vault.entry(&id)?.is_none() {
                entries.push(entry);
            }
        }
        entries.sort_by(|a, b| a.id().name.cmp(&b.id().name));
    }
    let now = context.now();
    let mut rows = Vec::with_capacity(entries.len());
    let mut expired = 0;
    for entry in &entries {
        // A backup holds everything; what is handed to a program is checked as `get` checks it.
        if entry.is_expired(now) && !args.allow_expired && args.format.text().has_variables() {
            expired += 1;
            continue;
        }
        rows.push(row(&vault, entry)?);
    }
    if expired > 0 {
        context.note(&format!("note: {expired} expired entries were left out (--allow-expired includes them)"));
    }
    let text = interchange::write_prefixed(args.format.text(), &rows, &args.prefix).map_err(|error| text_error(&error))?;
    let bytes = if args.format == ExchangeFormat::Age { Zeroizing::new(encrypt(context, &args, &text)?) } else { text };
    match &args.out {
        Some(path) => write_private(path, &bytes)?,
        None => {
            if args.format == ExchangeFormat::Age && output::stdout_is_terminal() {
                return Err(
                    Error::usage("the backup is binary, and standard output is a terminal").hint("use --out FILE, or pipe it")
                );
            }
            let mut out = output::data()?;
            out.write_all(&bytes).and_then(|()| out.flush()).map_err(|error| Error::io("write to standard output", &error))?;
        }
    }
    Ok(exit::OK)
}

fn collect(vault: &Vault, filter: &Filter) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    vault.entries(filter, &mut |entry| {
        entries.push(entry);
        Ok(Walk::Continue(()))
    })?;
    Ok(entries)
}

/// An entry as other formats take it.
fn row(vault: &Vault, entry: &Entry) -> Result<Row> {
    let value = vault.value_of(entry, None)?;
    let mut row = Row::new(entry.id().name.to_string(), entry.kind(), Zeroizing::new(value.expose().to_vec()));
    row.environment = entry.id().environment.as_ref().map(ToString::to_string);
    row.category = entry.category().map(ToString::to_string);
    row.tags = entry.tags().iter().map(ToString::to_string).collect();
    row.meta.clone_from(entry.meta());
    row.expires = entry.expires();
    Ok(row)
}

fn encrypt(context: &mut Context, args: &ExportArgs, text: &[u8]) -> Result<Vec<u8>> {
    if let Some(recipient) = &args.recipient {
        let recipient = context.recipient(recipient)?;
        return Ok(encrypt_age(&recipient, text)?);
    }
    let prompter = context.prompter().ok_or_else(|| {
        Error::usage("the backup needs a recipient, or a terminal to ask for a passphrase on").hint("use --recipient age1…")
    })?;
    let passphrase = prompter.new_secret("Passphrase of the backup").map_err(|error| Error::io("read the passphrase", &error))?;
    if passphrase.is_empty() {
        return Err(Error::usage("the passphrase is empty"));
    }
    Ok(encrypt_age_with_passphrase(&passphrase, text)?)
}
