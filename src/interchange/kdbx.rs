//! KeePass databases (KDBX 3 and 4), opened by a passphrase, a key file or both.
//!
//! The name is groups and title, without the root; the fields are `username`, `password`, `otp`, `url`, `notes` and the custom ones by their
//! names. Attachments are entries behind their entry's name. Tags and expiry are kept; old versions and what lies in the recycle bin are not.
//!
//! The parser is another project's. It runs a key derivation of the file's choice before anything is authenticated, and trusts the lengths of the
//! header's fields; so the header is walked here first.

use keepass::db::{Entry, GroupRef};
use keepass::{Database, DatabaseKey};
use zeroize::Zeroizing;

use super::logins::{self, Login, NOTES, PASSWORD};
use super::row::Row;

/// Why a database was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KdbxError {
    /// It is none, or one of a version that is not known.
    #[error("this is not a KeePass database")]
    Malformed,
    /// Its key derivation is beyond the bounds.
    #[error("opening the database costs too much")]
    TooExpensive,
    /// The key is another one, or the file is damaged.
    #[error("the database cannot be opened with this key")]
    WrongKey,
}

/// The most memory of an Argon2 derivation, in bytes, and the most of memory times passes.
const MOST_MEMORY: u64 = 1 << 30;
const MOST_WORK: u64 = 32 << 30;
/// The most rounds of the AES derivation, some ten seconds: KDBX 3 authenticates nothing before it.
const MOST_ROUNDS: u64 = 1 << 26;

/// Reads the entries of a database.
///
/// # Errors
///
/// [`KdbxError`].
pub fn read_kdbx(bytes: &[u8], passphrase: Option<&str>, key_file: Option<&[u8]>) -> Result<Vec<Row>, KdbxError> {
    check(bytes)?;
    let mut key = DatabaseKey::new();
    if let Some(passphrase) = passphrase {
        key = key.with_password(passphrase);
    }
    if let Some(mut file) = key_file {
        key = key.with_keyfile(&mut file).map_err(|_| KdbxError::WrongKey)?;
    }
    let database = Database::parse(bytes, key).map_err(|_| KdbxError::WrongKey)?;
    let mut items = Vec::new();
    let trash = database.recycle_bin().map(|group| group.id());
    let mut open = vec![(database.root().id(), Vec::new())];
    while let Some((id, folders)) = open.pop() {
        let Some(group) = database.group(id) else { continue };
        items.extend(entries(&group, &folders));
        for below in group.groups().filter(|below| Some(below.id()) != trash) {
            open.push((below.id(), [folders.as_slice(), std::slice::from_ref(&below.name)].concat()));
        }
    }
    items.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(logins::rows(items.into_iter().map(|(_, login)| login).collect()))
}

/// The entries of one group, each with what orders it.
fn entries(group: &GroupRef<'_>, folders: &[String]) -> Vec<((Vec<String>, String), Login)> {
    let mut found = Vec::new();
    for entry in group.entries() {
        let title = entry.get_title().unwrap_or_default().to_owned();
        let mut login = login(&entry, folders);
        for (name, attachment) in entry.attachments_named() {
            login.attachments.push((name.to_owned(), Zeroizing::new(attachment.data.get().clone())));
        }
        login.attachments.sort_by(|one, other| one.0.cmp(&other.0));
        found.push(((folders.to_vec(), title), login));
    }
    found
}

fn login(entry: &Entry, folders: &[String]) -> Login {
    const KNOWN: [(&str, &str); 5] =
        [("UserName", "username"), ("Password", PASSWORD), ("otp", "otp"), ("URL", "url"), ("Notes", NOTES)];
    let mut login = Login::new(folders.to_vec(), entry.get_title().map(str::to_owned));
    for (own, name) in KNOWN {
        login.field(name, entry.get(own).map(str::to_owned));
    }
    let is_other = |name: &&String| *name != "Title" && !KNOWN.iter().any(|(known, _)| name == known);
    let mut others: Vec<&String> = entry.fields.keys().filter(is_other).collect();
    others.sort();
    for name in others {
        login.field(name, entry.get(name).map(str::to_owned));
    }
    login.tags.clone_from(&entry.tags);
    if entry.times.expires == Some(true) {
        login.expires = u64::try_from(entry.times.expiry.and_utc().timestamp_millis()).ok();
    }
    login
}

