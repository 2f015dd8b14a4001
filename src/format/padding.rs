//! Lengths that tell little: a floor of 32 bytes, then Padmé (SPEC, section 1).
//!
//! Padmé: Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", PETS 2019, section 4.3: at most
//! 12 % longer, and O(log log n) bits of the length are told.

use zeroize::Zeroizing;

use super::FormatError;

const FLOOR: u64 = 32;
const PREFIX: usize = 8;

/// The padded length of `length` bytes.
pub fn padme(length: u64) -> u64 {
    let length = length.max(FLOOR);
    let exponent = length.ilog2();
    let mask = (1u64 << (exponent - (exponent.ilog2() + 1))) - 1;
    // At most one part in eight longer, so that only lengths near 2^64 could overflow; nothing that long is ever padded.
    length.saturating_add(mask) & !mask
}

/// `u64 |x| ‖ x ‖ zeros`, of padded length.
pub fn pad(content: &[u8]) -> Zeroizing<Vec<u8>> {
    let total = padme((content.len() + PREFIX) as u64) as usize;
    let mut out = Zeroizing::new(Vec::with_capacity(total));
    out.extend_from_slice(&(content.len() as u64).to_le_bytes());
    out.extend_from_slice(content);
    out.resize(total, 0);
    out
}

/// The content of what [`pad`] made.
pub fn unpad(padded: &[u8]) -> Result<&[u8], FormatError> {
    let malformed = FormatError::Malformed("a padded length does not fit");
    let (prefix, rest) = padded.split_first_chunk::<PREFIX>().ok_or(malformed.clone())?;
    let length = usize::try_from(u64::from_le_bytes(*prefix)).map_err(|_| malformed.clone())?;
    let content = rest.get(..length).ok_or(malformed.clone())?;
    if padded.len() as u64 != padme((length + PREFIX) as u64) {
        return Err(malformed);
    }
    if rest[length..].iter().any(|&byte| byte != 0) {
        return Err(FormatError::Malformed("padding is not zero"));
    }
    Ok(content)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (length, padded) in [(0, 32), (32, 32), (33, 36), (100, 104), (1000, 1024), (1025, 1088), (16 << 20, 16 << 20)] {
            assert_eq!(padme(length), padded, "{length}");
        }
        for length in 32..100_000 {
            let padded = padme(length);
            assert!(padded >= length && padded <= length + length / 8, "{length}");
            assert_eq!(padme(padded), padded);
        }
    }

    #[test]
    fn round_trip_and_refusals() {
        for length in 0..600 {
            let content = vec![0xab; length];
            let padded = pad(&content);
            assert_eq!(unpad(&padded).unwrap(), content);
            let mut bad = padded.to_vec();
            bad.push(0);
            assert!(unpad(&bad).is_err());
            if padded.len() > length + 8 {
                let mut bad = padded.to_vec();
                *bad.last_mut().unwrap() = 1;
                assert!(unpad(&bad).is_err());
            }
        }
        assert!(unpad(&[0xff; 32]).is_err());
        assert!(unpad(&[]).is_err());
    }
}
