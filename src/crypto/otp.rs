//! What one-time codes are cut from: a truncated HMAC of a counter (RFC 4226, section 5.3), with the hashes of RFC 6238.

use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::secret::OtpKey;

/// The hash below the HMAC. SHA-1 is what nearly all sites use; its collisions do not weaken an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtpHash {
    /// SHA-1, the default.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// 31 bits of `HMAC(key, u64be counter)`: the four bytes at the offset that the last half byte names, without the highest bit.
pub fn otp_number(hash: OtpHash, key: &OtpKey, counter: u64) -> u32 {
    match hash {
        OtpHash::Sha1 => truncated::<Hmac<Sha1>>(key, counter),
        OtpHash::Sha256 => truncated::<Hmac<Sha256>>(key, counter),
        OtpHash::Sha512 => truncated::<Hmac<Sha512>>(key, counter),
    }
}

fn truncated<M: Mac + KeyInit>(key: &OtpKey, counter: u64) -> u32 {
    let mac = <M as Mac>::new_from_slice(key.expose()).expect("HMAC takes a key of any length");
    let tag = mac.chain_update(counter.to_be_bytes()).finalize().into_bytes();
    // At most 15, and the shortest tag has 20 bytes.
    let at = usize::from(tag[tag.len() - 1] & 0x0f);
    u32::from_be_bytes([tag[at] & 0x7f, tag[at + 1], tag[at + 2], tag[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4226, appendix D: the table of truncated values.
    #[test]
    fn truncated_values_of_the_specification() {
        let key = OtpKey::new(b"12345678901234567890".to_vec().into());
        let expected: [u32; 10] =
            [1284755224, 1094287082, 137359152, 1726969429, 1640338314, 868254676, 1918287922, 82162583, 673399871, 645520489];
        for (counter, number) in (0..).zip(expected) {
            assert_eq!(otp_number(OtpHash::Sha1, &key, counter), number, "{counter}");
        }
    }
}
