//! XChaCha20-Poly1305 with random nonces: `seal(key, aad, x) = nonce(24) ‖ ciphertext(|x|) ‖ tag(16)`.
//!
//! ChaCha20-Poly1305 is RFC 8439; the X variant with 192-bit nonces is draft-irtf-cfrg-xchacha-03. The nonce is drawn at random for
//! every seal: with 192 bits a repetition is out of reach, where a counter kept in the file would repeat after a restored copy.
//! The cipher does not commit to its key; where that matters, a signature or a hash above it does.

use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

use super::{CryptoError, random_fill};

/// Length of the nonce in front.
pub const NONCE: usize = 24;
/// Length of the tag behind.
pub const TAG: usize = 16;
/// By how much sealing lengthens.
pub const OVERHEAD: usize = NONCE + TAG;

/// Seals `plaintext`, bound to `aad`.
pub fn seal(key: &[u8; 32], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let mut out = Vec::with_capacity(plaintext.len() + OVERHEAD);
    seal_into(key, aad, plaintext, &mut out)?;
    Ok(out)
}

/// Seals `plaintext` and appends the result to `out`.
pub fn seal_into(key: &[u8; 32], aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), CryptoError> {
    let mut nonce = [0; NONCE];
    random_fill(&mut nonce)?;
    append(key, nonce, aad, plaintext, out)
}

/// Seals one after the other, with nonces that are drawn together, by one system call for many: each is for one seal.
#[derive(Default)]
pub struct Seals {
    nonces: Vec<[u8; NONCE]>,
    expected: usize,
}

/// How many nonces are drawn together at most.
const DRAWN: usize = 64;

impl Seals {
    /// About so many seals are to be made; without a word, nonces are drawn one by one.
    pub fn expect(&mut self, count: usize) {
        self.expected = count;
    }

    fn nonce(&mut self) -> Result<[u8; NONCE], CryptoError> {
        if self.nonces.is_empty() {
            let mut drawn = vec![[0; NONCE]; self.expected.clamp(1, DRAWN)];
            random_fill(drawn.as_flattened_mut())?;
            self.expected = self.expected.saturating_sub(drawn.len());
            self.nonces = drawn;
        }
        self.nonces.pop().ok_or(CryptoError::Random)
    }

    /// Seals `plaintext` as [`seal`] does, and appends the result to `out`.
    pub fn seal_into(&mut self, key: &[u8; 32], aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), CryptoError> {
        append(key, self.nonce()?, aad, plaintext, out)
    }
}

fn append(key: &[u8; 32], nonce: [u8; NONCE], aad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), CryptoError> {
    out.reserve(plaintext.len() + OVERHEAD);
    out.extend_from_slice(&nonce);
    let body = out.len();
    out.extend_from_slice(plaintext);
    let cipher = XChaCha20Poly1305::new(key.into());
    match cipher.encrypt_inout_detached(&nonce.into(), aad, (&mut out[body..]).into()) {
        Ok(tag) => {
            out.extend_from_slice(&tag);
            Ok(())
        }
        Err(_) => {
            // The cipher leaves the buffer as it was when it refuses (a length beyond 256 GiB): plaintext must not stay in `out`.
            zeroize::Zeroize::zeroize(&mut out[body..]);
            out.truncate(body - NONCE);
            Err(CryptoError::Authentication)
        }
    }
}

/// Opens what [`seal`] made with the same key and `aad`.
pub fn open(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let body = sealed.get(NONCE..).ok_or(CryptoError::Authentication)?;
    let mut nonce = [0; NONCE];
    nonce.copy_from_slice(&sealed[..NONCE]);
    let length = body.len().checked_sub(TAG).ok_or(CryptoError::Authentication)?;
    let mut tag = [0; TAG];
    tag.copy_from_slice(&body[length..]);
    let mut out = Zeroizing::new(body[..length].to_vec());
    decrypt(key, aad, nonce, tag, &mut out)?;
    Ok(out)
}

/// Opens `sealed` in its own buffer; the returned slice is the plaintext within it.
pub fn open_in_place<'a>(key: &[u8; 32], aad: &[u8], sealed: &'a mut [u8]) -> Result<&'a mut [u8], CryptoError> {
    let length = sealed.len().checked_sub(OVERHEAD).ok_or(CryptoError::Authentication)?;
    let mut nonce = [0; NONCE];
    let mut tag = [0; TAG];
    nonce.copy_from_slice(&sealed[..NONCE]);
    tag.copy_from_slice(&sealed[NONCE + length..]);
    let body = &mut sealed[NONCE..NONCE + length];
    decrypt(key, aad, nonce, tag, body)?;
    Ok(body)
}

/// Verifies the tag before a byte is decrypted: nothing unauthenticated is ever released.
fn decrypt(key: &[u8; 32], aad: &[u8], nonce: [u8; NONCE], tag: [u8; TAG], body: &mut [u8]) -> Result<(), CryptoError> {
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(&nonce.into(), aad, body.into(), &tag.into())
        .map_err(|_| CryptoError::Authentication)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_refused() {
        let key = [7; 32];
        let sealed = seal(&key, b"aad", b"value").unwrap();
        assert_eq!(open(&key, b"aad", &sealed).unwrap().as_slice(), b"value");
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, b"aad", &bad).is_err(), "bit {bit}");
            assert!(open_in_place(&key, b"aad", &mut bad).is_err(), "bit {bit}");
        }
        assert!(open(&key, b"aae", &sealed).is_err());
        for cut in 0..sealed.len() {
            assert!(open(&key, b"aad", &sealed[..cut]).is_err());
        }
    }

    #[test]
    fn no_nonce_is_used_twice() {
        for count in [0, 1, 3, DRAWN, 1000] {
            let mut seals = Seals::default();
            seals.expect(count);
            let mut nonces = std::collections::HashSet::new();
            for number in 1..=3 * DRAWN {
                let mut out = vec![9];
                seals.seal_into(&[7; 32], b"aad", b"value", &mut out).unwrap();
                assert_eq!(open(&[7; 32], b"aad", &out[1..]).unwrap().as_slice(), b"value");
                assert!(nonces.insert(out[1..=NONCE].to_vec()) && nonces.len() == number && out[1..=NONCE] != [0; NONCE]);
            }
        }
    }

    /// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    #[test]
    fn draft_vector() {
        let key: [u8; 32] = std::array::from_fn(|i| 0x80 + i as u8);
        let nonce: [u8; 24] = std::array::from_fn(|i| 0x40 + i as u8);
        let aad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let text =
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let mut body = text.to_vec();
        let tag = XChaCha20Poly1305::new((&key).into())
            .encrypt_inout_detached(&nonce.into(), &aad, body.as_mut_slice().into())
            .unwrap();
        let expected = [0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49];
        assert_eq!(tag.as_slice(), expected);
        assert_eq!(&body[..4], &[0xbd, 0x6d, 0x17, 0x9d]);
    }
}
