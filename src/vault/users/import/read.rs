//! What the other service exports: its collections `users` and `sensitive_data` as `mongoexport` writes them, and the keys of its key store.
//!
//! Nothing that is read here is repeated in an error but names of users, numbers of documents and names of fields.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{Foreign, ForeignDatum, Unread, datum_id};
use crate::crypto::{BCRYPT_MAX_COST, GCM_NONCE, bcrypt_cost, open_gcm};
use crate::secret::DataKey;
use crate::vault::error::{Error, Result};
use crate::vault::field::Wiped;
use crate::vault::foreign::from_hex;
use crate::vault::otp::base32;
use crate::vault::users::data::{Kept, is_kind};
use crate::vault::users::{MAX_KIND, MAX_VALUE, UserName, email_fault, name_fault};

/// Users of another service as they were read.
pub struct Export {
    pub(super) users: Vec<Foreign>,
    pub(super) unread: Vec<Unread>,
}

type Read<T> = std::result::Result<T, String>;

/// Reads the users and, from `data` and its keys, what they keep. What of it cannot be taken over is in [`Export`], for
/// [`crate::vault::Vault::import_users`] to tell of.
///
/// # Errors
/// [`crate::vault::ErrorKind::Usage`] for what is not JSON.
pub fn read_export(users: &[u8], data: Option<(&[u8], &[u8])>) -> Result<Export> {
    let mut export = Export { users: Vec::new(), unread: Vec::new() };
    // By `_id`, and by name.
    let (mut by_id, mut by_name) = (HashMap::new(), HashMap::new());
    for (index, document) in documents(users, "the users")?.iter().enumerate() {
        let number = index + 1;
        match Fields::of(document).and_then(|fields| Ok((fields.id()?, read_user(&fields)?))) {
            Ok((id, user)) => {
                let at = export.users.len();
                if let Some(other) = by_name.insert(UserName::of(&user.name), at) {
                    let other: &Foreign = &export.users[other];
                    let text = format!("'{}' and '{}' (user {number}) would be one user", other.name, user.name);
                    export.unread.push(Unread::conflict(text));
                }
                if let Some(id) = id {
                    by_id.insert(id, at);
                }
                export.users.push(user);
            }
            Err(why) => export.unread.push(Unread::malformed(format!("user {number}{}: {why}", named(document)))),
        }
    }
    if let Some((data, keys)) = data {
        let mut keys = UserKeys::read(keys)?;
        let (mut ids, mut kept) = (HashSet::new(), vec![Kept::default(); export.users.len()]);
        for (index, document) in documents(data, "the data")?.iter().enumerate() {
            let number = index + 1;
            let fields = Fields::of(document);
            let owner = fields.as_ref().ok().and_then(|fields| fields.owner(&by_id, &by_name));
            let name = owner.map_or(String::new(), |at| format!(" of '{}'", export.users[at].name));
            let read = fields.and_then(|fields| {
                let at = owner.ok_or("it is of none of the users")?;
                let datum = read_datum(&fields, keys.of(&export.users[at].name)?)?;
                match datum.id {
                    Some(id) if !ids.insert((at, id)) => return Err("its _id occurs twice".to_owned()),
                    _ => kept[at].add(&datum.value),
                }
                if kept[at].is_too_much() {
                    return Err("as much is kept as may be".to_owned());
                }
                export.users[at].data.push(datum);
                Ok(())
            });
            if let Err(why) = read {
                export.unread.push(Unread::malformed(format!("record {number}{name}: {why}")));
            }
        }
    }
    Ok(export)
}

/// The documents of a file: one behind the other, with line ends between them or not, or in an array.
fn documents(bytes: &[u8], what: &str) -> Result<Vec<Wiped>> {
    let mut all = Vec::new();
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<Value>() {
        let value = value.map_err(|error| {
            Error::usage(format!("{what} are not JSON (line {}, column {})", error.line(), error.column()))
                .hint("`mongoexport --db DB --collection COLLECTION` writes what is read here")
        })?;
        match value {
            Value::Array(items) => all.extend(items.into_iter().map(Wiped)),
            one => all.push(Wiped(one)),
        }
    }
    Ok(all)
}

/// The name of the user that a document is of, to be told.
fn named(document: &Wiped) -> String {
    let name = Fields::of(document).and_then(|fields| fields.text(&["username"]).map(|name| name.map(str::to_owned)));
    // A long one is none.
    name.ok().flatten().filter(|name| name.len() <= 255).map_or(String::new(), |name| format!(" ('{name}')"))
}

