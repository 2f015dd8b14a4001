//! What users keep: each under keys of its owner, which nothing else is sealed by. Rotating the keys of the vault wraps those keys anew, and nothing more.

use zeroize::Zeroizing;

use super::name::Mark;
use crate::crypto::keys::label;
use crate::crypto::{self, Transcript};
use crate::format::header::{hex, unhex};
use crate::format::user::{Datum, User, UserKey};
use crate::format::{FormatError, keyspace, padding};
use crate::store::{Snapshot, Walk};
use crate::vault::Vault;
use crate::vault::error::{Error, ErrorKind, Result};
use crate::vault::read::{index_damaged, walk};
use crate::vault::together::Changes;

/// Most records of one user.
pub const MAX_DATA: usize = 1000;
/// Longest type, in characters.
pub const MAX_KIND: usize = 63;
/// Most bytes of all values of one user.
pub const MAX_BYTES: usize = 4 << 20;
/// Longest value, in bytes.
pub const MAX_VALUE: usize = 64 << 10;

/// Whether a text says what is kept.
pub(super) fn is_kind(text: &str) -> bool {
    (1..=MAX_KIND).contains(&text.chars().count())
}

/// How much is kept for one user.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kept {
    records: usize,
    bytes: usize,
}

impl Kept {
    /// One more, of this value.
    pub(super) fn add(&mut self, value: &str) {
        (self.records, self.bytes) = (self.records + 1, self.bytes + value.len());
    }

    /// Whether it is more than may be.
    pub(super) fn is_too_much(self) -> bool {
        self.records > MAX_DATA || self.bytes > MAX_BYTES
    }
}

/// Which record of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DatumId([u8; 12]);

impl DatumId {
    /// Reads 24 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).ok().filter(|_| !text.bytes().any(|byte| byte.is_ascii_uppercase())).map(Self)
    }

    /// Its bytes.
    pub(super) fn bytes(self) -> [u8; 12] {
        self.0
    }
}

impl std::fmt::Display for DatumId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl Vault {
    /// What a user keeps, in the order in which it was made.
    pub fn data(&self, user: &User) -> Result<Vec<(DatumId, Datum)>> {
        let mut data = self.read(&mut |state| {
            let mut data = Vec::new();
            self.walk_data(state.as_ref(), user, &mut |id, datum| {
                data.push((id, datum));
                Ok(())
            })?;
            Ok(data)
        })?;
        data.sort_by_key(|(id, datum)| (datum.created, *id));
        Ok(data)
    }

    fn walk_data(&self, state: &dyn Snapshot, user: &User, visit: &mut dyn FnMut(DatumId, Datum) -> Result<()>) -> Result<()> {
        walk(state, &keyspace::user_data_prefix(&user.uid), &mut |key, value| {
            let (_, id) = keyspace::parse_user_data(key)?;
            let datum = match value {
                Some(sealed) => self.open_datum(user, &id, sealed)?,
                None => self.open_datum(user, &id, &state.get(key)?.ok_or_else(index_damaged)?)?,
            };
            visit(DatumId(id), datum)?;
            Ok(Walk::Continue(()))
        })
    }

    fn seal_datum(&self, user: &User, id: &[u8; 12], datum: &Datum) -> Result<Vec<u8>> {
        let key = user.newest_key();
        let sealed = crypto::seal(key.key.expose(), self.datum_aad(user, id, key).as_bytes(), &padding::pad(&datum.encode()))?;
        Ok([&key.id[..], &sealed].concat())
    }

    fn open_datum(&self, user: &User, id: &[u8; 12], stored: &[u8]) -> Result<Datum> {
        let (key, sealed) = stored.split_first_chunk::<8>().ok_or(FormatError::Malformed("what a user keeps is too short"))?;
        let missing = FormatError::Malformed("the key of what a user keeps is not in their ring");
        let key = user.ring.iter().rev().find(|other| other.id == *key).ok_or(missing)?;
        let padded = crypto::open(key.key.expose(), self.datum_aad(user, id, key).as_bytes(), sealed)
            .map_err(|_| FormatError::NotAuthentic("what a user keeps"))?;
        Ok(Datum::decode(padding::unpad(&padded)?)?)
    }

