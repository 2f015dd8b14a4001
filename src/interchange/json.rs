//! JSON (RFC 8259): the export, or a flat object of name to value.
//!
//! In a flat object a string is text, and every other value is JSON, kept as it stands in the file.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::buffer::{Buffer, bytes};
use super::error::Error;
use super::export::{self, Style};
use super::literal;
use super::row::{Kind, Row};

const STYLE: Style = Style { first: "{\"", next: ",\"", key_end: "\":", value_end: "", pair: ":", native };

/// Writes the export, one entry a line.
pub(super) fn write(rows: &[Row]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut out = Buffer::new();
    out.push("{\"vault_export\":1,\"entries\":[");
    for (at, row) in rows.iter().enumerate() {
        out.push(if at == 0 { "\n" } else { ",\n" });
        export::entry(&mut out, row, &STYLE)?;
        out.push("}");
    }
    out.push("\n]}\n");
    Ok(out.into_bytes())
}

/// Reads an object: the export if `vault_export` is a number in it, else name to value.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    let mut version = None;
    let mut entries = None;
    let mut rows = Vec::new();
    literal::members(text, |name, value| {
        match name.as_str() {
            "vault_export" if value.starts_with(|first: char| first.is_ascii_digit() || first == '-') => {
                version = Some(value);
            }
            // What this is shows only when the whole object has been seen: set it aside.
            "entries" if entries.is_none() => entries = Some((rows.len(), value)),
            _ => rows.push(flat(name, value)?),
        }
        Ok(())
    })?;
    match (version, entries) {
        (None, None) => Ok(rows),
        (None, Some((at, value))) => {
            rows.insert(at, flat("entries".to_owned(), value)?);
            Ok(rows)
        }
        (Some("1"), Some((_, entries))) => export_rows(entries),
        (Some("1"), None) => Err(Error::Syntax { line: 1, what: "an export has a list \"entries\"" }),
        (Some(_), _) => Err(Error::NewerExport),
    }
}

/// An entry's text, unless a reader would take it for an encoded value.
fn native(text: &str) -> Option<Zeroizing<String>> {
    let verbatim = text == text.trim() && !looks_encoded(text);
    verbatim.then(|| Zeroizing::new(text.to_owned()))
}

fn flat(name: String, value: &str) -> Result<Row, Error> {
    if !value.starts_with('"') {
        let value = Zeroizing::new(value.as_bytes().to_vec());
        return Ok(Row::new(name, Kind::Json, value));
    }
    match literal::unquote(value) {
        Some(text) => Ok(Row::new(name, Kind::Text, bytes(text))),
        None => Err(Error::Value { name, what: "the string holds half of a surrogate pair" }),
    }
}

#[derive(Deserialize)]
struct Entry<'a> {
    name: String,
    environment: Option<String>,
    category: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    meta: BTreeMap<String, String>,
    expires_ms: Option<u64>,
    kind: Option<String>,
    #[serde(borrow)]
    value: &'a RawValue,
}

impl Entry<'_> {
    /// The row, or what is wrong.
    fn row(self) -> Result<Row, &'static str> {
        let value = self.value.get();
        let kind = match self.kind.as_deref() {
            Some(name) => Kind::from_word(name).ok_or("its kind is not text, json or bytes")?,
            None if value.starts_with('"') => Kind::Text,
            None => Kind::Json,
        };
        let value = match (kind, encoded(value)) {
            (Kind::Text, _) => literal::unquote(value).map(bytes).ok_or("a text is a JSON string")?,
            (Kind::Json, None) => Zeroizing::new(value.as_bytes().to_vec()),
            (Kind::Json, Some(encoded)) if encoded.encoding == "json" => {
                encoded.text().filter(|text| literal::is_json(text)).map(bytes).ok_or("its data is not JSON")?
            }
            (Kind::Bytes, Some(encoded)) if encoded.encoding == "base64" => {
                encoded.text().and_then(|text| export::from_base64(&text)).ok_or("its data is not base64")?
            }
            _ => return Err("its value is not encoded as its kind asks"),
        };
        Ok(Row {
            name: self.name,
            environment: self.environment,
            category: self.category,
            tags: self.tags,
            meta: self.meta,
            expires: self.expires_ms,
            kind,
            value,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded<'a> {
    encoding: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Encoded<'_> {
    fn text(&self) -> Option<Zeroizing<String>> {
        literal::unquote(self.data.get())
    }
}

/// Whether a reader of the export would take this JSON value for an encoded one.
pub(super) fn looks_encoded(value: &str) -> bool {
    encoded(value).is_some()
}

fn encoded(value: &str) -> Option<Encoded<'_>> {
    let object = value.starts_with('{');
    object.then(|| serde_json::from_str(value).ok()).flatten()
}

