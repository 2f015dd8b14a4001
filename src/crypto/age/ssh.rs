//! SSH keys that open age files: Ed25519 and RSA, in OpenSSH's form or, for RSA, in PEM.

use std::sync::OnceLock;

use age::secrecy::SecretString;
use age::ssh::{Identity, Recipient, UnsupportedKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::super::{CryptoError, sha256};
use super::callbacks::Attached;
use super::plugin::stanzas_of;

/// A private SSH key. If it is encrypted, its passphrase is asked for when there is something that it could open, and once.
pub struct SshIdentity {
    key: Identity,
    opened: OnceLock<Identity>,
    recipient: String,
    name: String,
    callbacks: Attached,
}

impl SshIdentity {
    /// Reads the text of a key file; `name` is what people call it.
    pub(super) fn parse(text: &str, name: &str) -> Result<Self, CryptoError> {
        let start = text.find("-----BEGIN ").ok_or(CryptoError::AgeKey)?;
        let text = &text[start..];
        let known = ["-----BEGIN OPENSSH PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----"];
        if !known.iter().any(|first| text.starts_with(first)) {
            return Err(CryptoError::SshKey("a key of this form is not read, only OpenSSH's own, and RSA in PEM"));
        }
        let key = Identity::from_buffer(text.as_bytes(), None).map_err(|_| CryptoError::AgeKey)?;
        if let Identity::Unsupported(why) = &key {
            return Err(CryptoError::SshKey(match why {
                UnsupportedKey::EncryptedPem => "a PEM file that is encrypted is not read; `ssh-keygen -p -f FILE` rewrites it",
                UnsupportedKey::EncryptedSsh(_) => {
                    "the cipher that encrypts the key is not known; `ssh-keygen -p -f FILE` rewrites it"
                }
                UnsupportedKey::Hardware(_) => "the key stays in hardware and cannot decrypt; a plugin of age may",
                UnsupportedKey::Type(_) => "only ssh-ed25519 and ssh-rsa keys can decrypt",
            }));
        }
        let recipient = Recipient::try_from(key.clone()).map_err(|_| CryptoError::AgeKey)?.to_string();
        Ok(Self { key, opened: OnceLock::new(), recipient, name: name.to_owned(), callbacks: Attached::default() })
    }

    pub(super) fn attach(&mut self, callbacks: Attached) {
        self.callbacks = callbacks;
    }

    /// The public half as the header spells it.
    pub fn recipient(&self) -> &str {
        &self.recipient
    }

    /// Whether a passphrase is needed.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.key, Identity::Encrypted(_))
    }

    /// The payload of an age file, if it is encrypted to this key. Without a stanza for it nobody is asked for a passphrase.
    pub fn open(&self, file: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, CryptoError> {
        let tag = self.tag();
        let is_mine = |stanza: &age_core::format::Stanza| {
            self.recipient.split(' ').next() == Some(stanza.tag.as_str())
                && stanza.args.first().is_some_and(|arg| Some(arg) == tag.as_ref())
        };
        if !stanzas_of(file)?.iter().any(is_mine) {
            return Ok(None);
        }
        super::read(file, self.unlocked()?).map(Some)
    }

    /// What names this key in a stanza: four bytes of the hash of its public half.
    fn tag(&self) -> Option<String> {
        let public = STANDARD.decode(self.recipient.split(' ').nth(1)?).ok()?;
        Some(STANDARD_NO_PAD.encode(&sha256(&public)[..4]))
    }

    fn unlocked(&self) -> Result<&Identity, CryptoError> {
        let Identity::Encrypted(key) = &self.key else { return Ok(&self.key) };
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let question = format!("Passphrase of {}", self.name);
        let passphrase = self.callbacks.get().and_then(|callbacks| callbacks.secret(&question));
        let passphrase = passphrase.ok_or_else(|| CryptoError::KeyPassphraseMissing(self.name.clone()))?;
        let opened = key
            .decrypt(SecretString::from(passphrase.as_str()))
            .map_err(|_| CryptoError::KeyPassphraseWrong(self.name.clone()))?;
        Ok(self.opened.get_or_init(|| Identity::from(opened)))
    }
}
