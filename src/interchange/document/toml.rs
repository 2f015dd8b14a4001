//! TOML 1.0: values first, then tables and lists of tables under headers of their own.

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use super::super::buffer::Buffer;
use super::super::error::{Error, line_at};
use super::super::literal;
use super::{Document, Fault, Scalar, number, within};

/// Reads one document.
pub(super) fn read(text: &str) -> Result<Document, Error> {
    let document = DeTable::parse(text).map_err(|error| Error::Syntax {
        line: line_at(text.as_bytes(), error.span().map_or(0, |span| span.start)),
        // Its own words may quote what it stumbled over.
        what: "this is not TOML, or a key that is there twice",
    })?;
    Ok(table(document.get_ref(), text))
}

fn table(table: &DeTable, source: &str) -> Document {
    Document::Table(table.iter().map(|(name, value)| (name.get_ref().to_string(), tree(value, source))).collect())
}

/// The depth is that of the parser's own limit.
fn tree(value: &Spanned<DeValue>, source: &str) -> Document {
    match value.get_ref() {
        DeValue::String(text) => Document::text(text),
        DeValue::Integer(integer) => {
            let digits = integer.as_str().replace('_', "");
            i128::from_str_radix(&digits, integer.radix())
                .map_or_else(|_| number(&digits), |integer| number(&integer.to_string()))
        }
        DeValue::Float(float) => {
            let plain = float.as_str().replace('_', "");
            let plain = plain.trim_start_matches('+');
            match (Document::number(plain), plain.parse::<f64>()) {
                (Some(number), _) => number,
                (None, Ok(float)) if float.is_nan() => Scalar::Special("nan").into(),
                (None, Ok(float)) if float.is_infinite() => Scalar::Special(if float > 0.0 { "inf" } else { "-inf" }).into(),
                (None, Ok(float)) => number(&format!("{float:?}")),
                (None, Err(_)) => Document::text(plain),
            }
        }
        DeValue::Boolean(truth) => Scalar::Bool(*truth).into(),
        DeValue::Datetime(_) => Scalar::Date(source.get(value.span()).unwrap_or_default().to_owned()).into(),
        DeValue::Array(items) => Document::List(items.iter().map(|item| tree(item, source)).collect()),
        DeValue::Table(members) => table(members, source),
    }
}

/// Appends a document; nothing but a table is one.
pub(super) fn write(out: &mut Buffer, document: &Document) -> Result<(), Fault> {
    match document {
        Document::Table(members) => section(out, members, ""),
        _ => Err((Vec::new(), "a TOML document is a table")),
    }
}

/// Values, then sections; `above` is the header that they stand under.
fn section(out: &mut Buffer, members: &[(String, Document)], above: &str) -> Result<(), Fault> {
    for (name, member) in members.iter().filter(|(_, member)| !is_section(member)) {
        key(out, name);
        out.push(" = ");
        value(out, member).map_err(within(name))?;
        out.push("\n");
    }
    for (name, member) in members.iter().filter(|(_, member)| is_section(member)) {
        let mut spelled = Buffer::new();
        key(&mut spelled, name);
        let spelled = spelled.into_text();
        let header = if above.is_empty() { spelled.to_string() } else { format!("{above}.{}", *spelled) };
        match member {
            Document::Table(inner) => {
                // A table of tables alone is there by their headers.
                if inner.is_empty() || inner.iter().any(|(_, member)| !is_section(member)) {
                    begin(out, "[", &header, "]\n");
                }
                section(out, inner, &header).map_err(within(name))?;
            }
            Document::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    begin(out, "[[", &header, "]]\n");
                    if let Document::Table(inner) = item {
                        section(out, inner, &header).map_err(within(at)).map_err(within(name))?;
                    }
                }
            }
            Document::Leaf(_) => {}
        }
    }
    Ok(())
}

fn begin(out: &mut Buffer, open: &str, header: &str, close: &str) {
    out.push(if out.is_empty() { "" } else { "\n" });
    [open, header, close].into_iter().for_each(|part| out.push(part));
}

/// Whether something has a header of its own: tables, and lists of nothing but tables.
fn is_section(document: &Document) -> bool {
    match document {
        Document::Table(_) => true,
        Document::List(items) => !items.is_empty() && items.iter().all(|item| matches!(item, Document::Table(_))),
        Document::Leaf(_) => false,
    }
}

fn key(out: &mut Buffer, name: &str) {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare { out.push(name) } else { literal::quote(out, name) }
}

fn value(out: &mut Buffer, document: &Document) -> Result<(), Fault> {
    match document {
        Document::Leaf(leaf) => scalar(out, &leaf.scalar)?,
        Document::List(items) => {
            out.push("[");
            for (at, item) in items.iter().enumerate() {
                out.push(if at == 0 { "" } else { ", " });
                value(out, item).map_err(within(at))?;
            }
            out.push("]");
        }
        Document::Table(members) if members.is_empty() => out.push("{}"),
        Document::Table(members) => {
            out.push("{ ");
            for (at, (name, member)) in members.iter().enumerate() {
                out.push(if at == 0 { "" } else { ", " });
                key(out, name);
                out.push(" = ");
                value(out, member).map_err(within(name))?;
            }
            out.push(" }");
        }
    }
    Ok(())
}

fn scalar(out: &mut Buffer, scalar: &Scalar) -> Result<(), Fault> {
    match scalar {
        Scalar::Null => return Err((Vec::new(), "TOML has no null")),
        Scalar::Bool(truth) => out.push(if *truth { "true" } else { "false" }),
        Scalar::Number(number) => {
            let float = number.contains(['.', 'e', 'E']);
            let held = if float { number.parse().is_ok_and(f64::is_finite) } else { number.parse::<i64>().is_ok() };
            if !held {
                return Err((Vec::new(), "TOML has no number as large as this"));
            }
            out.push(number);
        }
        Scalar::Special(word) => out.push(word),
        Scalar::Date(date) => out.push(date),
        Scalar::Text(text) => literal::quote(out, text),
    }
    Ok(())
}
