//! `vault audit show`

use std::io::{self, Write};

use clap::Args;

use super::filter::{FilterArgs, line, object};
use crate::audit::Item;
use crate::commands::context::{Context, OutputFormat};
use crate::commands::exit;
use crate::commands::people::People;
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Error, Result};

/// Show records, the oldest first
///
/// Each with its number, when, what, how it ended, the entry with its version, the user, the program for which it was done, and what else there is to
/// say. As JSON also the working directory, the slot, and the source: cli, agent (the command had its key from there), serve.
#[derive(Args, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Only the last so many that fit
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: ShowArgs) -> Result<u8> {
    let filter = args.filter.filter(context)?;
    let vault = context.unlock()?;
    let mut reader = context.audit_reader(&vault)?;
    let people = People::of(&vault);
    let print = |item: &Item<'_>| match args.format {
        OutputFormat::Json => object(item, &people).to_string(),
        OutputFormat::Text => line(item, &people),
    };
    let mut list = List { out: output::data()?, json: args.format == OutputFormat::Json, count: 0, result: Ok(()) };
    list.begin();
    match args.limit {
        Some(limit) => {
            let mut lines: Vec<String> = Vec::new();
            reader.backward(&mut |item| {
                if lines.len() >= limit {
                    return Ok(Walk::Break(()));
                }
                if filter.admits(&item, &people) {
                    lines.push(print(&item));
                }
                Ok(Walk::Continue(()))
            })?;
            lines.iter().rev().for_each(|line| list.put(line));
        }
        None => {
            reader.forward(&mut |item| {
                if filter.admits(&item, &people) {
                    list.put(&print(&item));
                }
                Ok(if list.result.is_ok() { Walk::Continue(()) } else { Walk::Break(()) })
            })?;
        }
    }
    list.end()?;
    Ok(exit::OK)
}

/// What is printed: lines, or one object.
struct List<W: Write> {
    out: W,
    json: bool,
    count: u64,
    result: io::Result<()>,
}

impl<W: Write> List<W> {
    fn begin(&mut self) {
        if self.json {
            self.result = self.out.write_all(b"{\"version\":1,\"records\":[");
        }
    }

    fn put(&mut self, line: &str) {
        if self.result.is_ok() {
            let comma: &[u8] = if self.json && self.count > 0 { b"," } else { b"" };
            self.result = self.out.write_all(comma).and_then(|()| self.out.write_all(line.as_bytes()));
            self.count += 1;
        }
    }

    fn end(mut self) -> Result<()> {
        let end: &[u8] = if self.json { b"]}\n" } else { b"" };
        match self.result.and_then(|()| self.out.write_all(end)).and_then(|()| self.out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("write to standard output", &error)),
            _ => Ok(()),
        }
    }
}
