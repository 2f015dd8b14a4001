//! Files of private keys: age identities in the clear or under a passphrase, and SSH keys.

use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::context::Context;
use super::files::read_file;
use crate::crypto::{self, AgeIdentity, Attached, Callbacks, CryptoError, PluginError, PluginProcess};
use crate::secret::Passphrase;
use crate::term::output;
use crate::vault::{Error, ErrorKind, Result};

impl Context {
    /// The private keys of a file. One that is encrypted as a whole is asked its passphrase for at once; an SSH key only when there is something that
    /// it could open.
    pub fn identities(&mut self, path: &Path) -> Result<Vec<AgeIdentity>> {
        self.identities_by(path, None)
    }

    /// [`identities`](Self::identities), where the passphrase of the file is given already.
    pub(super) fn identities_by(&mut self, path: &Path, passphrase: Option<&Passphrase>) -> Result<Vec<AgeIdentity>> {
        let given = passphrase.map(given_text).transpose()?;
        let mut bytes = read_file(path)
            .map_err(|error| Error::new(ErrorKind::Locked, "no_key", format!("the identity file cannot be read: {error}")))?;
        if crypto::is_age_file(&bytes) {
            bytes = self.decrypt_identities(path, &bytes, given.as_ref())?;
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
        let is_ssh = matches!(found.as_slice(), [AgeIdentity::Ssh(_)]);
        let callbacks = match given {
            Some(passphrase) if is_ssh => Attached::new(Arc::new(Given(passphrase))),
            _ => self.callbacks()?,
        };
        Ok(found.into_iter().map(|identity| identity.with_callbacks(&callbacks)).collect())
    }

    fn decrypt_identities(&self, path: &Path, bytes: &[u8], given: Option<&Zeroizing<String>>) -> Result<Zeroizing<Vec<u8>>> {
        let name = output::printable(&path.display().to_string());
        let asked;
        let passphrase = match given {
            Some(given) => given,
            None => {
                let prompter = self.prompter().ok_or_else(|| {
                    Error::new(
                        ErrorKind::Locked,
                        "no_key",
                        format!("{name} is encrypted, and there is no terminal to ask for its passphrase on"),
                    )
                    .hint("give its passphrase with --passphrase-file or VAULT_PASSPHRASE_FILE, or use another key")
                })?;
                let question = format!("Passphrase of {name}");
                asked = prompter.secret(&question).map_err(|error| Error::io("read the passphrase", &error))?;
                &asked
            }
        };
        crypto::decrypt_identity_file(passphrase, bytes).map_err(|_| {
            Error::new(ErrorKind::Locked, "wrong_passphrase", format!("the passphrase does not open {name}"))
                .hint("only files under a passphrase are opened here, of a work factor of at most 20")
        })
    }
}

/// Whether the private keys of a file can be used only with a passphrase.
pub(super) fn is_encrypted(path: &Path) -> bool {
    let Ok(bytes) = read_file(path) else { return false };
    if crypto::is_age_file(&bytes) {
        return true;
    }
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    text.contains("PRIVATE KEY-----") && AgeIdentity::parse_ssh(text, "").is_ok_and(|identity| !identity.is_plain())
}

fn given_text(passphrase: &Passphrase) -> Result<Zeroizing<String>> {
    let text = std::str::from_utf8(passphrase.expose());
    text.map(|text| Zeroizing::new(text.to_owned())).map_err(|_| Error::usage("the passphrase of an identity is not text"))
}

/// Whoever asks gets the passphrase that was given. No program is started for an SSH key.
struct Given(Zeroizing<String>);

impl Callbacks for Given {
    fn message(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn public(&self, _: &str) -> Option<String> {
        None
    }

    fn secret(&self, _: &str) -> Option<Zeroizing<String>> {
        Some(self.0.clone())
    }

    fn start(&self, name: &str, _: &str) -> std::result::Result<Box<dyn PluginProcess>, PluginError> {
        Err(PluginError::NotAllowed(name.to_owned()))
    }
}
