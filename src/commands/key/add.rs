//! `vault key add`

use std::path::PathBuf;

use clap::Args;

use crate::commands::context::Context;
use crate::commands::exit;
use crate::commands::keys::{NewPassphrase, parse_recipient, read_or_make_key};
use crate::crypto::Argon2Cost;
use crate::vault::{Error, Limit, NewSlot, Result};

/// Add a way to unlock
///
/// --key-file names the key of the new slot, here as with `init`; a file that is missing is made. The vault itself is unlocked by any other source:
/// the agent, a variable, --identity, a question. With --only the slot opens names, metadata and the values of these categories or environments,
/// and nothing else; it cannot write. What becomes limited by this is sealed anew.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// What to call the slot
    #[arg(long, value_name = "NAME")]
    label: String,
    /// Open by the age identity of this recipient (age1…)
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Option<String>,
    /// Open by a new passphrase: asked twice at a terminal, else the first line of standard input
    #[arg(long)]
    new_passphrase: bool,
    #[command(flatten)]
    source: NewPassphrase,
    /// Limit the slot to a category or an environment: category:NAME, env:NAME; may be repeated
    #[arg(long, value_name = "LIMIT")]
    only: Vec<String>,
}

pub fn run(context: &mut Context, args: AddArgs) -> Result<u8> {
    let limits = args.only.iter().map(|text| Limit::parse(text)).collect::<Result<_>>()?;
    // Not a key to unlock with.
    let key_file = context.global.key_file.take();
    let by_passphrase = args.new_passphrase || args.source.is_given();
    let given = [key_file.is_some(), args.recipient.is_some(), by_passphrase];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err(Error::usage("name one thing that is to open the slot").hint("--key-file, --recipient or --new-passphrase"));
    }
    let slot = slot(context, &args, key_file)?;
    let mut vault = context.unlock()?;
    let changed = vault.add_slot(&args.label, &slot, &limits, context.now())?;
    let what = if limits.is_empty() { "everything".to_owned() } else { args.only.join(", ") };
    context.note(&format!("slot '{}' opens {what}", args.label));
    if !limits.is_empty() {
        context.note(&format!(
            "{} values were sealed anew; older copies of the file still hold them as they were",
            changed.resealed
        ));
    }
    Ok(exit::OK)
}

fn slot(context: &Context, args: &AddArgs, key_file: Option<PathBuf>) -> Result<NewSlot> {
    if let Some(file) = key_file {
        return read_or_make_key(context, &file).map(NewSlot::RawKey);
    }
    match &args.recipient {
        Some(recipient) => parse_recipient(recipient).map(NewSlot::Recipient),
        None => Ok(NewSlot::Passphrase(args.source.read(context)?, Argon2Cost::DEFAULT)),
    }
}
