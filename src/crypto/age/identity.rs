//! Private keys that open age files.

use std::str::FromStr;

use age::secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::super::CryptoError;
use super::{AgeRecipient, Attached, PluginIdentity, SshIdentity};

/// A private key that may open an age file.
pub trait Opens {
    #[doc(hidden)]
    fn as_age(&self) -> &dyn age::Identity;
}

/// A private X25519 key, `AGE-SECRET-KEY-1…`: the user's own, or derived from a passphrase or a raw key.
pub struct X25519Identity(age::x25519::Identity);

impl X25519Identity {
    /// Reads `AGE-SECRET-KEY-1…`.
    pub fn parse(text: &str) -> Result<Self, CryptoError> {
        age::x25519::Identity::from_str(text).map(Self).map_err(|_| CryptoError::AgeKey)
    }

    /// A fresh identity.
    pub fn generate() -> Self {
        Self(age::x25519::Identity::generate())
    }

    /// The identity whose X25519 secret (RFC 7748) is `secret`, spelled as age spells it.
    pub fn from_secret(secret: &[u8; 32]) -> Result<Self, CryptoError> {
        let hrp = bech32::Hrp::parse("age-secret-key-").map_err(|_| CryptoError::AgeKey)?;
        let text = Zeroizing::new(bech32::encode_upper::<bech32::Bech32>(hrp, secret).map_err(|_| CryptoError::AgeKey)?);
        Self::parse(&text)
    }

    /// The public half.
    pub fn recipient(&self) -> AgeRecipient {
        AgeRecipient::x25519(self.0.to_public())
    }

    /// The text form, to be kept by its owner.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_string().expose_secret().to_owned())
    }
}

impl Opens for X25519Identity {
    fn as_age(&self) -> &dyn age::Identity {
        &self.0
    }
}

/// A private key of any kind that a person keeps. Each kind opens slots of its own kind and no others.
pub enum AgeIdentity {
    /// Opens `age` slots.
    X25519(X25519Identity),
    /// Opens `ssh` slots.
    Ssh(Box<SshIdentity>),
    /// Opens `plugin` slots of its plugin.
    Plugin(PluginIdentity),
}

impl From<X25519Identity> for AgeIdentity {
    fn from(identity: X25519Identity) -> Self {
        Self::X25519(identity)
    }
}

impl AgeIdentity {
    /// Reads a line of an identity file.
    pub fn parse(text: &str) -> Result<Self, CryptoError> {
        match text.starts_with("AGE-PLUGIN-") {
            true => PluginIdentity::parse(text).map(Self::Plugin),
            false => X25519Identity::parse(text).map(Self::X25519),
        }
    }

    /// Reads the text of a private SSH key file; `name` is what a question for its passphrase calls it.
    pub fn parse_ssh(text: &str, name: &str) -> Result<Self, CryptoError> {
        SshIdentity::parse(text, name).map(Box::new).map(Self::Ssh)
    }

    /// With what plugins and encrypted keys need; all others need nothing.
    pub fn with_callbacks(mut self, callbacks: &Attached) -> Self {
        match &mut self {
            Self::X25519(_) => {}
            Self::Ssh(identity) => identity.attach(callbacks.clone()),
            Self::Plugin(identity) => identity.attach(callbacks.clone()),
        }
        self
    }

    /// Whether it can be used without a question and without another program.
    pub fn is_plain(&self) -> bool {
        match self {
            Self::X25519(_) => true,
            Self::Ssh(identity) => !identity.is_encrypted(),
            Self::Plugin(_) => false,
        }
    }

    /// The payload of an age file; `None` if it is not encrypted to this key.
    pub fn open(&self, file: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, CryptoError> {
        match self {
            Self::X25519(identity) => Ok(super::read(file, identity.as_age()).ok()),
            Self::Ssh(identity) => identity.open(file),
            Self::Plugin(identity) => Ok(identity.open_one_of(&[file])?.map(|(_, payload)| payload)),
        }
    }
}
