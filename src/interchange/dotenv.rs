//! `.env` files.
//!
//! There is no standard, so values are written in the first of two forms that python-dotenv,
//! dotenvy and the dotenv of node read alike:
//!
//! - in single quotes, as they are, if they hold no `'` and no carriage return. If they hold a line
//!   end, they must also hold one of `"`, `\`, `$` and a backtick, as JSON with a key in it does;
//!   otherwise the second form keeps the variable on one line.
//! - in double quotes, with `\n`, `\r`, `\"`, `\\`, `\$` and `` \` `` for what they stand for. `$` and
//!   the backtick are escaped so that a shell that is fed the file runs nothing.
//!
//! Our own reader reads every value back. For a few values no form suits all the others, and they
//! see backslashes too many or too few, or refuse the line: values for which the second form must
//! escape more than line ends, values with `\\` in them (python-dotenv) or a backslash at their
//! end, and values with a carriage return (dotenvy). python-dotenv expands `${NAME}` in any quotes
//! unless it is called with `interpolate=False`. For a shell there is a format of its own.
//!
//! Reading expands nothing, because secrets hold `$`. It takes `export ` before a name, comments,
//! blank lines, values over several lines in quotes (where CR LF is LF), and ` #` after a value
//! without quotes. In double quotes a backslash stands for itself before any other character.

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
        out.push(name);
        out.push("=");
        let quote = if fits_single_quotes(value) {
            out.push("'");
            out.push(value);
            "'"
        } else {
            out.push("\"");
            out.push_escaped(value, escape);
            "\""
        };
        out.push(quote);
        if value.ends_with('\\') {
            // Some take a backslash and the closing quote for an escaped quote, and would read on
            // into the next lines: they find another one here.
            out.push(" #");
            out.push(quote);
        }
        out.push("\n");
    }
    out.into_bytes()
}

/// A text with variables at its end, and without those that `replaced` names.
pub(super) fn replace(
    text: &str,
    replaced: &dyn Fn(&str) -> bool,
    variables: &[(String, Zeroizing<String>)],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut out = Buffer::new();
    let mut kept = 0;
    for (name, place) in assignments::places(text, assignment)? {
        if replaced(name) {
            out.push(&text[kept..place.start]);
            kept = place.end;
        }
    }
    out.push(&text[kept..]);
    let unfinished = text[kept..].chars().next_back().is_some_and(|last| last != '\n');
    out.push(if unfinished { "\n" } else { "" });
    let mut out = out.into_bytes();
    let own = write(variables);
    let mut whole = Zeroizing::new(Vec::with_capacity(out.len() + own.len()));
    whole.append(&mut out);
    whole.extend_from_slice(&own);
    Ok(whole)
}

/// Reads names, as they stand, and texts.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    assignments::read(text, assignment)
}

fn fits_single_quotes(value: &str) -> bool {
    !value.contains(['\'', '\r']) && (!value.contains('\n') || value.contains(['"', '\\', '$', '`']))
}

fn escape(character: char) -> Option<Cow<'static, str>> {
    let spelling = match character {
        '\n' => "\\n",
        '\r' => "\\r",
        '"' => "\\\"",
        '\\' => "\\\\",
        '$' => "\\$",
        '`' => "\\`",
        _ => return None,
    };
    Some(Cow::Borrowed(spelling))
}

fn assignment(start: &str) -> Result<Assignment<'_>, Fault<'_>> {
    let line = start.split('\n').next().unwrap_or_default();
    let Some((name, _)) = line.split_once('=') else {
        return Err(("NAME=VALUE was expected", start));
    };
    let value = &start[name.len() + 1..];
    let name = name.trim_end_matches([' ', '\t']);
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || "'\"`#".contains(c)) {
        return Err(("NAME=VALUE was expected", start));
    }
    let (value, after) = match value.trim_start_matches([' ', '\t']) {
        quoted if quoted.starts_with('\'') => single_quoted(quoted)?,
        quoted if quoted.starts_with('"') => double_quoted(quoted)?,
        _ => return Ok(unquoted(name, value)),
    };
    let (tail, rest) = after.split_once('\n').unwrap_or((after, ""));
    let tail = tail.trim_matches([' ', '\t', '\r']);
    if tail.is_empty() || tail.starts_with('#') {
        Ok(Assignment { name, value, rest })
    } else {
        Err(("only a comment may follow the closing quote", after))
    }
}

fn single_quoted(text: &str) -> Result<(Zeroizing<String>, &str), Fault<'_>> {
    let inner = &text[1..];
    let (value, after) = inner.split_once('\'').ok_or((UNCLOSED, text))?;
    // An editor that turns line ends into CR LF turns these too; our own files have no CR here.
    Ok((Zeroizing::new(value.replace("\r\n", "\n")), after))
}

