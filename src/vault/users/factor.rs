//! The second factor: codes by time (RFC 6238) that are each taken once, and codes for who has lost what makes them.

use zeroize::Zeroizing;

use crate::crypto::keys::label;
use crate::crypto::{self, OtpHash, Transcript, keyed_hash, otp_number};
use crate::format::user::{SignIn, User};
use crate::secret::{OtpKey, SecretValue};
use crate::vault::error::Result;
use crate::vault::otp::{self, percent};

/// Seconds of one step.
const STEP: u64 = 30;
/// How many recovery codes are made at once.
const RECOVERY: usize = 10;
/// Digits of base32 (RFC 4648, section 6).
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The step of a time in milliseconds.
pub fn step(now: u64) -> u64 {
    now / 1000 / STEP
}

/// When the code of a step is not taken any more, in milliseconds.
pub fn end_of(step: u64) -> u64 {
    // It is taken during the step before, its own, and the one behind.
    step.saturating_add(2).saturating_mul(STEP * 1000)
}

/// The code of a step: six digits.
pub fn code(key: &OtpKey, step: u64) -> Zeroizing<String> {
    Zeroizing::new(format!("{:06}", otp_number(OtpHash::Sha1, key, step) % 1_000_000))
}

/// The step whose code is to be sent now: the first that was not taken yet.
pub fn step_to_send(taken: u64, now: u64) -> u64 {
    // The next one counts as well, should the code of this one have been used.
    step(now).max(taken.saturating_add(1)).min(step(now) + 1)
}

/// The step whose code this is: the one of `now`, the one before or the one behind, if it is newer than the newest that was taken. All are compared.
pub fn step_of(key: &OtpKey, text: &str, taken: u64, now: u64) -> Option<u64> {
    let given = digits(text)?;
    let mut found = None;
    for step in step(now).saturating_sub(1)..=step(now) + 1 {
        let expected = code(key, step);
        let mut padded = [0; 32];
        padded[..6].copy_from_slice(expected.as_bytes());
        if crypto::same(&padded, &given) && step > taken && found.is_none() {
            found = Some(step);
        }
    }
    found
}

/// Six ASCII digits, with blanks around them or not; padded for the comparison.
fn digits(text: &str) -> Option<[u8; 32]> {
    let text = text.trim_matches(' ').as_bytes();
    if text.len() != 6 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut padded = [0; 32];
    padded[..6].copy_from_slice(text);
    Some(padded)
}

/// A new secret for codes, of as many bytes as the hash has (RFC 4226, section 4).
pub fn new_key() -> Result<OtpKey> {
    let mut bytes = Zeroizing::new(vec![0; 20]);
    crypto::random_fill(&mut bytes)?;
    Ok(OtpKey::new(bytes))
}

/// No code is asked for any more, and nothing that made one holds: neither the secret nor an app, nor codes of recovery.
pub fn turn_off(user: &mut User, state: &mut SignIn) -> Result<()> {
    (user.otp, user.otp_new) = (new_key()?, None);
    (user.second_factor, user.app) = (false, false);
    user.recovery.clear();
    // Of the codes of another secret.
    state.step = 0;
    Ok(())
}

/// What an authenticator app reads: `otpauth://totp/ISSUER:NAME?secret=…&issuer=…`.
pub fn uri(key: &OtpKey, issuer: &str, name: &str) -> SecretValue {
    let secret = base32(key.expose());
    let (issuer, name) = (percent(issuer), percent(name));
    let mut uri = Zeroizing::new(String::with_capacity(128 + 2 * issuer.len() + name.len() + secret.len()));
    for part in ["otpauth://totp/", &issuer, ":", &name, "?secret=", &secret, "&issuer=", &issuer] {
        uri.push_str(part);
    }
    SecretValue::from(uri.as_str())
}

/// Bytes as digits of base32, without padding.
pub fn base32(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(5) * 8));
    for chunk in bytes.chunks(5) {
        let mut group = [0; 8];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(group) >> 24;
        for digit in 0..(chunk.len() * 8).div_ceil(5) {
            text.push(char::from(BASE32[(bits >> (35 - 5 * digit)) as usize & 31]));
        }
    }
    text
}

/// New recovery codes, 16 digits of base32 in groups of four, and what they are compared with.
pub fn new_recovery(user: &[u8; 16], vault: &[u8; 16]) -> Result<(Vec<SecretValue>, Vec<[u8; 32]>)> {
    let mut codes = (Vec::new(), Vec::new());
    for _ in 0..RECOVERY {
        let mut bytes = Zeroizing::new([0; 10]);
        crypto::random_fill(bytes.as_mut())?;
        let digits = base32(bytes.as_ref());
        let mut shown = Zeroizing::new(String::with_capacity(19));
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && at % 4 == 0 {
                shown.push('-');
            }
            shown.push(digit);
        }
        codes.0.push(SecretValue::from(shown.as_str()));
        codes.1.push(recovery_verifier(&bytes, user, vault));
    }
    Ok(codes)
}

fn recovery_verifier(code: &[u8; 10], user: &[u8; 16], vault: &[u8; 16]) -> [u8; 32] {
    let mut key = Zeroizing::new([0; 32]);
    key[..10].copy_from_slice(code);
    keyed_hash(&key, Transcript::new(label::RECOVERY_CODE).bytes(vault).bytes(user).as_bytes()).0
}

