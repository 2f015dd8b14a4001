//! Configuration documents as a tree: read from JSON, YAML or TOML, merged, and written in any of the three.
//!
//! Numbers keep their spelling where JSON has it (`1.10`), and else get one that JSON has (`0xFF` is 255, `1_000` is 1000). Dates are dates in TOML
//! and text elsewhere. Texts and numbers are wiped when the tree is dropped.

mod json;
mod toml;
mod yaml;

use std::collections::HashMap;

use zeroize::Zeroizing;

use super::buffer::Buffer;
use super::error::Error;

/// What a document is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentFormat {
    /// RFC 8259.
    Json,
    /// 1.2, core schema.
    Yaml,
    /// 1.0.
    Toml,
}

/// A tree, or what is below a place in one.
pub enum Document {
    /// A value without parts.
    Leaf(Leaf),
    /// Values in their order.
    List(Vec<Document>),
    /// Values by name, in the order in which they were written.
    Table(Vec<(String, Document)>),
}

/// A value without parts.
pub struct Leaf {
    /// The value.
    pub scalar: Scalar,
    /// Whether it came from where only secrets are.
    pub secret: bool,
}

/// The kinds of values without parts.
pub enum Scalar {
    /// `null`, which TOML has not.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as JSON spells it.
    Number(Zeroizing<String>),
    /// `inf`, `-inf` or `nan`, which JSON has not.
    Special(&'static str),
    /// A date or a time, as TOML spells it.
    Date(String),
    /// Text.
    Text(Zeroizing<String>),
}

impl Scalar {
    /// What people call its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) | Self::Special(_) => "number",
            Self::Date(_) => "date",
            Self::Text(_) => "text",
        }
    }
}

/// How deep a document may be nested.
const DEPTH: usize = 128;

impl Document {
    /// A table without members.
    pub fn empty() -> Self {
        Self::Table(Vec::new())
    }

    /// A text.
    pub fn text(text: &str) -> Self {
        Scalar::Text(Zeroizing::new(text.to_owned())).into()
    }

    /// A number, if JSON spells one so.
    pub fn number(text: &str) -> Option<Self> {
        let begins = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        (begins && super::literal::is_json(text)).then(|| number(text))
    }

    /// Reads a document that holds a table. A byte order mark at its start is skipped.
    ///
    /// # Errors
    ///
    /// [`Error::Syntax`] with a line, and [`Error::Duplicate`].
    pub fn read(format: DocumentFormat, bytes: &[u8]) -> Result<Self, Error> {
        let text = super::utf8(bytes)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let document = match format {
            DocumentFormat::Json => json::read(text),
            DocumentFormat::Yaml => yaml::read(text),
            DocumentFormat::Toml => toml::read(text),
        }?;
        match document {
            Self::Table(_) => Ok(document),
            Self::Leaf(Leaf { scalar: Scalar::Null, .. }) if format == DocumentFormat::Yaml => Ok(Self::empty()),
            _ => Err(Error::Syntax { line: 1, what: "a table (mapping, object) was expected" }),
        }
    }

