//! Keys of the tree: ordered and typed by their first byte (SPEC, section 6).

use super::FormatError;
use super::exposure::ExposureKey;
use crate::crypto::Hash;
use crate::name::{Category, EntryId, Environment, Name};

/// Entry records, and the sealed values of their versions right behind each.
pub const ENTRY: u8 = 0x01;
/// Names for listing, without anything that a listing does not need.
pub const LISTING: u8 = 0x02;
/// Entries by category.
pub const CATEGORY: u8 = 0x03;
/// Entries by the time at which they expire.
pub const EXPIRY: u8 = 0x04;
/// Entries by the time at which they are due for rotation.
pub const DUE: u8 = 0x05;
/// Older data keys.
pub const OLDER_KEY: u8 = 0x06;
/// Slots that were removed, and what they could read.
pub const EXPOSURE: u8 = 0x07;
/// Users, tokens and settings, sealed by the system key.
pub const SYSTEM: u8 = 0x10;
/// What users keep, sealed by keys of their own.
pub const USER_DATA: u8 = 0x11;
/// Records of earlier epochs, by sequence number.
pub const LINEAGE: u8 = 0x7e;

/// Where keys of keyspaces would stand that this version does not know and that are critical: a writer that finds one must not write.
pub const UNKNOWN: [(u8, u8); 4] = [(0x00, ENTRY), (EXPOSURE + 1, SYSTEM), (USER_DATA + 1, LINEAGE), (LINEAGE + 1, 0x80)];

fn entry_text(key: &mut Vec<u8>, id: &EntryId) {
    key.extend_from_slice(id.environment_text().as_bytes());
    key.push(0);
    key.extend_from_slice(id.name.as_str().as_bytes());
}

/// Key of an entry record.
pub fn entry(id: &EntryId) -> Vec<u8> {
    // With room for the number of a version.
    let mut key = Vec::with_capacity(1 + id.environment_text().len() + 1 + id.name.as_str().len() + 1 + 8);
    key.push(ENTRY);
    entry_text(&mut key, id);
    key.push(0);
    key
}

/// Key of the sealed value of a version.
pub fn value(id: &EntryId, version: u64) -> Vec<u8> {
    let mut key = entry(id);
    key.extend_from_slice(&version.to_be_bytes());
    key
}

/// Key of a listing record.
pub fn listing(id: &EntryId) -> Vec<u8> {
    let mut key = vec![LISTING];
    entry_text(&mut key, id);
    key
}

/// Where the listing records of one environment begin (`None`: of the entries without one).
pub fn listing_prefix(environment: Option<&Environment>) -> Vec<u8> {
    let mut key = vec![LISTING];
    key.extend_from_slice(environment.map_or("", Environment::as_str).as_bytes());
    key.push(0);
    key
}

/// Key of an entry in the index by category.
pub fn category(category: &Category, id: &EntryId) -> Vec<u8> {
    let mut key = category_prefix(category);
    entry_text(&mut key, id);
    key
}

/// Where a category begins in its index.
pub fn category_prefix(category: &Category) -> Vec<u8> {
    let mut key = vec![CATEGORY];
    key.extend_from_slice(category.as_str().as_bytes());
    key.push(0);
    key
}

/// Where the entries of one environment begin within a category.
pub fn category_environment_prefix(category: &Category, environment: Option<&Environment>) -> Vec<u8> {
    let mut key = category_prefix(category);
    key.extend_from_slice(environment.map_or("", Environment::as_str).as_bytes());
    key.push(0);
    key
}

/// Key of an entry in an index by time, [`EXPIRY`] or [`DUE`].
pub fn time(space: u8, at: u64, id: &EntryId) -> Vec<u8> {
    let mut key = vec![space];
    key.extend_from_slice(&at.to_be_bytes());
    entry_text(&mut key, id);
    key
}

