//! `vault find`

use clap::Args;
use serde_json::json;

use super::context::{Context, OutputFormat};
use super::{exit, present};
use crate::audit::{Action, Event};
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Entry, ErrorKind, Filter, Result, Scope};

/// Search in names, categories, tags and metadata, in all environments
///
/// Upper and lower case are the same. Exits 3 if nothing is found.
#[derive(Args, Debug)]
pub struct FindArgs {
    /// What to look for
    text: String,
    /// Also in values; they are never printed
    #[arg(long)]
    values: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: FindArgs) -> Result<u8> {
    let environment = context.environment()?;
    let scope = environment.map_or(Scope::All, |environment| Scope::One(Some(environment)));
    let vault = context.unlock()?;
    let needle = args.text.to_lowercase();
    let mut found: Vec<Entry> = Vec::new();
    vault.entries(&Filter { scope, category: None }, &mut |entry| {
        if in_metadata(&entry, &needle) || (args.values && in_value(&vault, &entry, &needle)?) {
            found.push(entry);
        }
        Ok(Walk::Continue(()))
    })?;
    if args.values {
        context.record(&vault, &[Event::new(Action::Find).detail(format!("in values; {} entries found", found.len()))])?;
    }
    let text = match args.format {
        OutputFormat::Json => {
            let now = context.time_for_reading(&vault)?;
            let entries: Vec<_> = found.iter().map(|entry| present::entry(entry, now)).collect();
            format!("{}\n", json!({ "version": 1, "entries": entries }))
        }
        OutputFormat::Text => {
            let line = |entry: &Entry| vec![entry.id().name.to_string(), entry.id().environment_text().to_owned()];
            output::columns(&found.iter().map(line).collect::<Vec<_>>())
        }
    };
    output::print(&text)?;
    Ok(if found.is_empty() { exit::code(ErrorKind::NotFound) } else { exit::OK })
}

fn in_metadata(entry: &Entry, needle: &str) -> bool {
    let holds = |text: &str| text.to_lowercase().contains(needle);
    holds(entry.id().name.as_str())
        || entry.category().is_some_and(|category| holds(category.as_str()))
        || entry.tags().iter().any(|tag| holds(tag.as_str()))
        || entry.meta().iter().any(|(key, value)| holds(key) || holds(value))
}

fn in_value(vault: &crate::vault::Vault, entry: &Entry, needle: &str) -> Result<bool> {
    let value = match vault.value_of(entry, None) {
        Ok(value) => value,
        // A limited key searches what it opens.
        Err(error) if error.kind() == ErrorKind::NotPermitted => return Ok(false),
        Err(error) => return Err(error),
    };
    let Ok(text) = std::str::from_utf8(value.expose()) else { return Ok(false) };
    Ok(zeroize::Zeroizing::new(text.to_lowercase()).contains(needle))
}