/// Walks the header up to its end: every field is whole and as long as its type asks, and the key derivation is within the bounds.
fn check(bytes: &[u8]) -> Result<(), KdbxError> {
    const SIGNATURE: [u8; 8] = [0x03, 0xd9, 0xa2, 0x9a, 0x67, 0xfb, 0x4b, 0xb5];
    let mut bytes = Bytes(bytes);
    if bytes.take(8)? != SIGNATURE {
        return Err(KdbxError::Malformed);
    }
    let major = (bytes.number(4)? >> 16) as u16;
    let wide = match major {
        3 => 2,
        4 => 4,
        _ => return Err(KdbxError::Malformed),
    };
    let mut seen = 0_u16;
    loop {
        let kind = bytes.number(1)?;
        let length = bytes.number(wide)?;
        let field = bytes.take(length)?;
        let fits = match (kind, major) {
            (0, _) => break,
            (2, _) => length == 16,
            (3, _) => length == 4,
            (4, _) => length == 32,
            (5 | 8 | 9, 3) => length == 32,
            (6, 3) => length == 8,
            (7, _) => matches!(length, 12 | 16),
            (10, 3) => length == 4,
            (11, 4) => derivation(field).map(|()| true)?,
            (12, 4) => dictionary(field, &mut |_, _, _| {}).map(|()| true)?,
            (1, _) => true,
            _ => false,
        };
        if !fits || (kind != 1 && seen & 1 << kind != 0) {
            return Err(KdbxError::Malformed);
        }
        seen |= 1 << kind;
        if kind == 6 && Bytes(field).number(8)? > MOST_ROUNDS {
            return Err(KdbxError::TooExpensive);
        }
    }
    let needed: u16 = if major == 3 { 0b111_1111_1100 } else { 0b1000_1001_1100 };
    if seen & needed == needed { Ok(()) } else { Err(KdbxError::Malformed) }
}

/// The parameters of a key derivation: of all three kinds that there are, each within its bounds.
fn derivation(field: &[u8]) -> Result<(), KdbxError> {
    let (mut rounds, mut memory, mut passes, mut lanes, mut own) = (0, 0, 1, 1, true);
    dictionary(field, &mut |name, kind, value| {
        let number = Bytes(value).number(value.len().min(8) as u64).unwrap_or(u64::MAX);
        let target = match name {
            b"R" => &mut rounds,
            b"M" => &mut memory,
            b"I" => &mut passes,
            b"P" => &mut lanes,
            // The version of Argon2, and bytes, are as the parser takes them; secrets and associated data are not used by anybody.
            b"K" | b"A" => return own = false,
            _ => return,
        };
        own &= kind == 4 || kind == 5;
        *target = number;
    })?;
    let work = memory.checked_mul(passes).is_some_and(|work| work <= MOST_WORK);
    if rounds > MOST_ROUNDS || memory > MOST_MEMORY || !work || passes > 1 << 20 || lanes > 64 {
        return Err(KdbxError::TooExpensive);
    }
    if own { Ok(()) } else { Err(KdbxError::Malformed) }
}

/// What is called with name, type and value of each item of a dictionary.
type VisitItem<'a> = dyn FnMut(&[u8], u64, &[u8]) + 'a;