fn read_user(fields: &Fields<'_>) -> Read<Foreign> {
    let name = fields.required(&["username"])?.to_owned();
    let email = fields.text(&["email"])?.unwrap_or_default().to_owned();
    if let Some(fault) = name_fault(&name).or_else(|| email_fault(&email)) {
        return Err(fault.to_owned());
    }
    let verifier = fields.required(&["hashed_password", "password"])?;
    match bcrypt_cost(verifier) {
        None => return Err("what the password is compared with is not of bcrypt".to_owned()),
        Some(cost) if cost > BCRYPT_MAX_COST => {
            return Err(format!("bcrypt of cost {cost}: {BCRYPT_MAX_COST} is the most that is taken over"));
        }
        Some(_) => {}
    }
    let salt = fields.required(&["salt"])?;
    if salt.len() > 1024 {
        return Err("the salt is too long".to_owned());
    }
    let otp = match fields.text(&["totp_secret", "otp_secret"])? {
        None | Some("") => None,
        Some(text) => {
            let key = base32(text).filter(|key| (10..=64).contains(&key.expose().len()));
            Some(key.ok_or("the secret of codes is not base32 of 10 to 64 bytes")?)
        }
    };
    Ok(Foreign {
        name,
        email,
        verifier: verifier.to_owned(),
        followed_by: salt.to_owned(),
        second_factor: fields.flag(&["two_factor_enabled", "is_2fa_enabled"])?,
        otp,
        created: fields.time(&["created_at"])?.or(fields.made()),
        attempts: (
            fields.number(&["failed_attempts"])?,
            fields.time(&["last_failed_attempt_time"])?.unwrap_or(0),
            fields.time(&["lockout_until"])?.unwrap_or(0),
        ),
        data: Vec::new(),
    })
}

fn read_datum(fields: &Fields<'_>, key: &DataKey) -> Read<ForeignDatum> {
    let id = fields.id()?.and_then(|id| datum_id(&id));
    let kind = fields.required(&["data_type"])?.to_owned();
    if !is_kind(&kind) {
        return Err(format!("data_type has not 1 to {MAX_KIND} characters"));
    }
    let sealed = from_hex(fields.required(&["encrypted_value", "value"])?).ok_or("its value is not hex digits")?;
    let (nonce, sealed) = sealed.split_first_chunk::<GCM_NONCE>().ok_or("it cannot be decrypted")?;
    let opened = open_gcm(key.expose(), nonce, sealed).map_err(|_| "it cannot be decrypted")?;
    let value = Zeroizing::new(std::str::from_utf8(&opened).map_err(|_| "it is not text")?.to_owned());
    if value.len() > MAX_VALUE {
        return Err(format!("it has more than {MAX_VALUE} bytes"));
    }
    Ok(ForeignDatum { id, kind, value, created: fields.time(&["created_at"])?.or(fields.made()) })
}

/// The keys of the other service: one that wraps, and one of each user.
struct UserKeys {
    master: DataKey,
    wrapped: Wiped,
    opened: HashMap<String, Read<DataKey>>,
}

impl UserKeys {
    fn read(bytes: &[u8]) -> Result<Self> {
        let malformed = |what: &str| {
            Error::usage(format!("the keys are malformed: {what}"))
                .hint("{\"master_key\":\"HEX\",\"user_keys\":{\"NAME\":{\"key\":\"HEX\",\"nonce\":\"HEX\"}}}")
        };
        let mut documents = documents(bytes, "the keys")?;
        let (Some(wrapped), true) = (documents.pop(), documents.is_empty()) else { return Err(malformed("not one object")) };
        let master = wrapped.0.get("master_key").and_then(Value::as_str).and_then(from_hex).map(Zeroizing::new);
        let master = master.and_then(key).ok_or_else(|| malformed("master_key is not 32 bytes in hex"))?;
        if !wrapped.0.get("user_keys").is_some_and(Value::is_object) {
            return Err(malformed("user_keys is not an object"));
        }
        Ok(Self { master, wrapped, opened: HashMap::new() })
    }

    /// The key of a user, unwrapped.
    fn of(&mut self, name: &str) -> Read<&DataKey> {
        if !self.opened.contains_key(name) {
            let opened = self.unwrap(name);
            self.opened.insert(name.to_owned(), opened);
        }
        match self.opened.get(name) {
            Some(Ok(key)) => Ok(key),
            Some(Err(why)) => Err(why.clone()),
            None => Err("there is no key of this user".to_owned()),
        }
    }

