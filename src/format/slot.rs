//! What slots wrap: the key ring, and the payload of a slot's age file (SPEC, section 3).

use std::collections::BTreeMap;

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::cbor::{self, Unknown, Written, array, array_len, malformed, read_map};
use super::{FormatError, padding};
use crate::crypto::keys::label;
use crate::crypto::{self, Transcript};
use crate::name::{Category, Environment};
use crate::secret::{DataKey, IndexKey, MasterKey, SigningSeed, SystemKey};

/// The longest name of a compartment, in bytes.
pub const MAX_COMPARTMENT: usize = 1024;

/// Whether a text names a compartment (SPEC, section 2): all that is not limited, a category, an environment, both, or a user.
pub fn is_compartment(text: &str) -> bool {
    let category = |text: &str| text.strip_prefix("category:").is_some_and(|name| Category::parse(name).is_ok());
    let environment = |text: &str| text.strip_prefix("env:").is_some_and(|name| Environment::parse(name).is_ok());
    let user = |text: &str| text.strip_prefix("user:").is_some_and(|name| !name.is_empty() && !name.contains(char::is_control));
    let both = text.split_once('\u{1f}').is_some_and(|(one, other)| category(one) && environment(other));
    text.len() <= MAX_COMPARTMENT && (text.is_empty() || both || category(text) || environment(text) || user(text))
}

/// A data key of a compartment.
pub struct NumberedKey {
    /// Ascends within the compartment.
    pub number: u64,
    /// When the key was made, in milliseconds.
    pub created: u64,
    /// The key.
    pub key: DataKey,
    unknown: Unknown,
}

impl NumberedKey {
    /// A key with its number.
    pub fn new(number: u64, created: u64, key: DataKey) -> Self {
        Self { number, created, key, unknown: Unknown::default() }
    }
}

/// The newest data key of each compartment. Older ones stand in the tree, each sealed by the next newer one.
#[derive(Default)]
pub struct DataKeys(BTreeMap<String, NumberedKey>);

impl DataKeys {
    /// The newest key of a compartment: the one that seals.
    pub fn newest(&self, compartment: &str) -> Option<&NumberedKey> {
        self.0.get(compartment)
    }

    /// Makes `key` the newest of its compartment and returns the one before; refuses a number that is not above it.
    pub fn advance(&mut self, compartment: &str, key: NumberedKey) -> Result<Option<NumberedKey>, FormatError> {
        if key.number == 0 || self.newest(compartment).is_some_and(|last| last.number >= key.number) {
            return Err(FormatError::Malformed("the number of a data key is a duplicate or lower than the newest"));
        }
        Ok(self.0.insert(compartment.to_owned(), key))
    }

    /// The newest keys of some compartments once more, for a slot that is to wrap them.
    pub fn of(&self, chosen: impl Fn(&str) -> bool) -> Self {
        let copy = |key: &NumberedKey| {
            let bytes = Zeroizing::new(*key.key.expose());
            NumberedKey { key: DataKey::new(bytes), unknown: key.unknown.clone(), ..*key }
        };
        Self(self.0.iter().filter(|(name, _)| chosen(name)).map(|(name, key)| (name.clone(), copy(key))).collect())
    }

