//! What dotenv and shell files have in common: comments, blank lines, and `export` before a name.

use zeroize::Zeroizing;

use super::buffer::bytes;
use super::error::{Error, line_at};
use super::row::{Kind, Row};

/// A name, its value, and the text after it.
pub(super) struct Assignment<'a> {
    pub(super) name: &'a str,
    pub(super) value: Zeroizing<String>,
    pub(super) rest: &'a str,
}

/// What is wrong, and the text from there on.
pub(super) type Fault<'a> = (&'static str, &'a str);

/// That a quote is opened and never closed.
pub(super) const UNCLOSED: &str = "the quote that opens here is not closed";

/// Reads assignments up to the end of a text; `next` reads one, from its name on.
pub(super) fn read(text: &str, next: fn(&str) -> Result<Assignment<'_>, Fault<'_>>) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    let mut rest = text;
    while let Some(start) = next_start(rest) {
        let found = next(start)
            .map_err(|(what, from)| Error::Syntax { line: line_at(text.as_bytes(), text.len() - from.len()), what })?;
        let value = bytes(found.value);
        rows.push(Row::new(found.name.to_owned(), Kind::Text, value));
        rest = found.rest;
    }
    Ok(rows)
}

/// The text from the next name on, if anything but comments is left.
fn next_start(mut rest: &str) -> Option<&str> {
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if !rest.starts_with('#') {
            break;
        }
        rest = rest.split_once('\n').map_or("", |(_, after)| after);
    }
    let exported = rest.strip_prefix("export");
    let exported = exported.filter(|after| after.starts_with([' ', '\t']));
    let start = exported.map_or(rest, |after| after.trim_start_matches([' ', '\t']));
    (!rest.is_empty()).then_some(start)
}
