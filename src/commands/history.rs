//! `vault history`

use clap::Args;
use serde_json::json;

use super::completions::entry_names;
use super::context::{Context, OutputFormat, format_time};
use super::{exit, present};
use crate::term::output;
use crate::vault::Result;

/// Show the versions of an entry, the newest first
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// The entry
    #[arg(add = entry_names())]
    name: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: HistoryArgs) -> Result<u8> {
    let id = context.entry_id(&args.name)?;
    let vault = context.unlock()?;
    let entry = vault.entry(&id)?.ok_or_else(|| present::not_found(&id))?;
    let mut versions: Vec<_> = entry.versions().collect();
    versions.reverse();
    let text = match args.format {
        OutputFormat::Json => {
            let versions: Vec<_> = versions
                .iter()
                .map(|version| {
                    json!({
                        "number": version.number,
                        "created": format_time(version.created),
                        "kind": version.kind.word(),
                        "current": version.current,
                    })
                })
                .collect();
            format!("{}\n", json!({ "version": 1, "name": id.name.as_str(), "versions": versions }))
        }
        OutputFormat::Text => {
            let rows: Vec<Vec<String>> = versions
                .iter()
                .map(|version| {
                    let current = if version.current { "current" } else { "" };
                    vec![
                        format!("v{}", version.number),
                        format_time(version.created),
                        version.kind.word().to_owned(),
                        current.to_owned(),
                    ]
                })
                .collect();
            output::columns(&rows)
        }
    };
    output::print(&text)?;
    Ok(exit::OK)
}
