//! Assignments for PowerShell: `$env:NAME = 'value'`, one a line.
//!
//! In single quotes only the quote itself is special and stands twice; PowerShell takes the four
//! typographic single quotes for the same. A value with line ends is written in double quotes, its
//! line ends as `` `r `` and `` `n ``: a pipeline of PowerShell passes lines on and joins them by
//! the line end of its system, which would not be the value's.
//!
//! An empty value removes the variable, in PowerShell before 7.5; nothing can be written for it
//! that does not.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::assignments::{self, Assignment, Fault, UNCLOSED};
use super::buffer::Buffer;
use super::error::Error;
use super::row::Row;

const SINGLE: [char; 5] = ['\'', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}'];
const DOUBLE: [char; 4] = ['"', '\u{201c}', '\u{201d}', '\u{201e}'];

/// Writes variables.
pub(super) fn write(variables: &[(String, Zeroizing<String>)]) -> Zeroizing<Vec<u8>> {
    let mut out = Buffer::new();
    for (name, value) in variables {
        out.push("$env:");
        out.push(name);
        out.push(" = ");
        if value.contains(['\r', '\n']) {
            out.push("\"");
            out.push_escaped(value, |character| match character {
                '\r' => Some(Cow::Borrowed("`r")),
                '\n' => Some(Cow::Borrowed("`n")),
                '`' | '$' => Some(Cow::Owned(format!("`{character}"))),
                _ if DOUBLE.contains(&character) => Some(Cow::Owned(format!("`{character}"))),
                _ => None,
            });
            out.push("\"\n");
        } else {
            out.push("'");
            out.push_escaped(value, |character| {
                SINGLE.contains(&character).then(|| Cow::Owned(format!("{character}{character}")))
            });
            out.push("'\n");
        }
    }
    out.into_bytes()
}

/// Reads names, as they stand, and texts.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    assignments::read(text, assignment)
}

const EXPECTED: &str = "$env:NAME = 'VALUE' was expected";

fn assignment(start: &str) -> Result<Assignment<'_>, Fault<'_>> {
    let head = start.get(..5).filter(|head| head.eq_ignore_ascii_case("$env:")).ok_or((EXPECTED, start))?;
    let rest = &start[head.len()..];
    let end = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let value = rest.trim_start_matches([' ', '\t']).strip_prefix('=').filter(|_| !name.is_empty());
    let value = value.ok_or((EXPECTED, start))?.trim_start_matches([' ', '\t']);
    let (value, rest) = match value.chars().next() {
        Some(quote) if SINGLE.contains(&quote) => single_quoted(value, quote)?,
        Some(quote) if DOUBLE.contains(&quote) => double_quoted(value, quote)?,
        _ => return Err((EXPECTED, start)),
    };
    let rest = rest.trim_start_matches([' ', '\t', '\r', ';']);
    if rest.is_empty() || rest.starts_with(['\n', '#']) {
        Ok(Assignment { name, value, rest })
    } else {
        Err(("one assignment a line, and nothing after it", rest))
    }
}

fn single_quoted(text: &str, quote: char) -> Result<(Zeroizing<String>, &str), Fault<'_>> {
    let mut value = Buffer::new();
    let mut rest = &text[quote.len_utf8()..];
    loop {
        let stop = rest.find(SINGLE).ok_or((UNCLOSED, text))?;
        value.push(&rest[..stop]);
        let mut quotes = rest[stop..].chars();
        let first = quotes.next().map_or(0, char::len_utf8);
        match quotes.next().filter(|second| SINGLE.contains(second)) {
            Some(second) => {
                let end = stop + first + second.len_utf8();
                value.push(&rest[stop + first..end]);
                rest = &rest[end..];
            }
            None => return Ok((value.into_text(), &rest[stop + first..])),
        }
    }
}

fn double_quoted(text: &str, quote: char) -> Result<(Zeroizing<String>, &str), Fault<'_>> {
    let mut value = Buffer::new();
    let mut rest = &text[quote.len_utf8()..];
    loop {
        let special = |c: char| c == '`' || c == '$' || DOUBLE.contains(&c);
        let stop = rest.find(special).ok_or((UNCLOSED, text))?;
        value.push(&rest[..stop]);
        rest = &rest[stop..];
        let mut ahead = rest.chars();
        let (first, second) = (ahead.next().unwrap_or_default(), ahead.next());
        let pair = first.len_utf8() + second.map_or(0, char::len_utf8);
        match (first, second) {
            ('$', _) => return Err(("PowerShell would expand this; put it into single quotes", rest)),
            ('`', Some('n')) => value.push("\n"),
            ('`', Some('r')) => value.push("\r"),
            ('`', Some('t')) => value.push("\t"),
            ('`', Some(other)) if !other.is_ascii_alphanumeric() => value.push(&rest[1..pair]),
            ('`', _) => return Err(("this escape is not known", rest)),
            (_, Some(other)) if DOUBLE.contains(&other) => value.push(&rest[first.len_utf8()..pair]),
            _ => return Ok((value.into_text(), &rest[first.len_utf8()..])),
        }
        rest = &rest[pair..];
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
            ("", "$env:A = ''\n"),
            ("it's $x `id` \"", "$env:A = 'it''s $x `id` \"'\n"),
            ("\u{2019}; calc; \u{2018}", "$env:A = '\u{2019}\u{2019}; calc; \u{2018}\u{2018}'\n"),
            ("a\r\n$x`\"\u{201d}'", "$env:A = \"a`r`n`$x```\"`\u{201d}'\"\n"),
        ] {
            let file = write(&[("A".to_owned(), Zeroizing::new(value.to_owned()))]);
            assert_eq!(std::str::from_utf8(&file).unwrap(), line);
            assert_eq!(seen(line), [("A".to_owned(), value.to_owned())]);
        }
    }

    #[test]
    fn what_others_write_is_read_or_refused_with_its_line() {
        let text = "# c\n$Env:A='x'; # said\r\n$env:B = \"a`tb\"\"c\"";
        let expected = [("A", "x"), ("B", "a\tb\"c")];
        assert_eq!(seen(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for (text, line) in [
            ("$env:A = \"$canary\"", 1),
            ("\n$env:A = canary", 2),
            ("$env:A = 'x' + 'canary'", 1),
            ("$A = 'canary'", 1),
            ("$env: = 'canary'", 1),
            ("$env:A = 'x\n'\n$env:B = 'canary", 3),
            ("$env:A = \"`canary\"", 1),
        ] {
            let error = read(text).err().unwrap();
            assert!(matches!(error, Error::Syntax { line: at, .. } if at == line), "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}
