//! `vault prune`

use clap::Args;
use serde_json::{Value, json};

use super::context::{Context, OutputFormat, format_time, parse_category, parse_duration};
use super::exit;
use crate::audit::{Action, Event};
use crate::name::EntryId;
use crate::term::output;
use crate::vault::{Result, Scope};

/// Remove the entries that have expired, with all their versions, and print their names
///
/// Only those of the environment (those without one, if none is given), unless --all-environments. They are found by an index, and go in one
/// commit. An entry whose rotation is under way stays. Nothing is removed by a clock that is not believed.
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Only what expired so long ago, such as 7d
    #[arg(long, value_name = "DURATION", default_value = "0s", hide_default_value = true)]
    expired_for: String,
    /// Only this category
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// The entries of all environments
    #[arg(short = 'a', long)]
    all_environments: bool,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: PruneArgs) -> Result<u8> {
    let age = parse_duration(&args.expired_for)?;
    let category = args.category.as_deref().map(parse_category).transpose()?;
    let scope = if args.all_environments { Scope::All } else { Scope::One(context.environment()?) };
    let vault = context.unlock()?;
    if !args.dry_run {
        context.about(&vault, Action::Prune, None)?;
    }
    let now = context.time_for_changes(&vault)?;
    // Before the time of the first of all, nothing has expired.
    let pruned = match now.checked_sub(age) {
        Some(until) => vault.prune(until, &scope, category.as_ref(), args.dry_run, now)?,
        None => crate::vault::Pruned::default(),
    };
    if !args.dry_run {
        let events: Vec<Event> = pruned.removed.iter().map(|(id, _)| Event::new(Action::Prune).id(id)).collect();
        context.record(&vault, &events)?;
    }
    for id in &pruned.kept {
        context.note(&format!("note: '{id}' stays, a rotation of it is under way"));
    }
    if let Some(note) = &pruned.note {
        context.note(&format!("note: {note}"));
    }
    let text = match args.format {
        OutputFormat::Json => {
            let named = |id: &EntryId| {
                let environment = id.environment.as_ref().map(ToString::to_string);
                json!({ "name": id.name.as_str(), "environment": environment })
            };
            let removed: Vec<Value> = pruned
                .removed
                .iter()
                .map(|(id, at)| {
                    let mut object = named(id);
                    object["expires"] = json!(format_time(*at));
                    object
                })
                .collect();
            let kept: Vec<Value> = pruned.kept.iter().map(named).collect();
            format!("{}\n", json!({ "version": 1, "dry_run": args.dry_run, "removed": removed, "kept": kept }))
        }
        OutputFormat::Text => {
            let line = |(id, _): &(EntryId, u64)| match &id.environment {
                Some(environment) if args.all_environments => format!("{environment}\t{}\n", id.name),
                _ => format!("{}\n", id.name),
            };
            pruned.removed.iter().map(line).collect()
        }
    };
    output::print(&text)?;
    Ok(exit::OK)
}
