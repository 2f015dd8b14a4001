//! Foreign keys: versions of a key, with their salts, from which other programs derive the keys of Fernet tokens. The vault keeps them as system
//! records, so that such tokens open without those programs, and new ones can be made for them.
//!
//! Their home is the environment, or a dotenv file: `ENCRYPTION_KEYS__v1`, `ENCRYPTION_SALT__v1`, `ENCRYPTION_SALT_HASH__v1`,
//! `ACTIVE_ENCRYPTION_VERSION`, `ENCRYPTION_ENV_CHECKSUM`.

mod checksum;
mod salt;

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use checksum::CHECKSUM;
pub use checksum::{verify_checksum, with_checksum};
pub(super) use salt::from_hex;
use salt::normalise;

use super::Vault;
use super::error::{Error, ErrorKind, Result};
use crate::crypto::{FernetToken, derive_fernet_key, sha256};
use crate::format::foreign::{ActiveVersion, ForeignKeyRecord, MAX_ITERATIONS, MAX_SALT, MAX_SECRET, is_version};
use crate::format::header::hex;
use crate::secret::{FernetKey, ForeignSecret, SecretValue};
use crate::store::{Snapshot, Walk};

/// A variable: its name, and its value.
pub type Variable = (String, Zeroizing<String>);

const KIND: &str = "foreign-key";
const KEY: &str = "ENCRYPTION_KEYS__";
const SALT: &str = "ENCRYPTION_SALT__";
const SALT_HASH: &str = "ENCRYPTION_SALT_HASH__";
const ACTIVE: &str = "ACTIVE_ENCRYPTION_VERSION";

/// Versions of a foreign key, and which of them is the active one.
#[derive(Default)]
pub struct ForeignKeys {
    keys: BTreeMap<String, ForeignKeyRecord>,
    active: Option<String>,
}

impl ForeignKeys {
    /// Rounds of the derivation where nothing else is said.
    pub const ITERATIONS: u32 = 100_000;

    /// Whether a variable belongs to the keys.
    pub fn is_variable(name: &str) -> bool {
        name == ACTIVE || name == CHECKSUM || [KEY, SALT, SALT_HASH].iter().any(|prefix| starts_with(name, prefix))
    }

