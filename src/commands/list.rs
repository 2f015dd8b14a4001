//! `vault list`

use std::io::Write as _;

use clap::Args;

use super::context::{Context, OutputFormat, format_time, parse_category, parse_tag};
use super::{exit, present};
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Entry, Error, Filter, Result, Scope};

/// List the names of entries, and with --long or as JSON their metadata
///
/// Values stay sealed. Only the entries of the environment are shown (those without one, if none is given), unless
/// --all-environments.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only this category
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// Only entries with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Only names that match this pattern: * ? [a-z], where * also matches /
    #[arg(long = "match", value_name = "GLOB")]
    pattern: Option<String>,
    /// Only entries that have expired
    #[arg(long)]
    expired: bool,
    /// The entries of all environments
    #[arg(short = 'a', long)]
    all_environments: bool,
    /// With version, time, category and tags
    #[arg(short, long)]
    long: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
    /// With values; only as JSON
    #[arg(long)]
    reveal: bool,
}

pub fn run(context: &mut Context, args: ListArgs) -> Result<u8> {
    let pattern = args
        .pattern
        .as_deref()
        .map(glob::Pattern::new)
        .transpose()
        .map_err(|error| Error::usage(format!("the pattern is malformed: {}", error.msg)))?;
    let tag = args.tag.as_deref().map(parse_tag).transpose()?;
    if args.reveal && args.format != OutputFormat::Json {
        return Err(Error::usage("--reveal shows values in JSON only").hint("use --format json --reveal, or `vault export`"));
    }
    let scope = if args.all_environments { Scope::All } else { Scope::One(context.environment()?) };
    let category = args.category.as_deref().map(parse_category).transpose()?;
    let filter = Filter { scope, category };
    let vault = context.unlock()?;
    let now = context.now();
    let mut out = output::data()?;
    let terminal = output::stdout_is_terminal();
    let plain = args.format == OutputFormat::Text && !args.long && tag.is_none() && !(args.expired && filter.category.is_some());
    if plain {
        // Names alone come from an index that holds nothing else: a listing of many costs what it prints.
        vault.list(&filter, &mut |found| {
            let wanted = pattern.as_ref().is_none_or(|pattern| pattern.matches(found.name));
            if !wanted || (args.expired && found.expires.is_none_or(|expires| expires > now)) {
                return Ok(Walk::Continue(()));
            }
            if !found.environment.is_empty() && args.all_environments {
                let _ = written(write!(out, "{}\t", found.environment))?;
            }
            out_line(&mut out, found.name, terminal && found.expires.is_some_and(|expires| expires <= now))
        })?;
        return written(out.flush()).map(|_| exit::OK);
    }
    let mut entries = Vec::new();
    vault.entries(&filter, &mut |entry| {
        let wanted = pattern.as_ref().is_none_or(|pattern| pattern.matches(entry.id().name.as_str()))
            && tag.as_ref().is_none_or(|tag| entry.tags().contains(tag))
            && (!args.expired || entry.is_expired(now));
        if wanted {
            entries.push(entry);
        }
        Ok(Walk::Continue(()))
    })?;
    if args.format == OutputFormat::Json {
        let mut objects = Vec::new();
        for entry in &entries {
            let mut object = present::entry(entry, now);
            if args.reveal {
                object["value"] = present::value(&vault.value_of(entry, None)?, entry.kind())?;
            }
            objects.push(object);
        }
        let object = serde_json::json!({ "version": 1, "entries": objects });
        let _ = written(writeln!(out, "{object}"))?;
    } else if args.long {
        let rows: Vec<Vec<String>> = entries.iter().map(|entry| row(entry, now)).collect();
        let _ = written(write!(out, "{}", output::columns(&rows)))?;
    } else {
        for entry in &entries {
            let _ = out_line(&mut out, entry.id().name.as_str(), terminal && entry.is_expired(now))?;
        }
    }
    written(out.flush()).map(|_| exit::OK)
}

fn out_line(out: &mut impl std::io::Write, name: &str, expired: bool) -> Result<Walk> {
    // Names hold no control characters, so they cannot steer a terminal or break a line.
    let result = out.write_all(name.as_bytes()).and_then(|()| out.write_all(if expired { b"  (expired)\n" } else { b"\n" }));
    written(result)
}

/// A reader who has seen enough ends the walk; anything else is an error.
fn written(result: std::io::Result<()>) -> Result<Walk> {
    match result {
        Ok(()) => Ok(Walk::Continue(())),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Walk::Break(())),
        Err(error) => Err(Error::io("write to standard output", &error)),
    }
}

fn row(entry: &Entry, now: u64) -> Vec<String> {
    let tags: Vec<&str> = entry.tags().iter().map(|tag| tag.as_str()).collect();
    let expiry = match entry.expires() {
        Some(expires) if expires <= now => "expired".to_owned(),
        Some(expires) => format!("expires {}", format_time(expires)),
        None => String::new(),
    };
    vec![
        entry.id().name.to_string(),
        entry.id().environment_text().to_owned(),
        format!("v{}", entry.version()),
        format_time(entry.modified()),
        entry.category().map_or_else(|| "-".to_owned(), ToString::to_string),
        tags.join(","),
        expiry,
    ]
}
