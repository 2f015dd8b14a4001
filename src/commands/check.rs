//! `vault check`

use clap::Args;
use serde_json::json;

use super::context::{Context, OutputFormat};
use super::exit;
use crate::term::output;
use crate::vault::Result;

/// Verify every byte of the vault, and open every value
///
/// Exits 8 and says where if anything does not hold, and 10 if something stands at the end that belongs to no commit: what a write
/// that was killed or failed left behind, which readers pass over.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: CheckArgs) -> Result<u8> {
    let vault = context.unlock()?;
    let checked = vault.check()?;
    let facts = vault.facts();
    let (live, dead) = facts.map_or((0, 0), |facts| (facts.live, facts.dead));
    let text = match args.format {
        OutputFormat::Json => {
            let object = json!({
                "version": 1,
                "sound": true,
                "vault_id": vault.id(),
                "fingerprint": vault.fingerprint(),
                "bytes": checked.bytes,
                "live_bytes": live,
                "dead_bytes": dead,
                "tail_bytes": checked.tail,
                "commits": checked.commits,
                "entries": checked.entries,
                "values": checked.values,
                "closed_values": checked.closed,
            });
            format!("{object}\n")
        }
        OutputFormat::Text => {
            let mut text = format!(
                "sound: {} entries, {} values opened, {} commits, {} bytes\n",
                checked.entries, checked.values, checked.commits, checked.bytes
            );
            if checked.closed > 0 {
                text.push_str(&format!("{} values are closed to this key and were verified as sealed\n", checked.closed));
            }
            if checked.tail > 0 {
                text.push_str(&format!(
                    "{} bytes at the end belong to no commit (a write that failed); they are ignored\n",
                    checked.tail
                ));
            }
            if let Some(fingerprint) = vault.fingerprint() {
                text.push_str(&format!("fingerprint {fingerprint}\n"));
            }
            text
        }
    };
    output::print(&text)?;
    Ok(if checked.tail > 0 { exit::FINDINGS } else { exit::OK })
}
