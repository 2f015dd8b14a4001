//! `vault key status`

use clap::Args;
use serde_json::json;

use crate::commands::context::{Context, OutputFormat, format_time};
use crate::commands::exit;
use crate::term::output;
use crate::vault::Result;

/// Show the vault's keys: fingerprint, numbers and ages, slots, open worklists
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: StatusArgs) -> Result<u8> {
    let vault = context.unlock()?;
    let (slots, keys) = (vault.slots()?, vault.key_numbers()?);
    let exposed: usize = vault.exposures(None)?.iter().map(|exposure| exposure.open.len()).sum();
    let in_use = slots.iter().find(|slot| slot.in_use).map(|slot| slot.label.clone());
    let full = slots.iter().filter(|slot| slot.info.full).count();
    let text = match args.format {
        OutputFormat::Json => {
            let data: Vec<_> = keys
                .data
                .iter()
                .map(|key| json!({ "compartment": key.compartment, "number": key.number, "created": format_time(key.created) }))
                .collect();
            let object = json!({
                "version": 1,
                "vault": vault.id(),
                "fingerprint": vault.fingerprint(),
                "master": keys.master,
                "data_keys": data,
                "slots": { "full": full, "limited": slots.len() - full, "in_use": in_use },
                "exposed_entries": exposed,
            });
            format!("{object}\n")
        }
        OutputFormat::Text => {
            let mut rows = vec![vec!["vault".to_owned(), vault.id()]];
            rows.extend(vault.fingerprint().map(|fingerprint| vec!["fingerprint".to_owned(), fingerprint]));
            rows.push(vec!["master key".to_owned(), format!("number {}", keys.master)]);
            for key in &keys.data {
                let name =
                    if key.compartment.is_empty() { "data key".to_owned() } else { format!("data key {}", key.compartment) };
                let what = format!("number {}, since {}", key.number, format_time(key.created));
                rows.push(vec![output::printable(&name.replace('\u{1f}', " + ")), what]);
            }
            rows.push(vec!["slots".to_owned(), format!("{full} full, {} limited", slots.len() - full)]);
            rows.extend(in_use.map(|label| vec!["unlocked by".to_owned(), output::printable(&label)]));
            rows.push(vec!["to be rotated".to_owned(), format!("{exposed} entries that removed slots could read")]);
            output::columns(&rows)
        }
    };
    output::print(&text)?;
    Ok(exit::OK)
}
