//! JSON texts (RFC 8259), one value at a time and never as a tree: a value that is not a string
//! stays the text that stands in the file, so that digits, field order and blanks survive, and a
//! million entries need no tree of a million nodes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::buffer::Buffer;
use super::error::Error;

/// Appends a string literal that is the same in JSON, YAML (double-quoted) and TOML (basic).
pub(super) fn quote(out: &mut Buffer, text: &str) {
    out.push("\"");
    out.push_escaped(text, |character| match character {
        '"' => Some(Cow::Borrowed("\\\"")),
        '\\' => Some(Cow::Borrowed("\\\\")),
        '\n' => Some(Cow::Borrowed("\\n")),
        '\r' => Some(Cow::Borrowed("\\r")),
        '\t' => Some(Cow::Borrowed("\\t")),
        // TOML forbids the controls up to DEL; YAML also those above it, and the line ends, marks
        // and noncharacters after them.
        '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
            Some(Cow::Owned(format!("\\u{:04x}", u32::from(character))))
        }
        _ => None,
    });
    out.push("\"");
}

/// The string that a literal stands for; nothing if `literal` is not a string.
pub(super) fn unquote(literal: &str) -> Option<Zeroizing<String>> {
    let inner = literal.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(literal).ok().map(Zeroizing::new)
    } else {
        Some(Zeroizing::new(inner.to_owned()))
    }
}

/// Whether `text` is one JSON value.
pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

/// Appends what another format writes without quotes: as it stands if JSON spells this number or
/// boolean in the same way, else as a string.
pub(super) fn bare(out: &mut Buffer, text: &str) {
    let number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    if text == "true" || text == "false" || (number && is_json(text)) {
        out.push(text);
    } else {
        quote(out, text);
    }
}

/// Hands each member of an object, in order, to `each`: its name and the text of its value.
///
/// # Errors
///
/// [`Error::Syntax`] if `object` is not one JSON object, and what `each` returns.
pub(super) fn members<'a>(object: &'a str, each: impl FnMut(String, &'a str) -> Result<(), Error>) -> Result<(), Error> {
    let mut fault = None;
    let mut source = serde_json::Deserializer::from_str(object);
    let visitor = Members { each, fault: &mut fault };
    let read = source.deserialize_map(visitor).and_then(|()| source.end());
    read.map_err(|error| fault.unwrap_or_else(|| syntax(&error)))
}

/// The texts of an array's items.
///
/// # Errors
///
/// [`Error::Syntax`] if `array` is not one JSON array.
pub(super) fn items(array: &str) -> Result<Vec<&str>, Error> {
    let items: Vec<&RawValue> = serde_json::from_str(array).map_err(|error| syntax(&error))?;
    Ok(items.into_iter().map(RawValue::get).collect())
}

struct Members<'f, F> {
    each: F,
    fault: &'f mut Option<Error>,
}

impl<'de, F: FnMut(String, &'de str) -> Result<(), Error>> Visitor<'de> for Members<'_, F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            if let Err(error) = (self.each)(name, value.get()) {
                *self.fault = Some(error);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

/// Keeps position and kind of a parser's error; its words may quote what they stumbled over.
fn syntax(error: &serde_json::Error) -> Error {
    Error::Syntax {
        line: error.line().max(1),
        what: match error.classify() {
            Category::Eof => "the JSON text ends too early",
            Category::Data => "a JSON object was expected here",
            Category::Syntax | Category::Io => "this is not JSON",
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> String {
        let mut out = Buffer::new();
        quote(&mut out, text);
        String::from_utf8(out.into_bytes().to_vec()).unwrap()
    }

    #[test]
    fn quotes_what_any_of_the_three_formats_forbids() {
        assert_eq!(
            quoted("a\"\\\n\r\t\0\x7f\u{85}\u{2028}\u{feff}\u{ffff}é😀"),
            "\"a\\\"\\\\\\n\\r\\t\\u0000\\u007f\\u0085\\u2028\\ufeff\\uffffé😀\""
        );
        let all: String = ('\0'..=char::MAX).collect();
        assert!(*unquote(&quoted(&all)).unwrap() == all);
    }

    #[test]
    fn leaves_bare_what_json_spells_alike() {
        for (text, expected) in [
            ("1.10", "1.10"),
            ("-0", "-0"),
            ("1e400", "1e400"),
            ("true", "true"),
            ("True", "\"True\""),
            ("0x10", "\"0x10\""),
            ("0123", "\"0123\""),
            ("1_000", "\"1_000\""),
            ("2026-01-01", "\"2026-01-01\""),
            (".5", "\".5\""),
        ] {
            let mut out = Buffer::new();
            bare(&mut out, text);
            assert_eq!(*out.into_bytes(), expected.as_bytes());
        }
    }

    #[test]
    fn members_come_in_order_and_untouched() {
        let mut seen = Vec::new();
        let object = r#" { "b" : 1.10 , "a": [ 1,  2 ], "b": "\u00e9" } "#;
        members(object, |name, value| {
            seen.push((name, value));
            Ok(())
        })
        .unwrap();
        let expected = [("b", "1.10"), ("a", "[ 1,  2 ]"), ("b", "\"\\u00e9\"")];
        assert_eq!(seen, expected.map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(items("[1, [2], \"3\"]").unwrap(), ["1", "[2]", "\"3\""]);
    }

    #[test]
    fn errors_tell_the_line_and_nothing_of_the_text() {
        for (text, line) in [("{\n\"a\": canary}", 2), ("\"canary\"", 1), ("{\"canary\":1", 1), ("{} {}", 1)] {
            let error = members(text, |_, _| Ok(())).unwrap_err();
            assert!(matches!(error, Error::Syntax { line: at, .. } if at == line), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}
