//! Files of private keys: age identities in the clear or under a passphrase, and SSH keys.

use std::path::Path;

use zeroize::Zeroizing;

use super::context::Context;
use super::files::read_file;
use crate::crypto::{self, AgeIdentity, CryptoError};
use crate::term::output;
use crate::vault::{Error, ErrorKind, Result};

impl Context {
    /// The private keys of a file. One that is encrypted as a whole is asked its passphrase for at once; an SSH key only when there is something that
    /// it could open.
    pub fn identities(&mut self, path: &Path) -> Result<Vec<AgeIdentity>> {
        let mut bytes = read_file(path)
            .map_err(|error| Error::new(ErrorKind::Locked, "no_key", format!("the identity file cannot be read: {error}")))?;
        if crypto::is_age_file(&bytes) {
            bytes = self.decrypt_identities(path, &bytes)?;
        }
        let bad = |error: Option<CryptoError>| {
            let why = match error {
                Some(error @ CryptoError::SshKey(_)) => format!(": {error}"),
                _ => String::new(),
            };
            Error::new(ErrorKind::Locked, "bad_key", format!("{} holds no age identity that can be used{why}", path.display()))
                .hint("an identity file has lines of the form AGE-SECRET-KEY-1… or AGE-PLUGIN-…, or is a private SSH key")
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| bad(None))?;
        let found = if text.contains("PRIVATE KEY-----") {
            vec![AgeIdentity::parse_ssh(text, &path.display().to_string()).map_err(|error| bad(Some(error)))?]
        } else {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.map(|line| AgeIdentity::parse(line).map_err(|_| bad(None))).collect::<Result<Vec<_>>>()?
        };
        if found.is_empty() {
            return Err(bad(None));
        }
        if found.iter().all(|identity| matches!(identity, AgeIdentity::X25519(_))) {
            return Ok(found);
        }
        let callbacks = self.callbacks()?;
        Ok(found.into_iter().map(|identity| identity.with_callbacks(&callbacks)).collect())
    }

    fn decrypt_identities(&self, path: &Path, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let name = output::printable(&path.display().to_string());
        let prompter = self.prompter().ok_or_else(|| {
            Error::new(
                ErrorKind::Locked,
                "no_key",
                format!("{name} is encrypted, and there is no terminal to ask for its passphrase on"),
            )
            .hint("use an identity that is not encrypted, or another key")
        })?;
        let passphrase =
            prompter.secret(&format!("Passphrase of {name}")).map_err(|error| Error::io("read the passphrase", &error))?;
        crypto::decrypt_identity_file(&passphrase, bytes).map_err(|_| {
            Error::new(ErrorKind::Locked, "wrong_passphrase", format!("the passphrase does not open {name}"))
                .hint("only files under a passphrase are opened here, of a work factor of at most 20")
        })
    }
}
