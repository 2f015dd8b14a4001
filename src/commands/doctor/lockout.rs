//! Who can open the vault, and who still could if a key were lost.

use std::path::Path;

use super::Report;
use crate::commands::context::Context;
use crate::crypto::Argon2Cost;
use crate::keychain;
use crate::vault::{Credential, Error, ErrorKind, Locked, Options, Result, SlotView, Vault, WitnessPolicy};

/// A key that is in reach, where it comes from, and which slot it opened.
pub struct Tried {
    source: String,
    opened: Result<String>,
}

/// Opens the vault with each key that options, variables and configuration give, one after the other.
pub fn try_keys(context: &mut Context, path: &Path) -> Result<Vec<Tried>> {
    let mut tried = Vec::new();
    for (source, credential) in context.credentials_in_reach()? {
        let opened = credential.and_then(|credential| {
            let label = open(path, &credential)?;
            // The first that opens is the one that the rest is looked at with.
            context.prefer(credential);
            Ok(label)
        });
        tried.push(Tried { source, opened });
    }
    Ok(tried)
}

/// Opens the vault with the key that the keychain keeps, if the configuration has commands look there. It stays there, whatever it opens.
pub fn try_keychain(context: &mut Context, path: &Path, tried: &mut Vec<Tried>, report: &mut Report) -> Result<()> {
    if !context.uses_keychain()? {
        return Ok(());
    }
    context.without_keychain = true;
    match keychain::recall(&Locked::open(path)?.id()) {
        Ok(Some(kept)) => {
            let credential = Credential::Slot(kept.identity);
            let opened = open(path, &credential);
            if opened.is_ok() {
                context.prefer(credential);
            }
            tried.push(Tried { source: "the key in the keychain".to_owned(), opened });
        }
        Ok(None) => {
            report.fine("keychain_empty", "the keychain keeps no key for this vault; `vault key remember` puts one there")
        }
        Err(error) => report.warn(
            "keychain_out_of_reach",
            format!("whether the keychain keeps a key is not known: {error}"),
            "run this in the session whose keychain it is, or take `keychain = true` out of your config.toml",
        ),
    }
    Ok(())
}

/// The label of the slot that a key opens.
fn open(path: &Path, credential: &Credential) -> Result<String> {
    let options = Options { witness: WitnessPolicy::Off, ..Options::default() };
    let vault = Locked::open(path)?.unlock(credential, options)?;
    // Not only the slot: a value too, or in an empty vault its newest commit.
    vault.prove()?;
    let in_use = vault.slots()?.into_iter().find(|slot| slot.in_use);
    in_use.map(|slot| slot.label).ok_or_else(|| Error::new(ErrorKind::Internal, "internal", "no slot is in use"))
}

/// Reports who can open the vault.
pub fn look(vault: &Vault, tried: &[Tried], lost: &[String], report: &mut Report) -> Result<()> {
    let slots = vault.slots()?;
    for key in tried {
        match &key.opened {
            Ok(label) => report.fine("key_proved", format!("{} opens slot '{label}' and reads values", key.source)),
            Err(error) => report.problem(
                "key_opens_nothing",
                format!("{} does not open the vault: {error}", key.source),
                "take it away, or put the right one in its place",
            ),
        }
    }
    let proved =
        |slot: &SlotView| slot.in_use || tried.iter().any(|key| key.opened.as_ref().is_ok_and(|label| *label == slot.label));
    let full: Vec<&SlotView> = slots.iter().filter(|slot| slot.info.full).collect();
    for slot in &full {
        let others: Vec<&&SlotView> = full.iter().filter(|other| other.info.recipient != slot.info.recipient).collect();
        let label = &slot.label;
        if others.is_empty() {
            report.problem(
                "single_way_in",
                format!("if '{label}' ({}) is lost, nobody can open the vault again", slot.info.kind),
                "add a second way in and keep it elsewhere: `vault key add`",
            );
        } else {
            let names = others.iter().map(|other| format!("'{}'", other.label)).collect::<Vec<_>>().join(", ");
            let message = format!("if '{label}' ({}) is lost, {names} still open everything", slot.info.kind);
            match others.iter().any(|other| proved(other)) {
                true => report.fine("way_in", message),
                false => report.warn(
                    "unproved_way_in",
                    format!("{message}, which was not tried here"),
                    "run this once with each of these keys, so that it is known to work",
                ),
            }
        }
    }
    for slot in slots.iter().filter(|slot| !slot.info.full) {
        let only = slot.compartments.iter().cloned().collect::<Vec<_>>().join(", ");
        report.fine("limited", format!("'{}' opens {only}, and writes nothing", slot.label));
    }
    simulate(&slots, lost, report)?;
    look_at_costs(&slots, report);
    Ok(())
}

fn simulate(slots: &[SlotView], lost: &[String], report: &mut Report) -> Result<()> {
    if lost.is_empty() {
        return Ok(());
    }
    let is_lost = |slot: &SlotView| lost.iter().any(|name| *name == slot.label || *name == slot.info.recipient);
    for name in lost {
        if !slots.iter().any(|slot| *name == slot.label || *name == slot.info.recipient) {
            return Err(Error::new(ErrorKind::NotFound, "no_slot", format!("there is no slot '{name}'"))
                .hint("`vault key list` shows them"));
        }
    }
    let names = lost.join("', '");
    let left: Vec<String> = slots
        .iter()
        .filter(|slot| slot.info.full && !is_lost(slot))
        .map(|slot| format!("'{}' ({})", slot.label, slot.info.kind))
        .collect();
    match left.is_empty() {
        true => report.problem(
            "locked_out",
            format!("without '{names}' nobody can open the vault again"),
            "add another way in before it is too late: `vault key add`",
        ),
        false => report.fine("not_locked_out", format!("without '{names}' these still open everything: {}", left.join(", "))),
    }
    Ok(())
}

fn look_at_costs(slots: &[SlotView], report: &mut Report) {
    let ours = Argon2Cost::DEFAULT.work();
    for slot in slots {
        let Some(cost) = slot.info.cost else { continue };
        if cost.work() < ours {
            report.warn(
                "weak_kdf",
                format!(
                    "the passphrase of '{}' costs {} MiB × {} a guess; new ones cost {} MiB",
                    slot.label,
                    cost.m >> 10,
                    cost.t,
                    ours >> 10
                ),
                "set it anew, the same if you like: `vault key passwd`",
            );
        }
    }
}