    fn unwrap(&self, name: &str) -> Read<DataKey> {
        let entry = self.wrapped.0.get("user_keys").and_then(|keys| keys.get(name)).ok_or("there is no key of this user")?;
        let field = |field: &str| entry.get(field).and_then(Value::as_str).and_then(from_hex);
        let nonce: Option<[u8; GCM_NONCE]> = field("nonce").and_then(|nonce| nonce.try_into().ok());
        let (Some(wrapped), Some(nonce)) = (field("key"), nonce) else {
            return Err("the key of this user is malformed".to_owned());
        };
        let opened = open_gcm(self.master.expose(), &nonce, &wrapped);
        opened.ok().and_then(key).ok_or_else(|| "the key of this user cannot be unwrapped by the master key".to_owned())
    }
}

fn key(bytes: Zeroizing<Vec<u8>>) -> Option<DataKey> {
    <[u8; 32]>::try_from(bytes.as_slice()).ok().map(|key| DataKey::new(Zeroizing::new(key)))
}

/// The fields of a document in MongoDB's extended JSON, in either version, as far as the types go that occur here.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn of(document: &'a Wiped) -> Read<Self> {
        document.0.as_object().map(Fields).ok_or_else(|| "it is not an object".to_owned())
    }

    /// The first of these that is there, with its name.
    fn find(&self, names: &[&'static str]) -> Option<(&'static str, &'a Value)> {
        names.iter().find_map(|name| self.0.get(*name).filter(|value| !value.is_null()).map(|value| (*name, value)))
    }

    fn text(&self, names: &[&'static str]) -> Read<Option<&'a str>> {
        let Some((name, value)) = self.find(names) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| format!("{name} is not a text"))
    }

    fn required(&self, names: &[&'static str]) -> Read<&'a str> {
        self.text(names)?.ok_or_else(|| format!("{} is missing", names.join(" or ")))
    }

    fn flag(&self, names: &[&'static str]) -> Read<bool> {
        let Some((name, value)) = self.find(names) else { return Ok(false) };
        value.as_bool().ok_or_else(|| format!("{name} is neither true nor false"))
    }

    fn number(&self, names: &[&'static str]) -> Read<u64> {
        let Some((name, value)) = self.find(names) else { return Ok(0) };
        integer(value).ok_or_else(|| format!("{name} is not a number of attempts"))
    }

    /// A date, in milliseconds since 1970.
    fn time(&self, names: &[&'static str]) -> Read<Option<u64>> {
        let Some((name, value)) = self.find(names) else { return Ok(None) };
        let date = value.get("$date").unwrap_or(value);
        let parsed = match date.as_str() {
            Some(text) => text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok()),
            None => integer(date),
        };
        parsed.map(Some).ok_or_else(|| format!("{name} is not a date"))
    }

    /// `_id`, or another reference, as text.
    fn reference(value: &Value) -> Option<String> {
        value.get("$oid").unwrap_or(value).as_str().map(str::to_ascii_lowercase)
    }

    fn id(&self) -> Read<Option<String>> {
        let Some((name, value)) = self.find(&["_id"]) else { return Ok(None) };
        Self::reference(value).map(Some).ok_or_else(|| format!("{name} is not an id"))
    }

    /// When the document was made, as its id says: its first four bytes are seconds.
    fn made(&self) -> Option<u64> {
        let id = datum_id(&self.id().ok().flatten()?)?;
        Some(u64::from(u32::from_be_bytes([id[0], id[1], id[2], id[3]])) * 1000)
    }

    /// Whose it is: by the id of the user, or by the name.
    fn owner(&self, by_id: &HashMap<String, usize>, by_name: &HashMap<UserName, usize>) -> Option<usize> {
        let id = self.find(&["user_id"]).and_then(|(_, value)| Self::reference(value)).and_then(|id| by_id.get(&id));
        let name = || self.find(&["username", "user_id"]).and_then(|(_, value)| value.as_str());
        id.or_else(|| by_name.get(&UserName::of(name()?))).copied()
    }
}

/// A whole number that is not negative, as any of the ways to write one.
fn integer(value: &Value) -> Option<u64> {
    let inner = ["$numberInt", "$numberLong", "$numberDouble"].iter().find_map(|kind| value.get(kind)).unwrap_or(value);
    match inner {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64().or_else(|| number.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0).map(|n| n as u64)),
    }
}