/// The time and the entry of a key of [`time`].
pub fn parse_time(key: &[u8]) -> Result<(u64, EntryId), FormatError> {
    let at = key.get(1..).and_then(|rest| rest.first_chunk::<8>()).ok_or_else(malformed)?;
    Ok((u64::from_be_bytes(*at), parse_entry(key, 9)?))
}

/// Key of an older data key.
pub fn older_key(compartment: &str, number: u64) -> Vec<u8> {
    let mut key = vec![OLDER_KEY];
    key.extend_from_slice(compartment.as_bytes());
    key.push(0);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The compartment and the number of a key of [`older_key`].
pub fn parse_older_key(key: &[u8]) -> Result<(&str, u64), FormatError> {
    let (rest, number) = key.split_last_chunk::<8>().ok_or_else(malformed)?;
    match rest {
        [OLDER_KEY, compartment @ .., 0] => {
            let compartment = std::str::from_utf8(compartment).map_err(|_| malformed())?;
            Ok((compartment, u64::from_be_bytes(*number)))
        }
        _ => Err(malformed()),
    }
}

/// Key of a slot that was removed.
pub fn exposure(label: &str, removed: u64) -> Vec<u8> {
    let mut key = vec![EXPOSURE];
    key.extend_from_slice(label.as_bytes());
    key.push(0);
    key.extend_from_slice(&removed.to_be_bytes());
    key
}

/// Key of an entry that a removed slot could read.
pub fn exposed(label: &str, removed: u64, uid: &[u8; 16]) -> Vec<u8> {
    let mut key = exposure(label, removed);
    key.extend_from_slice(uid);
    key
}

/// Reads a key of [`exposure`] or [`exposed`].
pub fn parse_exposure(key: &[u8]) -> Result<ExposureKey<'_>, FormatError> {
    let rest = key.strip_prefix(&[EXPOSURE]).ok_or_else(malformed)?;
    let end = rest.iter().position(|byte| *byte == 0).ok_or_else(malformed)?;
    let label = std::str::from_utf8(&rest[..end]).map_err(|_| malformed())?;
    if label.is_empty() || label.contains(char::is_control) {
        return Err(malformed());
    }
    let (removed, uid) = rest[end + 1..].split_first_chunk::<8>().ok_or_else(malformed)?;
    let uid = match uid {
        [] => None,
        uid => Some(uid.try_into().map_err(|_| malformed())?),
    };
    Ok(ExposureKey { label, removed: u64::from_be_bytes(*removed), uid })
}

/// Key that remembers an earlier record.
pub fn lineage(sequence: u64, hash: &Hash) -> Vec<u8> {
    let mut key = lineage_from(sequence);
    key.extend_from_slice(&hash.0);
    key
}