    /// Reads any JSON value.
    ///
    /// # Errors
    ///
    /// [`Error::Syntax`] and [`Error::Duplicate`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        json::read(super::utf8(bytes)?)
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// [`Error::Unwritable`] for what the format has not, with the way to it.
    pub fn write(&self, format: DocumentFormat) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut out = Buffer::new();
        match format {
            DocumentFormat::Json => {
                json::write(&mut out, self, Some(0)).map_err(|(way, what)| unwritable(way, what))?;
                out.push("\n");
            }
            DocumentFormat::Yaml => yaml::write(&mut out, self),
            DocumentFormat::Toml => toml::write(&mut out, self).map_err(|(way, what)| unwritable(way, what))?,
        }
        Ok(out.into_bytes())
    }

    /// Writes it as JSON on one line.
    ///
    /// # Errors
    ///
    /// Those of [`Document::write()`].
    pub fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut out = Buffer::new();
        json::write(&mut out, self, None).map_err(|(way, what)| unwritable(way, what))?;
        Ok(out.into_bytes())
    }

    /// Lays another over this: tables are merged, member by member, and anything else is replaced.
    pub fn merge(&mut self, over: Self) {
        match (self, over) {
            (Self::Table(members), Self::Table(over)) => {
                let mut places: HashMap<String, usize> =
                    members.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
                for (name, document) in over {
                    match places.get(&name) {
                        Some(at) => members[*at].1.merge(document),
                        None => {
                            places.insert(name.clone(), members.len());
                            members.push((name, document));
                        }
                    }
                }
            }
            (this, over) => *this = over,
        }
    }

    /// What is at a place.
    pub fn at(&self, way: &[String]) -> Option<&Self> {
        way.iter().try_fold(self, |document, part| match document {
            Self::Table(members) => members.iter().find(|(name, _)| name == part).map(|(_, member)| member),
            Self::List(items) => items.get(index(part)?),
            Self::Leaf(_) => None,
        })
    }

    /// What is at a place, taken out of the whole, which is dropped.
    pub fn take(self, way: &[String]) -> Option<Self> {
        way.iter().try_fold(self, |document, part| match document {
            Self::Table(members) => members.into_iter().find(|(name, _)| name == part).map(|(_, member)| member),
            Self::List(items) => items.into_iter().nth(index(part)?),
            Self::Leaf(_) => None,
        })
    }

    /// Puts something at a place. Tables are made where there are none; an item of a list is replaced if there is one of this number.
    pub fn put(&mut self, way: &[String], document: Self) {
        let Some((part, rest)) = way.split_first() else {
            *self = document;
            return;
        };
        if let Self::List(items) = self
            && let Some(item) = index(part).and_then(|index| items.get_mut(index))
        {
            return item.put(rest, document);
        }
        if !matches!(self, Self::Table(_)) {
            *self = Self::empty();
        }
        if let Self::Table(members) = self {
            let at = members.iter().position(|(name, _)| name == part).unwrap_or_else(|| {
                members.push((part.clone(), Self::empty()));
                members.len() - 1
            });
            members[at].1.put(rest, document);
        }
    }

    /// Marks all leaves as secret.
    pub fn make_secret(&mut self) {
        match self {
            Self::Leaf(leaf) => leaf.secret = true,
            Self::List(items) => items.iter_mut().for_each(Self::make_secret),
            Self::Table(members) => members.iter_mut().for_each(|(_, member)| member.make_secret()),
        }
    }

    /// Shows each leaf, with the way to it, and puts in its place what `replace` gives for it. That is not shown again.
    ///
    /// # Errors
    ///
    /// The first that `replace` returns.
    pub fn replace_leaves<E, F>(&mut self, way: &mut Vec<String>, replace: &mut F) -> Result<(), E>
    where
        F: FnMut(&[String], &Leaf) -> Result<Option<Self>, E>,
    {
        match self {
            Self::Leaf(leaf) => {
                if let Some(document) = replace(way, leaf)? {
                    *self = document;
                }
            }
            Self::List(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    way.push(at.to_string());
                    item.replace_leaves(way, replace)?;
                    way.pop();
                }
            }
            Self::Table(members) => {
                for (name, member) in members {
                    way.push(name.clone());
                    member.replace_leaves(way, replace)?;
                    way.pop();
                }
            }
        }
        Ok(())
    }
}

impl From<Scalar> for Document {
    fn from(scalar: Scalar) -> Self {
        Self::Leaf(Leaf { scalar, secret: false })
    }
}

/// A way as messages show it: with dots, and escaped, because a name may hold anything.
pub fn shown<'a>(way: impl IntoIterator<Item = &'a String>) -> String {
    way.into_iter().map(|part| part.escape_debug().to_string()).collect::<Vec<_>>().join(".")
}

fn number(text: &str) -> Document {
    Scalar::Number(Zeroizing::new(text.to_owned())).into()
}

