//! Passwords of users: their rules, what they are compared with, and what is mixed in.

use std::sync::OnceLock;

use crate::crypto::{self, password_hash};
use crate::format::user::{PasswordVerifier, User};
use crate::secret::{Passphrase, PepperSecret};
use crate::vault::error::Result;

/// Longest password, in bytes.
pub const MAX_PASSWORD: usize = 1024;
/// What a new verifier costs: 46 MiB, one pass, one lane (OWASP Password Storage Cheat Sheet).
pub const COST: (u64, u64, u64) = (46 * 1024, 1, 1);
/// What a mark of a pepper costs: it must not be a shortcut to guessing the pepper.
const MARK_COST: (u64, u64, u64) = (19 * 1024, 2, 1);
const SPECIAL: &str = "!@#$%^&*(),.?\":{}|<>";

/// What a password lacks, in the words of the API; the first of what it lacks.
pub fn weakness(password: &str) -> Option<&'static str> {
    if password.chars().count() < 8 {
        return Some("Password must be at least 8 characters long");
    }
    if !password.chars().any(|c| c.is_ascii_uppercase()) {
        return Some("Password must contain at least one uppercase letter");
    }
    if !password.chars().any(|c| c.is_ascii_digit()) {
        return Some("Password must contain at least one digit");
    }
    if !password.chars().any(|c| SPECIAL.contains(c)) {
        return Some("Password must contain at least one special character");
    }
    (password.len() > MAX_PASSWORD).then_some("Password must have at most 1024 bytes")
}

/// A pepper, and what it is known by.
struct Pepper {
    secret: PepperSecret,
    mark: OnceLock<[u8; 8]>,
}

/// The pepper that new verifiers get, and older ones that still verify.
#[derive(Default)]
pub struct Peppers {
    current: Option<Pepper>,
    older: Vec<Pepper>,
}

impl Peppers {
    /// The current one, and those before.
    pub fn new(current: Option<PepperSecret>, older: Vec<PepperSecret>) -> Self {
        let pepper = |secret| Pepper { secret, mark: OnceLock::new() };
        Self { current: current.map(pepper), older: older.into_iter().map(pepper).collect() }
    }

    fn find(&self, mark: Option<&[u8; 8]>, vault: &[u8; 16]) -> Result<Option<Option<&PepperSecret>>> {
        let Some(mark) = mark else { return Ok(Some(None)) };
        for pepper in self.current.iter().chain(&self.older) {
            if mark_of(pepper, vault)? == *mark {
                return Ok(Some(Some(&pepper.secret)));
            }
        }
        Ok(None)
    }

    fn current(&self, vault: &[u8; 16]) -> Result<(Option<&PepperSecret>, Option<[u8; 8]>)> {
        match &self.current {
            Some(pepper) => Ok((Some(&pepper.secret), Some(mark_of(pepper, vault)?))),
            None => Ok((None, None)),
        }
    }
}

fn mark_of(pepper: &Pepper, vault: &[u8; 16]) -> Result<[u8; 8]> {
    if let Some(mark) = pepper.mark.get() {
        return Ok(*mark);
    }
    let hash = password_hash(&Passphrase::new(pepper.secret.expose().to_vec().into()), vault, MARK_COST, None)?;
    let mut mark = [0; 8];
    mark.copy_from_slice(&hash[..8]);
    Ok(*pepper.mark.get_or_init(|| mark))
}

/// What a password proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// Nothing.
    Wrong,
    /// It is the user's.
    Right,
    /// Nothing can be said: the verifier was made with a pepper that is not at hand.
    Unknown,
    /// It is the user's, and its verifier is to be made anew: it is another program's, of another cost or pepper.
    Stale,
}

impl Proof {
    /// Whether it is the user's.
    pub fn is_right(self) -> bool {
        matches!(self, Self::Right | Self::Stale)
    }
}

/// A verifier of a password as new ones are.
pub struct NewPassword {
    /// What the password is compared with.
    pub verifier: PasswordVerifier,
    /// Which pepper it was made with.
    pub pepper: Option<[u8; 8]>,
}

/// Makes a verifier. It takes long, and 46 MiB.
pub fn new_verifier(password: &Passphrase, peppers: &Peppers, vault: &[u8; 16]) -> Result<NewPassword> {
    let salt = crypto::random()?;
    let (secret, pepper) = peppers.current(vault)?;
    let (m, t, p) = COST;
    let hash = password_hash(password, &salt, COST, secret)?;
    Ok(NewPassword { verifier: PasswordVerifier::Argon2id { m, t, p, salt, hash }, pepper })
}

