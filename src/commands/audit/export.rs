//! `vault audit export`

use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::filter::{FIELDS, FilterArgs, object};
use crate::audit::AuditError;
use crate::commands::context::Context;
use crate::commands::exit;
use crate::commands::files::Sink;
use crate::commands::people::People;
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Error, Result};

/// Write records for other programs, the oldest first
///
/// They are in the clear there, with the names of entries.
#[derive(Args, Debug)]
pub struct ExportArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// An object on each line, or comma-separated values under a line of names
    #[arg(long, value_enum, default_value_t)]
    format: ExportFormat,
    /// Write to this file, 0600, instead; it is there only when it is whole
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ExportFormat {
    /// JSON lines
    #[default]
    Json,
    /// Comma-separated values
    Csv,
}

pub fn run(context: &mut Context, args: ExportArgs) -> Result<u8> {
    let filter = args.filter.filter(context)?;
    let vault = context.unlock()?;
    let mut reader = context.audit_reader(&vault)?;
    let people = People::of(&vault);
    let mut out = BufWriter::with_capacity(64 * 1024, Sink::open(args.out.as_deref())?);
    let mut result = match args.format {
        ExportFormat::Csv => out.write_all(&csv_line(FIELDS.map(str::to_owned))),
        ExportFormat::Json => Ok(()),
    };
    reader.forward(&mut |item| {
        if filter.admits(&item, &people) {
            let object = object(&item, &people);
            result = match args.format {
                ExportFormat::Json => writeln!(out, "{object}"),
                ExportFormat::Csv => out.write_all(&csv_line(FIELDS.map(|field| cell(&object[field])))),
            };
        }
        Ok::<_, AuditError>(if result.is_ok() { Walk::Continue(()) } else { Walk::Break(()) })
    })?;
    let failed = |error: &std::io::Error| Error::io("write the output", error);
    result.and_then(|()| out.flush()).map_err(|error| failed(&error))?;
    out.into_inner().map_err(|error| failed(error.error()))?.finish()?;
    Ok(exit::OK)
}

/// A value without what could steer a terminal, or be taken for a formula by what opens the file.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => output::printable(text),
        other => return other.to_string(),
    };
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

fn csv_line(cells: [String; FIELDS.len()]) -> Vec<u8> {
    let quoted = cells.map(|cell| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    });
    (quoted.join(",") + "\r\n").into_bytes()
}
