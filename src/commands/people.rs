//! What the people and the keys of a record are called.

use std::collections::HashMap;

use crate::audit::{Record, Source};
use crate::vault::Vault;

/// Names of users and of slots, for what a record holds of them.
pub struct People {
    users: HashMap<String, String>,
    slots: HashMap<String, String>,
}

impl People {
    /// As this machine and this vault know them now.
    pub fn of(vault: &Vault) -> Self {
        let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let user = |line: &str| {
            let mut fields = line.split(':');
            let (name, number) = (fields.next()?, fields.nth(1)?);
            Some((number.to_owned(), name.to_owned()))
        };
        let slots = vault.slots().unwrap_or_default();
        Self {
            users: text.lines().filter_map(user).collect(),
            slots: slots.into_iter().map(|slot| (slot.info.recipient.chars().take(80).collect(), slot.label)).collect(),
        }
    }

    /// What a user is called.
    pub fn user(&self, record: &Record<'_>) -> Option<&str> {
        let number = record.user.as_deref()?;
        if record.source == Source::Serve.word() {
            return None;
        }
        self.users.get(number).map(String::as_str)
    }

    /// What a slot is called.
    pub fn slot(&self, record: &Record<'_>) -> Option<&str> {
        self.slots.get(record.key.as_deref()?).map(String::as_str)
    }
}
