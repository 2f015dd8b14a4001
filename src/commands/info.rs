//! `vault info`

use clap::Args;
use serde_json::json;

use super::completions::entry_names;
use super::context::{Context, OutputFormat, format_time};
use super::{exit, present};
use crate::term::output;
use crate::vault::{Entry, Result};

/// Show everything about an entry but its value
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// The entry
    #[arg(add = entry_names())]
    name: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: InfoArgs) -> Result<u8> {
    let id = context.entry_id(&args.name)?;
    let vault = context.unlock()?;
    let entry = vault.entry(&id)?.ok_or_else(|| present::not_found(&id))?;
    let now = context.now();
    let text = match args.format {
        OutputFormat::Json => {
            let mut object = present::entry(&entry, now);
            object["version"] = json!(1);
            object["current_version"] = json!(entry.version());
            format!("{object}\n")
        }
        OutputFormat::Text => output::columns(&rows(&entry, now)),
    };
    output::print(&text)?;
    Ok(exit::OK)
}

fn rows(entry: &Entry, now: u64) -> Vec<Vec<String>> {
    let mut rows = vec![vec!["name".to_owned(), entry.id().name.to_string()]];
    let mut add = |name: &str, value: String| rows.push(vec![name.to_owned(), output::printable(&value)]);
    if !entry.id().environment_text().is_empty() {
        add("environment", entry.id().environment_text().to_owned());
    }
    if let Some(category) = entry.category() {
        add("category", category.to_string());
    }
    if !entry.tags().is_empty() {
        add("tags", entry.tags().iter().map(|tag| tag.as_str()).collect::<Vec<_>>().join(", "));
    }
    for (key, value) in entry.meta() {
        add(&format!("meta {key}"), value.clone());
    }
    add("kind", entry.kind().word().to_owned());
    add("version", entry.version().to_string());
    let kept: Vec<String> = entry.versions().map(|version| version.number.to_string()).collect();
    add("kept versions", kept.join(", "));
    add("created", format_time(entry.created()));
    add("modified", format_time(entry.modified()));
    if let Some(expires) = entry.expires() {
        let past = if expires <= now { " (expired)" } else { "" };
        add("expires", format!("{}{past}", format_time(expires)));
    }
    rows
}