    fn datum_aad(&self, user: &User, id: &[u8; 12], key: &UserKey) -> Transcript {
        Transcript::new(label::USER_DATA).bytes(&self.id).bytes(&user.uid).bytes(id).bytes(&key.id)
    }

    /// Opens everything that users keep, and refuses what is nobody's.
    pub(super) fn check_data(&self, state: &dyn Snapshot, users: &[(String, User)]) -> Result<()> {
        let mut stored = 0_u64;
        walk(state, &[keyspace::USER_DATA], &mut |_, _| {
            stored += 1;
            Ok(Walk::Continue(()))
        })?;
        for (_, user) in users {
            self.walk_data(state, user, &mut |_, _| {
                stored = stored.saturating_sub(1);
                Ok(())
            })?;
        }
        if stored == 0 { Ok(()) } else { Err(FormatError::Malformed("something is kept for a user that is not there").into()) }
    }
}

impl Changes<'_> {
    /// Keeps something for a user; `kind` says what it is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the user is not there any more, [`ErrorKind::Conflict`] if they keep too much.
    pub fn add_datum(&mut self, mark: Mark, uid: &[u8; 16], kind: &str, value: &str) -> Result<DatumId> {
        let user = self.owner(mark, uid)?;
        self.refuse_too_much(&user, None, value)?;
        let (id, now) = (crypto::random()?, self.now());
        let datum = Datum { kind: kind.to_owned(), value: Zeroizing::new(value.to_owned()), created: now, modified: now };
        self.put_datum(&user, id, &datum)?;
        Ok(DatumId(id))
    }

    /// Replaces what is kept under an id. Returns whether there was something.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the user is not there any more.
    pub fn replace_datum(&mut self, mark: Mark, uid: &[u8; 16], id: DatumId, kind: &str, value: &str) -> Result<bool> {
        let user = self.owner(mark, uid)?;
        let Some(stored) = self.state().get(&keyspace::user_data(uid, &id.0))? else { return Ok(false) };
        let created = self.vault().open_datum(&user, &id.0, &stored)?.created;
        self.refuse_too_much(&user, Some(id), value)?;
        let datum = Datum { kind: kind.to_owned(), value: Zeroizing::new(value.to_owned()), created, modified: self.now() };
        self.put_datum(&user, id.0, &datum)?;
        Ok(true)
    }

    /// Removes what is kept under an id. Returns whether there was something.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the user is not there any more.
    pub fn remove_datum(&mut self, mark: Mark, uid: &[u8; 16], id: DatumId) -> Result<bool> {
        self.owner(mark, uid)?;
        let key = keyspace::user_data(uid, &id.0);
        if self.state().get(&key)?.is_none() {
            return Ok(false);
        }
        self.attempt(|_, _, batch| {
            batch.delete(key);
            Ok(true)
        })
    }

    /// Refuses what would be too much beside all but the record `instead_of`.
    fn refuse_too_much(&self, user: &User, instead_of: Option<DatumId>, value: &str) -> Result<()> {
        let mut kept = Kept::default();
        kept.add(value);
        self.vault().walk_data(self.state(), user, &mut |id, datum| {
            if Some(id) != instead_of {
                kept.add(&datum.value);
            }
            Ok(())
        })?;
        if !kept.is_too_much() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, "too_much_data", "as much is kept for this user as may be"))
    }

    pub(super) fn put_datum(&mut self, user: &User, id: [u8; 12], datum: &Datum) -> Result<()> {
        self.attempt(|vault, _, batch| {
            batch.put(keyspace::user_data(&user.uid, &id), vault.seal_datum(user, &id, datum)?);
            Ok(())
        })
    }

    fn owner(&self, mark: Mark, uid: &[u8; 16]) -> Result<User> {
        self.user_of(mark)?.filter(|user| user.uid == *uid).ok_or_else(super::no_user)
    }
}
