//! What the commands that look for the vault's values share: all of them by name, and which were left out.

use super::context::Context;
use crate::format::record::Kind;
use crate::secret::SecretValue;
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Entry, ErrorKind, Filter, Result, Scope, Vault};

/// Hands on every value that the key opens, in all environments, with all versions that are kept, each with the name by which it is reported.
pub fn collect(vault: &Vault, add: &mut dyn FnMut(&str, &SecretValue, Kind)) -> Result<()> {
    let mut entries = Vec::new();
    vault.entries(&Filter { scope: Scope::All, category: None }, &mut |entry| {
        entries.push(entry);
        Ok(Walk::Continue(()))
    })?;
    for entry in &entries {
        // The current version first: an older one that has the same value, as after a rollback, is no other value.
        let mut numbers: Vec<(u64, Kind)> = entry.versions().map(|version| (version.number, version.kind)).collect();
        numbers.sort_unstable_by_key(|(number, _)| (*number != entry.version(), *number));
        let mut values: Vec<SecretValue> = Vec::new();
        for (number, kind) in numbers {
            let value = match vault.value_of(entry, Some(number)) {
                Err(error) if error.kind() == ErrorKind::NotPermitted => continue,
                value => value?,
            };
            if values.iter().all(|other| other.expose() != value.expose()) {
                add(&label(entry, number), &value, kind);
                values.push(value);
            }
        }
    }
    Ok(())
}

/// An entry as findings name it: an older version is said to be one.
fn label(entry: &Entry, version: u64) -> String {
    match version == entry.version() {
        true => entry.id().to_string(),
        false => format!("{} (version {version})", entry.id()),
    }
}

/// Says which values are not looked for.
pub fn note_skipped(context: &Context, skipped: &[(String, &'static str)]) {
    for why in ["too short", "easily guessed"] {
        let names: Vec<String> =
            skipped.iter().filter(|(_, reason)| *reason == why).map(|(name, _)| output::printable(name)).collect();
        if !names.is_empty() {
            context.note(&format!("note: not looked for, because {why}: {}", names.join(", ")));
        }
    }
}
