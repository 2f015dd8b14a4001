//! Records of what users of the server keep (SPEC, section 6).

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::FormatError;
use super::cbor::{self, malformed, read_map};

/// Longest type of a record of a user's data, in bytes.
pub const MAX_TYPE: usize = 255;

/// What a user keeps.
pub struct Datum {
    /// What it is, in the user's word.
    pub kind: String,
    /// The secret.
    pub value: Zeroizing<String>,
    /// When it was made, in milliseconds.
    pub created: u64,
    /// When it was changed.
    pub modified: u64,
}

impl Datum {
    /// The record's bytes.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        cbor::encode(64 + self.kind.len() + self.value.len(), |e| {
            e.map(4)?.u8(0)?.str(&self.kind)?.u8(1)?.str(&self.value)?;
            e.u8(2)?.u64(self.created)?.u8(3)?.u64(self.modified)?;
            Ok(())
        })
    }

    /// Reads the record's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let datum = cbor::decode(bytes, Self::read, Self::encode)?;
        if (1..=MAX_TYPE).contains(&datum.kind.len()) { Ok(datum) } else { Err(malformed()) }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let mut datum = Self { kind: String::new(), value: String::new().into(), created: 0, modified: 0 };
        let unknown = read_map(d, |field, d| {
            match field {
                0 => d.str()?.clone_into(&mut datum.kind),
                1 => datum.value = d.str()?.to_owned().into(),
                2 => datum.created = d.u64()?,
                3 => datum.modified = d.u64()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if unknown.count() > 0 { Err(malformed()) } else { Ok(datum) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn data_return() {
        let datum = Datum { kind: "note".to_owned(), value: "é".to_owned().into(), created: 1, modified: 2 };
        let read = Datum::decode(&datum.encode()).unwrap();
        assert_eq!((read.kind.as_str(), read.value.as_str(), read.created, read.modified), ("note", "é", 1, 2));
        assert!(Datum::decode(&Datum { kind: String::new(), ..read }.encode()).is_err());
    }
}
