//! Assignments for `source` in fish: `set -gx NAME 'value'`.
//!
//! Between single quotes fish knows two escapes, `\\` and `\'`; everything else, line ends too,
//! stands for itself.
//!
//! Read are such lines, with `-gx`, `-x`, `-g` or `--export --global` between `set` and the name.
//! What fish would expand or run is refused, not guessed.

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
        out.push("set -gx ");
        out.push(name);
        out.push(" '");
        out.push_escaped(value, |character| match character {
            '\'' => Some(Cow::Borrowed("\\'")),
            '\\' => Some(Cow::Borrowed("\\\\")),
            _ => None,
        });
        out.push("'\n");
    }
    out.into_bytes()
}

/// Reads names, as they stand, and texts.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    assignments::read(text, assignment)
}

const EXPECTED: &str = "set -gx NAME 'VALUE' was expected";

fn assignment(start: &str) -> Result<Assignment<'_>, Fault<'_>> {
    let mut rest = start.strip_prefix("set").filter(|rest| rest.starts_with([' ', '\t'])).ok_or((EXPECTED, start))?;
    let name = loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let end = rest.find([' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        if !word.starts_with('-') {
            break word;
        }
        if !["-gx", "-xg", "-g", "-x", "--global", "--export"].contains(&word) {
            return Err((EXPECTED, start));
        }
    };
    if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
        return Err((EXPECTED, start));
    }
    let (value, rest) = word(rest.trim_start_matches([' ', '\t']), start)?;
    let rest = rest.trim_start_matches([' ', '\t', '\r']);
    if rest.is_empty() || rest.starts_with(['\n', '#']) {
        Ok(Assignment { name, value, rest })
    } else {
        Err(("one value for a variable, and nothing after it", rest))
    }
}

/// A value in single quotes, or a plain word of characters that fish gives no meaning.
fn word<'a>(text: &'a str, start: &'a str) -> Result<(Zeroizing<String>, &'a str), Fault<'a>> {
    let Some(quoted) = text.strip_prefix('\'') else {
        let end = text.find([' ', '\t', '\r', '\n']).unwrap_or(text.len());
        let (plain, rest) = text.split_at(end);
        let harmless = |c: char| c.is_alphanumeric() || "_-+./:,=@%".contains(c);
        return match !plain.is_empty() && plain.chars().all(harmless) {
            true => Ok((Zeroizing::new(plain.to_owned()), rest)),
            false if plain.is_empty() => Err((EXPECTED, start)),
            false => Err(("fish would expand or run this; put it into single quotes", text)),
        };
    };
    let mut value = Buffer::new();
    let mut rest = quoted;
    loop {
        let stop = rest.find(['\'', '\\']).ok_or((UNCLOSED, text))?;
        value.push(&rest[..stop]);
        rest = &rest[stop..];
        let (spelled, meant) = match rest.as_bytes() {
            [b'\'', ..] => return Ok((value.into_text(), &rest[1..])),
            [b'\\', b'\'' | b'\\', ..] => (2, &rest[1..2]),
            _ => (1, "\\"),
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
        for (value, line) in [("", "set -gx A ''\n"), ("it's \\n $x\n", "set -gx A 'it\\'s \\\\n $x\n'\n")] {
            let file = write(&[("A".to_owned(), Zeroizing::new(value.to_owned()))]);
            assert_eq!(std::str::from_utf8(&file).unwrap(), line);
            assert_eq!(seen(line), [("A".to_owned(), value.to_owned())]);
        }
    }

    #[test]
    fn what_others_write_is_read_or_refused_with_its_line() {
        let text = "# c\nset --global --export A 'x' # said\r\nset -x B /a:b\nset -g C 'a\\b'";
        let expected = [("A", "x"), ("B", "/a:b"), ("C", "a\\b")];
        assert_eq!(seen(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for (text, line) in [
            ("set -gx A canary$x", 1),
            ("\nset -gx A (canary)", 2),
            ("set -gx A \"canary\"", 1),
            ("set -gx A x canary", 1),
            ("set -gx A", 1),
            ("set -e canary", 1),
            ("echo canary", 1),
            ("set -gx A 'x\n'\nset -gx B 'canary", 3),
        ] {
            let error = read(text).err().unwrap();
            assert!(matches!(error, Error::Syntax { line: at, .. } if at == line), "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}