/// Walks a dictionary of typed values.
fn dictionary(field: &[u8], visit: &mut VisitItem<'_>) -> Result<(), KdbxError> {
    let mut bytes = Bytes(field);
    if bytes.number(2)? >> 8 != 1 {
        return Err(KdbxError::Malformed);
    }
    loop {
        let kind = bytes.number(1)?;
        if kind == 0 {
            return Ok(());
        }
        let length = bytes.number(4)?;
        let name = bytes.take(length)?;
        let length = bytes.number(4)?;
        let value = bytes.take(length)?;
        let fits = match kind {
            0x04 | 0x0c => length == 4,
            0x05 | 0x0d => length == 8,
            0x08 => length == 1,
            0x18 | 0x42 => true,
            _ => false,
        };
        if !fits {
            return Err(KdbxError::Malformed);
        }
        visit(name, kind, value);
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], KdbxError> {
        let count = usize::try_from(count).map_err(|_| KdbxError::Malformed)?;
        let (head, rest) = self.0.split_at_checked(count).ok_or(KdbxError::Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    /// A little-endian number of `width` bytes, at most eight.
    fn number(&mut self, width: u64) -> Result<u64, KdbxError> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use keepass::config::{DatabaseConfig, KdfConfig};
    use keepass::db::Value;

    use super::*;

    fn saved(rounds: u64, fill: impl FnOnce(&mut Database)) -> Vec<u8> {
        let mut config = DatabaseConfig::default();
        config.kdf_config = KdfConfig::Aes { rounds };
        let mut database = Database::with_config(config);
        fill(&mut database);
        let mut bytes = Vec::new();
        database.save(&mut bytes, DatabaseKey::new().with_password("demo")).unwrap();
        bytes
    }

    #[test]
    fn entries_of_every_group() {
        let bytes = saved(100, |database| {
            let mut root = database.root_mut();
            let mut entry = root.add_entry();
            entry.set_unprotected("Title", "plain");
            entry.set_protected("Password", "p'\"$`\n😀");
            let mut group = root.add_group();
            group.name = "ops".to_owned();
            let mut entry = group.add_entry();
            entry.set_unprotected("Title", "db");
            entry.set_unprotected("UserName", "u");
            entry.set_protected("Password", "p");
            entry.set_protected("pin", "7");
            entry.tags = vec!["t".to_owned()];
            entry.add_attachment("a.bin", Value::protected(vec![0, 255]));
        });
        let rows = read_kdbx(&bytes, Some("demo"), None).unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.value.as_slice())).collect();
        assert_eq!(
            seen,
            [
                ("plain", "p'\"$`\n😀".as_bytes()),
                ("ops/db", br#"{"username":"u","password":"p","pin":"7"}"#),
                ("ops/db/a.bin", b"\0\xff"),
            ]
        );
        assert_eq!(rows[1].tags, ["t"]);
        assert_eq!(read_kdbx(&bytes, Some("other"), None).err(), Some(KdbxError::WrongKey));
        assert_eq!(read_kdbx(&bytes, None, Some(b"key")).err(), Some(KdbxError::WrongKey));
    }

    #[test]
    fn the_header_is_bounded_before_anything_is_derived() {
        let mut bytes = saved(3, |_| {});
        assert!(check(&bytes).is_ok());
        for end in 0..150 {
            assert!(read_kdbx(&bytes[..end], Some("demo"), None).is_err(), "{end}");
        }
        let at = bytes.windows(14).position(|part| part == b"\x05\x01\0\0\0R\x08\0\0\0\x03\0\0\0").unwrap();
        bytes[at + 15] = 0x40;
        assert_eq!(read_kdbx(&bytes, Some("demo"), None).err(), Some(KdbxError::TooExpensive));
        bytes[at] = 0x18;
        assert_eq!(read_kdbx(&bytes, Some("demo"), None).err(), Some(KdbxError::TooExpensive));
        bytes[at + 15] = 0;
        assert_eq!(check(&bytes), Err(KdbxError::Malformed));
        assert_eq!(read_kdbx(b"\x03\xd9\xa2\x9a\x65\xfb\x4b\xb5", None, None).err(), Some(KdbxError::Malformed));
    }
}
