//! `vault diff`

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::context::Context;
use super::exit;
use crate::audit::{Action, Event};
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Entry, Filter, Result, Scope, Vault};

/// Compare two vault files without showing a value
///
/// Both are opened with the same key. With --exit-code, 10 tells that they differ.
#[derive(Args, Debug)]
pub struct DiffArgs {
    /// The one
    a: PathBuf,
    /// The other
    b: PathBuf,
    /// Exit 10 if they differ
    #[arg(long)]
    exit_code: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: DiffFormat,
}

/// How differences are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum DiffFormat {
    /// A line for each entry
    #[default]
    Text,
    /// One versioned object
    Json,
    /// A table for a review
    Markdown,
}

pub fn run(context: &mut Context, args: DiffArgs) -> Result<u8> {
    let (a, b) = (context.unlock_exempt(&args.a)?, context.unlock_exempt(&args.b)?);
    let (old, new) = (entries(&a)?, entries(&b)?);
    let mut changes: Vec<(String, Value, Vec<String>)> = Vec::new();
    let ids: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for id in ids {
        let what = match (old.get(id), new.get(id)) {
            (Some(_), None) => vec!["removed".to_owned()],
            (None, Some(_)) => vec!["added".to_owned()],
            (Some(old), Some(new)) => differences(&a, old, &b, new)?,
            (None, None) => continue,
        };
        if !what.is_empty() {
            let environment = id.environment.as_ref().map(|environment| environment.as_str());
            let object = json!({ "name": id.name.as_str(), "environment": environment, "changes": what });
            changes.push((id.to_string(), object, what));
        }
    }
    for vault in [&a, &b] {
        context.record(vault, &[Event::new(Action::Diff).detail(format!("{} entries differ", changes.len()))])?;
    }
    let text = match args.format {
        DiffFormat::Json => {
            let objects: Vec<_> = changes.iter().map(|(_, object, _)| object).collect();
            format!("{}\n", json!({ "version": 1, "differences": objects }))
        }
        DiffFormat::Text => changes.iter().map(|(name, _, what)| format!("{name}: {}\n", what.join(", "))).collect(),
        DiffFormat::Markdown if changes.is_empty() => "No entry differs.\n".to_owned(),
        DiffFormat::Markdown => {
            let rows = changes.iter().map(|(name, _, what)| format!("| {} | {} |\n", escaped(name), escaped(&what.join(", "))));
            format!("| entry | change |\n|---|---|\n{}", rows.collect::<String>())
        }
    };
    output::print(&text)?;
    Ok(if args.exit_code && !changes.is_empty() { exit::FINDINGS } else { exit::OK })
}

/// A text that stands for itself in Markdown.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '+' | '!' | '|' | '>' | '~' | '$' => {
                out.extend(['\\', character]);
            }
            other => out.push(other),
        }
    }
    out
}

fn entries(vault: &Vault) -> Result<BTreeMap<crate::name::EntryId, Entry>> {
    let mut entries = BTreeMap::new();
    vault.entries(&Filter { scope: Scope::All, category: None }, &mut |entry| {
        entries.insert(entry.id().clone(), entry);
        Ok(Walk::Continue(()))
    })?;
    Ok(entries)
}

fn differences(a: &Vault, old: &Entry, b: &Vault, new: &Entry) -> Result<Vec<String>> {
    let mut what = Vec::new();
    if old.version() != new.version() {
        what.push(format!("version {} → {}", old.version(), new.version()));
    }
    if old.kind() != new.kind() || a.value_of(old, None)?.expose() != b.value_of(new, None)?.expose() {
        what.push("value changed".to_owned());
    }
    if old.category() != new.category() {
        what.push("category changed".to_owned());
    }
    if old.tags() != new.tags() {
        what.push("tags changed".to_owned());
    }
    if old.meta() != new.meta() {
        what.push("metadata changed".to_owned());
    }
    if old.expires() != new.expires() {
        what.push("expiry changed".to_owned());
    }
    Ok(what)
}
