//! JSON (RFC 8259), with indentation of two blanks or on one line.

use super::super::buffer::Buffer;
use super::super::error::Error;
use super::super::literal;
use super::{DEPTH, Document, Fault, Leaf, Scalar, number, within};

/// Reads one value.
pub(super) fn read(text: &str) -> Result<Document, Error> {
    let text = text.trim();
    if !text.starts_with('{') && !literal::is_json(text) {
        return Err(Error::Syntax { line: 1, what: "this is not JSON" });
    }
    tree(text, 0)
}

fn tree(text: &str, depth: usize) -> Result<Document, Error> {
    if depth > DEPTH {
        return Err(Error::Syntax { line: 1, what: "this is nested more than 128 levels deep" });
    }
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let mut members: Vec<(String, Document)> = Vec::new();
            let mut names = std::collections::HashSet::new();
            literal::members(text, |name, value| {
                if !names.insert(name.clone()) {
                    return Err(Error::Duplicate { name });
                }
                members.push((name, tree(value, depth + 1)?));
                Ok(())
            })?;
            Document::Table(members)
        }
        Some(b'[') => {
            let items = literal::items(text)?;
            Document::List(items.into_iter().map(|item| tree(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => {
            let text = literal::unquote(text);
            Scalar::Text(text.ok_or(Error::Syntax { line: 1, what: "a string holds half of a surrogate pair" })?).into()
        }
        Some(b'n') => Scalar::Null.into(),
        Some(b't' | b'f') => Scalar::Bool(text == "true").into(),
        _ => number(text),
    })
}

/// Appends a value: with this indentation, or on one line.
pub(super) fn write(out: &mut Buffer, document: &Document, indent: Option<usize>) -> Result<(), Fault> {
    let inner = indent.map(|indent| indent + 2);
    let line = |out: &mut Buffer, indent: Option<usize>| {
        if let Some(indent) = indent {
            out.push("\n");
            out.push(&" ".repeat(indent));
        }
    };
    match document {
        Document::Leaf(leaf) => scalar(out, leaf)?,
        Document::List(items) if items.is_empty() => out.push("[]"),
        Document::Table(members) if members.is_empty() => out.push("{}"),
        Document::List(items) => {
            out.push("[");
            for (at, item) in items.iter().enumerate() {
                out.push(if at == 0 { "" } else { "," });
                line(out, inner);
                write(out, item, inner).map_err(within(at))?;
            }
            line(out, indent);
            out.push("]");
        }
        Document::Table(members) => {
            out.push("{");
            for (at, (name, member)) in members.iter().enumerate() {
                out.push(if at == 0 { "" } else { "," });
                line(out, inner);
                literal::quote(out, name);
                out.push(if indent.is_some() { ": " } else { ":" });
                write(out, member, inner).map_err(within(name))?;
            }
            line(out, indent);
            out.push("}");
        }
    }
    Ok(())
}

fn scalar(out: &mut Buffer, leaf: &Leaf) -> Result<(), Fault> {
    match &leaf.scalar {
        Scalar::Null => out.push("null"),
        Scalar::Bool(truth) => out.push(if *truth { "true" } else { "false" }),
        Scalar::Number(number) => out.push(number),
        Scalar::Special(_) => return Err((Vec::new(), "JSON has neither infinity nor NaN")),
        Scalar::Date(date) => literal::quote(out, date),
        Scalar::Text(text) => literal::quote(out, text),
    }
    Ok(())
}