    /// The keys that variables hold; none if no variable names one. A single version is the active one if nothing else is said.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for a key without a salt, a name or a salt that cannot be used, or an active version that is not there;
    /// [`ErrorKind::Conflict`] if a version is there twice; [`ErrorKind::Damaged`] if the hash of a salt does not hold.
    pub fn from_variables(variables: &[Variable], iterations: u32, now: u64) -> Result<Self> {
        let find = |prefix: &str, version: &str| {
            let wanted = variables
                .iter()
                .find(|(name, _)| starts_with(name, prefix) && name[prefix.len()..].eq_ignore_ascii_case(version));
            wanted.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        let mut found = Self::default();
        for (name, key) in variables {
            let Some(version) = name.strip_prefix(KEY).map(str::to_ascii_lowercase) else { continue };
            if key.is_empty() {
                continue;
            }
            if !is_version(&version) {
                return Err(Error::usage("the name of a key's version is up to 100 letters, digits, '_', '-' and '.'"));
            }
            let salt = find(SALT, &version)
                .ok_or_else(|| Error::usage(format!("the key '{version}' has no salt")).hint(format!("set {SALT}{version}")))?;
            let salt = normalise(salt).map_err(|what| Error::usage(format!("the salt of the key '{version}' {what}")))?;
            if find(SALT_HASH, &version).is_some_and(|hash| !hash.eq_ignore_ascii_case(&hex(&sha256(&salt)))) {
                let message = format!("the salt of the key '{version}' is not the one that {SALT_HASH}{version} is of");
                return Err(Error::new(ErrorKind::Damaged, "salt_hash", message));
            }
            let secret = ForeignSecret::new(Zeroizing::new(key.as_bytes().to_vec()));
            let record = ForeignKeyRecord::new(secret, salt, iterations, now).ok_or_else(|| {
                let bounds =
                    format!("a key is at most {MAX_SECRET} bytes, a salt {MAX_SALT}, and rounds are 1 to {MAX_ITERATIONS}");
                Error::usage(format!("the key '{version}' cannot be used: {bounds}"))
            })?;
            if found.keys.insert(version.clone(), record).is_some() {
                return Err(exists(&version, "there twice"));
            }
        }
        let active = variables.iter().find(|(name, _)| name == ACTIVE).map(|(_, value)| value.trim_matches(['"', '\'']));
        found.active = match active.filter(|active| !active.is_empty()) {
            Some(active) => Some(active.to_ascii_lowercase()),
            None if found.keys.len() == 1 => found.keys.keys().next().cloned(),
            None => None,
        };
        Ok(found)
    }

    /// The variables that hold all of the keys, so that [`Self::from_variables`] and the programs that they are from read them back.
    pub fn to_variables(&self) -> Result<Vec<Variable>> {
        let mut variables = Vec::new();
        let mut put = |name: String, value: &str| variables.push((name, Zeroizing::new(value.to_owned())));
        for (version, key) in &self.keys {
            let text = std::str::from_utf8(key.secret.expose())
                .map_err(|_| Error::new(ErrorKind::Internal, "internal", "a foreign key is not text"))?;
            put(format!("{KEY}{version}"), text);
            // Hex is the one spelling that nobody reads as another; for a salt of no bytes there is none, and padding alone means that.
            let salt = if key.salt.is_empty() { "====".to_owned() } else { hex(&key.salt) };
            put(format!("{SALT}{version}"), &salt);
            put(format!("{SALT_HASH}{version}"), &hex(&sha256(&key.salt)));
        }
        if let Some(active) = &self.active {
            put(ACTIVE.to_owned(), active);
        }
        Ok(variables)
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The names of the versions, ascending.
    pub fn versions(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// The active version.
    pub fn active(&self) -> Option<&str> {
        self.active.as_deref()
    }

    /// Whether there is this version; upper and lower case are the same.
    pub fn has(&self, version: &str) -> bool {
        self.keys.contains_key(&version.to_ascii_lowercase())
    }

    /// A version that both hold with another key, salt or number of rounds.
    pub fn differs_from<'a>(&'a self, other: &Self) -> Option<&'a str> {
        let differs = |version: &str, key: &ForeignKeyRecord| {
            other.keys.get(version).is_some_and(|other| other.secret.expose() != key.secret.expose() || other.salt != key.salt)
        };
        self.keys.iter().find(|(version, key)| differs(version, key)).map(|(version, _)| version.as_str())
    }

    /// Opens a token: with the version of the hint, then the active one, then the others. Returns which it was.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no version of the hint's name, [`ErrorKind::Damaged`] if no version opens the token.
    pub fn open(&self, token: &FernetToken, hint: Option<&str>) -> Result<(&str, SecretValue)> {
        let hint = hint.map(str::to_ascii_lowercase);
        if let Some(hint) = hint.as_deref().filter(|hint| !self.has(hint)) {
            return Err(no_version(hint));
        }
        let first = [hint.as_deref(), self.active()].into_iter().flatten();
        let mut tried: Vec<&str> = Vec::new();
        for version in first.chain(self.versions()) {
            let Some((version, key)) = self.keys.get_key_value(version) else { continue };
            if tried.contains(&version.as_str()) {
                continue;
            }
            tried.push(version);
            if let Ok(plaintext) = token.open(&derive(key)) {
                return Ok((version, SecretValue::new(plaintext)));
            }
        }
        Err(unopened(tried.len()))
    }

    /// Makes a token under a version, or the active one. Returns which it was.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such version, or no active one.
    pub fn seal(&self, version: Option<&str>, plaintext: &[u8], now: u64) -> Result<(&str, FernetToken)> {
        let wanted = version.map(str::to_ascii_lowercase).or_else(|| self.active.clone());
        let Some(wanted) = wanted else {
            return Err(Error::new(ErrorKind::NotFound, "key_not_found", "the vault holds no active foreign key")
                .hint("`vault key import-env` takes them over, or say which one with --key-version"));
        };
        let (version, key) = self.keys.get_key_value(&wanted).ok_or_else(|| no_version(&wanted))?;
        Ok((version, FernetToken::seal(&derive(key), plaintext, now / 1000)?))
    }

    pub(super) fn read(vault: &Vault, snapshot: &dyn Snapshot) -> Result<Self> {
        let mut found = Self::default();
        vault.system_range_in(snapshot, KIND, &mut |version, content| {
            if version.is_empty() {
                found.active = Some(ActiveVersion::decode(&content)?.version);
            } else if is_version(version) {
                found.keys.insert(version.to_owned(), ForeignKeyRecord::decode(&content)?);
            } else {
                return Err(crate::format::FormatError::Malformed("the name of a foreign key is malformed").into());
            }
            Ok(Walk::Continue(()))
        })?;
        if found.active().is_some_and(|active| !found.has(active)) {
            return Err(crate::format::FormatError::Malformed("the active foreign key is not there").into());
        }
        Ok(found)
    }
}

impl Vault {
    /// The foreign keys that the vault keeps.
    ///
    /// # Errors
    /// [`ErrorKind::NotPermitted`] with a limited key.
    pub fn foreign_keys(&self) -> Result<ForeignKeys> {
        self.read(&mut |state| ForeignKeys::read(self, state.as_ref()))
    }

