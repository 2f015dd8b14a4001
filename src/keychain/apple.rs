//! The keychain of macOS.

use security_framework::base::Error;
use security_framework::os::macos::keychain::SecKeychain;
use security_framework::passwords::{PasswordOptions, delete_generic_password, generic_password, set_generic_password_options};
use zeroize::Zeroizing;

use super::{KeychainError, Result, SERVICE};

/// Keeps `secret`, in the place of what was kept for this vault.
pub fn put(vault: &str, label: &str, secret: &[u8]) -> Result<()> {
    let mut options = PasswordOptions::new_generic_password(SERVICE, vault);
    options.set_label(label);
    Ok(set_generic_password_options(secret, options)?)
}

/// What is kept for a vault.
pub fn find(vault: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
    // Until it is dropped, what would be asked is refused.
    let _quiet = SecKeychain::disable_user_interaction()?;
    match generic_password(PasswordOptions::new_generic_password(SERVICE, vault)) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.code() == NOT_FOUND => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes what is kept for a vault.
pub fn remove(vault: &str) -> Result<bool> {
    match delete_generic_password(SERVICE, vault) {
        Ok(()) => Ok(true),
        Err(error) if error.code() == NOT_FOUND => Ok(false),
        Err(error) => Err(error.into()),
    }
}

// Codes of SecBase.h.
const NOT_FOUND: i32 = -25300;
const INTERACTION_NOT_ALLOWED: i32 = -25308;
const NOT_AVAILABLE: i32 = -25291;
const NO_DEFAULT_KEYCHAIN: i32 = -25307;

impl From<Error> for KeychainError {
    fn from(error: Error) -> Self {
        match error.code() {
            INTERACTION_NOT_ALLOWED => Self::Locked,
            NOT_AVAILABLE | NO_DEFAULT_KEYCHAIN => Self::Absent(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}
