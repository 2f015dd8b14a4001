//! `vault audit prune`

use clap::Args;
use serde_json::json;

use crate::audit::{Prune, Stay};
use crate::commands::context::{Context, OutputFormat, parse_duration};
use crate::commands::exit;
use crate::term::output;
use crate::vault::{Error, Result};

/// Remove the oldest records
///
/// What stays can be verified as before: the log then begins with number and hash of the last record that went. That it was pruned is recorded.
/// Without an option it goes by `retention-days` in [audit] of your config.toml; writing commands do that by themselves, at most once a day and at most
/// half of the log at once. A log that does not hold, or is not what this machine or the vault knows of it, is not pruned without --force.
#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Remove records from before so long ago, such as 90d
    #[arg(long, value_name = "DURATION", conflicts_with = "keep")]
    older_than: Option<String>,
    /// Keep the last so many
    #[arg(long, value_name = "N")]
    keep: Option<u64>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Also if the log does not hold: what may be evidence of that goes as well
    #[arg(long)]
    force: bool,
    /// How to print what was done
    #[arg(long, value_enum, default_value_t)]
    report: OutputFormat,
}

pub fn run(context: &mut Context, args: PruneArgs) -> Result<u8> {
    let vault = context.unlock()?;
    let now = context.time_for_changes(&vault)?;
    let stay = match (&args.older_than, args.keep) {
        (Some(text), _) => Stay::Since(now.saturating_sub(parse_duration(text)?)),
        (None, Some(count)) => Stay::Last(count),
        (None, None) => context.audit_retention(now)?.map(Stay::Since).ok_or_else(|| {
            Error::usage("nothing says how long records are kept")
                .hint("--older-than, --keep, or `retention-days` in [audit] of your config.toml")
        })?,
    };
    let plan = Prune { stay, dry_run: args.dry_run, force: args.force, no_more_than_half: false };
    let pruned = context.prune_audit(&vault, plan)?;
    match args.report {
        OutputFormat::Json => {
            let object = json!({ "version": 1, "dry_run": args.dry_run, "removed": pruned.removed, "kept": pruned.kept });
            output::print(&format!("{object}\n"))?;
        }
        OutputFormat::Text => {
            let would = if args.dry_run { "would be " } else { "" };
            context.note(&format!("{} records {would}removed, {} {would}kept", pruned.removed, pruned.kept));
        }
    }
    Ok(exit::OK)
}
