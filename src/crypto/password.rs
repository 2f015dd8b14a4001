//! Verifiers of passwords: Argon2id (RFC 9106) with a secret value, and bcrypt as another program made it.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::CryptoError;
use crate::secret::{Passphrase, PepperSecret};

/// Argon2id version 0x13 of a password, 32 bytes; the pepper is its secret value K.
///
/// # Errors
/// [`CryptoError::Derivation`] for a cost that Argon2 does not know, or without memory for it.
pub fn password_hash(
    password: &Passphrase,
    salt: &[u8; 16],
    (m, t, p): (u64, u64, u64),
    pepper: Option<&PepperSecret>,
) -> Result<[u8; 32], CryptoError> {
    let number = |value: u64| u32::try_from(value).map_err(|_| CryptoError::Derivation);
    let params = Params::new(number(m)?, number(t)?, number(p)?, Some(32)).map_err(|_| CryptoError::Derivation)?;
    let argon = match pepper {
        Some(pepper) => Argon2::new_with_secret(pepper.expose(), Algorithm::Argon2id, Version::V0x13, params)
            .map_err(|_| CryptoError::Derivation)?,
        None => Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
    };
    let mut hash = [0; 32];
    argon.hash_password_into(password.expose(), salt, &mut hash).map_err(|_| CryptoError::Derivation)?;
    Ok(hash)
}

/// The highest cost of bcrypt that is taken over and compared: half a second of work. Each more is twice as long, and what an export says must not stop
/// the server for hours.
pub const BCRYPT_MAX_COST: u32 = 14;

/// The cost of a verifier of bcrypt, a power of two; `None` if the text is none of a kind that is compared here.
pub fn bcrypt_cost(text: &str) -> Option<u32> {
    // `$2x$` marks what one program once made wrong; comparing does not know it from the others.
    let is_known = ["$2a$", "$2b$", "$2y$"].iter().any(|kind| text.starts_with(kind));
    let parts: bcrypt::HashParts = text.parse().ok().filter(|_| is_known)?;
    (4..=31).contains(&parts.get_cost()).then(|| parts.get_cost())
}

/// Whether bcrypt of password ‖ suffix ‖ pepper is `text`. What is behind the 72nd byte does not count: that is how bcrypt was made, and
/// why such a verifier is replaced when its password is seen.
pub fn bcrypt_verify(password: &Passphrase, suffix: &str, pepper: Option<&PepperSecret>, text: &str) -> bool {
    let Ok(parts) = text.parse::<bcrypt::HashParts>() else { return false };
    if parts.get_cost() > BCRYPT_MAX_COST {
        return false;
    }
    let mut input = Zeroizing::new(Vec::with_capacity(72 + 1));
    for part in [password.expose(), suffix.as_bytes(), pepper.map_or(&[][..], PepperSecret::expose)] {
        let room = 72 - input.len();
        input.extend_from_slice(&part[..part.len().min(room)]);
    }
    bcrypt::verify(input.as_slice(), text).unwrap_or(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Passphrase {
        Passphrase::new(text.as_bytes().to_vec().into())
    }

    fn pepper(text: &str) -> PepperSecret {
        PepperSecret::new(text.as_bytes().to_vec().into())
    }

    #[test]
    fn the_pepper_is_part_of_the_hash() {
        let hash = |pepper: Option<&PepperSecret>| password_hash(&secret("password"), &[1; 16], (64, 1, 1), pepper).unwrap();
        let (one, two) = (pepper("one"), pepper("two"));
        assert_ne!(hash(None), hash(Some(&one)));
        assert_ne!(hash(Some(&one)), hash(Some(&two)));
        assert_eq!(hash(Some(&one)), hash(Some(&one)));
        assert!(password_hash(&secret("x"), &[0; 16], (1, 1, 1), None).is_err());
        assert!(password_hash(&secret("x"), &[0; 16], (u64::MAX, 1, 1), None).is_err());
    }

    /// Made with the bcrypt package of Python: the password, the hex digits of a salt, and a pepper.
    #[test]
    fn a_verifier_of_another_program() {
        let text = "$2b$12$JragOS3tyq.cFBuKVGhNVeAL9rbhZRPNuHxwzyHRt2afDiuV3fX/y";
        let suffix = "000102030405060708090a0b0c0d0e0f";
        let verify = |password: &str, suffix: &str, pepper_text: &str, text: &str| {
            bcrypt_verify(&secret(password), suffix, Some(&pepper(pepper_text)), text)
        };
        assert!(verify("StrongP@ssw0rd1!", suffix, "test-pepper", text));
        assert!(!verify("StrongP@ssw0rd1?", suffix, "test-pepper", text));
        assert!(!verify("StrongP@ssw0rd1!", suffix, "test-peppes", text));
        assert!(!verify("StrongP@ssw0rd1!", "00", "test-pepper", text));
        assert!(!verify(
            "StrongP@ssw0rd1!",
            suffix,
            "test-pepper",
            "$2b$31$JragOS3tyq.cFBuKVGhNVeAL9rbhZRPNuHxwzyHRt2afDiuV3fX/y"
        ));
        assert!(!verify("StrongP@ssw0rd1!", suffix, "test-pepper", "no verifier"));
        assert_eq!(bcrypt_cost(text), Some(12));
        for (from, to) in
            [("$2b$", "$2x$"), ("$12$", "$03$"), ("$12$", "$32$"), ("$12$", "$x2$"), ("fX/y", "fX/"), ("fX/y", "fX=y")]
        {
            assert_eq!(bcrypt_cost(&text.replace(from, to)), None, "{to}");
        }
    }

    /// Of a password of 80 bytes, with a salt and a pepper behind it, another program took the first 72, and so do we.
    #[test]
    fn what_is_behind_72_bytes_is_no_part_of_it() {
        let list: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors-foreign/users.json")).unwrap();
        let user = list["users"].as_array().unwrap().iter().find(|user| user["username"] == "long").unwrap();
        let of = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let (text, suffix) = (of(&user["hashed_password"]), of(&user["salt"]));
        let (password, own) = (of(&list["passwords"]["long"]), of(&list["pepper"]));
        assert_eq!((password.len(), suffix.len()), (80, 32));
        let verify = |password: &str, suffix: &str, by: &str| bcrypt_verify(&secret(password), suffix, Some(&pepper(by)), &text);
        assert!(verify(&password, &suffix, &own));
        // Neither the last eight bytes count, nor what follows them.
        assert!(verify(&format!("{}????????", &password[..72]), "00", "another pepper"));
        assert!(verify(&password[..72], &suffix, &own));
        // The 72nd does, and what stands in its place is what follows then.
        assert!(!verify(&format!("{}?{}", &password[..71], &password[72..]), &suffix, &own));
        assert!(!verify(&password[..71], &suffix, &own));
        assert!(verify(&password[..71], &password[71..72], &own));
        assert!(verify(&password[..71], "", &password[71..72]));
    }
}
