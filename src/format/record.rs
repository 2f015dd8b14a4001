//! Entry records (SPEC, section 6).

use std::collections::{BTreeMap, BTreeSet};

use minicbor::Decoder;
use zeroize::Zeroizing;

use super::FormatError;
use super::cbor::{self, Unknown, array, array_len, malformed, read_map};
pub use super::kind::Kind;
pub use super::listing::Listing;
use super::rotation::Rotations;
use super::slot::is_compartment;
pub use super::value::{MAX_VALUE, ValueContext};
use crate::name::{Category, Tag};

/// The most versions that an entry keeps.
pub const MAX_VERSIONS: usize = 100;
/// The most tags, and the most pairs of metadata.
pub const MAX_LABELS: usize = 64;
/// The longest metadata value, in bytes.
pub const MAX_META: usize = 4096;

/// The optional field of an entry record that holds what is remembered of rotations.
const ROTATIONS: u64 = 129;

/// A version of an entry, without its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Version {
    /// Counts the writes of the entry.
    pub number: u64,
    /// When it was written, in milliseconds.
    pub created: u64,
    /// What kind of value it holds.
    pub kind: Kind,
    /// Number of the data key that seals it.
    pub key: u64,
    /// The compartment of that key.
    pub compartment: String,
    /// The number that its seal binds: another than `number` after a merge renumbered it.
    pub sealed_as: u64,
    /// The version whose value this one repeats, after a rollback to it.
    pub repeats: Option<u64>,
    unknown: Unknown,
}

impl Version {
    /// A version.
    pub fn new(number: u64, created: u64, kind: Kind, key: u64, compartment: String) -> Self {
        Self { number, created, kind, key, compartment, sealed_as: number, repeats: None, unknown: Unknown::default() }
    }
}

/// Everything about an entry but its values.
#[derive(Clone, PartialEq, Eq)]
pub struct EntryRecord {
    /// Binds values to the entry, whatever its name is.
    pub uid: [u8; 16],
    /// Number of the current version.
    pub current: u64,
    /// When the entry was made, in milliseconds.
    pub created: u64,
    /// When value or metadata last changed.
    pub modified: u64,
    /// The versions that are kept, ascending; the current one is the last.
    pub versions: Vec<Version>,
    /// The category.
    pub category: Option<Category>,
    /// The tags.
    pub tags: BTreeSet<Tag>,
    /// The metadata.
    pub meta: BTreeMap<String, String>,
    /// When the entry expires.
    pub expires: Option<u64>,
    /// When the entry is due for rotation.
    pub due: Option<u64>,
    /// What is remembered of its rotations.
    pub rotations: Rotations,
    /// Optional fields of a later version.
    pub unknown: Unknown,
}

impl EntryRecord {
    /// A record without versions.
    pub fn new(uid: [u8; 16], now: u64) -> Self {
        Self {
            uid,
            current: 0,
            created: now,
            modified: now,
            versions: Vec::new(),
            category: None,
            tags: BTreeSet::new(),
            meta: BTreeMap::new(),
            expires: None,
            due: None,
            rotations: Rotations::default(),
            unknown: Unknown::default(),
        }
    }

