//! How entries and values look in listings, to every command alike.

use base64::Engine as _;
use serde_json::{Value, json};

use super::context::format_time;
use crate::format::record::Kind;
use crate::name::EntryId;
use crate::secret::SecretValue;
use crate::vault::{Entry, Error, ErrorKind, Result};

/// An entry as listings print it, without its value.
pub fn entry(entry: &Entry, now: u64) -> Value {
    let environment = match entry.id().environment_text() {
        "" => Value::Null,
        text => json!(text),
    };
    let versions: Vec<Value> = entry
        .versions()
        .map(|version| json!({ "number": version.number, "created": format_time(version.created), "kind": version.kind.word() }))
        .collect();
    json!({
        "name": entry.id().name.as_str(),
        "environment": environment,
        "category": entry.category().map(|category| category.as_str()),
        "tags": entry.tags().iter().map(|tag| tag.as_str()).collect::<Vec<_>>(),
        "meta": entry.meta(),
        "kind": entry.kind().word(),
        "current_version": entry.version(),
        "versions": versions,
        "created": format_time(entry.created()),
        "modified": format_time(entry.modified()),
        "expires": entry.expires().map(format_time),
        "expired": entry.is_expired(now),
    })
}

/// A value in JSON: text as a string, JSON as itself, bytes as base64 with their encoding.
pub fn value(value: &SecretValue, kind: Kind) -> Result<Value> {
    let broken = || Error::new(ErrorKind::Internal, "internal", "a value is not of its kind");
    match kind {
        Kind::Text => Ok(json!(std::str::from_utf8(value.expose()).map_err(|_| broken())?)),
        Kind::Json => serde_json::from_slice(value.expose()).map_err(|_| broken()),
        Kind::Bytes => {
            let data = base64::engine::general_purpose::STANDARD.encode(value.expose());
            Ok(json!({ "encoding": "base64", "data": data }))
        }
    }
}

/// That an entry is not there.
pub fn not_found(id: &EntryId) -> Error {
    Error::new(ErrorKind::NotFound, "not_found", format!("there is no entry '{id}'"))
        .hint("`vault list` shows the names; `vault find TEXT` searches them")
}
