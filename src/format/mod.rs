//! Bytes ⇄ types of the vault file, as `SPEC.md` beside this file says. No I/O and no policy.
//!
//! Everything that reads here is given bytes that an attacker may have chosen, also behind the seal; it is fuzzed.

pub mod cbor;
pub mod commit;
mod datum;
pub mod exposure;
pub mod foreign;
pub mod header;
pub mod keyspace;
mod kind;
mod listing;
pub mod padding;
pub mod page;
pub mod record;
pub mod rotation;
pub mod schedule;
mod sign_in;
pub mod slot;
pub mod stream;
pub mod token;
pub mod user;
mod value;

use crate::crypto::CryptoError;

/// Every block of the file, and the file itself, begins and ends at a multiple of this.
pub const BLOCK: u64 = 4096;

/// What reading or writing the format can refuse. None of it quotes what was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes break a rule of the specification.
    #[error("{0}")]
    Malformed(&'static str),
    /// The bytes ask for something that only a newer format knows.
    #[error("{0}")]
    Newer(String),
    /// A seal, a hash or a signature does not hold.
    #[error("{0} is not authentic")]
    NotAuthentic(&'static str),
    /// What was to be written does not fit the format.
    #[error("{0}")]
    TooLarge(&'static str),
    /// A primitive failed for want of randomness or memory.
    #[error(transparent)]
    Crypto(CryptoError),
}

impl From<CryptoError> for FormatError {
    fn from(error: CryptoError) -> Self {
        Self::Crypto(error)
    }
}

/// `value` rounded up to the next multiple of [`BLOCK`], or `None` beyond u64.
pub fn align_up(value: u64) -> Option<u64> {
    value.checked_add(BLOCK - 1).map(|sum| sum / BLOCK * BLOCK)
}