    /// A version by its number.
    pub fn version(&self, number: u64) -> Option<&Version> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// The encoded record.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let rotated = !self.rotations.is_empty();
        let optional = [
            self.category.is_some(),
            !self.tags.is_empty(),
            !self.meta.is_empty(),
            self.expires.is_some(),
            self.due.is_some(),
            rotated,
        ];
        let count = 5 + optional.iter().filter(|present| **present).count() as u64;
        cbor::encode(512, |e| {
            e.map(count + self.unknown.count())?;
            e.u8(0)?.bytes(&self.uid)?.u8(1)?.u64(self.current)?.u8(2)?.u64(self.created)?;
            e.u8(3)?.array(self.versions.len() as u64)?;
            for version in &self.versions {
                let compartment = !version.compartment.is_empty();
                let renumbered = version.sealed_as != version.number;
                e.map(
                    4 + u64::from(compartment)
                        + u64::from(renumbered)
                        + u64::from(version.repeats.is_some())
                        + version.unknown.count(),
                )?;
                e.u8(0)?.u64(version.number)?.u8(1)?.u64(version.created)?;
                e.u8(2)?.u8(version.kind as u8)?.u8(3)?.u64(version.key)?;
                if compartment {
                    e.u8(4)?.str(&version.compartment)?;
                }
                if renumbered {
                    e.u8(5)?.u64(version.sealed_as)?;
                }
                if let Some(repeats) = version.repeats {
                    e.u8(7)?.u64(repeats)?;
                }
                e.writer_mut().extend_from_slice(version.unknown.bytes());
            }
            if let Some(category) = &self.category {
                e.u8(4)?.str(category.as_str())?;
            }
            if !self.tags.is_empty() {
                e.u8(5)?.array(self.tags.len() as u64)?;
                for tag in &self.tags {
                    e.str(tag.as_str())?;
                }
            }
            if !self.meta.is_empty() {
                e.u8(6)?.array(self.meta.len() as u64)?;
                for (key, value) in &self.meta {
                    e.array(2)?.str(key)?.str(value)?;
                }
            }
            if let Some(expires) = self.expires {
                e.u8(7)?.u64(expires)?;
            }
            if let Some(due) = self.due {
                e.u8(8)?.u64(due)?;
            }
            e.u8(9)?.u64(self.modified)?;
            let (before, behind) = self.unknown.around(ROTATIONS);
            e.writer_mut().extend_from_slice(before);
            if rotated {
                e.u64(ROTATIONS)?;
                self.rotations.write(e)?;
            }
            e.writer_mut().extend_from_slice(behind);
            Ok(())
        })
    }

    /// Reads a record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let record = cbor::decode(bytes, Self::read, Self::encode)?;
        let ascending = record.versions.windows(2).all(|pair| pair[0].number < pair[1].number);
        let current = record.versions.last().is_some_and(|last| last.number == record.current);
        if record.versions.len() > MAX_VERSIONS || record.tags.len() > MAX_LABELS || record.meta.len() > MAX_LABELS {
            return Err(FormatError::Malformed("an entry has more versions, tags or metadata than the format allows"));
        }
        if record.meta.iter().any(|(key, value)| Tag::parse(key).is_err() || value.len() > MAX_META) {
            return Err(FormatError::Malformed("the metadata of an entry breaks the limits of the format"));
        }
        if record.versions.iter().any(|version| !is_compartment(&version.compartment)) {
            return Err(FormatError::Malformed("what names a compartment does not"));
        }
        let repeats = |version: &Version| version.repeats.is_none_or(|repeats| repeats > 0 && repeats < version.number);
        if ascending && current && record.versions[0].number > 0 && record.versions.iter().all(repeats) {
            Ok(record)
        } else {
            Err(FormatError::Malformed("the versions of an entry do not ascend to the current one"))
        }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, FormatError> {
        let mut record = Self::new([0; 16], 0);
        let mut seen = 0u32;
        let unknown = read_map(d, |field, d| {
            match field {
                0 => record.uid = array(d)?,
                1 => record.current = d.u64()?,
                2 => record.created = d.u64()?,
                3 => {
                    let count = array_len(d)?;
                    // Most have few. What a file claims is no reason to ask for more memory than for those.
                    record.versions.reserve_exact(count.min(4) as usize);
                    for _ in 0..count {
                        record.versions.push(read_version(d)?);
                    }
                }
                4 => record.category = Some(Category::parse(d.str()?).map_err(|_| malformed())?),
                5 => {
                    for _ in 0..array_len(d)? {
                        record.tags.insert(Tag::parse(d.str()?).map_err(|_| malformed())?);
                    }
                }
                6 => {
                    for _ in 0..array_len(d)? {
                        if array_len(d)? != 2 {
                            return Err(malformed());
                        }
                        record.meta.insert(d.str()?.to_owned(), d.str()?.to_owned());
                    }
                }
                7 => record.expires = Some(d.u64()?),
                8 => record.due = Some(d.u64()?),
                9 => record.modified = d.u64()?,
                ROTATIONS => {
                    record.rotations = Rotations::read(d)?;
                    return Ok(true);
                }
                _ => return Ok(false),
            }
            seen |= 1 << field;
            Ok(true)
        })?;
        record.unknown = unknown;
        if seen & 0b10_0000_1111 == 0b10_0000_1111 { Ok(record) } else { Err(malformed()) }
    }
}

