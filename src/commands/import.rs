//! `vault import`

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::context::{Context, OutputFormat, parse_category, parse_name, parse_tag};
use super::exchange::{ExchangeFormat, text_error};
use super::exit;
use super::files::{read_all, read_file};
use crate::crypto::{CryptoError, decrypt_age_with_passphrase};
use crate::interchange::{self, Format, Row};
use crate::name::{EntryId, Environment};
use crate::term::output;
use crate::vault::{Change, Error, ErrorKind, Import, ImportPolicy, Result, Write};

/// Store the entries of a file, all in one commit
///
/// The format goes by the file's name unless given. JSON, YAML and TOML are our own export, or a flat object of names and
/// values. Without an option nothing is imported if one of the entries exists.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The file; - for standard input
    file: PathBuf,
    /// The format
    #[arg(long, value_enum)]
    format: Option<ExchangeFormat>,
    /// Entries that exist get a new version
    #[arg(long, conflicts_with = "skip_existing")]
    overwrite: bool,
    /// Entries that exist stay as they are
    #[arg(long)]
    skip_existing: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// The category of entries that bring none
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// Put this before each name
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// The file of age identities, or private SSH key, that opens an age backup
    #[arg(long, value_name = "FILE")]
    backup_identity: Option<PathBuf>,
    /// How to print what was done
    #[arg(long, value_enum, default_value_t)]
    report: OutputFormat,
}

pub fn run(context: &mut Context, args: ImportArgs) -> Result<u8> {
    let (from_age, format) = format_of(&args)?;
    let category = args.category.as_deref().map(parse_category).transpose()?;
    let environment = context.environment()?;
    let standard_input = args.file.as_os_str() == "-";
    if standard_input && output::stdin_is_nothing() {
        return Err(Error::usage("there is nothing to import: standard input is closed, or /dev/null"));
    }
    let mut bytes = if standard_input {
        read_all(&mut std::io::stdin().lock(), 64 * 1024, "read standard input")?
    } else {
        read_file(&args.file)?
    };
    if from_age {
        bytes = decrypt(context, &args, &bytes)?;
    }
    let rows = interchange::read(format, &bytes).map_err(|error| text_error(&error))?;
    drop(bytes);
    let total = rows.len() as u64;
    let mut writes = Vec::with_capacity(rows.len());
    for row in rows {
        writes.push(write_of(row, &args.prefix, environment.as_ref(), category.as_ref())?);
    }
    let policy = match (args.overwrite, args.skip_existing) {
        (true, _) => ImportPolicy::Overwrite,
        (_, true) => ImportPolicy::Skip,
        _ => ImportPolicy::Refuse,
    };
    let vault = context.unlock()?;
    let bar = progress(context, total);
    let imported = vault.import(writes, policy, args.dry_run, context.now(), &mut |done| bar.set_position(done));
    bar.finish_and_clear();
    report(context, &args, &imported?)?;
    Ok(exit::OK)
}

fn format_of(args: &ImportArgs) -> Result<(bool, Format)> {
    if let Some(format) = args.format {
        return Ok((format == ExchangeFormat::Age, format.text()));
    }
    let name = args.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.ends_with(".age") {
        return Ok((true, Format::Json));
    }
    Format::from_file_name(name)
        .map(|format| (false, format))
        .ok_or_else(|| Error::usage("the format cannot be told from the name of the file").hint("say it with --format"))
}

fn write_of(
    row: Row,
    prefix: &str,
    environment: Option<&Environment>,
    category: Option<&crate::name::Category>,
) -> Result<(EntryId, Write)> {
    let name = if prefix.is_empty() { parse_name(&row.name)? } else { parse_name(&format!("{prefix}{}", row.name))? };
    let own =
        row.environment.as_deref().map(Environment::parse).transpose().map_err(|error| Error::name("environment", error))?;
    let id = EntryId { environment: own.or_else(|| environment.cloned()), name };
    let own = row.category.as_deref().map(parse_category).transpose()?;
    let tags = row.tags.iter().map(|tag| parse_tag(tag)).collect::<Result<std::collections::BTreeSet<_>>>()?;
    let write = Write {
        value: Some((row.value.into(), row.kind)),
        category: own.or_else(|| category.cloned()).map_or(Change::Keep, Change::Set),
        tags: if tags.is_empty() { Change::Keep } else { Change::Set(tags) },
        meta: row.meta.into_iter().map(|(key, value)| (key, Some(value))).collect(),
        expires: row.expires.map_or(Change::Clear, Change::Set),
        ..Write::default()
    };
    Ok((id, write))
}

/// A bar on standard error, on terminals only.
fn progress(context: &Context, total: u64) -> ProgressBar {
    let target = if output::stderr_is_terminal() && !context.global.quiet {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} entries").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(total), target).with_style(style)
}

fn report(context: &Context, args: &ImportArgs, import: &Import) -> Result<()> {
    if let Some(note) = &import.note {
        context.note(&format!("note: {note}"));
    }
    match args.report {
        OutputFormat::Json => {
            let object = json!({
                "version": 1,
                "dry_run": args.dry_run,
                "created": import.created,
                "updated": import.updated,
                "skipped": import.skipped,
            });
            output::print(&format!("{object}\n"))
        }
        OutputFormat::Text => {
            let would = if args.dry_run { "would be " } else { "" };
            context.note(&format!(
                "{} {would}created, {} {would}updated, {} {would}skipped",
                import.created, import.updated, import.skipped
            ));
            Ok(())
        }
    }
}

fn decrypt(context: &mut Context, args: &ImportArgs, bytes: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    let wrong = |_| Error::new(ErrorKind::Locked, "wrong_key", "the backup cannot be opened with this key, or is damaged");
    if let Some(path) = &args.backup_identity {
        let mut failure = None;
        for identity in context.identities(path)? {
            match identity.open(bytes) {
                Ok(Some(opened)) => return Ok(opened),
                Ok(None) | Err(CryptoError::Authentication) => {}
                Err(error) => failure = failure.or(Some(error.into())),
            }
        }
        return Err(failure.unwrap_or_else(|| wrong(())));
    }
    let prompter = context.prompter().ok_or_else(|| {
        Error::new(ErrorKind::Locked, "no_key", "the backup needs a key, and there is no terminal to ask for its passphrase on")
            .hint("use --backup-identity FILE")
    })?;
    let passphrase = prompter.secret("Passphrase of the backup").map_err(|error| Error::io("read the passphrase", &error))?;
    decrypt_age_with_passphrase(&passphrase, bytes).map_err(|_| wrong(()))
}
