//! Argon2id (RFC 9106) with a floor against downgrade and a ceiling against resource bombs, both checked before anything is allocated.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::CryptoError;
use crate::secret::Passphrase;

/// The cost of one derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub m: u64,
    /// Passes over the memory.
    pub t: u64,
    /// Lanes, computed in parallel.
    pub p: u64,
}

/// Why a cost is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Argon2Problem {
    /// Below the floor: somebody lowered it to make guessing cheap.
    #[error("the key derivation is weaker than the floor of the format (downgrade)")]
    BelowFloor,
    /// Above the ceiling: somebody raised it to exhaust this machine.
    #[error("the key derivation is more expensive than the format allows")]
    AboveCeiling,
}

impl Argon2Cost {
    /// What new slots get: 256 MiB, three passes, four lanes.
    pub const DEFAULT: Self = Self { m: 256 * 1024, t: 3, p: 4 };
    /// The weakest that is accepted (the OWASP minimum).
    pub const FLOOR: Self = Self { m: 19 * 1024, t: 2, p: 1 };
    /// The most expensive that is accepted.
    pub const CEILING: Self = Self { m: 1024 * 1024, t: 16, p: 16 };
    /// The most memory times passes (in KiB) that one unlock spends over all the slots it tries: 16 GiB.
    pub const TOTAL_WORK: u64 = 16 * 1024 * 1024;

    /// Accepts a cost between floor and ceiling.
    pub fn check(self) -> Result<Self, Argon2Problem> {
        let (low, high) = (Self::FLOOR, Self::CEILING);
        if self.m < low.m || self.t < low.t || self.p < low.p {
            return Err(Argon2Problem::BelowFloor);
        }
        // m ≥ 8p (RFC 9106, section 3.1) follows from floor and ceiling: 19 MiB is far above 8 × 16 KiB.
        if self.m > high.m || self.t > high.t || self.p > high.p {
            return Err(Argon2Problem::AboveCeiling);
        }
        Ok(self)
    }

    /// Memory times passes, in KiB.
    pub fn work(self) -> u64 {
        self.m.saturating_mul(self.t)
    }
}

/// Argon2id version 0x13 of the passphrase's bytes, 32 bytes out. `cost` must have passed [`Argon2Cost::check`].
pub fn argon2id(passphrase: &Passphrase, salt: &[u8; 16], cost: Argon2Cost) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    let number = |value: u64| u32::try_from(value).map_err(|_| CryptoError::Derivation);
    let params = Params::new(number(cost.m)?, number(cost.t)?, number(cost.p)?, Some(32)).map_err(|_| CryptoError::Derivation)?;
    let mut out = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose(), salt, out.as_mut())
        .map_err(|_| CryptoError::Derivation)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        assert!(Argon2Cost::DEFAULT.check().is_ok());
        assert!(Argon2Cost::FLOOR.check().is_ok());
        assert!(Argon2Cost::CEILING.check().is_ok());
        let c = |m, t, p| Argon2Cost { m, t, p }.check();
        assert_eq!(c(19 * 1024 - 1, 2, 1), Err(Argon2Problem::BelowFloor));
        assert_eq!(c(19 * 1024, 1, 1), Err(Argon2Problem::BelowFloor));
        assert_eq!(c(19 * 1024, 2, 0), Err(Argon2Problem::BelowFloor));
        assert_eq!(c(u64::MAX, 2, 1), Err(Argon2Problem::AboveCeiling));
        assert_eq!(c(19 * 1024, 17, 1), Err(Argon2Problem::AboveCeiling));
        assert_eq!(c(19 * 1024, 2, 17), Err(Argon2Problem::AboveCeiling));
    }
}