/// Digits without leading zeros (RFC 6901, section 4).
fn index(part: &str) -> Option<usize> {
    let plain = part.bytes().all(|byte| byte.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
    plain.then(|| part.parse().ok()).flatten()
}

/// Where something is that cannot be written, from the inside out, and why not.
type Fault = (Vec<String>, &'static str);

fn unwritable(mut way: Vec<String>, what: &'static str) -> Error {
    way.reverse();
    Error::Unwritable { path: shown(&way), what }
}

/// The same fault, seen from one level above.
fn within(part: impl ToString) -> impl FnOnce(Fault) -> Fault {
    move |(mut way, what)| {
        way.push(part.to_string());
        (way, what)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [DocumentFormat; 3] = [DocumentFormat::Json, DocumentFormat::Yaml, DocumentFormat::Toml];

    fn read(format: DocumentFormat, text: &str) -> Document {
        Document::read(format, text.as_bytes()).unwrap()
    }

    fn written(document: &Document, format: DocumentFormat) -> String {
        String::from_utf8(document.write(format).unwrap().to_vec()).unwrap()
    }

    fn compact(document: &Document) -> String {
        String::from_utf8(document.to_json().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn each_format_is_read_with_its_types() {
        let json = r#"{"t":"x\n","i":7,"f":1.10,"big":12345678901234567890123,"b":true,"n":null,"l":[1,"a",{"k":[]}],"o":{}}"#;
        let yaml =
            "t: \"x\\n\"\ni: 7\nf: 1.10\nbig: 12345678901234567890123\nb: True\nn: ~\nl:\n  - 1\n  - a\n  - k: []\no: {}\n";
        assert_eq!(compact(&read(DocumentFormat::Json, json)), json);
        assert_eq!(compact(&read(DocumentFormat::Yaml, yaml)), json);
        let toml = "t = 'x'\ni = 0xFF\nj = 1_000\nk = +1\nf = 1_0.5\ng = 1e3\nb = false\nd = 1979-05-27 07:32:00\n[o]\np.q = 1\n[[l]]\na = 1\n";
        let expected = r#"{"t":"x","i":255,"j":1000,"k":1,"f":10.5,"g":1e3,"b":false,"d":"1979-05-27 07:32:00","o":{"p":{"q":1}},"l":[{"a":1}]}"#;
        assert_eq!(compact(&read(DocumentFormat::Toml, toml)), expected);
        let odd =
            "a: 0x1F\nb: 0o17\nc: .5\nd: yes\ne: 2026-01-01\nf: '5'\ng: +3\nh: &x {k: 1}\ni: *x\nj: [0644, 1_000, No, TRUE]\n";
        let expected = r#"{"a":31,"b":15,"c":0.5,"d":"yes","e":"2026-01-01","f":"5","g":3,"h":{"k":1},"i":{"k":1},"j":["0644","1_000","No",true]}"#;
        assert_eq!(compact(&read(DocumentFormat::Yaml, odd)), expected);
        assert_eq!(compact(&read(DocumentFormat::Yaml, "# nothing\n")), "{}");
    }

    #[test]
    fn each_format_is_written_so() {
        let document = read(
            DocumentFormat::Toml,
            "name = 'a b'\nport = 1\nwhen = 1979-05-27\nnone = []\n[db]\nhost = 'h'\n[db.pool]\nmax = 2.0\n[[peers]]\nid = 1\n[[peers]]\nid = 2\nt = {x = 1}\n",
        );
        let json = "{\n  \"name\": \"a b\",\n  \"port\": 1,\n  \"when\": \"1979-05-27\",\n  \"none\": [],\n  \"db\": {\n    \"host\": \"h\",\n    \"pool\": {\n      \"max\": 2.0\n    }\n  },\n  \"peers\": [\n    {\n      \"id\": 1\n    },\n    {\n      \"id\": 2,\n      \"t\": {\n        \"x\": 1\n      }\n    }\n  ]\n}\n";
        assert_eq!(written(&document, DocumentFormat::Json), json);
        let yaml = "name: \"a b\"\nport: 1\nwhen: \"1979-05-27\"\nnone: []\ndb:\n  host: h\n  pool:\n    max: 2.0\npeers:\n  - id: 1\n  - id: 2\n    t:\n      x: 1\n";
        assert_eq!(written(&document, DocumentFormat::Yaml), yaml);
        let toml = "name = \"a b\"\nport = 1\nwhen = 1979-05-27\nnone = []\n\n[db]\nhost = \"h\"\n\n[db.pool]\nmax = 2.0\n\n[[peers]]\nid = 1\n\n[[peers]]\nid = 2\n\n[peers.t]\nx = 1\n";
        assert_eq!(written(&document, DocumentFormat::Toml), toml);
    }

    #[test]
    fn what_a_format_has_not_is_an_error_that_says_where() {
        let document = read(DocumentFormat::Yaml, "a:\n  b: [1, null]\n");
        let error = document.write(DocumentFormat::Toml).err().unwrap().to_string();
        assert!(error.starts_with("a.b.1: ") && error.contains("null"), "{error}");
        for (text, path) in [("a:\n  \"b\\n\": .inf\n", "a.b\\n: "), ("a: [.nan]", "a.0: ")] {
            let document = read(DocumentFormat::Yaml, text);
            let error = document.write(DocumentFormat::Json).err().unwrap().to_string();
            assert!(error.starts_with(path), "{error}");
            let toml = written(&document, DocumentFormat::Toml);
            assert_eq!(
                written(&read(DocumentFormat::Toml, &toml), DocumentFormat::Yaml),
                written(&document, DocumentFormat::Yaml)
            );
        }
        for number in ["9223372036854775808", "1e400"] {
            let document = read(DocumentFormat::Json, &format!("{{\"a\":{number}}}"));
            assert!(document.write(DocumentFormat::Toml).is_err(), "{number}");
        }
    }

    #[test]
    fn merging() {
        for (base, over, expected) in [
            (r#"{"a":1,"b":{"c":1,"d":2}}"#, r#"{"b":{"d":3,"e":4},"f":5}"#, r#"{"a":1,"b":{"c":1,"d":3,"e":4},"f":5}"#),
            (r#"{"a":[1,2,3]}"#, r#"{"a":[4]}"#, r#"{"a":[4]}"#),
            (r#"{"a":{"b":1}}"#, r#"{"a":2}"#, r#"{"a":2}"#),
            (r#"{"a":2}"#, r#"{"a":{"b":1}}"#, r#"{"a":{"b":1}}"#),
            (r#"{"a":{"b":1}}"#, r#"{"a":null}"#, r#"{"a":null}"#),
            (r#"{"a":{"b":1}}"#, r#"{"a":{}}"#, r#"{"a":{"b":1}}"#),
            (r#"{"a":[{"b":1}]}"#, r#"{"a":{"0":{"b":2}}}"#, r#"{"a":{"0":{"b":2}}}"#),
            (r#"{"a":"1"}"#, r#"{"a":1}"#, r#"{"a":1}"#),
            (r#"{}"#, r#"{"":{"":1}}"#, r#"{"":{"":1}}"#),
        ] {
            let mut document = read(DocumentFormat::Json, base);
            document.merge(read(DocumentFormat::Json, over));
            assert_eq!(compact(&document), expected, "{base} and {over}");
        }
    }

    #[test]
    fn places() {
        let way = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        let text = r#"{"a":{"b":[1,{"c":2}]}}"#;
        for (place, found) in [("a.b.0", Some("1")), ("a.b.1.c", Some("2")), ("a.b.2", None), ("a.b.01", None), ("a.b.0.x", None)]
        {
            let document = read(DocumentFormat::Json, text);
            assert_eq!(document.at(&way(place)).map(compact).as_deref(), found, "{place}");
            assert_eq!(document.take(&way(place)).as_ref().map(compact).as_deref(), found, "{place}");
        }
        let mut document = read(DocumentFormat::Json, text);
        document.put(&way("a.b.1.c"), Document::text("x"));
        document.put(&way("a.n.m"), number("1"));
        assert_eq!(compact(&document), r#"{"a":{"b":[1,{"c":"x"}],"n":{"m":1}}}"#);
        document.put(&way("a.b.9"), number("1"));
        assert_eq!(compact(&document), r#"{"a":{"b":{"9":1},"n":{"m":1}}}"#);
    }

    #[test]
    fn errors_tell_the_line_and_show_no_value() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for (format, text) in [
            (DocumentFormat::Json, "{\n\"a\": canary}"),
            (DocumentFormat::Json, "[\"canary\"]"),
            (DocumentFormat::Json, "{\"a\":{\"k\":\"canary\",\"k\":1}}"),
            (DocumentFormat::Json, "{\"a\":\"\\ud800canary\"}"),
            (DocumentFormat::Json, &deep),
            (DocumentFormat::Yaml, "- canary"),
            (DocumentFormat::Yaml, "a: \"canary"),
            (DocumentFormat::Toml, "a = canary"),
        ] {
            let error = Document::read(format, text.as_bytes()).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }

    fn tree() -> impl Strategy<Value = serde_json::Value> {
        let text = prop_oneof![any::<String>(), "[a-z~:#'\"\\\\ \n-]{0,8}", "(yes|no|null|true|1|0x1|\\.inf|2026-01-01|-|~|)"];
        let leaf = prop_oneof![
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            (-1.0e9..1.0e9).prop_map(|number: f64| serde_json::Value::from(number)),
            text.clone().prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
                prop::collection::btree_map(text.clone(), inner, 0..5).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Whatever goes out in one format comes back the same, but for the order of TOML's tables.
        #[test]
        fn every_format_returns_what_was_written(value in tree()) {
            let value = serde_json::json!({ "a": value });
            let document = read(DocumentFormat::Json, &value.to_string());
            for format in ALL {
                let text = written(&document, format);
                let back = Document::read(format, text.as_bytes());
                prop_assert!(back.is_ok(), "{:?}: {}", format, text);
                let back: serde_json::Value = serde_json::from_str(&compact(&back.unwrap())).unwrap();
                prop_assert_eq!(&back, &value, "{:?}: {}", format, text);
            }
        }
    }
}
