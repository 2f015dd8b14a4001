//! `vault audit tail`

use std::time::Duration;

use clap::Args;

use super::filter::{Filter, FilterArgs, object};
use crate::audit::{AuditError, Item, Reader};
use crate::commands::context::{Context, OutputFormat};
use crate::commands::exit;
use crate::commands::people::People;
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Error, Result};

/// Show the last records, and with -f those that come
///
/// As JSON each is an object on a line of its own.
#[derive(Args, Debug)]
pub struct TailArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// So many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    lines: usize,
    /// Go on with what is appended, until this is interrupted
    #[arg(short, long)]
    follow: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

/// How often the log is looked at.
const PAUSE: Duration = Duration::from_millis(200);

pub fn run(context: &mut Context, args: TailArgs) -> Result<u8> {
    let filter = args.filter.filter(context)?;
    let mut vault = context.unlock()?;
    let mut people = People::of(&vault);
    let mut reader = context.audit_reader(&vault)?;
    let mut last: Vec<String> = Vec::new();
    let mut newest = None;
    reader.backward(&mut |item| {
        newest.get_or_insert(item.sequence);
        if last.len() >= args.lines {
            return Ok(Walk::Break(()));
        }
        last.extend(line(&item, &filter, &people, args.format));
        Ok(Walk::Continue(()))
    })?;
    last.reverse();
    print(&last.concat())?;
    let mut seen = newest.or(reader.base().map(|base| base.sequence)).unwrap_or(0);
    // The last record for which the vault was opened anew, as it did not open.
    let (mut at, mut tried) = (None, 0);
    if !args.follow {
        return Ok(exit::OK);
    }
    loop {
        std::thread::sleep(PAUSE);
        // Pruning puts another file in its place.
        let now = match context.audit_reader(&vault) {
            Ok(now) => now,
            Err(error) if error.code() == "no_audit_log" => continue,
            // The log goes on, under other keys.
            Err(error) if error.code() == "keys_changed" => {
                vault = context.unlock()?;
                people = People::of(&vault);
                continue;
            }
            Err(error) => return Err(error),
        };
        if now.file_id()? != reader.file_id()? {
            at = None;
            if now.log() != reader.log() {
                seen = 0;
            }
        }
        reader = now;
        let (mut new, mut unread) = (String::new(), None);
        let end = follow(&mut reader, at, &mut |item| {
            if item.sequence > seen {
                if item.record.is_none() && item.sequence > tried {
                    unread = Some(item.sequence);
                    return Ok(Walk::Break(()));
                }
                seen = item.sequence;
                new.extend(line(&item, &filter, &people, args.format));
            }
            Ok(Walk::Continue(()))
        })?;
        print(&new)?;
        if let Some(sequence) = unread {
            // Perhaps the vault has other keys by now: a limited key is not told of that.
            (vault, tried) = (context.unlock()?, sequence);
            people = People::of(&vault);
        } else {
            at = Some(end);
        }
    }
}

fn follow(reader: &mut Reader, at: Option<u64>, visit: &mut crate::audit::Visit<'_>) -> std::result::Result<u64, AuditError> {
    match at {
        // What was behind it may have been torn, and cut.
        Some(at) if at <= reader.length()? => reader.forward_from(at, visit),
        _ => reader.forward(visit),
    }
}

fn line(item: &Item<'_>, filter: &Filter, people: &People, format: OutputFormat) -> Option<String> {
    filter.admits(item, people).then(|| match format {
        OutputFormat::Text => super::filter::line(item, people),
        OutputFormat::Json => {
            let mut object = object(item, people);
            object["version"] = 1.into();
            format!("{object}\n")
        }
    })
}

/// Nobody who follows a log and is gone wants the rest of it.
fn print(text: &str) -> Result<()> {
    use std::io::Write as _;
    let mut out = output::unbuffered()?;
    out.write_all(text.as_bytes()).map_err(|error| Error::io("write to standard output", &error))
}
