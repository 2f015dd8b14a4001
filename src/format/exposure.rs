//! Records of slots that were removed, and of what they could read (SPEC, section 6).

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::FormatError;
use super::cbor::{self, Unknown, malformed, read_map};

/// A key of the keyspace of removed slots.
pub struct ExposureKey<'a> {
    /// The label of the slot.
    pub label: &'a str,
    /// When it was removed.
    pub removed: u64,
    /// The entry that it could read; `None` in the record of the removal itself.
    pub uid: Option<[u8; 16]>,
}

/// A slot that was removed.
pub struct Removal {
    /// The public half.
    pub recipient: String,
    /// What opened it.
    pub kind: String,
    unknown: Unknown,
}

impl Removal {
    /// A record of a removal.
    pub fn new(recipient: String, kind: String) -> Self {
        Self { recipient, kind, unknown: Unknown::default() }
    }

    /// The encoded record.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        cbor::encode(128, |e| {
            e.map(2 + self.unknown.count())?.u8(0)?.str(&self.recipient)?.u8(1)?.str(&self.kind)?;
            e.writer_mut().extend_from_slice(self.unknown.bytes());
            Ok(())
        })
    }

    /// Reads a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        cbor::decode(bytes, Self::read, Self::encode)
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let (mut recipient, mut kind) = (None, None);
        let unknown = read_map(d, |field, d| {
            match field {
                0 => recipient = Some(d.str()?.to_owned()),
                1 => kind = Some(d.str()?.to_owned()),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        match (recipient, kind) {
            (Some(recipient), Some(kind)) => Ok(Self { recipient, kind, unknown }),
            _ => Err(malformed()),
        }
    }
}

/// What a removed slot could read of one entry.
pub struct Exposed {
    /// The version that was current.
    pub version: u64,
    unknown: Unknown,
}

impl Exposed {
    /// A record of an entry whose version `version` was current.
    pub fn new(version: u64) -> Self {
        Self { version, unknown: Unknown::default() }
    }

    /// The encoded record.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        cbor::encode(16, |e| {
            e.map(1 + self.unknown.count())?.u8(0)?.u64(self.version)?;
            e.writer_mut().extend_from_slice(self.unknown.bytes());
            Ok(())
        })
    }

    /// Reads a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let read = |d: &mut Decoder<'_>| {
            let mut version = None;
            let unknown = read_map(d, |field, d| {
                match field {
                    0 => version = Some(d.u64()?),
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
            version.map(|version| Self { version, unknown }).ok_or_else(malformed)
        };
        cbor::decode(bytes, read, Self::encode)
    }
}
