//! Sealed values (SPEC, section 6).

use super::slot::NumberedKey;
use super::{FormatError, padding};
use crate::crypto::keys::label;
use crate::crypto::{self, Transcript};
use crate::secret::{DataKey, SecretValue};

/// The longest value.
pub const MAX_VALUE: usize = 16 << 20;

/// What a sealed value is bound to, so that it opens nowhere else.
pub struct ValueContext<'a> {
    /// The vault's id.
    pub id: &'a [u8; 16],
    /// The entry.
    pub uid: &'a [u8; 16],
    /// The number under which the version was sealed.
    pub version: u64,
    /// The compartment.
    pub compartment: &'a str,
}

impl ValueContext<'_> {
    fn aad(&self, key: u64) -> Transcript {
        Transcript::new(label::VALUE).bytes(self.id).bytes(self.uid).u64(self.version).bytes(self.compartment.as_bytes()).u64(key)
    }

    /// Seals a value, padded.
    pub fn seal(&self, key: &NumberedKey, value: &SecretValue) -> Result<Vec<u8>, FormatError> {
        if value.expose().len() > MAX_VALUE {
            return Err(FormatError::TooLarge("a value is at most 16 MiB"));
        }
        let padded = padding::pad(value.expose());
        Ok(crypto::seal(key.key.expose(), self.aad(key.number).as_bytes(), &padded)?)
    }

    /// Opens a value.
    pub fn open(&self, key: &DataKey, number: u64, sealed: &[u8]) -> Result<SecretValue, FormatError> {
        let mut padded =
            crypto::open(key.expose(), self.aad(number).as_bytes(), sealed).map_err(|_| FormatError::NotAuthentic("a value"))?;
        let length = padding::unpad(&padded)?.len();
        if length > MAX_VALUE {
            return Err(FormatError::Malformed("a value is longer than the format allows"));
        }
        // The value stands behind its length, a u64.
        padded.copy_within(8..8 + length, 0);
        padded.truncate(length);
        Ok(SecretValue::new(padded))
    }
}
