//! The Secret Service of the session bus (freedesktop.org, version 0.2).

use std::collections::HashMap;

use secret_service::blocking::SecretService;
use secret_service::{EncryptionType, Error};
use zeroize::Zeroizing;

use super::{KeychainError, Result, SERVICE};

/// Keeps `secret` in the default collection, in the place of what was kept there for this vault.
pub fn put(vault: &str, label: &str, secret: &[u8]) -> Result<()> {
    let service = connect()?;
    let collection = service.get_default_collection()?;
    // Whoever stores into a locked one makes the service ask for its passphrase: on a desktop that perhaps nobody looks at.
    collection.ensure_unlocked()?;
    collection.create_item(label, attributes(vault), secret, true, "text/plain")?;
    Ok(())
}

/// What is kept for a vault.
pub fn find(vault: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let service = connect()?;
    let found = service.search_items(attributes(vault))?;
    match (found.unlocked.first(), found.locked.is_empty()) {
        (Some(item), _) => Ok(Some(Zeroizing::new(item.get_secret()?))),
        (None, true) => Ok(None),
        (None, false) => Err(KeychainError::Locked),
    }
}

/// Removes what is kept for a vault.
pub fn remove(vault: &str) -> Result<bool> {
    let service = connect()?;
    let found = service.search_items(attributes(vault))?;
    for item in &found.unlocked {
        item.delete()?;
    }
    if found.locked.is_empty() { Ok(!found.unlocked.is_empty()) } else { Err(KeychainError::Locked) }
}

/// A session whose secrets are encrypted on the bus. No bus, no service on it, one that cannot be started: then there is no keychain.
fn connect() -> Result<SecretService<'static>> {
    SecretService::connect(EncryptionType::Dh).map_err(|error| KeychainError::Absent(error.to_string()))
}

/// By which an item is found, also with other tools: `secret-tool lookup service vault account ID`.
fn attributes(vault: &str) -> HashMap<&str, &str> {
    HashMap::from([("service", SERVICE), ("account", vault)])
}

impl From<Error> for KeychainError {
    fn from(error: Error) -> Self {
        match error {
            Error::Locked => Self::Locked,
            Error::NoResult => Self::Absent("it has no default collection".to_owned()),
            Error::Unavailable => Self::Absent(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}
