//! TOML: the export, or a flat table of name to value. Reading goes by way of JSON text.
//!
//! TOML has no null, and integers of 64 bits only: a JSON value is written as a TOML value where
//! reading gives the same text back and every reader can hold it, and else encoded.
//!
//! In a flat table a string is text. A number or boolean is the JSON value that is spelled in the
//! same way, if there is one, else the text that stands there (`0xFF`, `1_000`, `inf`, `+1`), and
//! so is a date. A table or array is JSON.

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::buffer::Buffer;
use super::error::{Error, line_at};
use super::export::{self, Style};
use super::row::Row;
use super::{json, literal};

const STYLE: Style = Style { first: "\n[[entries]]\n", next: "", key_end: " = ", value_end: "\n", pair: " = ", native };

/// How deep a value may be nested to be written as a TOML value; readers have limits of their own.
const DEPTH: usize = 32;

/// Writes the export.
pub(super) fn write(rows: &[Row]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut out = Buffer::new();
    out.push("vault_export = 1\n");
    if rows.is_empty() {
        out.push("entries = []\n");
    }
    for row in rows {
        export::entry(&mut out, row, &STYLE)?;
    }
    Ok(out.into_bytes())
}

/// Reads one document.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    json::read(&to_json(text)?)
}

fn native(text: &str) -> Option<Zeroizing<String>> {
    let mut out = Buffer::new();
    write_toml(&mut out, text, 0)?;
    let native = out.into_text();
    let tried = Zeroizing::new(format!("value = {}", *native));
    let expected = Zeroizing::new(format!("{{\"value\":{text}}}"));
    let same = to_json(&tried).is_ok_and(|json| *json == *expected);
    (same && !json::looks_encoded(text)).then_some(native)
}

/// Appends a JSON value as TOML spells it; nothing if it cannot.
fn write_toml(out: &mut Buffer, json: &str, depth: usize) -> Option<()> {
    if depth > DEPTH {
        return None;
    }
    match json.as_bytes().first()? {
        b'{' => {
            let mut written = Some(());
            out.push("{");
            let mut first = true;
            literal::members(json, |key, value| {
                out.push(if first { "" } else { "," });
                first = false;
                literal::quote(out, &key);
                out.push(" = ");
                written = written.and_then(|()| write_toml(out, value, depth + 1));
                Ok(())
            })
            .ok()?;
            out.push("}");
            written
        }
        b'[' => {
            out.push("[");
            for (at, item) in literal::items(json).ok()?.into_iter().enumerate() {
                out.push(if at == 0 { "" } else { "," });
                write_toml(out, item, depth + 1)?;
            }
            out.push("]");
            Some(())
        }
        b'"' => {
            literal::quote(out, &literal::unquote(json)?);
            Some(())
        }
        b'n' => None,
        b't' | b'f' => {
            out.push(json);
            Some(())
        }
        _ => {
            let held =
                if json.contains(['.', 'e', 'E']) { json.parse().is_ok_and(f64::is_finite) } else { json.parse::<i64>().is_ok() };
            held.then(|| out.push(json))
        }
    }
}

fn to_json(text: &str) -> Result<Zeroizing<String>, Error> {
    let document = DeTable::parse(text).map_err(|error| Error::Syntax {
        line: line_at(text.as_bytes(), error.span().map_or(0, |span| span.start)),
        // Its own words may quote what it stumbled over.
        what: "this is not TOML, or a key that is there twice",
    })?;
    let mut out = Buffer::new();
    write_table(&mut out, document.get_ref(), text);
    Ok(out.into_text())
}

/// The depth is that of the parser's own limit.
fn write_json(out: &mut Buffer, value: &Spanned<DeValue>, source: &str) {
    match value.get_ref() {
        DeValue::String(text) => literal::quote(out, text),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
            literal::bare(out, source.get(value.span()).unwrap_or_default());
        }
        DeValue::Datetime(_) => {
            literal::quote(out, source.get(value.span()).unwrap_or_default());
        }
        DeValue::Array(items) => {
            out.push("[");
            export::separated(out, items.iter(), |out, item| write_json(out, item, source));
            out.push("]");
        }
        DeValue::Table(table) => write_table(out, table, source),
    }
}

fn write_table(out: &mut Buffer, table: &DeTable, source: &str) {
    out.push("{");
    export::separated(out, table.iter(), |out, (key, value)| {
        literal::quote(out, key.get_ref());
        out.push(":");
        write_json(out, value, source);
    });
    out.push("}");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::row::Kind;
    use super::*;

    #[test]
    fn the_export_is_this_text() {
        let mut row = Row::new("a".into(), Kind::Text, Zeroizing::new(b"x\n".to_vec()));
        row.environment = Some("prod".into());
        row.meta = [("k".to_owned(), "v".to_owned())].into();
        let json = |name: &str, text: &[u8]| Row::new(name.into(), Kind::Json, Zeroizing::new(text.to_vec()));
        let rows = [row, json("b", b"{\"z\":1.10,\"a\":[true,\"s\"]}"), json("c", b"[null]"), json("d", b"9223372036854775808")];
        let expected = r#"vault_export = 1

[[entries]]
name = "a"
environment = "prod"
meta = {"k" = "v"}
kind = "text"
value = "x\n"

[[entries]]
name = "b"
kind = "json"
value = {"z" = 1.10,"a" = [true,"s"]}

[[entries]]
name = "c"
kind = "json"
value = {"encoding" = "json","data" = "[null]"}

[[entries]]
name = "d"
kind = "json"
value = {"encoding" = "json","data" = "9223372036854775808"}
"#;
        assert_eq!(std::str::from_utf8(&write(&rows).unwrap()).unwrap(), expected);
        assert!(read(std::str::from_utf8(&write(&[]).unwrap()).unwrap()).unwrap().is_empty());
    }

    #[test]
    fn flat_tables_keep_their_characters() {
        let text = "# 😀\na = 'x'\nb = 1.10\nc = 0xFF\nd = 1_000\ne = inf\nf = +1\ng = 2026-01-01 10:00:00\nh = true\ni.j = 1\n[k]\nl = [1, \"m\"]\n[[n]]\no = {p = 1979-05-27}\n";
        let rows = read(text).unwrap();
        let seen: Vec<_> =
            rows.iter().map(|row| (row.name.as_str(), row.kind, std::str::from_utf8(&row.value).unwrap())).collect();
        assert_eq!(
            seen,
            [
                ("a", Kind::Text, "x"),
                ("b", Kind::Json, "1.10"),
                ("c", Kind::Text, "0xFF"),
                ("d", Kind::Text, "1_000"),
                ("e", Kind::Text, "inf"),
                ("f", Kind::Text, "+1"),
                ("g", Kind::Text, "2026-01-01 10:00:00"),
                ("h", Kind::Json, "true"),
                ("i", Kind::Json, "{\"j\":1}"),
                ("k", Kind::Json, "{\"l\":[1,\"m\"]}"),
                ("n", Kind::Json, "[{\"o\":{\"p\":\"1979-05-27\"}}]"),
            ]
        );
    }

    #[test]
    fn errors_tell_the_line_and_show_no_value() {
        let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
        let header = format!("[{}a]\n", "a.".repeat(100_000));
        for (text, line) in [("a = 1\nb = canary\n", 2), ("a = 'canary'\na = 2\n", 2), ("canary", 1), (&deep, 1), (&header, 1)] {
            let error = read(text).err().unwrap();
            assert!(matches!(error, Error::Syntax { line: at, .. } if at == line), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}
