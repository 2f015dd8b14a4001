//! `vault key passwd`

use clap::Args;

use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::commands::exit;
use crate::commands::keys::NewPassphrase;
use crate::crypto::Argon2Cost;
use crate::vault::{Error, NewSlot, Result};

/// Change a passphrase
///
/// The new one is asked twice at a terminal, else it is the first line of standard input. The keys of the vault stay: whoever knows the old passphrase
/// and has an older copy of the file can open that copy. To shut somebody out, use `vault key remove`.
#[derive(Args, Debug)]
pub struct PasswdArgs {
    /// The slot; without it, the one that unlocks the vault now, or the only one with a passphrase
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    #[command(flatten)]
    source: NewPassphrase,
}

pub fn run(context: &mut Context, args: PasswdArgs) -> Result<u8> {
    let mut vault = context.unlock()?;
    let slots = vault.slots()?;
    let is_passphrase = |kind: &str| kind == "passphrase";
    let label = match args.label {
        Some(label) => label,
        None => {
            let own = slots.iter().find(|slot| slot.in_use && is_passphrase(&slot.info.kind));
            let mut all = slots.iter().filter(|slot| is_passphrase(&slot.info.kind));
            let slot = match (own, all.next(), all.next()) {
                (Some(own), ..) => own,
                (None, Some(only), None) => only,
                (None, None, _) => {
                    return Err(
                        Error::usage("this vault opens by no passphrase").hint("add one: `vault key add --new-passphrase`")
                    );
                }
                (None, Some(_), Some(_)) => {
                    return Err(Error::usage("there is more than one passphrase").hint("say which with --label"));
                }
            };
            // By its recipient: two slots of old may have the same label.
            slot.info.recipient.clone()
        }
    };
    let named = |recipient: &str, text: &str| recipient == label || text == label;
    if slots.iter().any(|slot| named(&slot.info.recipient, &slot.label) && !is_passphrase(&slot.info.kind)) {
        return Err(Error::usage("this slot does not open by a passphrase"));
    }
    let passphrase = args.source.read(context)?;
    context.about(&vault, Action::KeyPasswd, None)?;
    vault.replace_slot(&label, &NewSlot::Passphrase(passphrase, Argon2Cost::DEFAULT), context.now())?;
    context.record(&vault, &[Event::new(Action::KeyPasswd).detail(format!("slot '{label}'"))])?;
    context.note("the passphrase was changed; older copies of the file still open by the old one");
    Ok(exit::OK)
}