fn read_version(d: &mut Decoder<'_>) -> Result<Version, FormatError> {
    let (mut number, mut created, mut kind, mut key) = (None, None, None, None);
    let mut compartment = String::new();
    let (mut sealed_as, mut repeats) = (None, None);
    let unknown = read_map(d, |field, d| {
        match field {
            0 => number = Some(d.u64()?),
            1 => created = Some(d.u64()?),
            2 => kind = Some(Kind::from_number(d.u64()?)?),
            3 => key = Some(d.u64()?),
            4 => compartment = d.str()?.to_owned(),
            5 => sealed_as = Some(d.u64()?),
            7 => repeats = Some(d.u64()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    match (number, created, kind, key) {
        (Some(number), Some(created), Some(kind), Some(key)) => {
            Ok(Version { number, created, kind, key, compartment, sealed_as: sealed_as.unwrap_or(number), repeats, unknown })
        }
        _ => Err(malformed()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::rotation::LastRotation;
    use super::*;

    fn sample() -> EntryRecord {
        let mut record = EntryRecord::new([1; 16], 1000);
        record.versions.push(Version::new(3, 1000, Kind::Text, 1, String::new()));
        record.versions.push(Version::new(4, 2000, Kind::Json, 2, "category:ci".into()));
        record.current = 4;
        record.category = Category::parse("ci").ok();
        record.tags.insert(Tag::parse("b").unwrap());
        record.tags.insert(Tag::parse("a").unwrap());
        record.meta.insert("owner".into(), "me".into());
        record.expires = Some(5);
        record
    }

    #[test]
    fn round_trip() {
        let record = sample();
        assert!(EntryRecord::decode(&record.encode()).unwrap() == record);
        let plain = EntryRecord { category: None, tags: BTreeSet::new(), meta: BTreeMap::new(), expires: None, ..record };
        assert!(EntryRecord::decode(&plain.encode()).unwrap() == plain);
    }

    #[test]
    fn an_unknown_optional_field_is_kept_and_a_critical_one_refused() {
        let record = sample();
        let mut bytes = record.encode().to_vec();
        bytes[0] += 1;
        bytes.extend_from_slice(&[0x18, 0x80, 0x82, 0x01, 0x61, b'x']); // 128: [1, "x"]
        let read = EntryRecord::decode(&bytes).unwrap();
        assert_eq!(read.encode().as_slice(), bytes);
        let mut bytes = record.encode().to_vec();
        bytes[0] += 1;
        bytes.extend_from_slice(&[0x18, 0x7f, 0x01]);
        assert!(matches!(EntryRecord::decode(&bytes), Err(FormatError::Newer(_))));
    }

    #[test]
    fn rotations_stand_among_the_optional_fields() {
        let mut record = sample();
        record.rotations.advance(LastRotation { time: 1, until: 2, previous: 3 });
        record.rotations.failed = Some((4, "verify".into()));
        let bytes = record.encode();
        assert!(EntryRecord::decode(&bytes).unwrap() == record);
        // A field of a later version stands before them, and one behind.
        let at = bytes.windows(2).rposition(|two| two == [0x18, 0x81]).unwrap();
        let mut more = [&bytes[..at], &[0x18, 0x80, 1], &bytes[at..], &[0x18, 0x82, 2]].concat();
        more[0] += 2;
        let read = EntryRecord::decode(&more).unwrap();
        assert_eq!(read.encode().as_slice(), more);
        assert_eq!(read.rotations.count, 1);
        let refused = |change: &dyn Fn(&mut Rotations)| {
            let mut record = record.clone();
            change(&mut record.rotations);
            EntryRecord::decode(&record.encode()).is_err()
        };
        assert!(!refused(&|rotations| rotations.pending = true));
        assert!(refused(&|rotations| rotations.count = 0) && refused(&|rotations| rotations.last = None));
        // That there is nothing is not stated.
        let mut empty = [&bytes[..at], &[0x18, 0x81, 0xa1, 0, 0]].concat();
        assert!(EntryRecord::decode(&empty).is_err());
        empty.truncate(at);
        empty[0] -= 1;
        assert!(EntryRecord::decode(&empty).is_ok());
    }

    #[test]
    fn what_is_more_than_an_entry_may_have_is_refused() {
        let refused = |change: &dyn Fn(&mut EntryRecord)| {
            let mut record = sample();
            change(&mut record);
            EntryRecord::decode(&record.encode()).is_err()
        };
        let versions = |record: &mut EntryRecord, count: u64| {
            record.versions = (1..=count).map(|number| Version::new(number, 0, Kind::Text, 1, String::new())).collect();
            record.current = count;
        };
        assert!(!refused(&|record| versions(record, 100)));
        assert!(refused(&|record| versions(record, 101)));
        let compartment = |length: usize| {
            move |record: &mut EntryRecord| record.versions[0].compartment = format!("user:{}", "x".repeat(length - 5))
        };
        assert!(!refused(&compartment(1024)) && refused(&compartment(1025)));
        let tags = |count| move |record: &mut EntryRecord| record.tags = (0..count).map(tag).collect();
        assert!(!refused(&tags(64)) && refused(&tags(65)));
        let meta =
            |count| move |record: &mut EntryRecord| record.meta = (0..count).map(|n| (n.to_string(), String::new())).collect();
        assert!(!refused(&meta(64)) && refused(&meta(65)));
        let pair = |key: &'static str, length| {
            move |record: &mut EntryRecord| drop(record.meta.insert(key.to_owned(), "x".repeat(length)))
        };
        assert!(!refused(&pair("k", 4096)) && refused(&pair("k", 4097)));
        assert!(refused(&pair("", 1)) && refused(&pair("a\nb", 1)) && refused(&pair(" a", 1)));
    }

    fn tag(number: usize) -> Tag {
        Tag::parse(&format!("t{number}")).unwrap()
    }

    #[test]
    fn every_cut_and_every_flip_is_refused_or_read_exactly() {
        let bytes = sample().encode();
        for cut in 0..bytes.len() {
            assert!(EntryRecord::decode(&bytes[..cut]).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            // What a flip makes of a field that may hold anything is another record, never the same.
            if let Ok(read) = EntryRecord::decode(&bad) {
                assert!(read != sample(), "bit {bit}");
            }
        }
    }
}