/// Takes a recovery code, if it is one of the user's that was not used. Returns whether it was.
pub fn take_recovery(user: &mut User, text: &str, vault: &[u8; 16]) -> bool {
    let Some(code) = recovery_code(text) else { return false };
    let verifier = recovery_verifier(&code, &user.uid, vault);
    let before = user.recovery.len();
    user.recovery.retain(|other| !crypto::same(other, &verifier));
    user.recovery.len() < before
}

/// 16 digits of base32, whatever their case, with hyphens and blanks between them or not.
fn recovery_code(text: &str) -> Option<Zeroizing<[u8; 10]>> {
    // Padding is none of ours: there is nothing to pad.
    let digits = otp::base32(text).filter(|_| !text.contains('='))?;
    <[u8; 10]>::try_from(digits.expose()).ok().map(Zeroizing::new)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::crypto::random_key;
    use crate::format::user::{PasswordVerifier, UserKey};
    use crate::secret::DataKey;

    const NOW: u64 = 1_760_000_000_000;

    fn key() -> OtpKey {
        // base32 of JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP
        let half = *b"Hello!\xde\xad\xbe\xef";
        OtpKey::new([half, half].concat().into())
    }

    #[test]
    fn codes_are_those_of_other_programs() {
        assert_eq!(base32(key().expose()).as_str(), "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP");
        let at = |step: u64| code(&key(), step).to_string();
        assert_eq!((at(step(NOW) - 1), at(step(NOW)), at(step(NOW) + 1)), ("259159".into(), "325812".into(), "793635".into()));
        for (bytes, text) in
            [(&b""[..], ""), (b"f", "MY"), (b"fo", "MZXQ"), (b"foo", "MZXW6"), (b"foob", "MZXW6YQ"), (b"fooba", "MZXW6YTB")]
        {
            assert_eq!(base32(bytes).as_str(), text);
        }
    }

    #[test]
    fn each_code_is_taken_once_and_for_a_short_time() {
        let now = step(NOW);
        assert_eq!(step_of(&key(), "325812", 0, NOW), Some(now));
        assert_eq!(step_of(&key(), " 325812 ", 0, NOW), Some(now));
        assert_eq!(step_of(&key(), "259159", 0, NOW), Some(now - 1));
        assert_eq!(step_of(&key(), "793635", 0, NOW), Some(now + 1));
        assert_eq!(step_of(&key(), "325812", now, NOW), None);
        assert_eq!(step_of(&key(), "259159", now, NOW), None);
        assert_eq!(step_of(&key(), "793635", now, NOW), Some(now + 1));
        assert_eq!(step_of(&key(), "325812", 0, NOW + 60_000), None);
        assert_eq!(step_of(&key(), "325812", 0, NOW - 60_000), None);
        for odd in [
            "",
            "32581",
            "3258120",
            "325 812",
            "３２５８１２",
            "325812\n",
            "\u{200b}325812",
            "٣٢٥٨١٢",
            "+25812",
            "32581x",
            "325812\0",
        ] {
            assert_eq!(step_of(&key(), odd, 0, NOW), None, "{odd:?}");
        }
        assert_eq!(end_of(now), (now + 2) * 30_000);
    }

    #[test]
    fn what_is_sent_was_not_taken_yet() {
        let now = step(NOW);
        assert_eq!(step_to_send(0, NOW), now);
        assert_eq!(step_to_send(now, NOW), now + 1);
        // There is none that would be taken.
        assert_eq!(step_to_send(now + 1, NOW), now + 1);
    }

    #[test]
    fn a_recovery_code_is_taken_once() {
        let ring = UserKey { id: [0; 8], created: 0, key: DataKey::new(random_key().unwrap()) };
        let password = PasswordVerifier::Bcrypt { text: String::new(), followed_by: String::new() };
        let mut user = User::new([5; 16], "ann".to_owned(), String::new(), password, key(), ring);
        let (codes, verifiers) = new_recovery(&user.uid, &[7; 16]).unwrap();
        user.recovery = verifiers;
        let text = |at: usize| String::from_utf8(codes[at].expose().to_vec()).unwrap();
        assert_eq!((codes.len(), text(0).len()), (RECOVERY, 19));
        assert!(!take_recovery(&mut user, &text(0), &[8; 16]));
        assert!(take_recovery(&mut user, &text(0), &[7; 16]));
        assert!(!take_recovery(&mut user, &text(0), &[7; 16]));
        assert!(take_recovery(&mut user, &format!(" {}", text(3).replace('-', " ").to_lowercase()), &[7; 16]));
        assert_eq!(user.recovery.len(), RECOVERY - 2);
        let long = "A".repeat(1000);
        for odd in [
            "",
            "AAAA-AAAA-AAAA-AAA1",
            "AAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAA",
            &format!("{}=", text(5)),
            &long,
        ] {
            assert!(!take_recovery(&mut user, odd, &[7; 16]), "{odd}");
        }
    }

    #[test]
    fn the_uri_of_an_app() {
        let uri = uri(&key(), "vault x", "a:b@c");
        let text = std::str::from_utf8(uri.expose()).unwrap();
        assert_eq!(text, "otpauth://totp/vault%20x:a%3Ab%40c?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=vault%20x");
    }
}
