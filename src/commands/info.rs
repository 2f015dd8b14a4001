//! `vault info`

use base64::Engine as _;
use clap::Args;
use serde_json::{Value, json};

use super::completions::entry_names;
use super::context::{Context, OutputFormat, format_time};
use super::exit;
use crate::format::record::Kind;
use crate::secret::SecretValue;
use crate::term::output;
use crate::vault::{Entry, Error, ErrorKind, Result};

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
    let entry = vault.entry(&id)?.ok_or_else(|| not_found(&id.to_string()))?;
    let now = context.now();
    let text = match args.format {
        OutputFormat::Json => {
            let mut object = json(&entry, now);
            object["version"] = json!(1);
            object["current_version"] = json!(entry.version());
            format!("{object}\n")
        }
        OutputFormat::Text => output::columns(&rows(&entry, now)),
    };
    output::print(&text)?;
    Ok(exit::OK)
}

/// That an entry is not there.
pub fn not_found(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, "not_found", format!("there is no entry '{name}'"))
        .hint("`vault list` shows the names; `vault find TEXT` searches them")
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

/// An entry as listings print it. `current` is the number of its current version.
pub fn json(entry: &Entry, now: u64) -> Value {
    let environment = match entry.id().environment_text() {
        "" => Value::Null,
        text => json!(text),
    };
    let versions: Vec<Value> = entry
        .versions()
        .map(|version| json!({ "number": version.number, "created": format_time(version.created), "kind": version.kind.word() }))
        .collect();
    json!({
        "name": entry.id().name.as_str(),
        "environment": environment,
        "category": entry.category().map(|category| category.as_str()),
        "tags": entry.tags().iter().map(|tag| tag.as_str()).collect::<Vec<_>>(),
        "meta": entry.meta(),
        "kind": entry.kind().word(),
        "current_version": entry.version(),
        "versions": versions,
        "created": format_time(entry.created()),
        "modified": format_time(entry.modified()),
        "expires": entry.expires().map(format_time),
        "expired": entry.is_expired(now),
    })
}

/// A value in JSON: text as a string, JSON as itself, bytes as base64 with their encoding.
pub fn json_value(value: &SecretValue, kind: Kind) -> Result<Value> {
    let broken = || Error::new(ErrorKind::Internal, "internal", "a value is not of its kind");
    match kind {
        Kind::Text => Ok(json!(std::str::from_utf8(value.expose()).map_err(|_| broken())?)),
        Kind::Json => serde_json::from_slice(value.expose()).map_err(|_| broken()),
        Kind::Bytes => {
            let data = base64::engine::general_purpose::STANDARD.encode(value.expose());
            Ok(json!({ "encoding": "base64", "data": data }))
        }
    }
}
