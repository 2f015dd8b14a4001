//! `vault status`

use clap::Args;
use serde_json::json;

use super::context::{Context, OutputFormat};
use super::exit;
use super::held::{agent_failed, duration};
use crate::agent::client;
use crate::term::output;
use crate::vault::{ErrorKind, Locked, Result};

/// Say whether the agent keeps the vault unlocked, and for how long
///
/// Exit code 0 if it does, 4 if not. Asking does not count as using.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: StatusArgs) -> Result<u8> {
    let locked = Locked::open(&context.vault_path()?)?;
    let listed = client::list().map_err(|error| agent_failed(&error))?;
    let runs = listed.is_some();
    let stamps = locked.stamps();
    let held = listed.into_iter().flatten().find(|held| stamps.contains(&held.stamp));
    let path = locked.path().display().to_string();
    let text = match (args.format, &held) {
        (OutputFormat::Json, held) => {
            let object = json!({
                "version": 1,
                "vault": path,
                "unlocked": held.is_some(),
                "agent": runs,
                "remaining_ms": held.as_ref().map(|held| held.remaining),
                "unused_remaining_ms": held.as_ref().map(|held| held.idle),
                "memory": held.as_ref().map(|held| &held.memory),
            });
            format!("{object}\n")
        }
        (OutputFormat::Text, Some(held)) => format!(
            "{} is unlocked for {}, or {} unused; the key is in {} memory\n",
            output::printable(&path),
            duration(held.remaining),
            duration(held.idle),
            held.memory
        ),
        (OutputFormat::Text, None) => format!("{} is locked\n", output::printable(&path)),
    };
    output::print(&text)?;
    Ok(if held.is_some() { exit::OK } else { exit::code(ErrorKind::Locked) })
}