    /// Takes over foreign keys, all of them or none; if they say which one is active, it becomes so. Returns what the user should know though the
    /// write holds.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if a version is there already: it would be lost, and all that it encrypted with it. [`ErrorKind::Usage`] if the
    /// active version is in neither.
    pub fn add_foreign_keys(&self, keys: &ForeignKeys, now: u64) -> Result<Option<String>> {
        self.change(now, &mut |snapshot, batch| {
            let there = ForeignKeys::read(self, snapshot)?;
            for (version, key) in &keys.keys {
                if there.has(version) {
                    return Err(exists(version, "there already"));
                }
                self.system_put_in(batch, KIND, version, &key.encode())?;
            }
            let active = keys.active().or(there.active());
            match active {
                Some(active) if keys.has(active) || there.has(active) => {
                    self.system_put_in(batch, KIND, "", &ActiveVersion::new(active).encode())
                }
                Some(active) => Err(Error::usage(format!("the active version '{active}' is none of the keys"))),
                None => {
                    Err(Error::usage("there are several keys, and none is said to be the active one")
                        .hint(format!("set {ACTIVE}")))
                }
            }
        })
        .map(|((), note)| note)
    }
}

/// Refuses a token that is older than `max_age`, or from the future (by more than a minute, as clocks differ); all in milliseconds. To be asked of
/// a token that was opened: before, its time is anybody's word.
pub fn check_age(token: &FernetToken, max_age: u64, now: u64) -> Result<()> {
    const SKEW: u64 = 60;
    let now = now / 1000;
    if token.seconds() > now.saturating_add(SKEW) {
        return Err(Error::new(ErrorKind::Damaged, "token_from_the_future", "the token says that it was made in the future")
            .hint("look at the clocks of both machines; without --max-age the time is not judged"));
    }
    if token.seconds().saturating_add(max_age / 1000) < now {
        return Err(Error::new(ErrorKind::Expired, "token_expired", "the token is older than --max-age"));
    }
    Ok(())
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn derive(key: &ForeignKeyRecord) -> FernetKey {
    derive_fernet_key(&key.secret, &key.salt, key.iterations)
}

fn exists(version: &str, how: &str) -> Error {
    Error::new(ErrorKind::Conflict, "exists", format!("the foreign key '{version}' is {how}; nothing was changed"))
        .hint("a version is never replaced: what it encrypted could not be read again")
}

fn no_version(version: &str) -> Error {
    Error::new(ErrorKind::NotFound, "key_not_found", format!("there is no foreign key '{version}'"))
        .hint("`vault key import-env` takes keys over")
}

fn unopened(tried: usize) -> Error {
    match tried {
        0 => Error::new(ErrorKind::Locked, "no_key", "this is a Fernet token, and there is no foreign key to open it with")
            .hint("`vault key import-env` takes keys over"),
        _ => Error::new(
            ErrorKind::Damaged,
            "damaged_token",
            format!("the token is damaged, or was made with another key (tried: {tried})"),
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use base64::Engine as _;
    use serde_json::Value;

    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::vault::Options;

    const HOUR: u64 = 3_600_000;

    fn variables(pairs: &[(&str, &str)]) -> Vec<Variable> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Zeroizing::new((*value).to_owned()))).collect()
    }

    fn keys(pairs: &[(&str, &str)]) -> Result<ForeignKeys> {
        ForeignKeys::from_variables(&variables(pairs), 1, 7)
    }

    fn two() -> ForeignKeys {
        let pairs = [
            ("ENCRYPTION_KEYS__V1", "first"),
            ("ENCRYPTION_SALT__v1", "salt"),
            ("ENCRYPTION_KEYS__v2", "second"),
            ("encryption_salt__V2", "hex:00ff"),
            ("ACTIVE_ENCRYPTION_VERSION", "'V2'"),
        ];
        keys(&pairs).unwrap()
    }

    fn vault() -> Vault {
        Vault::over(Arc::new(MemoryStore::new()), Options::default()).unwrap()
    }

    fn made() -> Value {
        serde_json::from_str(include_str!("../../../tests/vectors-foreign/fernet.json")).unwrap()
    }

    /// The examples of the original library's own documentation, of which all but the last are read as something that they do not look like.
    #[test]
    fn salts_are_guessed_as_the_original_does() {
        for (text, bytes) in [
            ("old-salt", &[0xa2, 0x57, 0x7e, 0xb1, 0xa9, 0x6d][..]),
            ("new-salt", &[0x9d, 0xec, 0x3e, 0xb1, 0xa9, 0x6d]),
            ("salt", &[0xb1, 0xa9, 0x6d]),
            ("1234", &[0x12, 0x34]),
            ("random-salt-value", b"random-salt-value"),
            ("text:old-salt", b"old-salt"),
            ("hex:73616c74", b"salt"),
            ("b64:c2FsdA==", b"salt"),
            ("b64:c2FsdA", b"salt"),
            ("b64:-_8", &[0xfb, 0xff]),
            ("b64:+/8=", &[0xfb, 0xff]),
        ] {
            assert_eq!(normalise(text).unwrap(), bytes, "{text}");
        }
        for bad in ["hex:123", "hex:xy", "b64:!", "b64:a"] {
            assert!(normalise(bad).is_err(), "{bad}");
        }
        let made = made();
        let salts = made["salts"].as_object().unwrap();
        assert!(salts.len() > 300);
        for (text, expected) in salts {
            assert_eq!(hex(&normalise(text).unwrap()), expected.as_str().unwrap(), "{text:?}");
        }
    }

    #[test]
    fn tokens_of_the_original_open() {
        let made = made();
        let tokens = made["tokens"].as_array().unwrap();
        assert_eq!(tokens.len(), 20);
        for one in tokens {
            let text = |field: &str| one[field].as_str().unwrap();
            let salt = format!("hex:{}", text("salt"));
            let pairs = variables(&[("ENCRYPTION_KEYS__v", text("key")), ("ENCRYPTION_SALT__v", &salt)]);
            let keys = ForeignKeys::from_variables(&pairs, one["iterations"].as_u64().unwrap() as u32, 1).unwrap();
            let token = FernetToken::parse(text("token").as_bytes()).unwrap();
            let (version, plaintext) = keys.open(&token, None).unwrap();
            assert_eq!(
                (version, base64::engine::general_purpose::STANDARD.encode(plaintext.expose()).as_str()),
                ("v", text("plaintext"))
            );
            assert_eq!(token.seconds(), one["seconds"].as_u64().unwrap());
        }
    }

    #[test]
    fn variables_are_judged() {
        let kind = |pairs: &[(&str, &str)]| keys(pairs).map(|_| ()).map_err(|error| error.kind());
        let (key, salt) = (("ENCRYPTION_KEYS__v1", "k"), ("ENCRYPTION_SALT__v1", "s"));
        assert_eq!(kind(&[key]), Err(ErrorKind::Usage));
        assert_eq!(kind(&[key, ("ENCRYPTION_SALT__v1", "")]), Err(ErrorKind::Usage));
        assert_eq!(kind(&[key, salt, ("ENCRYPTION_KEYS__V1", "other")]), Err(ErrorKind::Conflict));
        assert_eq!(kind(&[key, ("ENCRYPTION_SALT__v1", "hex:0")]), Err(ErrorKind::Usage));
        assert_eq!(kind(&[("ENCRYPTION_KEYS__a b", "k"), ("ENCRYPTION_SALT__a b", "s")]), Err(ErrorKind::Usage));
        assert_eq!(kind(&[key, salt, ("ENCRYPTION_SALT_HASH__V1", &"0".repeat(64))]), Err(ErrorKind::Damaged));
        assert_eq!(kind(&[key, salt, ("ENCRYPTION_SALT_HASH__V1", &hex(&sha256(b"s")))]), Ok(()));
        assert!(keys(&[("ENCRYPTION_KEYS__v1", ""), ("OTHER", "x")]).unwrap().is_empty());
        assert_eq!(keys(&[key, salt]).unwrap().active(), Some("v1"));
        assert_eq!(two().active(), Some("v2"));
        assert_eq!(two().versions().collect::<Vec<_>>(), ["v1", "v2"]);
        for name in ["ENCRYPTION_KEYS__a", "encryption_salt__a", "ENCRYPTION_SALT_HASH__a", "ACTIVE_ENCRYPTION_VERSION"] {
            assert!(ForeignKeys::is_variable(name));
        }
        assert!(!ForeignKeys::is_variable("ENCRYPTION_KEY") && !ForeignKeys::is_variable("é"));
    }

    #[test]
    fn the_hint_comes_first_and_must_be_there() {
        let keys = two();
        let (version, token) = keys.seal(Some("V1"), b"x", 5000).unwrap();
        assert_eq!((version, token.seconds()), ("v1", 5));
        for hint in [None, Some("v1"), Some("V2")] {
            let (version, plaintext) = keys.open(&token, hint).unwrap();
            assert_eq!((version, plaintext.expose()), ("v1", &b"x"[..]));
        }
        let kind = |result: Result<(&str, SecretValue)>| result.err().map(|error| error.kind());
        assert_eq!(kind(keys.open(&token, Some("v3"))), Some(ErrorKind::NotFound));
        assert_eq!(keys.seal(Some("v3"), b"", 0).err().map(|error| error.kind()), Some(ErrorKind::NotFound));
        assert_eq!(keys.seal(None, b"", 0).unwrap().0, "v2");
        assert_eq!(kind(ForeignKeys::default().open(&token, None)), Some(ErrorKind::Locked));
        let other = self::keys(&[("ENCRYPTION_KEYS__v1", "first"), ("ENCRYPTION_SALT__v1", "other")]).unwrap();
        assert_eq!(kind(other.open(&token, None)), Some(ErrorKind::Damaged));
        assert_eq!((two().differs_from(&other), two().differs_from(&two())), (Some("v1"), None));
    }

    #[test]
    fn a_vault_keeps_them_and_never_replaces_one() {
        let vault = vault();
        assert!(vault.foreign_keys().unwrap().is_empty());
        let several = [two(), two()].map(|mut keys| {
            keys.active = None;
            keys
        });
        assert_eq!(vault.add_foreign_keys(&several[0], 1).unwrap_err().kind(), ErrorKind::Usage);
        vault.add_foreign_keys(&two(), 1).unwrap();
        let (_, token) = two().seal(None, b"x", 0).unwrap();
        for again in [&two(), &several[1]] {
            assert_eq!(vault.add_foreign_keys(again, 2).unwrap_err().kind(), ErrorKind::Conflict);
        }
        // One that is new together with one that is not: neither.
        let mixed = [
            ("ENCRYPTION_KEYS__v0", "k"),
            ("ENCRYPTION_SALT__v0", "s"),
            ("ENCRYPTION_KEYS__v1", "replaced"),
            ("ENCRYPTION_SALT__v1", "s"),
        ];
        assert_eq!(vault.add_foreign_keys(&keys(&mixed).unwrap(), 2).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(vault.foreign_keys().unwrap().versions().collect::<Vec<_>>(), ["v1", "v2"]);
        assert_eq!(vault.foreign_keys().unwrap().open(&token, None).unwrap().0, "v2");
        // More than one without a word of the active one leaves it as it is.
        let mut more = keys(&[mixed[0], mixed[1], ("ENCRYPTION_KEYS__v9", "k"), ("ENCRYPTION_SALT__v9", "s")]).unwrap();
        vault.add_foreign_keys(&more, 3).unwrap();
        assert_eq!(vault.foreign_keys().unwrap().active(), Some("v2"));
        more.keys.clear();
        more.active = Some("v9".to_owned());
        vault.add_foreign_keys(&more, 3).unwrap();
        assert_eq!(vault.foreign_keys().unwrap().active(), Some("v9"));
        more.active = Some("v7".to_owned());
        assert_eq!(vault.add_foreign_keys(&more, 3).unwrap_err().kind(), ErrorKind::Usage);
        vault.check().unwrap();
        vault.system_put(KIND, "", &ActiveVersion::new("v7").encode(), 4).unwrap();
        assert_eq!(vault.check().unwrap_err().kind(), ErrorKind::Damaged);
        vault.system_put(KIND, "", &ActiveVersion::new("v2").encode(), 4).unwrap();
        vault.check().unwrap();
        vault.system_put(KIND, "V3", &[0xa0], 4).unwrap();
        assert_eq!(vault.check().unwrap_err().kind(), ErrorKind::Damaged);
    }

    #[test]
    fn what_is_written_reads_back() {
        let pairs = [("ENCRYPTION_KEYS__v3", "third"), ("ENCRYPTION_SALT__v3", "===="), ("ACTIVE_ENCRYPTION_VERSION", "v3")];
        for keys in [two(), keys(&pairs).unwrap()] {
            let written = with_checksum(keys.to_variables().unwrap());
            verify_checksum(&written).unwrap();
            let read = ForeignKeys::from_variables(&written, 1, 7).unwrap();
            assert!(keys.differs_from(&read).is_none() && read.differs_from(&keys).is_none());
            assert_eq!((read.active(), read.keys.len()), (keys.active(), keys.keys.len()));
            for at in 0..written.len() {
                let mut changed = written.clone();
                changed[at].1.push('x');
                assert_eq!(verify_checksum(&changed).unwrap_err().kind(), ErrorKind::Damaged);
            }
        }
        assert_eq!(checksum::checksum(&variables(&[("B", "2"), (CHECKSUM, "x"), ("A", "1")])), hex(&sha256(b"A=1\nB=2")));
    }

    #[test]
    fn age_is_judged_only_when_asked() {
        let (_, token) = two().seal(None, b"x", 10 * HOUR).map(|(version, token)| (version.to_owned(), token)).unwrap();
        let kind = |max, now| check_age(&token, max, now).map_err(|error| error.kind());
        assert_eq!(kind(HOUR, 10 * HOUR), Ok(()));
        assert_eq!(kind(HOUR, 11 * HOUR), Ok(()));
        assert_eq!(kind(HOUR, 11 * HOUR + 1000), Err(ErrorKind::Expired));
        assert_eq!(kind(u64::MAX, u64::MAX), Ok(()));
        assert_eq!(kind(HOUR, 10 * HOUR - 60_000), Ok(()));
        assert_eq!(kind(HOUR, 10 * HOUR - 61_000), Err(ErrorKind::Damaged));
    }
}
