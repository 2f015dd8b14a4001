//! Public keys that a slot is to open by: as arguments and in files.

use std::path::Path;

use super::context::Context;
use super::files::read_file;
use crate::crypto::{AgeRecipient, CryptoError, RecipientKind};
use crate::term::output;
use crate::vault::{Error, Result};

impl Context {
    /// Reads a recipient.
    pub fn recipient(&mut self, text: &str) -> Result<AgeRecipient> {
        let recipient = AgeRecipient::parse(text).map_err(|error| {
            Error::usage(format!("a recipient cannot be used: {error}"))
                .hint("a recipient is age1… (`age-keygen` makes one), or a public SSH key: ssh-ed25519 AAAA… or ssh-rsa AAAA…")
        })?;
        match recipient.plugin() {
            Some(_) => Ok(recipient.with_callbacks(self.callbacks()?)),
            None => Ok(recipient),
        }
    }

    /// The one public key of an SSH key file.
    pub fn ssh_public_key(&self, path: &Path) -> Result<AgeRecipient> {
        let name = output::printable(&path.display().to_string());
        let text = read_public(path)?;
        let unusable = |why: &str| Error::usage(format!("{name} holds no public SSH key that can be used: {why}"));
        match lines(&text).as_slice() {
            [] => Err(unusable("it is empty")),
            [(_, line)] => match AgeRecipient::parse(line) {
                Ok(recipient) if recipient.kind() == RecipientKind::Ssh => Ok(recipient),
                Ok(_) => Err(unusable("it is a recipient of age").hint("--recipient takes it")),
                Err(error) => Err(unusable(&error.to_string())),
            },
            _ => Err(unusable("it has more than one line")
                .hint("`vault key add --recipients-file` makes a slot for each key that can be used")),
        }
    }

    /// The recipients of a file, one a line. Keys of a type that nothing can be encrypted to are named, and left out.
    pub fn recipients_of(&mut self, path: &Path) -> Result<Vec<AgeRecipient>> {
        let name = output::printable(&path.display().to_string());
        let text = read_public(path)?;
        let mut found: Vec<AgeRecipient> = Vec::new();
        for (number, line) in lines(&text) {
            match AgeRecipient::parse(line) {
                Ok(recipient) if found.iter().any(|other| other.to_string() == recipient.to_string()) => {}
                Ok(recipient) => found.push(recipient),
                Err(error @ (CryptoError::SshType(_) | CryptoError::RsaSize)) => {
                    self.note(&format!("warning: line {number} of {name} was left out: {error}"));
                }
                Err(error) => return Err(Error::usage(format!("line {number} of {name} cannot be used: {error}"))),
            }
        }
        if found.is_empty() {
            return Err(Error::usage(format!("{name} holds no key that can be used"))
                .hint("age1…, ssh-ed25519 AAAA… or ssh-rsa AAAA…, one a line"));
        }
        let callbacks = self.callbacks()?;
        Ok(found.into_iter().map(|recipient| recipient.with_callbacks(callbacks.clone())).collect())
    }
}

/// The lines of a file that say something, with their numbers.
fn lines(text: &str) -> Vec<(usize, &str)> {
    let numbered = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The text of a file of public keys. A private one is refused by name: whoever gives it here may be about to give it away.
fn read_public(path: &Path) -> Result<String> {
    let name = output::printable(&path.display().to_string());
    let bytes = read_file(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::usage(format!("{name} is not text")))?;
    if text.contains("PRIVATE KEY-----") || text.contains("AGE-SECRET-KEY-") {
        let mut public = path.as_os_str().to_owned();
        public.push(".pub");
        let hint = match Path::new(&public).is_file() {
            true => format!("the public one is in {name}.pub"),
            false => format!(
                "`ssh-keygen -y -f {name}` prints the public one of an SSH key, `age-keygen -y {name}` that of an age identity"
            ),
        };
        return Err(Error::usage(format!("{name} holds a private key; a slot is made from the public one")).hint(hint));
    }
    Ok(text.to_owned())
}