fn double_quoted(text: &str) -> Result<(Zeroizing<String>, &str), Fault<'_>> {
    let mut value = Buffer::new();
    let mut rest = &text[1..];
    loop {
        let stop = rest.find(['"', '\\', '\r']).ok_or((UNCLOSED, text))?;
        value.push(&rest[..stop]);
        rest = &rest[stop..];
        if let Some(after) = rest.strip_prefix('"') {
            return Ok((value.into_text(), after));
        }
        let (spelled, meant) = match rest.as_bytes() {
            [b'\r', b'\n', ..] => (2, "\n"),
            [b'\\', b'n', ..] => (2, "\n"),
            [b'\\', b'r', ..] => (2, "\r"),
            [b'\\', b't', ..] => (2, "\t"),
            [b'\\', b'"' | b'\\' | b'$' | b'`', ..] => (2, &rest[1..2]),
            _ => (1, &rest[..1]),
        };
        value.push(meant);
        rest = &rest[spelled..];
    }
}

fn unquoted<'a>(name: &'a str, text: &'a str) -> Assignment<'a> {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    let comment = line.match_indices('#').find(|(at, _)| line[..*at].ends_with([' ', '\t'])).map_or(line.len(), |(at, _)| at);
    let value = line[..comment].trim_matches([' ', '\t', '\r']);
    let value = Zeroizing::new(value.to_owned());
    Assignment { name, value, rest }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn written(value: &str) -> String {
        let file = write(&[("A".to_owned(), Zeroizing::new(value.to_owned()))]);
        String::from_utf8(file.to_vec()).unwrap()
    }

    fn seen(text: &str) -> Vec<(String, String)> {
        let rows = read(text).unwrap();
        rows.into_iter().map(|row| (row.name, String::from_utf8(row.value.to_vec()).unwrap())).collect()
    }

    #[test]
    fn quoting() {
        for (value, line) in [
            ("", "A=''\n"),
            (" a #$b\"`\\c ", "A=' a #$b\"`\\c '\n"),
            ("it's", "A=\"it's\"\n"),
            ("a\nb", "A=\"a\\nb\"\n"),
            ("{\n\"a\":\"\\n\"}", "A='{\n\"a\":\"\\n\"}'\n"),
            ("a\r\n", "A=\"a\\r\\n\"\n"),
            ("c:\\", "A='c:\\' #'\n"),
            ("'c:\\", "A=\"'c:\\\\\" #\"\n"),
            ("'$(id)`id`\"\\\t", "A=\"'\\$(id)\\`id\\`\\\"\\\\\t\"\n"),
        ] {
            assert_eq!(written(value), line);
            assert_eq!(seen(line), [("A".to_owned(), value.to_owned())]);
        }
    }

    #[test]
    fn what_others_write() {
        let text = concat!(
            "# comment = 'x\n\r\n",
            "A=1\r\n",
            "  export\tB = two words  # said\n",
            "C=#fff\n",
            "D=a#b=c\n",
            "E=\n",
            "F= # nothing\n",
            "G='a\\n$x' # c\n",
            "H=\"a\\nb\\t\\\"\\\\\\$HOME \\x é\"#c\r\n",
            "I='one\r\ntwo'\n",
            "J=\"one\r\ntwo\n\"\n",
            "export=1\n",
            "db/prod=it's\n",
            "K=$A${B}`c`"
        );
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "#fff"),
            ("D", "a#b=c"),
            ("E", ""),
            ("F", ""),
            ("G", "a\\n$x"),
            ("H", "a\nb\t\"\\$HOME \\x é"),
            ("I", "one\ntwo"),
            ("J", "one\ntwo\n"),
            ("export", "1"),
            ("db/prod", "it's"),
            ("K", "$A${B}`c`"),
        ];
        assert_eq!(seen(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(seen("").is_empty() && seen("# only").is_empty());
    }

    #[test]
    fn variables_are_replaced_and_all_else_stays() {
        let add = [("Z".to_owned(), Zeroizing::new("it's".to_owned()))];
        let replaced = |text: &str| {
            let out = replace(text, &|name| name.starts_with('X'), &add).map_err(|error| error.to_string());
            out.map(|out| String::from_utf8(out.to_vec()).unwrap())
        };
        for (text, expected) in [
            ("", ""),
            ("# c\nA=1\n", "# c\nA=1\n"),
            ("A=1", "A=1\n"),
            ("X=1\n# c\n\nexport X2='a\nb' # d\nB='x\nX=1\n' # e\n  X3=\"1\"\nC=2", "# c\n\nB='x\nX=1\n' # e\nC=2\n"),
            ("A=1\r\nX=2\r\nB=3\r\n", "A=1\r\nB=3\r\n"),
            ("A=1\nX=2", "A=1\n"),
        ] {
            assert_eq!(replaced(text).unwrap(), format!("{expected}Z=\"it's\"\n"), "{text:?}");
        }
        assert!(replaced("A='").is_err());
    }

    #[test]
    fn errors_tell_the_line_and_show_no_value() {
        for (text, line) in [
            ("A=1\ncanary\n", 2),
            ("A='1\n2'\n\nexport canary", 4),
            ("A=1\nB='canary\n\n", 2),
            ("B=\"canary\\\"", 1),
            ("A='x\ny'canary", 2),
            ("='canary'", 1),
            ("a b=canary", 1),
            ("'A'=canary", 1),
        ] {
            let error = read(text).err().unwrap();
            assert!(matches!(error, Error::Syntax { line: at, .. } if at == line), "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}
