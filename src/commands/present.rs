//! How entries and values look in listings, to every command alike.

use base64::Engine as _;
use serde_json::{Value, json};

use super::context::format_time;
use crate::format::record::Kind;
use crate::name::EntryId;
use crate::secret::SecretValue;
use crate::vault::{Entry, Error, ErrorKind, Result};

/// The fields of an object behind the version of what is printed.
pub fn versioned(mut object: Value) -> Value {
    let mut whole = json!({ "version": 1 });
    if let (Value::Object(whole), Value::Object(object)) = (&mut whole, &mut object) {
        whole.append(object);
    }
    whole
}

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
        "due": entry.due().map(format_time),
        "is_due": entry.is_due(now),
        "rotations": entry.rotated(),
        "rotated": entry.last_rotation().map(|last| format_time(last.time)),
        "previous_version": entry.last_rotation().filter(|last| last.until > now).map(|last| last.previous),
        "previous_until": entry.last_rotation().filter(|last| last.until > now).map(|last| format_time(last.until)),
        "rotation_pending": entry.is_rotating(),
        "rotation_failed": entry.failed_rotation().map(|(time, what)| json!({ "time": format_time(time), "what": what })),
    })
}

/// Takes out of what [`entry`] made what a server does not say: `null` is not "none".
pub fn leave_out_history(shown: &mut Value) {
    let unsaid =
        ["versions", "rotations", "rotated", "previous_version", "previous_until", "rotation_pending", "rotation_failed"];
    for name in unsaid {
        shown[name] = Value::Null;
    }
}

/// A value in JSON: text as a string, JSON as itself, bytes as base64 with their encoding.
pub fn value(value: &SecretValue, kind: Kind) -> Result<Value> {
    let broken = || Error::new(ErrorKind::Internal, "internal", "a value is not of its kind");
    match kind {
        Kind::Text => Ok(json!(std::str::from_utf8(value.expose()).map_err(|_| broken())?)),
        Kind::Json => serde_json::from_slice(value.expose()).map_err(|_| broken()),
        Kind::Bytes => {
            let mut object = json!({ "encoding": "base64" });
            object["data"] = Value::String(base64::engine::general_purpose::STANDARD.encode(value.expose()));
            Ok(object)
        }
    }
}

/// That an entry is not there.
pub fn not_found(id: &EntryId) -> Error {
    Error::new(ErrorKind::NotFound, "not_found", format!("there is no entry '{id}'"))
        .hint("`vault list` shows the names; `vault find TEXT` searches them")
}