/// Compares a password with a user's verifier. It takes long, and as long for a user that there is not.
pub fn prove(user: Option<&User>, password: &Passphrase, peppers: &Peppers, vault: &[u8; 16]) -> Result<Proof> {
    let nobody = PasswordVerifier::Argon2id { m: COST.0, t: COST.1, p: COST.2, salt: *vault, hash: [0; 32] };
    let verifier = user.map_or(&nobody, |user| &user.password);
    let (current, current_mark) = peppers.current(vault)?;
    let mark = user.map_or(current_mark, |user| user.pepper);
    // Of a pepper that is not at hand nothing can be proved; the work is done all the same.
    let found = peppers.find(mark.as_ref(), vault)?;
    let secret = found.unwrap_or(current);
    let (is_right, is_new) = match verifier {
        PasswordVerifier::Argon2id { m, t, p, salt, hash } => {
            let derived = password_hash(password, salt, (*m, *t, *p), secret)?;
            (crypto::same(&derived, hash), (*m, *t, *p) == COST && mark == current_mark)
        }
        PasswordVerifier::Bcrypt { text, followed_by } => {
            // What was imported has the pepper's mark, if there was one.
            (crypto::bcrypt_verify(password, followed_by, secret, text), false)
        }
    };
    Ok(match is_right && user.is_some() {
        _ if found.is_none() => Proof::Unknown,
        false => Proof::Wrong,
        true if is_new => Proof::Right,
        true => Proof::Stale,
    })
}

impl Peppers {
    /// What a verifier is known by that was made with the current pepper.
    pub fn mark(&self, vault: &[u8; 16]) -> Result<Option<[u8; 8]>> {
        self.current(vault).map(|(_, mark)| mark)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::format::user::UserKey;
    use crate::secret::{DataKey, OtpKey};

    const ID: [u8; 16] = [7; 16];

    fn text(text: &str) -> Passphrase {
        Passphrase::new(text.as_bytes().to_vec().into())
    }

    fn peppers(current: Option<&str>, older: &[&str]) -> Peppers {
        let secret = |text: &str| PepperSecret::new(text.as_bytes().to_vec().into());
        Peppers::new(current.map(secret), older.iter().map(|text| secret(text)).collect())
    }

    fn user(password: NewPassword) -> User {
        let key = UserKey { id: [0; 8], created: 0, key: DataKey::new(crypto::random_key().unwrap()) };
        let otp = OtpKey::new(vec![0; 20].into());
        let mut user = User::new([0; 16], "ann".to_owned(), String::new(), password.verifier, otp, key);
        user.pepper = password.pepper;
        user
    }

    #[test]
    fn the_first_that_is_missing_is_named() {
        for (password, lacks) in [
            ("Ab1!", "8 characters"),
            ("short", "8 characters"),
            ("abcdefgh", "uppercase"),
            ("éÉxxxxxx", "uppercase"),
            ("Abcdefgh", "digit"),
            ("Abcdefg1", "special"),
            ("Abcdefg1-", "special"),
        ] {
            assert!(weakness(password).unwrap().contains(lacks), "{password}");
        }
        assert!(weakness("Abcdefg1!").is_none() && weakness(&format!("A1!{}", "x".repeat(1021))).is_none());
        assert!(weakness(&format!("A1!{}", "x".repeat(1022))).unwrap().contains("1024"));
        for special in SPECIAL.chars() {
            assert!(weakness(&format!("Abcdefg1{special}")).is_none(), "{special}");
        }
    }

    #[test]
    fn an_older_pepper_verifies_and_is_replaced() {
        let none = peppers(None, &[]);
        let one = peppers(Some("one"), &[]);
        let plain = user(new_verifier(&text("right"), &none, &ID).unwrap());
        let peppered = user(new_verifier(&text("right"), &one, &ID).unwrap());
        assert_eq!(prove(Some(&plain), &text("right"), &none, &ID).unwrap(), Proof::Right);
        assert_eq!(prove(Some(&plain), &text("wrong"), &none, &ID).unwrap(), Proof::Wrong);
        assert_eq!(prove(Some(&plain), &text("right"), &one, &ID).unwrap(), Proof::Stale);
        assert_eq!(prove(Some(&peppered), &text("right"), &one, &ID).unwrap(), Proof::Right);
        assert_eq!(prove(Some(&peppered), &text("right"), &peppers(Some("two"), &["one"]), &ID).unwrap(), Proof::Stale);
        // Without it nothing is proved, by nobody.
        assert_eq!(prove(Some(&peppered), &text("right"), &peppers(Some("two"), &[]), &ID).unwrap(), Proof::Unknown);
        assert_eq!(prove(Some(&peppered), &text("right"), &none, &ID).unwrap(), Proof::Unknown);
        assert_eq!(prove(None, &text("right"), &one, &ID).unwrap(), Proof::Wrong);
    }

    #[test]
    fn what_another_program_made_is_replaced() {
        let verifier = PasswordVerifier::Bcrypt {
            text: "$2b$12$JragOS3tyq.cFBuKVGhNVeAL9rbhZRPNuHxwzyHRt2afDiuV3fX/y".to_owned(),
            followed_by: "000102030405060708090a0b0c0d0e0f".to_owned(),
        };
        let peppers = peppers(Some("test-pepper"), &[]);
        let user = user(NewPassword { verifier, pepper: peppers.mark(&ID).unwrap() });
        assert_eq!(prove(Some(&user), &text("StrongP@ssw0rd1!"), &peppers, &ID).unwrap(), Proof::Stale);
        assert_eq!(prove(Some(&user), &text("StrongP@ssw0rd1"), &peppers, &ID).unwrap(), Proof::Wrong);
    }
}
