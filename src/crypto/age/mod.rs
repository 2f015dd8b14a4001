//! Standard age files (age-encryption.org/v1) to one recipient: what every slot is, so that stock `age` opens it.

mod callbacks;
mod connection;
mod identity;
mod plugin;
mod recipient;
mod ssh;
mod stream;

use std::io::{Read, Write};

use age::secrecy::SecretString;
use zeroize::Zeroizing;

pub use callbacks::{Attached, Callbacks, PluginError, PluginProcess};
pub use identity::{AgeIdentity, Opens, X25519Identity};
pub use plugin::PluginIdentity;
pub use recipient::{AgeRecipient, RecipientKind, is_plugin_name};
pub use ssh::SshIdentity;
pub use stream::{StreamError, decrypt_age_stream, encrypt_age_stream};

use super::CryptoError;

/// A complete binary age file to `recipient` that holds `payload`.
pub fn encrypt_age(recipient: &AgeRecipient, payload: &[u8]) -> Result<Vec<u8>, CryptoError> {
    recipient.with_age(|recipient| {
        let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient)).map_err(|_| CryptoError::AgeKey)?;
        write(encryptor, payload)
    })
}

/// The payload of an age file, with all of it authenticated.
pub fn decrypt_age(identity: &impl Opens, file: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    read(file, identity.as_age())
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

/// What an age file under a passphrase holds, armored or not: an identity file that its owner encrypted.
pub fn decrypt_identity_file(passphrase: &str, file: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    decrypt_age_with_passphrase(passphrase, &without_armor(file)?)
}

/// An age file as its bytes, without armor if it has one.
pub fn without_armor(file: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut binary = Vec::with_capacity(file.len());
    age::armor::ArmoredReader::new(file).read_to_end(&mut binary).map_err(|_| CryptoError::Authentication)?;
    Ok(binary)
}

/// Whether a file is an age file, by how it begins.
pub fn is_age_file(bytes: &[u8]) -> bool {
    bytes.starts_with(b"age-encryption.org/") || bytes.trim_ascii_start().starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----")
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
