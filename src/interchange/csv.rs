//! Comma-separated values (RFC 4180) with a header.
//!
//! | column | value |
//! |---|---|
//! | `name`, `environment`, `category` | as they are |
//! | `tags` | joined with `;` |
//! | `kind` | `text`, `json` or `bytes` |
//! | `encoding` | `base64` for bytes, else empty |
//! | `value` | the text, the JSON text, or base64 |
//! | `expires_ms`, `meta` | milliseconds since the Unix epoch; a JSON object of strings. Only if any row has them |
//!
//! A value may begin with `=`, `+`, `-` or `@`, which a spreadsheet takes for a formula. It is
//! written as it is all the same: a guard would change the secret. Import such a file into a
//! spreadsheet as text, or better not at all.
//!
//! Read is any table with the columns `name` and `value`; further columns that are not named here
//! are skipped.

use std::collections::BTreeMap;

use ::csv::{ReaderBuilder, StringRecord};
use zeroize::Zeroizing;

use super::buffer::Buffer;
use super::error::Error;
use super::export;
use super::literal;
use super::row::{Kind, Row};

/// Writes a table. The fields are quoted here and not by the csv crate, whose buffer is not wiped.
pub(super) fn write(rows: &[Row]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let more = rows.iter().any(|row| row.expires.is_some() || !row.meta.is_empty());
    let mut out = Buffer::new();
    out.push("name,environment,category,tags,kind,encoding,value");
    out.push(if more { ",expires_ms,meta\r\n" } else { "\r\n" });
    for row in rows {
        if row.tags.iter().any(|tag| tag.contains(';') || tag.is_empty()) {
            return Err(Error::Value {
                name: row.name.clone(),
                what: "a tag is empty or holds the \";\" that separates tags in CSV",
            });
        }
        field(&mut out, &row.name, ",");
        field(&mut out, row.environment.as_deref().unwrap_or_default(), ",");
        field(&mut out, row.category.as_deref().unwrap_or_default(), ",");
        field(&mut out, &row.tags.join(";"), ",");
        field(&mut out, row.kind.word(), ",");
        let end = if more { "," } else { "\r\n" };
        match row.kind {
            Kind::Bytes => {
                field(&mut out, "base64", ",");
                field(&mut out, &export::base64(&row.value), end);
            }
            Kind::Text => {
                field(&mut out, "", ",");
                field(&mut out, export::utf8(row)?, end);
            }
            Kind::Json => {
                field(&mut out, "", ",");
                field(&mut out, export::json_text(row)?, end);
            }
        }
        if more {
            let expires = row.expires.map(|expires| expires.to_string());
            field(&mut out, &expires.unwrap_or_default(), ",");
            field(&mut out, &meta_text(&row.meta), "\r\n");
        }
    }
    Ok(out.into_bytes())
}

/// Reads a table.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    let mut reader = ReaderBuilder::new().from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| syntax(&error))?;
    let columns = Columns::find(header)
        .ok_or(Error::Syntax { line: 1, what: "the header has no column \"name\" or no column \"value\"" })?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| syntax(&error))?;
        rows.push(columns.row(&record).map_err(|what| Error::Syntax { line: line(record.position()), what })?);
    }
    Ok(rows)
}

/// A field is quoted if anything in it could be read as more than itself.
fn field(out: &mut Buffer, text: &str, end: &str) {
    if text.contains(['"', ',', '\r', '\n', '#']) || text.trim() != text {
        out.push("\"");
        out.push_escaped(text, |c| (c == '"').then_some("\"\"".into()));
        out.push("\"");
    } else {
        out.push(text);
    }
    out.push(end);
}

fn meta_text(meta: &BTreeMap<String, String>) -> Zeroizing<String> {
    let mut out = Buffer::new();
    if !meta.is_empty() {
        out.push("{");
        export::separated(&mut out, meta, |out, (key, text)| {
            literal::quote(out, key);
            out.push(":");
            literal::quote(out, text);
        });
        out.push("}");
    }
    out.into_text()
}

/// Where each column is.
struct Columns {
    name: usize,
    value: usize,
    environment: Option<usize>,
    category: Option<usize>,
    tags: Option<usize>,
    kind: Option<usize>,
    encoding: Option<usize>,
    expires: Option<usize>,
    meta: Option<usize>,
}

impl Columns {
    fn find(header: &StringRecord) -> Option<Self> {
        let at = |column| {
            let same = |title: &str| title.trim().eq_ignore_ascii_case(column);
            header.iter().position(same)
        };
        Some(Columns {
            name: at("name")?,
            value: at("value")?,
            environment: at("environment"),
            category: at("category"),
            tags: at("tags"),
            kind: at("kind"),
            encoding: at("encoding"),
            expires: at("expires_ms"),
            meta: at("meta"),
        })
    }

