//! YAML 1.2: the export, or a flat mapping of name to value. Reading goes by way of JSON text.
//!
//! Strings are written in double quotes with JSON's escapes, which leaves no reader anything to
//! guess: not `yes`, not `0x10`, not `null`. A JSON value is written in flow style where reading
//! gives the same text back.
//!
//! In a flat mapping a scalar in quotes or block style is text. A plain one is the JSON value that
//! is spelled in the same way, if there is one, else the text that stands there (`0123`, `1_000`,
//! `0x10`, `True`, `yes`). Empty, `~` and `null` are null. Anchors, aliases and merge keys work.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::NonFiniteFloatPolicy;
use serde_saphyr::{Options, Spanned};
use zeroize::Zeroizing;

use super::buffer::Buffer;
use super::error::Error;
use super::export::{self, Style};
use super::row::Row;
use super::{json, literal};

const STYLE: Style = Style { first: "  - ", next: "    ", key_end: ": ", value_end: "\n", pair: ": ", native };

/// Writes the export.
pub(super) fn write(rows: &[Row]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut out = Buffer::new();
    out.push("vault_export: 1\nentries:");
    out.push(if rows.is_empty() { " []\n" } else { "\n" });
    for row in rows {
        export::entry(&mut out, row, &STYLE)?;
    }
    Ok(out.into_bytes())
}

/// Reads one document that holds a mapping.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    json::read(&to_json(text)?)
}

/// A JSON text stands for itself in YAML, unless a reader would change a character of it.
fn native(text: &str) -> Option<Zeroizing<String>> {
    // Tried in the place where it will stand, so that depth and line ends count as they will there.
    let tried = Zeroizing::new(format!("entries:\n  - value: {text}\n"));
    let expected = Zeroizing::new(format!("{{\"entries\":[{{\"value\":{text}}}]}}"));
    let same = to_json(&tried).is_ok_and(|json| *json == *expected);
    (same && !json::looks_encoded(text)).then(|| Zeroizing::new(text.to_owned()))
}

/// The JSON text that says the same as a document that holds a mapping.
pub(super) fn to_json(text: &str) -> Result<Zeroizing<String>, Error> {
    let root = parse(text)?;
    if !matches!(root.value, Node::Mapping(_)) {
        return Err(Error::Syntax { line: 1, what: "a mapping of names to values was expected" });
    }
    let mut out = Buffer::new();
    write_json(&mut out, &root, text);
    Ok(out.into_text())
}

/// Reads one document.
pub(super) fn parse(text: &str) -> Result<Spanned<Node>, Error> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| syntax(&error))
}

/// A node as YAML's core schema takes it.
pub(super) enum Node {
    Null,
    /// A plain scalar that is a number or a boolean to YAML: where it stands is what it says.
    Plain(Plain),
    Text(Zeroizing<String>),
    Sequence(Vec<Spanned<Node>>),
    Mapping(Vec<(String, Spanned<Node>)>),
}

/// What a plain scalar is to YAML.
#[derive(Clone, Copy)]
pub(super) enum Plain {
    Bool(bool),
    Integer(i128),
    Float(f64),
}

/// The depth is that of YAML's own limit, which [`options`] leaves in force.
fn write_json(out: &mut Buffer, node: &Spanned<Node>, source: &str) {
    match &node.value {
        Node::Null => out.push("null"),
        Node::Plain(_) => literal::bare(out, spelling(node, source)),
        Node::Text(text) => literal::quote(out, text),
        Node::Sequence(items) => {
            out.push("[");
            export::separated(out, items, |out, item| write_json(out, item, source));
            out.push("]");
        }
        Node::Mapping(members) => {
            out.push("{");
            export::separated(out, members, |out, (key, value)| {
                literal::quote(out, key);
                out.push(":");
                write_json(out, value, source);
            });
            out.push("}");
        }
    }
}

