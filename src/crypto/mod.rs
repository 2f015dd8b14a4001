//! The only room that names a cipher crate. Everything here is a primitive or a derivation of `format/SPEC.md`, sections 1 to 3.

mod aead;
mod age;
mod fernet;
mod gcm;
mod hash;
mod kdf;
pub mod keys;
mod otp;
mod password;
mod session;
mod sign;
mod transcript;

pub use aead::{NONCE, OVERHEAD, Seals, TAG, open, open_in_place, seal, seal_into};
pub use age::{
    AgeIdentity, AgeRecipient, Attached, Callbacks, Opens, PluginError, PluginIdentity, PluginProcess, RecipientKind,
    SshIdentity, StreamError, X25519Identity, decrypt_age, decrypt_age_stream, decrypt_age_with_passphrase,
    decrypt_identity_file, encrypt_age, encrypt_age_stream, encrypt_age_with_passphrase, is_age_file, is_plugin_name,
    without_armor,
};
pub use fernet::{FernetToken, derive_fernet_key};
#[cfg(test)]
pub use gcm::seal_gcm;
pub use gcm::{GCM_NONCE, open_gcm};
pub use hash::{Hash, Hasher, hmac_sha256, keyed_hash, same, sha256};
pub use kdf::{Argon2Cost, Argon2Problem, argon2id};
pub use otp::{OtpHash, otp_number};
pub use password::{BCRYPT_MAX_COST, bcrypt_cost, bcrypt_verify, password_hash};
pub use session::{Claims, SessionKeys};
pub use sign::{Signer, Verifier};
pub use transcript::Transcript;

use zeroize::Zeroizing;

/// What a primitive can refuse. A failed decryption says only that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// An authentication tag, a signature or an age header did not hold.
    #[error("authentication failed")]
    Authentication,
    /// The text is not a recipient or identity of a kind that is known here.
    #[error("not an age or SSH key")]
    AgeKey,
    /// A public SSH key of a type that cannot be encrypted to.
    #[error("an SSH key of the type {0} cannot be encrypted to, only ssh-ed25519 and ssh-rsa")]
    SshType(String),
    /// An RSA key that is too short to be safe, or longer than the library takes.
    #[error("the RSA key has less than 2048 or more than 4096 bits")]
    RsaSize,
    /// A private SSH key that cannot decrypt here.
    #[error("{0}")]
    SshKey(&'static str),
    /// A private key is encrypted, and nobody could be asked for its passphrase.
    #[error("{0} is encrypted, and its passphrase cannot be asked for")]
    KeyPassphraseMissing(String),
    /// A private key is encrypted under another passphrase than was given.
    #[error("the passphrase does not open {0}")]
    KeyPassphraseWrong(String),
    /// A plugin gave no key.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    Random,
    /// The key derivation could not run (out of memory).
    #[error("the key derivation could not run")]
    Derivation,
}

/// Fills `buffer` from the operating system's random source.
pub fn random_fill(buffer: &mut [u8]) -> Result<(), CryptoError> {
    // The crate looks the system call up at run time, which an executable of this kind cannot, and then opens and polls devices: five calls for one.
    #[cfg(target_os = "linux")]
    if rustix::rand::getrandom(&mut *buffer, rustix::rand::GetRandomFlags::empty()) == Ok(buffer.len()) {
        return Ok(());
    }
    getrandom::fill(buffer).map_err(|_| CryptoError::Random)
}

/// `N` random bytes.
pub fn random<const N: usize>() -> Result<[u8; N], CryptoError> {
    let mut bytes = [0; N];
    random_fill(&mut bytes)?;
    Ok(bytes)
}

/// 32 random bytes for a key, wiped when dropped.
pub fn random_key() -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    let mut bytes = Zeroizing::new([0; 32]);
    random_fill(bytes.as_mut())?;
    Ok(bytes)
}
