//! What dotenv and shell files have in common: comments, blank lines, and `export` before a name.

use std::ops::Range;

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

/// Reads one assignment, from its name on.
type Next = fn(&str) -> Result<Assignment<'_>, Fault<'_>>;

/// Reads assignments up to the end of a text.
pub(super) fn read(text: &str, next: Next) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    each(text, next, &mut |_, found| rows.push(Row::new(found.name.to_owned(), Kind::Text, bytes(found.value))))?;
    Ok(rows)
}

/// The names of assignments, and where the lines of each stand in a text.
pub(super) fn places(text: &str, next: Next) -> Result<Vec<(&str, Range<usize>)>, Error> {
    let mut places = Vec::new();
    each(text, next, &mut |start, found| {
        let line = text[..start].rfind('\n').map_or(0, |end| end + 1);
        places.push((found.name, line..text.len() - found.rest.len()));
    })?;
    Ok(places)
}

/// Hands each assignment to `visit`, with where its name begins.
fn each<'a>(text: &'a str, next: Next, visit: &mut dyn FnMut(usize, Assignment<'a>)) -> Result<(), Error> {
    let mut rest = text;
    while let Some(start) = next_start(rest) {
        let found = next(start)
            .map_err(|(what, from)| Error::Syntax { line: line_at(text.as_bytes(), text.len() - from.len()), what })?;
        rest = found.rest;
        visit(text.len() - start.len(), found);
    }
    Ok(())
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
