//! Standard age files (age-encryption.org/v1) to one X25519 recipient: what every slot is, so that stock `age` opens it.

use std::io::{Read, Write};
use std::str::FromStr;

use age::secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::CryptoError;

/// A public X25519 key, `age1…`.
#[derive(Clone)]
pub struct AgeRecipient(age::x25519::Recipient);

impl AgeRecipient {
    /// Reads `age1…`.
    pub fn parse(text: &str) -> Result<Self, CryptoError> {
        age::x25519::Recipient::from_str(text).map(Self).map_err(|_| CryptoError::AgeKey)
    }
}

impl std::fmt::Display for AgeRecipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A private X25519 key, `AGE-SECRET-KEY-1…`.
pub struct AgeIdentity(age::x25519::Identity);

impl AgeIdentity {
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
        AgeRecipient(self.0.to_public())
    }

    /// The text form, to be kept by its owner.
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_string().expose_secret().to_owned())
    }
}

/// A complete binary age file to `recipient` that holds `payload`.
pub fn encrypt_age(recipient: &AgeRecipient, payload: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let encryptor =
        age::Encryptor::with_recipients(std::iter::once(&recipient.0 as &dyn age::Recipient)).map_err(|_| CryptoError::AgeKey)?;
    write(encryptor, payload)
}

/// The payload of an age file, with all of it authenticated.
pub fn decrypt_age(identity: &AgeIdentity, file: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    read(file, &identity.0)
}

/// A complete binary age file under a passphrase (scrypt): for backups that stock `age` opens.
pub fn encrypt_age_with_passphrase(passphrase: &str, payload: &[u8]) -> Result<Vec<u8>, CryptoError> {
    write(age::Encryptor::with_user_passphrase(SecretString::from(passphrase.to_owned())), payload)
}

/// The payload of an age file under a passphrase.
pub fn decrypt_age_with_passphrase(passphrase: &str, file: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let mut identity = age::scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
    // 2^20 takes 1 GiB and some seconds; a file that asks for more, before any of it is authenticated, is a bomb.
    identity.set_max_work_factor(20);
    read(file, &identity)
}

fn write(encryptor: age::Encryptor, payload: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let failed = |_| CryptoError::Derivation;
    let mut file = Vec::with_capacity(payload.len() + 512);
    let mut writer = encryptor.wrap_output(&mut file).map_err(failed)?;
    writer.write_all(payload).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

fn read(file: &[u8], identity: &dyn age::Identity) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    // `new_buffered`: `new` reads the header byte by byte, which is quadratic in its size.
    let decryptor = age::Decryptor::new_buffered(file).map_err(|_| CryptoError::Authentication)?;
    let mut reader = decryptor.decrypt(std::iter::once(identity)).map_err(|_| CryptoError::Authentication)?;
    // Room for all of it at once, so that growing does not leave copies behind.
    let mut payload = Zeroizing::new(Vec::with_capacity(file.len()));
    reader.read_to_end(&mut payload).map_err(|_| CryptoError::Authentication)?;
    Ok(payload)
}