    /// The compartments, ascending.
    pub fn compartments(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Room for what [`DataKeys::write`] writes, so that the buffer does not grow and leave keys behind.
    fn room(&self) -> usize {
        self.0.iter().map(|(name, key)| name.len() + key.unknown.bytes().len() + 72).sum()
    }

    fn write(&self, e: &mut cbor::Writer<'_>) -> Written {
        e.array(self.0.len() as u64)?;
        for (compartment, key) in &self.0 {
            e.map(4 + key.unknown.count())?.u8(0)?.str(compartment)?.u8(1)?.u64(key.number)?;
            e.u8(2)?.bytes(key.key.expose())?.u8(3)?.u64(key.created)?;
            e.writer_mut().extend_from_slice(key.unknown.bytes());
        }
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let mut keys = Self::default();
        for _ in 0..array_len(d)? {
            let (mut compartment, mut number, mut key, mut created) = (None, None, None, None);
            let unknown = read_map(d, |field, d| {
                match field {
                    0 => compartment = Some(d.str()?.to_owned()),
                    1 => number = Some(d.u64()?),
                    2 => key = Some(DataKey::new(Zeroizing::new(array(d)?))),
                    3 => created = Some(d.u64()?),
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
            let (Some(compartment), Some(number), Some(key), Some(created)) = (compartment, number, key, created) else {
                return Err(malformed());
            };
            // A compartment that comes twice is refused here, one out of order when the bytes are compared.
            if !is_compartment(&compartment) || keys.0.contains_key(&compartment) {
                return Err(malformed());
            }
            keys.advance(&compartment, NumberedKey { number, created, key, unknown })?;
        }
        Ok(keys)
    }
}

/// An older data key as it stands in the tree.
pub struct OlderKey<'a> {
    /// The vault's id.
    pub id: &'a [u8; 16],
    /// The compartment.
    pub compartment: &'a str,
    /// The number of the older key.
    pub number: u64,
}

impl OlderKey<'_> {
    fn aad(&self, sealing: u64) -> Transcript {
        Transcript::new(label::DATA_KEY).bytes(self.id).bytes(self.compartment.as_bytes()).u64(self.number).u64(sealing)
    }

    /// Seals the older key under a newer one.
    pub fn seal(&self, older: &NumberedKey, newer: &NumberedKey) -> Result<Vec<u8>, FormatError> {
        let map = cbor::encode(64, |e| {
            e.map(2)?.u8(0)?.bytes(older.key.expose())?.u8(1)?.u64(older.created)?;
            Ok(())
        });
        let mut out = newer.number.to_le_bytes().to_vec();
        crypto::seal_into(newer.key.expose(), self.aad(newer.number).as_bytes(), &padding::pad(&map), &mut out)?;
        Ok(out)
    }

    /// The number of the key that sealed this one: always a newer one, so that following them ends.
    pub fn sealed_by(&self, stored: &[u8]) -> Result<u64, FormatError> {
        let number = stored.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).ok_or_else(malformed)?;
        if number > self.number { Ok(number) } else { Err(malformed()) }
    }

    /// Opens the older key with the newer one.
    pub fn open(&self, stored: &[u8], newer: &NumberedKey) -> Result<NumberedKey, FormatError> {
        let sealed = stored.get(8..).ok_or_else(malformed)?;
        let padded = crypto::open(newer.key.expose(), self.aad(newer.number).as_bytes(), sealed)
            .map_err(|_| FormatError::NotAuthentic("a data key"))?;
        // Optional fields end here: this map is never written again.
        let (key, created, _) = cbor::decode(padding::unpad(&padded)?, Self::read, Self::encode_map)?;
        Ok(NumberedKey::new(self.number, created, key))
    }

    fn read(d: &mut Decoder<'_>) -> Result<(DataKey, u64, Unknown), FormatError> {
        let (mut key, mut created) = (None, None);
        let unknown = read_map(d, |field, d| {
            match field {
                0 => key = Some(DataKey::new(Zeroizing::new(array(d)?))),
                1 => created = Some(d.u64()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        match (key, created) {
            (Some(key), Some(created)) => Ok((key, created, unknown)),
            _ => Err(malformed()),
        }
    }

    fn encode_map((key, created, unknown): &(DataKey, u64, Unknown)) -> Zeroizing<Vec<u8>> {
        cbor::encode(64 + unknown.bytes().len(), |e| {
            e.map(2 + unknown.count())?.u8(0)?.bytes(key.expose())?.u8(1)?.u64(*created)?;
            e.writer_mut().extend_from_slice(unknown.bytes());
            Ok(())
        })
    }
}

/// The key ring: everything that the master key seals.
pub struct KeyRing {
    /// Number of the master key that seals this ring.
    pub master: u64,
    /// Opens pages, records and slot labels.
    pub index: IndexKey,
    /// Signs header and commit records.
    pub signing: SigningSeed,
    /// Seals users, tokens and settings.
    pub system: SystemKey,
    /// Seal values.
    pub data: DataKeys,
    unknown: Unknown,
}

impl KeyRing {
    /// Fresh random keys: one data key, number 1, of the compartment that is not limited.
    pub fn generate(now: u64) -> Result<Self, FormatError> {
        let mut data = DataKeys::default();
        data.advance("", NumberedKey::new(1, now, DataKey::new(crypto::random_key()?)))?;
        Ok(Self {
            master: 1,
            index: IndexKey::new(crypto::random_key()?),
            signing: SigningSeed::new(crypto::random_key()?),
            system: SystemKey::new(crypto::random_key()?),
            data,
            unknown: Unknown::default(),
        })
    }

    /// Seals the ring under the master key.
    pub fn seal(&self, key: &MasterKey, id: &[u8; 16]) -> Result<Vec<u8>, FormatError> {
        let padded = padding::pad(&self.encode());
        Ok(crypto::seal(key.expose(), Self::aad(id, self.master).as_bytes(), &padded)?)
    }

    /// Opens a ring; `master` is the number that the header states.
    pub fn open(key: &MasterKey, id: &[u8; 16], master: u64, sealed: &[u8]) -> Result<Self, FormatError> {
        let padded = crypto::open(key.expose(), Self::aad(id, master).as_bytes(), sealed)
            .map_err(|_| FormatError::NotAuthentic("the key ring"))?;
        let ring = cbor::decode(padding::unpad(&padded)?, Self::read, Self::encode)?;
        if ring.master != master {
            return Err(malformed());
        }
        Ok(ring)
    }

    fn aad(id: &[u8; 16], master: u64) -> Transcript {
        Transcript::new(label::KEY_RING).bytes(id).u64(master)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        cbor::encode(256 + self.data.room() + self.unknown.bytes().len(), |e| {
            e.map(5 + self.unknown.count())?;
            e.u8(0)?.u64(self.master)?;
            e.u8(1)?.bytes(self.index.expose())?;
            e.u8(2)?.bytes(self.signing.expose())?;
            e.u8(3)?.bytes(self.system.expose())?;
            e.u8(4)?;
            self.data.write(e)?;
            e.writer_mut().extend_from_slice(self.unknown.bytes());
            Ok(())
        })
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let (mut master, mut index, mut signing, mut system, mut data) = (None, None, None, None, None);
        let unknown = read_map(d, |field, d| {
            match field {
                0 => master = Some(d.u64()?),
                1 => index = Some(IndexKey::new(Zeroizing::new(array(d)?))),
                2 => signing = Some(SigningSeed::new(Zeroizing::new(array(d)?))),
                3 => system = Some(SystemKey::new(Zeroizing::new(array(d)?))),
                4 => data = Some(DataKeys::read(d)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        match (master, index, signing, system, data) {
            (Some(master), Some(index), Some(signing), Some(system), Some(data)) => {
                Ok(Self { master, index, signing, system, data, unknown })
            }
            _ => Err(malformed()),
        }
    }
}

/// What a limited slot gives: names and metadata, the values of its compartments, and the means to verify; nothing to write with.
pub struct LimitedKeys {
    /// Opens pages, records and slot labels.
    pub index: IndexKey,
    /// Verifies header and commit records.
    pub public: [u8; 32],
    /// Data keys of the slot's compartments.
    pub data: DataKeys,
    unknown: Unknown,
}

impl LimitedKeys {
    /// The keys that a limited slot is to wrap.
    pub fn new(index: IndexKey, public: [u8; 32], data: DataKeys) -> Self {
        Self { index, public, data, unknown: Unknown::default() }
    }
}

/// What a slot's age file holds. Optional fields of a later version are carried along.
pub enum SlotPayload {
    /// Access to everything: the master key and its number.
    Full(u64, MasterKey, Unknown),
    /// Access to some compartments, read-only.
    Limited(LimitedKeys),
}

impl SlotPayload {
    /// Full access.
    pub fn full(number: u64, master: MasterKey) -> Self {
        Self::Full(number, master, Unknown::default())
    }

    /// The padded bytes that the age file of a slot of the vault `id` holds.
    pub fn encode(&self, id: &[u8; 16]) -> Zeroizing<Vec<u8>> {
        padding::pad(&self.encode_map(id))
    }

    /// Reads the bytes of a slot's age file; refuses a slot of another vault.
    pub fn decode(padded: &[u8], id: &[u8; 16]) -> Result<Self, FormatError> {
        cbor::decode(padding::unpad(padded)?, |d| Self::read(d, id), |payload| payload.encode_map(id))
    }

    fn encode_map(&self, id: &[u8; 16]) -> Zeroizing<Vec<u8>> {
        let room = match self {
            Self::Full(_, _, unknown) => unknown.bytes().len(),
            Self::Limited(keys) => keys.data.room() + keys.unknown.bytes().len(),
        };
        cbor::encode(256 + room, |e| {
            match self {
                Self::Full(number, key, unknown) => {
                    e.map(3 + unknown.count())?.u8(0)?.bytes(id)?.u8(1)?.u64(*number)?.u8(2)?.bytes(key.expose())?;
                    e.writer_mut().extend_from_slice(unknown.bytes());
                }
                Self::Limited(keys) => {
                    e.map(4 + keys.unknown.count())?.u8(0)?.bytes(id)?.u8(3)?.bytes(keys.index.expose())?;
                    e.u8(4)?.bytes(&keys.public)?.u8(5)?;
                    keys.data.write(e)?;
                    e.writer_mut().extend_from_slice(keys.unknown.bytes());
                }
            }
            Ok(())
        })
    }

    fn read(d: &mut Decoder<'_>, id: &[u8; 16]) -> Result<Self, FormatError> {
        let (mut vault, mut number, mut master) = (None, None, None);
        let (mut index, mut public, mut data) = (None, None, None);
        let unknown = read_map(d, |field, d| {
            match field {
                0 => vault = Some(array::<16>(d)?),
                1 => number = Some(d.u64()?),
                2 => master = Some(MasterKey::new(Zeroizing::new(array(d)?))),
                3 => index = Some(IndexKey::new(Zeroizing::new(array(d)?))),
                4 => public = Some(array(d)?),
                5 => data = Some(DataKeys::read(d)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if vault.as_ref() != Some(id) {
            return Err(FormatError::NotAuthentic("a slot (it belongs to another vault)"));
        }
        match (number, master, index, public, data) {
            (Some(number), Some(master), None, None, None) => Ok(Self::Full(number, master, unknown)),
            (None, None, Some(index), Some(public), Some(data)) => {
                Ok(Self::Limited(LimitedKeys { index, public, data, unknown }))
            }
            _ => Err(malformed()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn compartments() {
        for text in ["", "category:ci", "env:prod", "user:ann", "category:ci\u{1f}env:prod"] {
            assert!(is_compartment(text), "{text:?}");
        }
        let bad = [
            "ci",
            "category:",
            "env: a",
            "env:prod\u{1f}category:ci",
            "category:ci\u{1f}user:a",
            "user:",
            "user:a\u{1f}b",
            "category:a\nb",
        ];
        for text in bad {
            assert!(!is_compartment(text), "{text:?}");
        }
    }

    #[test]
    fn a_compartment_has_at_most_1024_bytes() {
        let reads = |length: usize| {
            let mut data = DataKeys::default();
            data.advance(
                &format!("user:{}", "x".repeat(length - 5)),
                NumberedKey::new(1, 0, DataKey::new(Zeroizing::new([8; 32]))),
            )
            .unwrap();
            let keys = LimitedKeys::new(IndexKey::new(Zeroizing::new([9; 32])), [1; 32], data);
            SlotPayload::decode(&SlotPayload::Limited(keys).encode(&[7; 16]), &[7; 16]).is_ok()
        };
        assert!(reads(1024) && !reads(1025));
    }

    #[test]
    fn an_older_key_is_read_as_it_is_written_and_in_no_other_spelling() {
        let older = OlderKey { id: &[7; 16], compartment: "env:prod", number: 3 };
        let newer = NumberedKey::new(5, 0, DataKey::new(Zeroizing::new([8; 32])));
        let written = older.seal(&NumberedKey::new(3, 1, DataKey::new(Zeroizing::new([9; 32]))), &newer).unwrap();
        let read = older.open(&written, &newer).unwrap();
        assert_eq!((read.number, read.created, read.key.expose()), (3, 1, &[9; 32]));

        let sealed = |map: &[u8]| {
            let mut out = 5u64.to_le_bytes().to_vec();
            crypto::seal_into(&[8; 32], older.aad(5).as_bytes(), &padding::pad(map), &mut out).unwrap();
            older.open(&out, &newer).is_ok()
        };
        let map = |created: &[u8], rest: &[u8]| [&[0xa2, 0x00, 0x58, 0x20], &[9; 32][..], &[0x01], created, rest].concat();
        assert!(sealed(&map(&[1], &[])));
        assert!(!sealed(&map(&[1], &[0])), "a trailing byte");
        assert!(!sealed(&map(&[0x18, 1], &[])), "a longer spelling of a number");
        let mut optional = map(&[1], &[0x18, 0x80, 0x01]);
        optional[0] = 0xa3;
        assert!(sealed(&optional), "a field that a later version may add");
    }
}
