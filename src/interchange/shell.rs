//! Assignments for `eval` in a POSIX shell (POSIX.1-2024, XCU 2.2 Quoting).
//!
//! Written as `export NAME='value'`: nothing is special between single quotes, and a `'` of the
//! value closes them, stands escaped, and opens them again (`'\''`).
//!
//! Read are such assignments, one a line, with or without `export`, from quoted and plain pieces.
//! This is not a shell: what a shell would expand, run or split is refused, not guessed.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::assignments::{self, Assignment, Fault, UNCLOSED};
use super::buffer::Buffer;
use super::error::Error;
use super::row::Row;

/// Writes variables.
pub(super) fn write(variables: &[(String, Zeroizing<String>)]) -> Zeroizing<Vec<u8>> {
    let mut out = Buffer::new();
    for (name, value) in variables {
        out.push("export ");
        out.push(name);
        out.push("='");
        out.push_escaped(value, |c| (c == '\'').then_some(Cow::Borrowed("'\\''")));
        out.push("'\n");
    }
    out.into_bytes()
}

/// Reads names, as they stand, and texts.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    assignments::read(text, assignment)
}

fn assignment(start: &str) -> Result<Assignment<'_>, Fault<'_>> {
    let end = start.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(start.len());
    let (name, rest) = start.split_at(end);
    let Some(value) = rest.strip_prefix('=') else {
        return Err(("export NAME='VALUE' was expected", start));
    };
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(("export NAME='VALUE' was expected", start));
    }
    let (value, rest) = word(value)?;
    let rest = rest.trim_start_matches([' ', '\t', '\r']);
    // Only after a blank does `#` begin a comment; word() would have taken it otherwise.
    if rest.is_empty() || rest.starts_with(['\n', '#']) {
        Ok(Assignment { name, value, rest })
    } else {
        Err(("one assignment a line, and nothing after it", rest))
    }
}

/// The pieces up to a blank or a line end, put together.
fn word(mut rest: &str) -> Result<(Zeroizing<String>, &str), Fault<'_>> {
    let mut value = Buffer::new();
    loop {
        let plain = rest.find(SPECIAL).unwrap_or(rest.len());
        value.push(&rest[..plain]);
        rest = &rest[plain..];
        rest = match rest.as_bytes() {
            [] | [b' ' | b'\t' | b'\r' | b'\n', ..] => return Ok((value.into_text(), rest)),
            [b'\'', ..] => {
                let (piece, after) = rest[1..].split_once('\'').ok_or((UNCLOSED, rest))?;
                value.push(piece);
                after
            }
            [b'"', ..] => double_quoted(&mut value, rest)?,
            [b'\\', b'\n', ..] => &rest[2..],
            [b'\\', _, ..] => {
                let escaped = rest[1..].chars().next().map_or(0, char::len_utf8);
                value.push(&rest[1..=escaped]);
                &rest[1 + escaped..]
            }
            [b'#', ..] => {
                value.push("#");
                &rest[1..]
            }
            _ => return Err((EXPANDED, rest)),
        };
    }
}

/// What ends a plain piece: blanks, quotes, and all that a shell gives a meaning.
const SPECIAL: [char; 24] =
    [' ', '\t', '\r', '\n', '\'', '"', '\\', '#', '$', '`', '~', '*', '?', '[', '{', '}', '!', ';', '&', '|', '<', '>', '(', ')'];

const EXPANDED: &str = "a shell would expand or run this; put it into single quotes";

/// Appends a piece in double quotes and returns what follows it.
fn double_quoted<'a>(value: &mut Buffer, text: &'a str) -> Result<&'a str, Fault<'a>> {
    let mut rest = &text[1..];
    loop {
        let stop = rest.find(['"', '\\', '$', '`']).ok_or((UNCLOSED, text))?;
        value.push(&rest[..stop]);
        rest = &rest[stop..];
        let (spelled, meant) = match rest.as_bytes() {
            [b'"', ..] => return Ok(&rest[1..]),
            [b'\\', b'\n', ..] => (2, ""),
            [b'\\', b'"' | b'\\' | b'$' | b'`', ..] => (2, &rest[1..2]),
            [b'\\', ..] => (1, "\\"),
            _ => return Err((EXPANDED, rest)),
        };
        value.push(meant);
        rest = &rest[spelled..];
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Vec<(String, String)> {
        let rows = read(text).unwrap();
        rows.into_iter().map(|row| (row.name, String::from_utf8(row.value.to_vec()).unwrap())).collect()
    }

    #[test]
    fn quoting() {
        for (value, line) in [
            ("", "export A=''\n"),
            ("it's", "export A='it'\\''s'\n"),
            ("$(id) `id` \\ \"\r\n!", "export A='$(id) `id` \\ \"\r\n!'\n"),
        ] {
            let file = write(&[("A".to_owned(), Zeroizing::new(value.to_owned()))]);
            assert_eq!(std::str::from_utf8(&file).unwrap(), line);
            assert_eq!(seen(line), [("A".to_owned(), value.to_owned())]);
        }
    }

    #[test]
    fn what_others_write() {
        let text = concat!(
            "#!/bin/sh\n# c\n",
            "A=1\r\n",
            "  export  B=a#b # said\n",
            "C=\"x\\\"\\$\\`\\\\ \\n \\\ny\"'z'\\ \\é=1\n",
            "D=\n",
            "export E='one\ntwo'"
        );
        let expected = [("A", "1"), ("B", "a#b"), ("C", "x\"$`\\ \\n yz é=1"), ("D", ""), ("E", "one\ntwo")];
        assert_eq!(seen(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_a_shell_would_do_is_refused_with_its_line() {
        for (text, line) in [
            ("A=1\nB=$canary", 2),
            ("A=\"$canary\"", 1),
            ("A=\"`canary`\"", 1),
            ("A=$'canary'", 1),
            ("A=~/canary", 1),
            ("A=canary;B=1", 1),
            ("A=1 B=canary", 1),
            ("export A", 1),
            ("\n\nset -e canary", 3),
            ("1A=canary", 1),
            ("a-b=canary", 1),
            ("A='canary", 1),
            ("A='x\n'\nB=\"canary", 3),
            ("A=canary\\", 1),
        ] {
            let error = read(text).err().unwrap();
            assert!(matches!(error, Error::Syntax { line: at, .. } if at == line), "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}
