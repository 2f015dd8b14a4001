//! The export that json, yaml and toml have in common: `vault_export: 1` and a list of entries.
//!
//! | field | value |
//! |---|---|
//! | `name` | the name |
//! | `environment`, `category`, `tags`, `meta`, `expires_ms` | as in [`Row`]; left out if empty |
//! | `kind` | `text`, `json` or `bytes` |
//! | `value` | text: a string. json: the value itself where the format gives back the same JSON text, else `{"encoding":"json","data":TEXT}`. bytes: `{"encoding":"base64","data":…}` (RFC 4648 section 4, padded) |
//!
//! Fields may be added under version 1; a reader skips those that it does not know.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::buffer::Buffer;
use super::error::Error;
use super::literal;
use super::row::{Kind, Row};

/// How a format spells one entry; strings, integers and lists are the same in all three.
pub(super) struct Style {
    /// Before the first key of an entry.
    pub(super) first: &'static str,
    /// Before each further key.
    pub(super) next: &'static str,
    /// Between key and value.
    pub(super) key_end: &'static str,
    /// After a value.
    pub(super) value_end: &'static str,
    /// Between key and value of an inline mapping.
    pub(super) pair: &'static str,
    /// The format's own spelling of a JSON text, if reading it gives that same text back.
    pub(super) native: fn(&str) -> Option<Zeroizing<String>>,
}

/// Appends one entry.
pub(super) fn entry(out: &mut Buffer, row: &Row, style: &Style) -> Result<(), Error> {
    out.push(style.first);
    out.push("name");
    out.push(style.key_end);
    literal::quote(out, &row.name);
    out.push(style.value_end);
    for (key, text) in [("environment", &row.environment), ("category", &row.category)] {
        if let Some(text) = text {
            field(out, style, key, |out| literal::quote(out, text));
        }
    }
    if !row.tags.is_empty() {
        field(out, style, "tags", |out| {
            out.push("[");
            separated(out, &row.tags, |out, tag| literal::quote(out, tag));
            out.push("]");
        });
    }
    if !row.meta.is_empty() {
        field(out, style, "meta", |out| {
            out.push("{");
            separated(out, &row.meta, |out, (key, text)| {
                literal::quote(out, key);
                out.push(style.pair);
                literal::quote(out, text);
            });
            out.push("}");
        });
    }
    if let Some(expires) = row.expires {
        field(out, style, "expires_ms", |out| out.push(&expires.to_string()));
    }
    field(out, style, "kind", |out| literal::quote(out, row.kind.word()));
    let text = match row.kind {
        Kind::Bytes => None,
        Kind::Text => Some(utf8(row)?),
        Kind::Json => Some(json_text(row)?),
    };
    field(out, style, "value", |out| match (row.kind, text) {
        (Kind::Text, Some(text)) => literal::quote(out, text),
        (Kind::Json, Some(text)) => match (style.native)(text) {
            Some(native) => out.push(&native),
            None => encoded(out, style, "json", text),
        },
        _ => encoded(out, style, "base64", &base64(&row.value)),
    });
    Ok(())
}

/// The row's value as UTF-8.
pub(super) fn utf8(row: &Row) -> Result<&str, Error> {
    std::str::from_utf8(&row.value).map_err(|_| Error::Value { name: row.name.clone(), what: "the value is not UTF-8 text" })
}

/// The row's value as one JSON value.
pub(super) fn json_text(row: &Row) -> Result<&str, Error> {
    let text = utf8(row)?;
    if literal::is_json(text) {
        Ok(text)
    } else {
        Err(Error::Value { name: row.name.clone(), what: "the value is said to be JSON and is not" })
    }
}

/// Base64 with padding, in memory that is wiped.
pub(super) fn base64(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(bytes))
}

/// The bytes that [`base64()`] spells so.
pub(super) fn from_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD.decode(text).ok().map(Zeroizing::new)
}

fn field(out: &mut Buffer, style: &Style, key: &str, value: impl FnOnce(&mut Buffer)) {
    out.push(style.next);
    out.push(key);
    out.push(style.key_end);
    value(out);
    out.push(style.value_end);
}

fn encoded(out: &mut Buffer, style: &Style, encoding: &str, data: &str) {
    out.push("{");
    separated(out, [("encoding", encoding), ("data", data)], |out, (key, text)| {
        literal::quote(out, key);
        out.push(style.pair);
        literal::quote(out, text);
    });
    out.push("}");
}

/// Appends items with commas between them.
pub(super) fn separated<T>(out: &mut Buffer, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Buffer, T)) {
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(",");
        }
        write(out, item);
    }
}
