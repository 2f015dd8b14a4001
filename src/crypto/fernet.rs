//! Fernet tokens (<https://github.com/fernet/spec>, version 0x80), and the keys behind them as other programs derive them.
//!
//! `token = base64url(0x80 ‖ u64be seconds ‖ IV(16) ‖ AES-128-CBC(PKCS#7) ‖ HMAC-SHA256)`: the tag is over all that stands before it, and is
//! compared, in constant time, before a byte is decrypted; padding is looked at only behind it, so it is no oracle.

use aes::Aes128;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut as _, BlockEncryptMut as _, KeyIvInit as _};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{CryptoError, random};
use crate::secret::{FernetKey, ForeignSecret};

const VERSION: u8 = 0x80;
const BLOCK: usize = 16;
const TAG: usize = 32;
/// Version, time and IV.
const FRONT: usize = 1 + 8 + BLOCK;

/// PBKDF2-HMAC-SHA256 (RFC 8018, section 5.2) of a key and its salt, 32 bytes.
pub fn derive_fernet_key(secret: &ForeignSecret, salt: &[u8], iterations: u32) -> FernetKey {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(secret.expose(), salt, iterations, key.as_mut());
    FernetKey::new(key)
}

/// A token, well-formed and not verified.
pub struct FernetToken(Vec<u8>);

impl FernetToken {
    /// Reads the text of a token; `None` if it is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let raw = URL_SAFE.decode(text).ok()?;
        let whole = raw.len() >= FRONT + BLOCK + TAG && (raw.len() - FRONT - TAG).is_multiple_of(BLOCK);
        (whole && raw[0] == VERSION).then_some(Self(raw))
    }

    /// Encrypts `plaintext`; `seconds` since 1970 stand in the token, in the clear.
    pub fn seal(key: &FernetKey, plaintext: &[u8], seconds: u64) -> Result<Self, CryptoError> {
        Self::seal_with(key, plaintext, seconds, random()?)
    }

    fn seal_with(key: &FernetKey, plaintext: &[u8], seconds: u64, iv: [u8; BLOCK]) -> Result<Self, CryptoError> {
        let (signing, encryption) = halves(key);
        let body = (plaintext.len() / BLOCK + 1) * BLOCK;
        let mut raw = Vec::with_capacity(FRONT + body + TAG);
        raw.push(VERSION);
        raw.extend_from_slice(&seconds.to_be_bytes());
        raw.extend_from_slice(&iv);
        raw.extend_from_slice(plaintext);
        raw.resize(FRONT + body, 0);
        cbc::Encryptor::<Aes128>::new(encryption.into(), &iv.into())
            .encrypt_padded_mut::<Pkcs7>(&mut raw[FRONT..], plaintext.len())
            .map_err(|_| CryptoError::Derivation)?;
        let tag = authenticator(signing, &raw).finalize().into_bytes();
        raw.extend_from_slice(&tag);
        Ok(Self(raw))
    }

    /// When the token says that it was made, in seconds since 1970: authentic once [`Self::open`] returned well.
    pub fn seconds(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[1..9]);
        u64::from_be_bytes(bytes)
    }

    /// The plaintext, if the token is of this key.
    pub fn open(&self, key: &FernetKey) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let (signing, encryption) = halves(key);
        let (signed, tag) = self.0.split_at(self.0.len() - TAG);
        authenticator(signing, signed).verify_slice(tag).map_err(|_| CryptoError::Authentication)?;
        let mut iv = [0; BLOCK];
        iv.copy_from_slice(&signed[FRONT - BLOCK..FRONT]);
        let mut body = Zeroizing::new(signed[FRONT..].to_vec());
        let length = cbc::Decryptor::<Aes128>::new(encryption.into(), &iv.into())
            .decrypt_padded_mut::<Pkcs7>(&mut body)
            .map_err(|_| CryptoError::Authentication)?
            .len();
        body.truncate(length);
        Ok(body)
    }

    /// The text of the token.
    pub fn to_text(&self) -> String {
        URL_SAFE.encode(&self.0)
    }
}

/// The half that signs, and the half that encrypts.
fn halves(key: &FernetKey) -> (&[u8; BLOCK], &[u8; BLOCK]) {
    let (signing, encryption) = key.expose().split_at(BLOCK);
    let half = "a key of 32 bytes has two halves of 16";
    (signing.first_chunk().expect(half), encryption.first_chunk().expect(half))
}

fn authenticator(key: &[u8; BLOCK], signed: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length").chain_update(signed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const TOKEN: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    fn key() -> FernetKey {
        FernetKey::new(Zeroizing::new(URL_SAFE.decode(KEY).unwrap().try_into().unwrap()))
    }

    /// `generate.json` and `verify.json` of the specification.
    #[test]
    fn vector_of_the_specification() {
        let iv = std::array::from_fn(|at| at as u8);
        assert_eq!(FernetToken::seal_with(&key(), b"hello", 499_162_800, iv).unwrap().to_text(), TOKEN);
        let token = FernetToken::parse(TOKEN.as_bytes()).unwrap();
        assert_eq!((token.open(&key()).unwrap().as_slice(), token.seconds()), (&b"hello"[..], 499_162_800));
    }

    #[test]
    fn every_length_returns_and_every_flipped_bit_is_refused() {
        for length in [0, 1, 15, 16, 17, 1000] {
            let plaintext = vec![7; length];
            let token = FernetToken::seal(&key(), &plaintext, 5).unwrap();
            let read = FernetToken::parse(token.to_text().as_bytes()).unwrap();
            assert_eq!(*read.open(&key()).unwrap(), plaintext);
        }
        let whole = FernetToken::parse(TOKEN.as_bytes()).unwrap().0;
        for bit in 0..whole.len() * 8 {
            let mut bad = whole.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let opened = FernetToken::parse(URL_SAFE.encode(&bad).as_bytes()).map(|token| token.open(&key()).is_ok());
            assert_eq!(opened, (bit >= 8).then_some(false), "bit {bit}");
        }
    }

    /// `invalid.json` of the specification, but for the times, which `open` does not judge; and what its words mean besides.
    #[test]
    fn invalid_tokens() {
        let opens = |text: &str| FernetToken::parse(text.as_bytes()).is_some_and(|token| token.open(&key()).is_ok());
        assert!(opens(TOKEN));
        let bad = [
            // incorrect mac
            "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ==",
            // too short
            "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA==",
            // invalid base64
            "%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q==",
            // payload size not multiple of block size
            "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm",
            // payload padding error
            "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw==",
            // incorrect IV (causes padding error)
            "gAAAAAAdwJ6xBQECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAkLhFLHpGtDBRLRTZeUfWgHSv49TF2AUEZ1TIvcZjK1zQ==",
            "",
            "g",
        ];
        for text in bad {
            assert!(!opens(text), "{text}");
        }
        for cut in 0..TOKEN.len() {
            assert!(!opens(&TOKEN[..cut]));
        }
        assert!(!opens(&format!("{TOKEN}A")) && !opens(&TOKEN.replace('=', "")) && !opens(&TOKEN.replace("gAAA", "gQAA")));
    }
}
