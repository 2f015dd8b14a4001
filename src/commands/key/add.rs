//! `vault key add`

use std::path::PathBuf;

use clap::Args;

use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::commands::exit;
use crate::commands::keys::{NewPassphrase, read_or_make_key};
use crate::crypto::Argon2Cost;
use crate::vault::{Error, ErrorKind, Limit, NewSlot, Result, Vault};

/// Add a way to unlock
///
/// --key-file names the key of the new slot, here as with `init`; a file that is missing is made. The vault itself is unlocked by any other source:
/// the agent, a variable, --identity, a question. --recipients-file adds a slot for each key of the file, all in one change: NAME, NAME 2, and so on.
/// With --only the slot opens names, metadata and the values of these categories or environments,
/// and nothing else; it cannot write. What becomes limited by this is sealed anew.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// What to call the slot
    #[arg(long, value_name = "NAME")]
    label: String,
    /// Open by the identity of this recipient: age1…, or a public SSH key as a text
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Option<String>,
    /// Open by the private half of the SSH key in this public key file
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,
    /// Open by each of the age recipients and public SSH keys in this file, one a line, as https://github.com/USER.keys has them
    #[arg(long, value_name = "FILE", visible_alias = "from-github-keys")]
    recipients_file: Option<PathBuf>,
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
    let given =
        [key_file.is_some(), args.recipient.is_some(), args.ssh_key.is_some(), args.recipients_file.is_some(), by_passphrase];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err(Error::usage("name one thing that is to open the slot")
            .hint("--key-file, --recipient, --ssh-key, --recipients-file or --new-passphrase"));
    }
    let mut made = slots(context, &args, key_file)?;
    let mut vault = context.unlock()?;
    if args.recipients_file.is_some() {
        leave_out_known(context, &mut made, &vault)?;
    }
    let labels: Vec<String> = (1..=made.len())
        .map(|number| if number == 1 { args.label.clone() } else { format!("{} {number}", args.label) })
        .collect();
    let slots: Vec<(&str, &NewSlot)> = labels.iter().map(String::as_str).zip(&made).collect();
    context.about(&vault, Action::KeyAdd, None)?;
    let changed = vault.add_slots(&slots, &limits, context.now())?;
    let events: Vec<Event> = labels.iter().map(|label| Event::new(Action::KeyAdd).detail(format!("slot '{label}'"))).collect();
    context.record(&vault, &events)?;
    let what = if limits.is_empty() { "everything".to_owned() } else { args.only.join(", ") };
    for label in &labels {
        context.note(&format!("slot '{label}' opens {what}"));
    }
    if !limits.is_empty() {
        context.note(&format!(
            "{} values were sealed anew; older copies of the file still hold them as they were",
            changed.resealed
        ));
    }
    Ok(exit::OK)
}

fn slots(context: &mut Context, args: &AddArgs, key_file: Option<PathBuf>) -> Result<Vec<NewSlot>> {
    if let Some(file) = &args.recipients_file {
        return Ok(context.recipients_of(file)?.into_iter().map(NewSlot::Recipient).collect());
    }
    let slot = match (key_file, &args.recipient, &args.ssh_key) {
        (Some(file), _, _) => NewSlot::RawKey(read_or_make_key(context, &file)?),
        (None, Some(recipient), _) => NewSlot::Recipient(context.recipient(recipient)?),
        (None, None, Some(file)) => NewSlot::Recipient(context.ssh_public_key(file)?),
        (None, None, None) => NewSlot::Passphrase(args.source.read(context)?, Argon2Cost::DEFAULT),
    };
    Ok(vec![slot])
}

/// A file of keys may be given again when it has grown: what opens the vault already is left as it is.
fn leave_out_known(context: &Context, made: &mut Vec<NewSlot>, vault: &Vault) -> Result<()> {
    let known = vault.slots()?;
    made.retain(|slot| {
        let NewSlot::Recipient(recipient) = slot else { return true };
        let recipient = recipient.to_string();
        let Some(slot) = known.iter().find(|slot| slot.info.recipient == recipient) else { return true };
        context.note(&format!("note: slot '{}' opens by one of the keys already", slot.label));
        false
    });
    match made.is_empty() {
        true => Err(Error::new(ErrorKind::Conflict, "exists", "all keys of the file open the vault already")),
        false => Ok(()),
    }
}
