//! Records of users of the server (SPEC, section 6).

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::FormatError;
use super::cbor::{self, Unknown, array, array_len, malformed, read_map};
pub use super::datum::{Datum, MAX_TYPE};
pub use super::sign_in::{MAX_FAILURES, MAX_STRANGERS, SignIn, Stranger, Strangers};
use crate::secret::{DataKey, OtpKey};

/// Longest name, in bytes.
pub const MAX_NAME: usize = 1024;
/// Longest e-mail address, in bytes (RFC 5321, section 4.5.3.1.3, without the angle brackets).
pub const MAX_EMAIL: usize = 254;
/// Most keys in the ring of a user.
pub const MAX_KEYS: usize = 4096;
/// Most recovery codes.
pub const MAX_RECOVERY: usize = 32;
/// Longest text of a foreign verifier and of what follows its password, in bytes.
const MAX_FOREIGN: usize = 1024;
/// Lengths of the secrets of one-time codes, in bytes.
const OTP_KEY: std::ops::RangeInclusive<usize> = 10..=64;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads what is theirs.
    Reader,
    /// Reads and writes what is theirs.
    Writer,
    /// That, and administers users and the master key.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Writer, Self::Admin];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Admin => "admin",
        }
    }

    /// The role of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// What a password is compared with.
#[derive(Clone, PartialEq, Eq)]
pub enum PasswordVerifier {
    /// Argon2id (RFC 9106), version 0x13.
    Argon2id {
        /// Memory in KiB.
        m: u64,
        /// Passes.
        t: u64,
        /// Lanes.
        p: u64,
        /// Random.
        salt: [u8; 16],
        /// What the derivation gives.
        hash: [u8; 32],
    },
    /// bcrypt, as another program made it.
    Bcrypt {
        /// `$2b$…`.
        text: String,
        /// What the password was followed by, before the pepper.
        followed_by: String,
    },
}

/// A key of a user's ring.
pub struct UserKey {
    /// Tells it from the others.
    pub id: [u8; 8],
    /// When it was made, in milliseconds.
    pub created: u64,
    /// The key.
    pub key: DataKey,
}

/// A user, with what proves a password and a second factor, and with the keys of their data.
pub struct User {
    /// Stays with the user.
    pub uid: [u8; 16],
    /// The name as it was given.
    pub name: String,
    /// Where codes go.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// When the user was made, in milliseconds.
    pub created: u64,
    /// What the password is compared with.
    pub password: PasswordVerifier,
    /// Which pepper the verifier was made with.
    pub pepper: Option<[u8; 8]>,
    /// The number of the session: a session of a lower one is over.
    pub session: u64,
    /// What codes are made from.
    pub otp: OtpKey,
    /// What codes will be made from, once a code has shown that it arrived.
    pub otp_new: Option<OtpKey>,
    /// Whether a code is asked for.
    pub second_factor: bool,
    /// Verifiers of recovery codes that were not used yet.
    pub recovery: Vec<[u8; 32]>,
    /// When the user was disabled.
    pub disabled: Option<u64>,
    /// Whether an app makes the codes, and none is sent.
    pub app: bool,
    /// Keys of what they keep, the last seals.
    pub ring: Vec<UserKey>,
    unknown: Unknown,
}

impl User {
    /// The kind of the system records that hold users; their names are the marks of the users' names.
    pub const RECORD: &'static str = "user";

    /// A writer whose password verifier, code secret and first key are these.
    pub fn new(uid: [u8; 16], name: String, email: String, password: PasswordVerifier, otp: OtpKey, key: UserKey) -> Self {
        Self {
            uid,
            name,
            email,
            role: Role::Writer,
            created: key.created,
            password,
            pepper: None,
            session: 0,
            otp,
            otp_new: None,
            second_factor: false,
            recovery: Vec::new(),
            disabled: None,
            app: false,
            ring: vec![key],
            unknown: Unknown::default(),
        }
    }

    /// The key that seals new data.
    pub fn newest_key(&self) -> &UserKey {
        // A record without a key is not read.
        &self.ring[self.ring.len() - 1]
    }

    /// Whether it can be kept.
    pub fn fits(&self) -> bool {
        let otp_fits = |key: &OtpKey| OTP_KEY.contains(&key.expose().len());
        let password_fits = match &self.password {
            PasswordVerifier::Argon2id { m, t, p, .. } => {
                // What a derivation may cost, whoever wrote the record.
                *p >= 1 && *p <= 16 && *t >= 1 && *t <= 16 && *m >= 8 * p && *m <= 256 * 1024
            }
            PasswordVerifier::Bcrypt { text, followed_by } => text.len() <= MAX_FOREIGN && followed_by.len() <= MAX_FOREIGN,
        };
        (1..=MAX_NAME).contains(&self.name.len())
            && self.email.len() <= MAX_EMAIL
            && password_fits
            && otp_fits(&self.otp)
            && self.otp_new.as_ref().is_none_or(otp_fits)
            && self.recovery.len() <= MAX_RECOVERY
            && (1..=MAX_KEYS).contains(&self.ring.len())
            && self.ring.windows(2).all(|pair| (pair[0].created, pair[0].id) < (pair[1].created, pair[1].id))
    }

