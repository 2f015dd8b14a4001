//! Listing records (SPEC, section 6).

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::FormatError;
use super::cbor::{self, Unknown, read_map};

/// What a listing needs of an entry beyond its name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// When the entry expires.
    pub expires: Option<u64>,
    unknown: Unknown,
}

impl Listing {
    /// A listing record.
    pub fn new(expires: Option<u64>) -> Self {
        Self { expires, unknown: Unknown::default() }
    }

    /// The encoded record.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        cbor::encode(16, |e| {
            e.map(u64::from(self.expires.is_some()) + self.unknown.count())?;
            if let Some(expires) = self.expires {
                e.u8(1)?.u64(expires)?;
            }
            e.writer_mut().extend_from_slice(self.unknown.bytes());
            Ok(())
        })
    }

    /// Reads a listing record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        // Nearly all of them are the empty map; a listing of many names must not pay for the general case.
        if bytes == [0xa0] {
            return Ok(Self::default());
        }
        let read = |d: &mut Decoder<'_>| {
            let mut listing = Self::default();
            listing.unknown = read_map(d, |field, d| {
                match field {
                    1 => listing.expires = Some(d.u64()?),
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
            Ok(listing)
        };
        cbor::decode(bytes, read, Self::encode)
    }
}
