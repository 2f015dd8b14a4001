//! A Kubernetes Secret, as a manifest for `kubectl apply -f -`.
//!
//! Each variable is a key of `data`, its bytes in base64; so values may hold anything. All names
//! stand in quotes: to the YAML of Kubernetes `NO` is false and `1e3` a number.
//!
//! Read is such a manifest in YAML or JSON, with `data`, `stringData` or both.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::buffer::{Buffer, bytes};
use super::error::Error;
use super::row::{Kind, Row};
use super::variables::Data;
use super::{export, literal, yaml};

/// Writes a Secret.
///
/// # Errors
///
/// [`Error::ResourceName`] if `name` or `namespace` is none that Kubernetes takes.
pub(super) fn write(data: &[Data], name: &str, namespace: Option<&str>) -> Result<Zeroizing<Vec<u8>>, Error> {
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(Error::ResourceName { what: "name", text: name.to_owned() });
    }
    if let Some(namespace) = namespace.filter(|namespace| namespace.len() > 63 || !is_label(namespace)) {
        return Err(Error::ResourceName { what: "namespace", text: namespace.to_owned() });
    }
    let mut out = Buffer::new();
    out.push("apiVersion: v1\nkind: Secret\nmetadata:\n");
    for (key, text) in [("name", Some(name)), ("namespace", namespace)] {
        if let Some(text) = text {
            for piece in ["  ", key, ": \"", text, "\"\n"] {
                out.push(piece);
            }
        }
    }
    out.push("type: Opaque\ndata:");
    out.push(if data.is_empty() { " {}\n" } else { "\n" });
    for (key, value) in data {
        for piece in ["  \"", key, "\": \"", &export::base64(value), "\"\n"] {
            out.push(piece);
        }
    }
    Ok(out.into_bytes())
}

/// A part of a DNS name as RFC 1123 has it, in lower case.
fn is_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

#[derive(Deserialize)]
struct Secret<'a> {
    kind: String,
    #[serde(borrow)]
    data: Option<BTreeMap<String, &'a RawValue>>,
    #[serde(borrow, rename = "stringData")]
    string_data: Option<BTreeMap<String, &'a RawValue>>,
}

/// Reads names and values. Where both have a key, `stringData` counts, as it does to Kubernetes.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    let fault = |what| Error::Syntax { line: 1, what };
    let json = yaml::to_json(text)?;
    let secret: Secret = serde_json::from_str(&json).map_err(|_| fault("a manifest of a Secret was expected"))?;
    if secret.kind != "Secret" {
        return Err(fault("a manifest of a Secret was expected"));
    }
    let (mut data, strings) = (secret.data.unwrap_or_default(), secret.string_data.unwrap_or_default());
    data.retain(|name, _| !strings.contains_key(name));
    let mut rows = Vec::new();
    for (name, spelled) in data {
        let Some(value) = literal::unquote(spelled.get()).and_then(|text| export::from_base64(&text)) else {
            return Err(Error::Value { name, what: "the value is not base64" });
        };
        rows.push(Row::new(name, Kind::of(&value), value));
    }
    for (name, text) in strings {
        match literal::unquote(text.get()) {
            Some(text) => rows.push(Row::new(name, Kind::Text, bytes(text))),
            None => return Err(Error::Value { name, what: "the value is not a string" }),
        }
    }
    Ok(rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_this_text() {
        let data = [("A".to_owned(), Zeroizing::new(b"\0\xff".to_vec())), ("NO".to_owned(), Zeroizing::new(b"1e3".to_vec()))];
        let text = write(&data, "app.db-1", Some("prod")).unwrap();
        let expected = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: \"app.db-1\"\n  namespace: \"prod\"\ntype: Opaque\n\
                        data:\n  \"A\": \"AP8=\"\n  \"NO\": \"MWUz\"\n";
        assert_eq!(std::str::from_utf8(&text).unwrap(), expected);
        let rows = read(expected).unwrap();
        assert_eq!((rows[0].kind, rows[0].value.as_slice()), (Kind::Bytes, &b"\0\xff"[..]));
        assert_eq!((rows[1].kind, rows[1].value.as_slice()), (Kind::Text, &b"1e3"[..]));
        for (name, namespace) in [
            ("", None),
            ("A", None),
            ("a_b", None),
            ("-a", None),
            ("a.", None),
            ("a", Some("a.b")),
            ("a", Some("")),
            ("a\"\n", None),
        ] {
            assert!(matches!(write(&[], name, namespace), Err(Error::ResourceName { .. })), "{name}");
        }
        assert!(write(&[], &"a".repeat(254), None).is_err() && write(&[], "a", Some(&"a".repeat(64))).is_err());
    }

    #[test]
    fn strings_count_and_other_resources_are_refused() {
        let rows = read("kind: Secret\nstringData: {A: plain, B: '1'}\ndata: {A: '!', C: eA==}\n").unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.value.as_slice())).collect();
        assert_eq!(seen, [("C", &b"x"[..]), ("A", b"plain"), ("B", b"1")]);
        for text in [
            "kind: ConfigMap\ndata: {A: canary}\n",
            "kind: Secret\ndata: {A: canary!}\n",
            "a: canary\n",
            "kind: Secret\ndata: [canary]\n",
        ] {
            assert!(!read(text).err().unwrap().to_string().contains("canary"));
        }
    }
}