fn export_rows(entries: &str) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    let mut what = "a field is missing or is of the wrong type";
    let visitor = Entries { rows: &mut rows, what: &mut what };
    match serde_json::Deserializer::from_str(entries).deserialize_seq(visitor) {
        Ok(()) => Ok(rows),
        Err(_) => Err(Error::Entry { number: rows.len() + 1, what }),
    }
}

struct Entries<'r> {
    rows: &'r mut Vec<Row>,
    what: &'r mut &'static str,
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("a list of entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(entry) = entries.next_element::<Entry<'de>>()? {
            match entry.row() {
                Ok(row) => self.rows.push(row),
                Err(what) => {
                    *self.what = what;
                    return Err(A::Error::custom(what));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn one(text: &str) -> Row {
        read(text).unwrap().remove(0)
    }

    #[test]
    fn the_export_is_this_text() {
        let mut row = Row::new("a".into(), Kind::Text, Zeroizing::new(b"x\"\n".to_vec()));
        row.environment = Some("prod".into());
        row.category = Some("db".into());
        row.tags = vec!["t".into(), "u".into()];
        row.meta = [("k".to_owned(), "v".to_owned())].into();
        row.expires = Some(7);
        let json = Row::new("b".into(), Kind::Json, Zeroizing::new(b"{\"z\": 1.10, \"a\":[]}".to_vec()));
        let bytes = Row::new("c".into(), Kind::Bytes, Zeroizing::new(vec![0xff, 0]));
        let text = write(&[row, json, bytes]).unwrap();
        let expected = r#"{"vault_export":1,"entries":[
{"name":"a","environment":"prod","category":"db","tags":["t","u"],"meta":{"k":"v"},"expires_ms":7,"kind":"text","value":"x\"\n"},
{"name":"b","kind":"json","value":{"z": 1.10, "a":[]}},
{"name":"c","kind":"bytes","value":{"encoding":"base64","data":"/wA="}}
]}
"#;
        assert_eq!(std::str::from_utf8(&text).unwrap(), expected);
    }

    #[test]
    fn flat_objects() {
        let rows = read(r#"{"t":"x\u00e9","n":1.10,"o":{ "b":1, "a":2 },"z":null,"entries":[],"vault_export":"1"}"#).unwrap();
        let seen: Vec<_> =
            rows.iter().map(|row| (row.name.as_str(), row.kind, std::str::from_utf8(&row.value).unwrap())).collect();
        assert_eq!(
            seen,
            [
                ("t", Kind::Text, "xé"),
                ("n", Kind::Json, "1.10"),
                ("o", Kind::Json, "{ \"b\":1, \"a\":2 }"),
                ("z", Kind::Json, "null"),
                ("entries", Kind::Json, "[]"),
                ("vault_export", Kind::Text, "1"),
            ]
        );
    }

    #[test]
    fn the_marker_may_stand_anywhere_and_fields_may_be_added() {
        let row = one(r#"{"entries":[{"value":"v","new":[1],"name":"a"}],"by":"x","vault_export":1}"#);
        assert_eq!((row.name.as_str(), row.kind), ("a", Kind::Text));
        assert!(matches!(read(r#"{"vault_export":2,"entries":7}"#), Err(Error::NewerExport)));
        assert!(read(r#"{"vault_export":1}"#).is_err());
    }

    #[test]
    fn a_value_that_looks_encoded_stays_what_it_is() {
        for text in [r#"{"encoding":"json","data":"1"}"#, r#"{"data":"","encoding":"x"}"#, " 1\n", "1"] {
            let row = Row::new("a".into(), Kind::Json, Zeroizing::new(text.as_bytes().to_vec()));
            let file = write(&[row]).unwrap();
            assert_eq!(*one(std::str::from_utf8(&file).unwrap()).value, text.as_bytes());
        }
    }

    #[test]
    fn errors_name_the_entry_and_show_no_value() {
        for (entry, word) in [
            (r#"{"name":"n","value":"v","expires_ms":"canary"}"#, "type"),
            (r#"{"name":"n"}"#, "missing"),
            (r#"{"name":"n","kind":"canary","value":"v"}"#, "kind"),
            (r#"{"name":"n","kind":"text","value":["canary"]}"#, "string"),
            (r#"{"name":"n","kind":"bytes","value":"canary"}"#, "encoded"),
            (r#"{"name":"n","kind":"bytes","value":{"encoding":"base64","data":"canary!"}}"#, "base64"),
            (r#"{"name":"n","kind":"json","value":{"encoding":"json","data":"canary"}}"#, "not JSON"),
        ] {
            let text = format!(r#"{{"vault_export":1,"entries":[{{"name":"a","value":"v"}},{entry}]}}"#);
            let error = read(&text).err().unwrap().to_string();
            assert!(error.starts_with("entry 2 ") && error.contains(word), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
        assert!(matches!(read(r#"{"s":"\ud800"}"#), Err(Error::Value { name, .. }) if name == "s"));
    }
}
