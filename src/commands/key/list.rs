//! `vault key list`

use clap::Args;
use serde_json::json;

use crate::commands::context::{Context, OutputFormat};
use crate::commands::exit;
use crate::term::output;
use crate::vault::{Result, SlotView};

/// Show the slots: their labels, what opens them, what they open
#[derive(Args, Debug)]
pub struct ListArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: ListArgs) -> Result<u8> {
    let slots = context.unlock()?.slots()?;
    let text = match args.format {
        OutputFormat::Json => {
            let slots: Vec<_> = slots
                .iter()
                .map(|slot| {
                    json!({
                        "label": slot.label,
                        "kind": slot.info.kind,
                        "access": if slot.info.full { "full" } else { "limited" },
                        "only": slot.compartments,
                        "recipient": slot.info.recipient,
                        "in_use": slot.in_use,
                        "post_quantum": slot.info.post_quantum,
                    })
                })
                .collect();
            format!("{}\n", json!({ "version": 1, "slots": slots }))
        }
        OutputFormat::Text => output::columns(&slots.iter().map(row).collect::<Vec<_>>()),
    };
    output::print(&text)?;
    Ok(exit::OK)
}

fn row(slot: &SlotView) -> Vec<String> {
    let access = match slot.info.full {
        true => "full".to_owned(),
        false => slot.compartments.iter().map(|name| output::printable(name)).collect::<Vec<_>>().join(","),
    };
    let in_use = if slot.in_use { "in use" } else { "" };
    let kind = if slot.info.post_quantum { format!("{}, post-quantum", slot.info.kind) } else { slot.info.kind.clone() };
    vec![output::printable(&slot.label), kind, access, slot.info.recipient.clone(), in_use.to_owned()]
}