/// Where the records of a sequence number begin.
pub fn lineage_from(sequence: u64) -> Vec<u8> {
    let mut key = vec![LINEAGE];
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// Key of a system record; kinds hold no 0x00.
pub fn system(kind: &str, name: &str) -> Vec<u8> {
    [&[SYSTEM], kind.as_bytes(), &[0], name.as_bytes()].concat()
}

/// Key of what a user keeps.
pub fn user_data(user: &[u8; 16], id: &[u8; 12]) -> Vec<u8> {
    [&[USER_DATA], &user[..], &id[..]].concat()
}

/// Where what a user keeps begins.
pub fn user_data_prefix(user: &[u8; 16]) -> Vec<u8> {
    [&[USER_DATA], &user[..]].concat()
}

/// The user and the id of a key of [`user_data`].
pub fn parse_user_data(key: &[u8]) -> Result<([u8; 16], [u8; 12]), FormatError> {
    let rest = key.strip_prefix(&[USER_DATA]).filter(|rest| rest.len() == 28).ok_or_else(malformed)?;
    let (user, id) = rest.split_first_chunk::<16>().ok_or_else(malformed)?;
    Ok((*user, id.try_into().map_err(|_| malformed())?))
}

/// The kind and the name of a system record; of kinds that this version does not know, only that they are text.
pub fn parse_system(key: &[u8]) -> Result<(&str, &str), FormatError> {
    let text = key.strip_prefix(&[SYSTEM]).and_then(|rest| std::str::from_utf8(rest).ok()).ok_or_else(malformed)?;
    Ok(text.split_once('\0').unwrap_or((text, "")))
}

/// The first key behind all that begin with `prefix`, or `None` if there is none.
pub fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// The entry that a key names, given what stands before `env 00 name`.
pub fn parse_entry(key: &[u8], prefix: usize) -> Result<EntryId, FormatError> {
    let text = std::str::from_utf8(key.get(prefix..).ok_or_else(malformed)?).map_err(|_| malformed())?;
    let (environment, name) = text.split_once('\0').ok_or_else(malformed)?;
    let environment = match environment {
        "" => None,
        text => Some(Environment::parse(text).map_err(|_| malformed())?),
    };
    Ok(EntryId { environment, name: Name::parse(name).map_err(|_| malformed())? })
}

/// What a key of the entry keyspace is.
pub enum EntryKey {
    /// An entry record.
    Record(EntryId),
    /// The value of a version.
    Value(EntryId, u64),
}

/// Reads a key of the entry keyspace.
pub fn parse_entry_key(key: &[u8]) -> Result<EntryKey, FormatError> {
    let mut marks = key.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at);
    let (Some(_), Some(end)) = (marks.next(), marks.next()) else { return Err(malformed()) };
    let id = parse_entry(&key[..end], 1)?;
    match &key[end + 1..] {
        [] => Ok(EntryKey::Record(id)),
        version => version.try_into().map(|bytes| EntryKey::Value(id, u64::from_be_bytes(bytes))).map_err(|_| malformed()),
    }
}

fn malformed() -> FormatError {
    FormatError::Malformed("a key of the tree is malformed")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(environment: &str, name: &str) -> EntryId {
        EntryId { environment: Environment::parse(environment).ok(), name: Name::parse(name).unwrap() }
    }

    #[test]
    fn an_entry_and_its_versions_are_neighbours() {
        let mut keys = vec![
            value(&id("", "a"), 300),
            entry(&id("", "ab")),
            value(&id("", "a"), 2),
            entry(&id("", "a/b")),
            entry(&id("", "a")),
            entry(&id("p", "a")),
        ];
        keys.sort();
        assert_eq!(
            keys,
            [
                entry(&id("", "a")),
                value(&id("", "a"), 2),
                value(&id("", "a"), 300),
                entry(&id("", "a/b")),
                entry(&id("", "ab")),
                entry(&id("p", "a")),
            ]
        );
    }

    #[test]
    fn keys_read_back() {
        let one = id("prod", "svc/db");
        assert!(matches!(parse_entry_key(&entry(&one)).unwrap(), EntryKey::Record(read) if read == one));
        assert!(matches!(parse_entry_key(&value(&one, 7)).unwrap(), EntryKey::Value(read, 7) if read == one));
        assert_eq!(parse_entry(&listing(&one), 1).unwrap(), one);
        let c = Category::parse("db").unwrap();
        assert_eq!(parse_entry(&category(&c, &one), category_prefix(&c).len()).unwrap(), one);
        assert_eq!(parse_time(&time(EXPIRY, 5, &one)).unwrap(), (5, one.clone()));
        assert!(parse_time(b"\x04\0\0\0\0\0\0\0").is_err());
        for bad in [&b"\x01"[..], b"\x01a", b"\x01\0a\0\x01", b"\x01\0\0", b"\x01\0\xff\0"] {
            assert!(parse_entry_key(bad).is_err());
        }
    }

    #[test]
    fn after_a_prefix() {
        assert_eq!(after(b"a"), Some(b"b".to_vec()));
        assert_eq!(after(b"a\xff"), Some(b"b".to_vec()));
        assert_eq!(after(b"\xff\xff"), None);
    }
}
