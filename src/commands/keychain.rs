//! The keychain of the system as a source of keys: asked only where the user's own configuration says so, before a question.

use super::context::Context;
use crate::keychain::{self, KeychainError};
use crate::term::output;
use crate::vault::{Credential, Error, ErrorKind, Locked, Result};

impl Context {
    /// Whether the user's configuration has commands look into the keychain.
    pub fn uses_keychain(&mut self) -> Result<bool> {
        Ok(self.config()?.keychain)
    }

    /// The key that the keychain keeps for this vault, if the configuration has it asked. A keychain that is locked or does not answer is passed over
    /// with a note, one that is not there without; a key that no longer opens the vault is forgotten.
    pub fn keychain_credential(&mut self, locked: &Locked) -> Result<Option<Credential>> {
        if self.without_keychain || !self.uses_keychain()? {
            return Ok(None);
        }
        let kept = match keychain::recall(&locked.id()) {
            Ok(Some(kept)) => kept,
            Ok(None) => return Ok(None),
            Err(error) => {
                if !matches!(error, KeychainError::Absent(_)) {
                    self.note(&format!("warning: {}; it was passed over", output::printable(&error.to_string())));
                }
                return Ok(None);
            }
        };
        if locked.has_slot_of(&kept.identity) {
            return Ok(Some(Credential::Slot(kept.identity)));
        }
        // Another copy of the vault may have other slots: a backup, say. That is no reason to forget the key of the one in use.
        if !kept.is_from(&origin(locked)) {
            let origin = output::printable(&kept.origin);
            self.note(&format!(
                "warning: the keychain keeps a key for {origin}, which does not open this copy; it was passed over"
            ));
            return Ok(None);
        }
        let done = match keychain::forget(&locked.id()) {
            Ok(_) => "was forgotten".to_owned(),
            Err(error) => format!("cannot be forgotten: {}", output::printable(&error.to_string())),
        };
        self.note(&format!("warning: the key in the keychain no longer opens the vault; it {done}"));
        Ok(None)
    }

    /// Puts the key of the slot that `credential` opens into the keychain: never a passphrase, and no key that opens anything else.
    pub fn remember_in_keychain(&mut self, locked: &Locked, credential: &Credential) -> Result<()> {
        let identity = locked.slot_identity(credential)?;
        keychain::remember(&locked.id(), &origin(locked), &identity)?;
        self.note("the keychain of the system keeps a key for this vault: programs that run as you can ask for it");
        if !self.uses_keychain()? {
            self.note("hint: commands look there once your config.toml says keychain = true");
        }
        Ok(())
    }
}

/// Where a vault is, as the keychain notes it.
fn origin(locked: &Locked) -> String {
    locked.path().display().to_string()
}

impl From<KeychainError> for Error {
    fn from(error: KeychainError) -> Self {
        let message = error.to_string();
        match error {
            KeychainError::Absent(_) => Self::new(ErrorKind::Io, "no_keychain", message)
                .hint("it is part of a desktop session (DBUS_SESSION_BUS_ADDRESS); elsewhere use a key file"),
            KeychainError::Locked => Self::new(ErrorKind::Io, "keychain_locked", message).hint("unlock it, then try again"),
            KeychainError::Slow => Self::new(ErrorKind::Io, "keychain_slow", message)
                .hint("it may be asking something in a window of its own: answer there, then try again"),
            KeychainError::Failed(_) => Self::new(ErrorKind::Io, "keychain", message),
        }
    }
}
