//! Fields of JSON values: a dotted path (`db.host`, `list.0`) or a JSON pointer (`/db/host`, RFC 6901).

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::error::{Error, ErrorKind, Result};
use crate::secret::{Growing, SecretValue};

/// A JSON value that wipes its text when dropped.
pub struct Wiped(pub Value);

impl Drop for Wiped {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => zeroize::Zeroize::zeroize(text),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(map) => map.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The deepest field: what is nested deeper could be written and never be read again.
const DEPTH: usize = 127;

/// Where a field is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// Reads a path: a JSON pointer if it begins with `/`, else parts separated by dots.
    pub fn parse(text: &str) -> Result<Self> {
        let parts: Vec<String> = match text.strip_prefix('/') {
            Some(pointer) => pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect(),
            None => text.split('.').map(str::to_owned).collect(),
        };
        if text.is_empty() || (!text.starts_with('/') && parts.iter().any(String::is_empty)) {
            return Err(Error::usage("a field is a dotted path such as db.host, or a JSON pointer such as /db/host"));
        }
        if parts.len() > DEPTH {
            return Err(Error::usage("a field lies at most 127 levels deep"));
        }
        Ok(Self(parts))
    }

    /// Its parts, from the outside in.
    pub fn parts(&self) -> &[String] {
        &self.0
    }
}

/// As [`FieldPath::parse`] reads it: with dots, or as a pointer where a part has one.
impl std::fmt::Display for FieldPath {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dotted = self.0.iter().all(|part| !part.is_empty() && !part.contains('.')) && !self.0[0].starts_with('/');
        if dotted {
            return out.write_str(&self.0.join("."));
        }
        self.0.iter().try_for_each(|part| write!(out, "/{}", part.replace('~', "~0").replace('/', "~1")))
    }
}

/// The field of a JSON value: a string as its text, anything else as compact JSON.
pub fn get(value: &SecretValue, path: &FieldPath) -> Result<SecretValue> {
    let root = parse(value)?;
    Ok(match find(&root, path)? {
        Value::String(text) => SecretValue::from(text.as_str()),
        other => SecretValue::new(to_bytes(other)?),
    })
}

/// The field of a JSON value as compact JSON, a string too: for readers who must tell `"1"` from `1`.
pub fn get_json(value: &SecretValue, path: &FieldPath) -> Result<SecretValue> {
    let root = parse(value)?;
    find(&root, path).and_then(to_bytes).map(SecretValue::new)
}

fn find<'a>(root: &'a Wiped, path: &FieldPath) -> Result<&'a Value> {
    let mut at = &root.0;
    for part in &path.0 {
        at = step(at, part).ok_or_else(|| missing(path))?;
    }
    Ok(at)
}

/// The JSON value with the field set; objects on the way are made where they are missing.
pub fn set(value: Option<&SecretValue>, path: &FieldPath, field: &SecretValue, json: bool) -> Result<SecretValue> {
    let mut root = match value {
        Some(value) => parse(value)?,
        None => Wiped(Value::Object(Map::new())),
    };
    let new = if json {
        parse_json(field.expose())?
    } else {
        let text = std::str::from_utf8(field.expose())
            .map_err(|_| Error::new(ErrorKind::Usage, "not_text", "a field of a JSON value must be UTF-8 text"))?;
        Value::String(text.to_owned())
    };
    let mut at = &mut root.0;
    for part in &path.0 {
        at = match at {
            Value::Object(map) => map.entry(part.clone()).or_insert_with(|| Value::Object(Map::new())),
            Value::Array(items) => index(part).and_then(|index| items.get_mut(index)).ok_or_else(|| missing(path))?,
            _ => return Err(missing(path)),
        };
    }
    *at = new;
    let bytes = to_bytes(&root.0)?;
    if parse_json(&bytes).map(Wiped).is_err() {
        return Err(Error::usage("the value would be nested too deeply to be read again"));
    }
    Ok(SecretValue::new(bytes))
}

/// Whether the bytes are one JSON value; nothing of them is part of the error.
pub fn check_json(bytes: &[u8]) -> Result<()> {
    parse_json(bytes).map(|value| drop(Wiped(value)))
}

/// The keys by which the JSON library tells numbers of any precision and raw text from objects, inside of it; an object that has one would be taken
/// for these.
const PRIVATE_KEYS: [&str; 2] = ["$serde_json::private::Number", "$serde_json::private::RawValue"];

fn refuse_private_keys(bytes: &[u8]) -> Result<()> {
    let mut rest = bytes;
    while let Some(start) = rest.iter().position(|byte| *byte == b'"') {
        let string = &rest[start..];
        let Some(length) = string_length(string) else { return Ok(()) };
        let (string, behind) = string.split_at(length);
        if behind.trim_ascii_start().starts_with(b":") && is_private_key(string) {
            return Err(Error::usage(
                "the value has a key that its JSON library keeps for itself, so its fields cannot be told apart",
            ));
        }
        rest = behind;
    }
    Ok(())
}