/// What stands in the source.
pub(super) fn spelling<'a>(node: &Spanned<Node>, source: &'a str) -> &'a str {
    let span = node.defined.span();
    let range = span.byte_offset().zip(span.byte_len()).and_then(|(at, length)| {
        let start = usize::try_from(at).ok()?;
        Some(start..start.checked_add(usize::try_from(length).ok()?)?)
    });
    // A text that was read from memory has byte positions throughout.
    range.and_then(|range| source.get(range)).unwrap_or_default().trim()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("a node")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Node, E> {
        Ok(Node::Plain(Plain::Bool(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Plain(Plain::Integer(number.into())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(Node::Plain(Plain::Integer(number.into())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        Ok(Node::Plain(Plain::Float(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(Zeroizing::new(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut source: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = source.next_element()? {
            items.push(item);
        }
        Ok(Node::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = source.next_entry()? {
            members.push(member);
        }
        Ok(Node::Mapping(members))
    }
}

/// No limit on size, because a vault may be large; those on depth and on aliases stay, because
/// they are what keeps a small file from costing much.
fn options() -> Options {
    serde_saphyr::options! {
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        emit_comments: false,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            simple_key_max_lookahead: usize::MAX,
            max_events: usize::MAX,
            max_nodes: usize::MAX,
            max_total_scalar_bytes: usize::MAX,
        },
    }
}

/// Keeps position and kind of a parser's error; its words may quote what they stumbled over.
fn syntax(error: &serde_saphyr::Error) -> Error {
    let line = error.location().map_or(1, |location| location.line());
    Error::Syntax {
        line: usize::try_from(line).unwrap_or(usize::MAX).max(1),
        what: match error {
            serde_saphyr::Error::DuplicateMappingKey { .. } => "this key is there twice",
            serde_saphyr::Error::MultipleDocuments { .. } => "there is more than one document",
            _ => "this is not YAML that can be read",
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::row::Kind;
    use super::*;

    fn seen(text: &str) -> Vec<(String, Kind, String)> {
        let rows = read(text).unwrap();
        rows.into_iter().map(|row| (row.name, row.kind, String::from_utf8(row.value.to_vec()).unwrap())).collect()
    }

    #[test]
    fn the_export_is_this_text() {
        let mut row = Row::new("a".into(), Kind::Text, Zeroizing::new(b"yes\n".to_vec()));
        row.tags = vec!["t".into(), "u".into()];
        row.meta = [("k".to_owned(), "v".to_owned())].into();
        row.expires = Some(7);
        let json = |name: &str, text: &[u8]| Row::new(name.into(), Kind::Json, Zeroizing::new(text.to_vec()));
        let rows =
            [row, json("b", b"{\"z\":1.10,\"a\":[null,true]}"), json("c", b"{\"z\": 1}"), json("d", b"\"\\ud83d\\ude00\"")];
        let expected = r#"vault_export: 1
entries:
  - name: "a"
    tags: ["t","u"]
    meta: {"k": "v"}
    expires_ms: 7
    kind: "text"
    value: "yes\n"
  - name: "b"
    kind: "json"
    value: {"z":1.10,"a":[null,true]}
  - name: "c"
    kind: "json"
    value: {"encoding": "json","data": "{\"z\": 1}"}
  - name: "d"
    kind: "json"
    value: {"encoding": "json","data": "\"\\ud83d\\ude00\""}
"#;
        assert_eq!(std::str::from_utf8(&write(&rows).unwrap()).unwrap(), expected);
        assert_eq!(std::str::from_utf8(&write(&[]).unwrap()).unwrap(), "vault_export: 1\nentries: []\n");
    }

    #[test]
    fn plain_scalars_keep_their_characters() {
        for (plain, kind, value) in [
            ("1.10", Kind::Json, "1.10"),
            ("12345678901234567890123", Kind::Json, "12345678901234567890123"),
            ("1e999", Kind::Json, "1e999"),
            ("true  # said", Kind::Json, "true"),
            ("&a 5", Kind::Json, "5"),
            ("", Kind::Json, "null"),
            ("~", Kind::Json, "null"),
            ("True", Kind::Text, "True"),
            ("yes", Kind::Text, "yes"),
            ("0x1F", Kind::Text, "0x1F"),
            ("0123", Kind::Text, "0123"),
            ("1_000", Kind::Text, "1_000"),
            (".inf", Kind::Text, ".inf"),
            ("+1", Kind::Text, "+1"),
            ("2026-01-01", Kind::Text, "2026-01-01"),
            ("\"1\"", Kind::Text, "1"),
            ("'null'", Kind::Text, "null"),
            ("!!str 1.10", Kind::Text, "1.10"),
            ("|\n  a\n   b\n", Kind::Text, "a\n b\n"),
            (">-\n  a\n  b\n", Kind::Text, "a b"),
        ] {
            let expected = vec![("é".to_owned(), kind, value.to_owned())];
            assert_eq!(seen(&format!("# 😀\né: {plain}\n")), expected, "{plain}");
        }
    }

    #[test]
    fn structure_aliases_and_merges() {
        let text = "a: &x {k: 007, l: [1.0, x]}\nb: *x\nc:\n  <<: *x\n  m: 2\n9: z\n";
        let whole = "{\"k\":\"007\",\"l\":[1.0,\"x\"]}";
        let found = seen(text);
        let values: Vec<_> = found.iter().map(|(_, _, value)| value.as_str()).collect();
        assert_eq!(values[..2], [whole, whole]);
        assert!(values[2].contains("\"m\":2") && values[2].contains("\"k\":\"007\""), "{}", values[2]);
        assert_eq!(found[3].0, "9");
    }

    #[test]
    fn errors_tell_the_line_and_show_no_value() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
            + &('b'..='j')
                .map(|c| format!("{c}: &{c} [{}]\n", vec![format!("*{}", char::from(c as u8 - 1)); 9].join(",")))
                .collect::<String>();
        let deep = format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (text, line) in [
            ("a: 1\nb: \"canary\n", 0),
            ("a: canary\na: 2\n", 2),
            ("a: 1\n---\nb: canary\n", 0),
            ("- canary\n", 1),
            ("canary", 1),
            ("", 1),
            (&bomb, 0),
            (&deep, 0),
        ] {
            let error = read(text).err().unwrap();
            assert!(matches!(error, Error::Syntax { line: at, .. } if line == 0 || at == line), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}
