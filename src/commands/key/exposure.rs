//! `vault key exposure`

use clap::Args;
use serde_json::json;

use crate::commands::context::{Context, OutputFormat, format_time};
use crate::commands::exit;
use crate::term::output;
use crate::vault::{Exposure, Result};

/// Show what a removed slot could read and is still current
///
/// An entry leaves the list when it gets another value; bringing an old one back does not count. Exit code 10 while any remain.
#[derive(Args, Debug)]
pub struct ExposureArgs {
    /// The slot that was removed; without it, all of them
    label: Option<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: ExposureArgs) -> Result<u8> {
    let exposures = context.unlock()?.exposures(args.label.as_deref())?;
    print_exposures(&exposures, args.format)?;
    Ok(if exposures.iter().all(|exposure| exposure.open.is_empty()) { exit::OK } else { exit::FINDINGS })
}

/// Prints the worklists.
pub fn print_exposures(exposures: &[Exposure], format: OutputFormat) -> Result<()> {
    let text = match format {
        OutputFormat::Json => {
            let slots: Vec<_> = exposures.iter().map(object).collect();
            format!("{}\n", json!({ "version": 1, "removed_slots": slots }))
        }
        OutputFormat::Text => {
            let row = |exposure: &Exposure| {
                let label = output::printable(&exposure.label);
                let entries = exposure.open.iter();
                entries.map(|(id, version)| vec![id.to_string(), format!("v{version}"), label.clone()]).collect::<Vec<_>>()
            };
            output::columns(&exposures.iter().flat_map(row).collect::<Vec<_>>())
        }
    };
    output::print(&text)
}

fn object(exposure: &Exposure) -> serde_json::Value {
    let entry = |(id, version): &(crate::name::EntryId, u64)| json!({ "name": id.name.as_str(), "environment": id.environment.as_ref().map(|name| name.as_str()), "current_version": version });
    json!({
        "label": exposure.label,
        "kind": exposure.kind,
        "recipient": exposure.recipient,
        "removed": format_time(exposure.removed),
        "readable_then": exposure.total,
        "entries": exposure.open.iter().map(entry).collect::<Vec<_>>(),
    })
}