/// The length of the string at the start, with both quotes; `None` if it does not end.
fn string_length(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Whether a string, quotes and escapes and all, is one of [`PRIVATE_KEYS`].
fn is_private_key(string: &[u8]) -> bool {
    if string.contains(&b'\\') {
        return serde_json::from_slice(string)
            .map(Zeroizing::<String>::new)
            .is_ok_and(|text| PRIVATE_KEYS.contains(&text.as_str()));
    }
    PRIVATE_KEYS.iter().any(|key| key.as_bytes() == &string[1..string.len() - 1])
}

fn parse(value: &SecretValue) -> Result<Wiped> {
    refuse_private_keys(value.expose())?;
    serde_json::from_slice(value.expose())
        .map(Wiped)
        .map_err(|_| Error::new(ErrorKind::NotFound, "not_json", "the value is not JSON, so it has no fields"))
}

pub(super) fn parse_json(bytes: &[u8]) -> Result<Value> {
    refuse_private_keys(bytes)?;
    serde_json::from_slice(bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Error::new(ErrorKind::Usage, "not_json", format!("the value is not JSON ({place})"))
    })
}

fn step<'a>(value: &'a Value, part: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(part),
        Value::Array(items) => items.get(index(part)?),
        _ => None,
    }
}

/// The number of an item: digits without leading zeros (RFC 6901, section 4).
fn index(part: &str) -> Option<usize> {
    let plain = part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
    plain.then(|| part.parse().ok()).flatten()
}

/// A JSON value as compact text.
pub(super) fn to_bytes(value: &Value) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Growing::default();
    serde_json::to_writer(&mut bytes, value)
        .map_err(|_| Error::new(ErrorKind::Internal, "internal", "a JSON value cannot be written"))?;
    Ok(bytes.into_bytes())
}

fn missing(path: &FieldPath) -> Error {
    Error::new(ErrorKind::NotFound, "field_not_found", format!("the value has no field '{}'", path.0.join(".")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn value(text: &str) -> SecretValue {
        SecretValue::from(text)
    }

    fn read(json: &str, path: &str) -> Result<String> {
        get(&value(json), &FieldPath::parse(path)?).map(|field| String::from_utf8(field.expose().to_vec()).unwrap())
    }

    #[test]
    fn reads_fields_exactly() {
        let json = r#"{"db":{"host":"h","port":5432,"big":123456789012345678901234567890,"a.b":1},"l":[true,null]}"#;
        assert_eq!(read(json, "db.host").unwrap(), "h");
        assert_eq!(read(json, "/db/host").unwrap(), "h");
        assert_eq!(read(json, "/db/a.b").unwrap(), "1");
        assert_eq!(read(json, "db.big").unwrap(), "123456789012345678901234567890");
        assert_eq!(read(json, "l.0").unwrap(), "true");
        assert_eq!(read(json, "l").unwrap(), "[true,null]");
        for path in ["x", "db.host.x", "l.2", "l.x", "/db/", "l.00", "l.+0", "/l/01", "/l/"] {
            assert_eq!(read(json, path).unwrap_err().code(), "field_not_found", "{path}");
        }
        assert_eq!(read("plain", "x").unwrap_err().code(), "not_json");
        assert!(FieldPath::parse("").is_err() && FieldPath::parse("a..b").is_err());
    }

    #[test]
    fn an_object_that_would_be_taken_for_something_else_is_refused() {
        for json in [
            r#"{"a":{"$serde_json::private::Number":"1"}}"#,
            r#"{"a":{"$serde_json::private::RawValue" : "[1]"}}"#,
            r#"{"a":{"\u0024serde_json::private::Num\u0062er":"1"}}"#,
        ] {
            assert_eq!(read(json, "a").unwrap_err().kind(), ErrorKind::Usage, "{json}");
            let path = FieldPath::parse("b").unwrap();
            assert!(set(Some(&value(json)), &path, &value("x"), false).is_err() && check_json(json.as_bytes()).is_err());
        }
        assert_eq!(read(r#"{"a":"\u00e9\\u0041"}"#, "a").unwrap(), "é\\u0041");
        for json in [
            r#"{"a":1,"b":"$serde_json::private::Number"}"#,
            r#"{"x$serde_json::private::Number":"y","a":1}"#,
            r#"{"\"$serde_json::private::Number":"y","a":1}"#,
        ] {
            assert_eq!(read(json, "a").unwrap(), "1");
        }
    }

    #[test]
    fn sets_fields_and_keeps_the_rest_as_it_was() {
        let path = FieldPath::parse("db.password").unwrap();
        let new = set(Some(&value(r#"{"z":1.10,"db":{"host":"h"}}"#)), &path, &value("p\"w"), false).unwrap();
        assert_eq!(new.expose(), br#"{"z":1.10,"db":{"host":"h","password":"p\"w"}}"#);
        let new = set(None, &path, &value("[1]"), true).unwrap();
        assert_eq!(new.expose(), br#"{"db":{"password":[1]}}"#);
        assert!(set(Some(&value("[1]")), &path, &value("x"), false).is_err());
        assert!(set(Some(&value("[1]")), &FieldPath::parse("+0").unwrap(), &value("x"), false).is_err());
        assert!(set(None, &path, &value("nope"), true).is_err());
    }

    #[test]
    fn what_is_set_can_be_read_again_however_deep_it_is() {
        let path = |depth: usize| FieldPath::parse(&vec!["a"; depth].join("."));
        let new = set(None, &path(127).unwrap(), &value("x"), false).unwrap();
        assert_eq!(get(&new, &path(127).unwrap()).unwrap().expose(), b"x");
        assert!(path(128).is_err() && path(100_000).is_err());
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(set(None, &path(20).unwrap(), &value(&deep), true).is_ok());
        assert!(set(None, &path(100).unwrap(), &value(&deep), true).is_err());
    }
}
