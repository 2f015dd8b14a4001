//! Keys of other programs, as system records keep them (SPEC, section 6).

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::FormatError;
use super::cbor::{self, Unknown, malformed, read_map};
use crate::secret::ForeignSecret;

/// The longest key, in bytes.
pub const MAX_SECRET: usize = 4096;
/// The longest salt, in bytes.
pub const MAX_SALT: usize = 1024;
/// The most rounds of a derivation: some seconds.
pub const MAX_ITERATIONS: u32 = 10_000_000;
const MAX_VERSION: usize = 100;
/// A Fernet key derived by PBKDF2-HMAC-SHA256.
const FERNET_PBKDF2: u64 = 0;

/// Whether a text names a version of a foreign key: lower-case ASCII letters, digits, `_`, `-` and `.`, 1 to 100 of them.
pub fn is_version(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    (1..=MAX_VERSION).contains(&text.len()) && text.bytes().all(fits)
}

/// A foreign key: what a Fernet key is derived from.
pub struct ForeignKeyRecord {
    /// The key, as its owner chose it.
    pub secret: ForeignSecret,
    /// The salt, not secret.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2-HMAC-SHA256.
    pub iterations: u32,
    /// When it was imported, in milliseconds.
    pub created: u64,
    unknown: Unknown,
}

impl ForeignKeyRecord {
    /// A key, if it is within the bounds.
    pub fn new(secret: ForeignSecret, salt: Vec<u8>, iterations: u32, created: u64) -> Option<Self> {
        Some(Self { secret, salt, iterations, created, unknown: Unknown::default() }).filter(Self::fits)
    }

    fn fits(&self) -> bool {
        (1..=MAX_SECRET).contains(&self.secret.expose().len())
            && self.salt.len() <= MAX_SALT
            && (1..=MAX_ITERATIONS).contains(&self.iterations)
    }

    /// The record's bytes.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        cbor::encode(64 + self.secret.expose().len() + self.salt.len() + self.unknown.bytes().len(), |e| {
            e.map(5 + self.unknown.count())?.u8(0)?.u64(FERNET_PBKDF2)?;
            e.u8(1)?.bytes(self.secret.expose())?.u8(2)?.bytes(&self.salt)?;
            e.u8(3)?.u32(self.iterations)?.u8(4)?.u64(self.created)?;
            e.writer_mut().extend_from_slice(self.unknown.bytes());
            Ok(())
        })
    }

    /// Reads the record's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let record = cbor::decode(bytes, Self::read, Self::encode)?;
        if record.fits() { Ok(record) } else { Err(malformed()) }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let (mut kind, mut secret, mut salt, mut iterations, mut created) = (None, None, None, None, None);
        let unknown = read_map(d, |field, d| {
            match field {
                0 => kind = Some(d.u64()?),
                1 => secret = Some(ForeignSecret::new(Zeroizing::new(d.bytes()?.to_vec()))),
                2 => salt = Some(d.bytes()?.to_vec()),
                3 => iterations = Some(d.u32()?),
                4 => created = Some(d.u64()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        match (kind, secret, salt, iterations, created) {
            (Some(FERNET_PBKDF2), Some(secret), Some(salt), Some(iterations), Some(created)) => {
                Ok(Self { secret, salt, iterations, created, unknown })
            }
            (Some(kind), ..) if kind > FERNET_PBKDF2 => {
                Err(FormatError::Newer("a foreign key is of a kind that this version does not know".to_owned()))
            }
            _ => Err(malformed()),
        }
    }
}

/// Which version of the foreign keys is the active one.
pub struct ActiveVersion {
    /// The version's name.
    pub version: String,
    unknown: Unknown,
}

impl ActiveVersion {
    /// That this version is the active one.
    pub fn new(version: &str) -> Self {
        Self { version: version.to_owned(), unknown: Unknown::default() }
    }

    /// The record's bytes.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        cbor::encode(128 + self.unknown.bytes().len(), |e| {
            e.map(1 + self.unknown.count())?.u8(0)?.str(&self.version)?;
            e.writer_mut().extend_from_slice(self.unknown.bytes());
            Ok(())
        })
    }

    /// Reads the record's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        cbor::decode(bytes, Self::read, Self::encode)
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let mut version = None;
        let unknown = read_map(d, |field, d| {
            if field == 0 {
                version = Some(d.str()?.to_owned());
            }
            Ok(field == 0)
        })?;
        match version {
            Some(version) if is_version(&version) => Ok(Self { version, unknown }),
            _ => Err(malformed()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(secret: &[u8], salt: &[u8], iterations: u32) -> Option<ForeignKeyRecord> {
        ForeignKeyRecord::new(ForeignSecret::new(Zeroizing::new(secret.to_vec())), salt.to_vec(), iterations, 7)
    }

    #[test]
    fn records_return() {
        let encoded = record(b"key", b"salt", 100_000).unwrap().encode();
        let read = ForeignKeyRecord::decode(&encoded).unwrap();
        assert_eq!(
            (read.secret.expose(), read.salt.as_slice(), read.iterations, read.created),
            (&b"key"[..], &b"salt"[..], 100_000, 7)
        );
        assert_eq!(ActiveVersion::decode(&ActiveVersion::new("v1").encode()).unwrap().version, "v1");
    }

    #[test]
    fn bounds_and_forms() {
        assert!(record(&[1; MAX_SECRET], &[1; MAX_SALT], MAX_ITERATIONS).is_some() && record(b"k", b"", 1).is_some());
        for bad in [record(b"", b"s", 1), record(&[1; 4097], b"s", 1), record(b"k", &[1; 1025], 1), record(b"k", b"s", 0)] {
            assert!(bad.is_none());
        }
        assert!(record(b"k", b"s", MAX_ITERATIONS + 1).is_none());
        let good = record(b"k", b"s", 1).unwrap().encode().to_vec();
        let newer = [&[0xa5, 0, 1], &good[3..]].concat();
        assert!(matches!(ForeignKeyRecord::decode(&newer), Err(FormatError::Newer(_))));
        let optional = [&[0xa6], &good[1..], &[0x18, 0x80, 1]].concat();
        assert_eq!(ForeignKeyRecord::decode(&optional).unwrap().encode().to_vec(), optional);
        let critical = [&[0xa6], &good[1..], &[5, 1]].concat();
        assert!(matches!(ForeignKeyRecord::decode(&critical), Err(FormatError::Newer(_))));
        for cut in 0..good.len() {
            assert!(ForeignKeyRecord::decode(&good[..cut]).is_err());
        }
        let none = [&good[..good.len() - 3], &[0, 4, 7]].concat();
        assert!(ForeignKeyRecord::decode(&none).is_err(), "no rounds");
        for (text, fits) in
            [("v1", true), ("v1__a-b.c", true), ("", false), ("V1", false), ("a b", false), ("é", false), ("a=b", false)]
        {
            assert_eq!(is_version(text), fits, "{text}");
        }
        assert!(is_version(&"v".repeat(100)) && !is_version(&"v".repeat(101)));
        assert!(ActiveVersion::decode(&ActiveVersion::new("V1").encode()).is_err());
    }
}