    /// The row of a record, or what is wrong with it.
    fn row(&self, record: &StringRecord) -> Result<Row, &'static str> {
        let some = |column: Option<usize>| {
            let text = column.and_then(|at| record.get(at));
            text.filter(|text| !text.is_empty())
        };
        let kind = match some(self.kind) {
            None => Kind::Text,
            Some(name) => Kind::from_word(name).ok_or("the kind is not text, json or bytes")?,
        };
        let text = record.get(self.value).unwrap_or_default();
        let value = match some(self.encoding) {
            None => Zeroizing::new(text.as_bytes().to_vec()),
            Some("base64") => export::from_base64(text).ok_or("the value is not base64")?,
            Some(_) => return Err("the encoding is neither empty nor base64"),
        };
        let fits = match kind {
            Kind::Bytes => true,
            Kind::Text => std::str::from_utf8(&value).is_ok(),
            Kind::Json => std::str::from_utf8(&value).is_ok_and(literal::is_json),
        };
        if !fits {
            return Err("the value is not of its kind");
        }
        let expires = some(self.expires).map(str::parse).transpose();
        let meta = some(self.meta).map(serde_json::from_str).transpose();
        let name = record.get(self.name).unwrap_or_default();
        let mut row = Row::new(name.to_owned(), kind, value);
        row.environment = some(self.environment).map(str::to_owned);
        row.category = some(self.category).map(str::to_owned);
        row.tags = some(self.tags).map_or_else(Vec::new, |tags| {
            let tags = tags.split(';').map(str::trim);
            tags.filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
        });
        row.expires = expires.map_err(|_| "expires_ms is not a whole number of milliseconds")?;
        row.meta = meta.map_err(|_| "meta is not a JSON object of strings")?.unwrap_or_default();
        Ok(row)
    }
}

/// Keeps position and kind of a parser's error.
fn syntax(error: &::csv::Error) -> Error {
    let what = match error.kind() {
        ::csv::ErrorKind::UnequalLengths { .. } => "this record has not as many fields as the header",
        _ => "this is not CSV",
    };
    Error::Syntax { line: line(error.position()), what }
}

fn line(position: Option<&::csv::Position>) -> usize {
    let line = position.map_or(1, ::csv::Position::line);
    usize::try_from(line).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn row(name: &str, kind: Kind, value: &[u8]) -> Row {
        Row::new(name.to_owned(), kind, Zeroizing::new(value.to_vec()))
    }

    fn written(rows: &[Row]) -> String {
        String::from_utf8(write(rows).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn the_table_is_this_text() {
        let mut first = row("a,b", Kind::Text, b"=1+1\n\"x\"");
        first.environment = Some("prod".into());
        first.tags = vec!["t".into(), "u".into()];
        let mut rows = vec![first, row("b", Kind::Json, b"[1]"), row("c", Kind::Bytes, b"\xff\0"), row("d", Kind::Text, b" x")];
        let table = concat!(
            "name,environment,category,tags,kind,encoding,value\r\n",
            "\"a,b\",prod,,t;u,text,,\"=1+1\n\"\"x\"\"\"\r\n",
            "b,,,,json,,[1]\r\n",
            "c,,,,bytes,base64,/wA=\r\n",
            "d,,,,text,,\" x\"\r\n",
        );
        assert_eq!(written(&rows), table);
        rows.truncate(1);
        rows[0].expires = Some(7);
        rows[0].meta = [("k".to_owned(), "v".to_owned())].into();
        let text = written(&rows);
        assert!(text.ends_with(",7,\"{\"\"k\"\":\"\"v\"\"}\"\r\n"), "{text}");
        let back = read(&text).unwrap().remove(0);
        assert!(back.expires == Some(7) && back.meta == rows[0].meta && back.tags == rows[0].tags);
        rows[0].tags.push("a;b".into());
        assert!(matches!(write(&rows), Err(Error::Value { .. })));
    }

    #[test]
    fn tables_of_others() {
        let rows = read("url,Value, NAME ,kind\nx,\" a \",n,\n\n,2,m,json\n").unwrap();
        assert_eq!((rows[0].name.as_str(), rows[0].value.as_slice()), ("n", &b" a "[..]));
        assert_eq!((rows[1].kind, rows[1].value.as_slice()), (Kind::Json, &b"2"[..]));
    }

    #[test]
    fn errors_tell_the_line_and_show_no_value() {
        for (text, line) in [
            ("name,secret\na,canary\n", 1),
            ("", 1),
            ("name,value\na,b\nc,canary,d\n", 3),
            ("name,value,kind\na,\"x\ny\",\nb,canary,json\n", 4),
            ("name,value,kind\na,b,canary\n", 2),
            ("name,value,encoding\na,canary!,base64\n", 2),
            ("name,value,expires_ms\na,b,canary\n", 2),
            ("name,value,meta\na,b,canary\n", 2),
        ] {
            let error = read(text).err().unwrap();
            assert!(matches!(error, Error::Syntax { line: at, .. } if at == line), "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}
