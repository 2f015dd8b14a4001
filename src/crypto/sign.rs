//! Ed25519 (RFC 8032), verified strictly: canonical `S`, no small-order keys, so that no two verifiers disagree.

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use super::{CryptoError, Transcript};
use crate::secret::SigningSeed;

/// Signs headers and commit records.
pub struct Signer(SigningKey);

impl Signer {
    /// Expands the seed (RFC 8032, section 5.1.5).
    pub fn new(seed: &SigningSeed) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs what was gathered in `message`.
    pub fn sign(&self, message: &Transcript) -> [u8; 64] {
        self.0.sign(message.as_bytes()).to_bytes()
    }
}

/// Verifies what [`Signer`] signed.
pub struct Verifier {
    key: VerifyingKey,
    bytes: [u8; 32],
}

impl Verifier {
    /// Takes a public key of 32 bytes (RFC 8032, section 5.1.2).
    pub fn new(public: &[u8; 32]) -> Result<Self, CryptoError> {
        let key = VerifyingKey::from_bytes(public).map_err(|_| CryptoError::Authentication)?;
        if key.is_weak() {
            return Err(CryptoError::Authentication);
        }
        Ok(Self { key, bytes: *public })
    }

    /// The public key's bytes.
    pub fn public(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Whether `signature` is that of `message`.
    pub fn verify(&self, message: &Transcript, signature: &[u8; 64]) -> Result<(), CryptoError> {
        self.key.verify_strict(message.as_bytes(), &Signature::from_bytes(signature)).map_err(|_| CryptoError::Authentication)
    }
}
