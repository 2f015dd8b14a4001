//! `vault import`

mod environment;
mod password_store;
mod source;

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::context::{Context, OutputFormat, parse_category, parse_name, parse_tag};
use super::exit;
use super::record::event_of;
use crate::audit::{Action, Event};
use crate::interchange::Row;
use crate::name::{EntryId, Environment};
use crate::term::output;
use crate::vault::{Change, Error, Import, ImportPolicy, Result, Write};
use source::ImportFormat;

/// Store the entries of a file, all in one commit
///
/// The format goes by the file's name unless given. JSON, YAML and TOML are our own export, or a flat object of names and
/// values. Without an option nothing is imported if one of the entries exists.
///
/// env instead of a file takes the variables of the environment whose names say that they are secrets, by whole words such as
/// PASSWORD, TOKEN, KEY; with --dry-run it lists them. For a file of that name say ./env.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The file, or the directory of a password store; - for standard input; env for the environment
    file: PathBuf,
    /// The format
    #[arg(long, value_enum)]
    format: Option<ImportFormat>,
    /// env: take the variables with such names, whatever they are called, and no others
    #[arg(long = "match", value_name = "GLOB")]
    pattern: Option<String>,
    /// env: a name says so if one of the words stands anywhere in it, as in KEYBOARD
    #[arg(long)]
    classic: bool,
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
    /// Put this before each name; env: take only variables that begin with it
    #[arg(long, value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// The file of age identities, or private SSH key, that opens an age backup or the age files of a store
    #[arg(long, value_name = "FILE")]
    backup_identity: Option<PathBuf>,
    /// Read the passphrase of a KeePass database or an age backup from the first line of this file
    #[arg(long, value_name = "FILE")]
    source_passphrase_file: Option<PathBuf>,
    /// The key file of a KeePass database
    #[arg(long, value_name = "FILE")]
    source_key_file: Option<PathBuf>,
    /// How to print what was done
    #[arg(long, value_enum, default_value_t)]
    report: OutputFormat,
}

pub fn run(context: &mut Context, args: ImportArgs) -> Result<u8> {
    let category = args.category.as_deref().map(parse_category).transpose()?;
    let environment = context.environment()?;
    let rows = source::rows(context, &args)?;
    let from_environment = source::is_environment(&args);
    let total = rows.len() as u64;
    if from_environment && args.dry_run && args.report == OutputFormat::Text {
        output::print(&rows.iter().map(|row| format!("{}\n", row.name)).collect::<String>())?;
    }
    // To the environment the prefix is a part of the names.
    let prefix = if from_environment { "" } else { &args.prefix };
    let mut writes = Vec::with_capacity(rows.len());
    for row in rows {
        writes.push(write_of(row, prefix, environment.as_ref(), category.as_ref())?);
    }
    let policy = match (args.overwrite, args.skip_existing) {
        (true, _) => ImportPolicy::Overwrite,
        (_, true) => ImportPolicy::Skip,
        _ => ImportPolicy::Refuse,
    };
    let vault = context.unlock()?;
    context.about(&vault, Action::Import, None)?;
    let bar = progress(context, total);
    let imported = vault.import(writes, policy, args.dry_run, context.now(), &mut |done| bar.set_position(done));
    bar.finish_and_clear();
    let imported = imported?;
    if !args.dry_run {
        let Import { created, updated, skipped, written, .. } = &imported;
        let detail = format!("{created} created, {updated} updated, {skipped} skipped");
        // The import as a whole, and what became of each entry.
        let entries = written.iter().map(|id| event_of(&vault, Action::Import, id));
        let events: Vec<Event> = std::iter::once(Event::new(Action::Import).detail(detail)).chain(entries).collect();
        context.record(&vault, &events)?;
    }
    report(context, &args, &imported)?;
    Ok(exit::OK)
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
