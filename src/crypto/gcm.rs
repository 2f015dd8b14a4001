//! AES-256-GCM (NIST SP 800-38D), as another program sealed with it: a nonce of 12 bytes, a tag of 16, nothing else that is bound.
//!
//! It is opened here and, but for tests, never sealed: under one key, nonces of 96 bits that are drawn at random may not be more than 2³².

use aes_gcm::aead::AeadInPlace as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use zeroize::Zeroizing;

use super::{CryptoError, TAG};

/// Length of the nonce.
pub const GCM_NONCE: usize = 12;

/// Opens `ciphertext ‖ tag`.
pub fn open_gcm(key: &[u8; 32], nonce: &[u8; GCM_NONCE], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let (body, tag) = sealed.split_last_chunk::<TAG>().ok_or(CryptoError::Authentication)?;
    let mut out = Zeroizing::new(body.to_vec());
    Aes256Gcm::new(key.into())
        .decrypt_in_place_detached(nonce.into(), b"", &mut out, tag.into())
        .map_err(|_| CryptoError::Authentication)?;
    Ok(out)
}

/// Seals as another program does, for tests: `ciphertext ‖ tag`.
#[cfg(test)]
pub fn seal_gcm(key: &[u8; 32], nonce: &[u8; GCM_NONCE], text: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut out = text.to_vec();
    let tag = Aes256Gcm::new(key.into())
        .encrypt_in_place_detached(nonce.into(), b"", &mut out)
        .map_err(|_| CryptoError::Authentication)?;
    Ok([out.as_slice(), tag.as_slice()].concat())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// Made with `AESGCM` of the package `cryptography` of Python: a key that is wrapped by another, and a value that is sealed by it.
    #[test]
    fn what_another_program_sealed() {
        let (master, user): ([u8; 32], [u8; 32]) = (std::array::from_fn(|at| at as u8), std::array::from_fn(|at| at as u8 + 32));
        let nonce: [u8; 12] = std::array::from_fn(|at| at as u8);
        let wrapped = hex("6723f438e1c0e43ca568bda09dc45642b3e7b507c44e694b005edfbe21543e8d74943e2a269bf4fe0b89d0e48c7cdd01");
        assert_eq!(open_gcm(&master, &nonce, &wrapped).unwrap().as_slice(), user);
        let sealed = hex("6d606e937f03dcd48dcbfaf213456904dde57eda10393e815f90e4d566cf89db");
        assert_eq!(open_gcm(&user, &nonce, &sealed).unwrap().as_slice(), b"1234567812345678");
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open_gcm(&user, &nonce, &bad).is_err(), "bit {bit}");
        }
        for cut in 0..sealed.len() {
            assert!(open_gcm(&user, &nonce, &sealed[..cut]).is_err());
        }
        assert!(open_gcm(&master, &nonce, &sealed).is_err() && open_gcm(&user, &[0; 12], &sealed).is_err());
    }

    /// Test case 13 of the GCM specification of McGrew and Viega: no text under a key and a nonce of zeros.
    #[test]
    fn nothing_is_authenticated_too() {
        let tag = hex("530f8afbc74536b9a963b4f1c4cb738b");
        assert!(open_gcm(&[0; 32], &[0; 12], &tag).unwrap().is_empty());
    }
}