    /// The record's bytes.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Room for all of it, so that growing leaves no copy of a key behind.
        let capacity = 1024 + self.name.len() + 64 * self.ring.len() + 40 * self.recovery.len() + 2 * MAX_FOREIGN;
        cbor::encode(capacity, |e| {
            let followed_by = match &self.password {
                PasswordVerifier::Bcrypt { followed_by, .. } if !followed_by.is_empty() => Some(followed_by),
                _ => None,
            };
            let optional = [
                self.pepper.is_some(),
                self.otp_new.is_some(),
                followed_by.is_some(),
                !self.recovery.is_empty(),
                self.disabled.is_some(),
                self.app,
            ];
            let optional = optional.into_iter().filter(|there| *there).count() as u64;
            e.map(10 + optional + self.unknown.count())?.u8(0)?.bytes(&self.uid)?.u8(1)?.str(&self.name)?;
            e.u8(2)?.str(&self.email)?.u8(3)?.u8(self.role as u8)?.u8(4)?.u64(self.created)?.u8(5)?;
            match &self.password {
                PasswordVerifier::Argon2id { m, t, p, salt, hash } => {
                    e.array(6)?.u8(0)?.u64(*m)?.u64(*t)?.u64(*p)?.bytes(salt)?.bytes(hash)?;
                }
                PasswordVerifier::Bcrypt { text, .. } => {
                    e.array(2)?.u8(1)?.str(text)?;
                }
            }
            e.u8(6)?.u64(self.session)?.u8(7)?.bytes(self.otp.expose())?.u8(8)?.bool(self.second_factor)?;
            e.u8(9)?.array(self.ring.len() as u64)?;
            for key in &self.ring {
                e.array(3)?.bytes(&key.id)?.u64(key.created)?.bytes(key.key.expose())?;
            }
            if let Some(pepper) = &self.pepper {
                e.u8(10)?.bytes(pepper)?;
            }
            if let Some(otp) = &self.otp_new {
                e.u8(11)?.bytes(otp.expose())?;
            }
            if let Some(text) = followed_by {
                e.u8(12)?.str(text)?;
            }
            if !self.recovery.is_empty() {
                e.u8(13)?.array(self.recovery.len() as u64)?;
                for verifier in &self.recovery {
                    e.bytes(verifier)?;
                }
            }
            if let Some(disabled) = self.disabled {
                e.u8(14)?.u64(disabled)?;
            }
            if self.app {
                e.u8(15)?.bool(true)?;
            }
            e.writer_mut().extend_from_slice(self.unknown.bytes());
            Ok(())
        })
    }

    /// Reads the record's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let user = cbor::decode(bytes, Self::read, Self::encode)?;
        if user.fits() { Ok(user) } else { Err(malformed()) }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let none = PasswordVerifier::Bcrypt { text: String::new(), followed_by: String::new() };
        let key = UserKey { id: [0; 8], created: 0, key: DataKey::new(Zeroizing::new([0; 32])) };
        let mut user = Self::new([0; 16], String::new(), String::new(), none, OtpKey::new(Vec::new().into()), key);
        user.ring.clear();
        let unknown = read_map(d, |field, d| {
            match field {
                0 => user.uid = array(d)?,
                1 => d.str()?.clone_into(&mut user.name),
                2 => d.str()?.clone_into(&mut user.email),
                3 => user.role = read_role(d)?,
                4 => user.created = d.u64()?,
                5 => user.password = read_password(d)?,
                6 => user.session = d.u64()?,
                7 => user.otp = OtpKey::new(d.bytes()?.to_vec().into()),
                8 => user.second_factor = d.bool()?,
                9 => user.ring = read_ring(d)?,
                10 => user.pepper = Some(array(d)?),
                11 => user.otp_new = Some(OtpKey::new(d.bytes()?.to_vec().into())),
                12 => match &mut user.password {
                    PasswordVerifier::Bcrypt { followed_by, .. } => d.str()?.clone_into(followed_by),
                    PasswordVerifier::Argon2id { .. } => return Err(malformed()),
                },
                13 => user.recovery = read_recovery(d)?,
                14 => user.disabled = Some(d.u64()?),
                15 => user.app = d.bool()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        user.unknown = unknown;
        Ok(user)
    }
}

fn read_role(d: &mut Decoder<'_>) -> Result<Role, FormatError> {
    match d.u64()? {
        0 => Ok(Role::Reader),
        1 => Ok(Role::Writer),
        2 => Ok(Role::Admin),
        _ => Err(FormatError::Newer("a user has a role that this version does not know".to_owned())),
    }
}

fn read_password(d: &mut Decoder<'_>) -> Result<PasswordVerifier, FormatError> {
    match (array_len(d)?, d.u64()?) {
        (6, 0) => Ok(PasswordVerifier::Argon2id { m: d.u64()?, t: d.u64()?, p: d.u64()?, salt: array(d)?, hash: array(d)? }),
        (2, 1) => Ok(PasswordVerifier::Bcrypt { text: d.str()?.to_owned(), followed_by: String::new() }),
        (_, 0 | 1) => Err(malformed()),
        _ => Err(FormatError::Newer("a user has a password verifier of a kind that this version does not know".to_owned())),
    }
}

fn read_ring(d: &mut Decoder<'_>) -> Result<Vec<UserKey>, FormatError> {
    let length = array_len(d)?;
    if length > MAX_KEYS as u64 {
        return Err(malformed());
    }
    let mut ring = Vec::with_capacity(length as usize);
    for _ in 0..length {
        if array_len(d)? != 3 {
            return Err(malformed());
        }
        ring.push(UserKey { id: array(d)?, created: d.u64()?, key: DataKey::new(Zeroizing::new(array(d)?)) });
    }
    Ok(ring)
}

fn read_recovery(d: &mut Decoder<'_>) -> Result<Vec<[u8; 32]>, FormatError> {
    let length = array_len(d)?;
    if length > MAX_RECOVERY as u64 {
        return Err(malformed());
    }
    (0..length).map(|_| array(d)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(created: u64) -> UserKey {
        UserKey { id: [0; 8], created, key: DataKey::new(Zeroizing::new([9; 32])) }
    }

    fn user() -> User {
        let password = PasswordVerifier::Argon2id { m: 47104, t: 1, p: 1, salt: [1; 16], hash: [2; 32] };
        User::new([3; 16], "Ann".to_owned(), "ann@example.org".to_owned(), password, OtpKey::new(vec![4; 20].into()), key(1))
    }

    fn returns(user: &User) -> bool {
        User::decode(&user.encode()).is_ok_and(|read| read.encode() == user.encode())
    }

    #[test]
    fn users_return() {
        let mut user = user();
        assert!(returns(&user));
        user.password = PasswordVerifier::Bcrypt { text: "$2b$12$x".to_owned(), followed_by: "salt".to_owned() };
        (user.pepper, user.otp_new) = (Some([5; 8]), Some(OtpKey::new(vec![6; 32].into())));
        (user.second_factor, user.recovery, user.disabled) = (true, vec![[7; 32], [8; 32]], Some(11));
        (user.role, user.session, user.app) = (Role::Admin, 3, true);
        user.ring.push(key(4));
        assert!(returns(&user));
        let read = User::decode(&user.encode()).unwrap();
        assert!(read.password == user.password && read.recovery == user.recovery && read.newest_key().created == 4);
    }

    #[test]
    fn what_breaks_the_limits_is_refused() {
        let with = |change: &dyn Fn(&mut User)| {
            let mut user = user();
            change(&mut user);
            User::decode(&user.encode()).err()
        };
        assert!(with(&|_| {}).is_none());
        assert!(with(&|user| user.name.clear()).is_some());
        assert!(with(&|user| user.name = "x".repeat(MAX_NAME + 1)).is_some());
        assert!(with(&|user| user.email = "x".repeat(MAX_EMAIL + 1)).is_some());
        assert!(with(&|user| user.ring.clear()).is_some());
        assert!(with(&|user| user.ring = vec![key(2), key(2)]).is_some());
        assert!(with(&|user| user.otp = OtpKey::new(vec![0; 9].into())).is_some());
        assert!(with(&|user| user.recovery = vec![[0; 32]; MAX_RECOVERY + 1]).is_some());
        let cost = |m, t, p| PasswordVerifier::Argon2id { m, t, p, salt: [0; 16], hash: [0; 32] };
        for (m, t, p) in [(7, 1, 1), (1 << 20, 1, 1), (64, 0, 1), (64, 17, 1), (64, 1, 0), (512, 1, 17)] {
            assert!(with(&|user| user.password = cost(m, t, p)).is_some(), "{m} {t} {p}");
        }
    }

    #[test]
    fn a_user_of_a_newer_format_is_refused_as_such() {
        let bytes = user().encode();
        // Key 3 with the role, 1, and key 4.
        let at = bytes.windows(3).position(|three| three == [3, 1, 4]).unwrap();
        let mut newer = bytes.to_vec();
        newer[at + 1] = 3;
        assert!(matches!(User::decode(&newer), Err(FormatError::Newer(_))));
    }
}
