//! Lines for the file that `$GITHUB_ENV` names: `NAME<<delimiter`, the value, the delimiter.
//!
//! The delimiter has to be random: whoever chooses a value and can guess the delimiter could end the
//! value early and set variables of his own. It comes from the caller; should a line of a value be
//! the same all the same, it is lengthened.

use zeroize::Zeroizing;

use super::buffer::{Buffer, bytes};
use super::error::Error;
use super::row::{Kind, Row};

/// Writes variables.
pub(super) fn write(variables: &[(String, Zeroizing<String>)], delimiter: &str) -> Zeroizing<Vec<u8>> {
    let mut delimiter = delimiter.to_owned();
    while variables.iter().any(|(_, value)| value.split('\n').any(|line| line.trim_end_matches('\r') == delimiter)) {
        delimiter.push('_');
    }
    let mut out = Buffer::new();
    for (name, value) in variables {
        for piece in [name, "<<", &delimiter, "\n", value, "\n", &delimiter, "\n"] {
            out.push(piece);
        }
    }
    out.into_bytes()
}

/// Reads names and texts, in this form or as `NAME=value`.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    let mut lines = text.split('\n').enumerate();
    while let Some((at, line)) = lines.next() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let fault = |what| Error::Syntax { line: at + 1, what };
        let (equals, marks) = (line.find('='), line.find("<<"));
        let (name, value) = match (equals, marks) {
            (Some(equals), marks) if marks.is_none_or(|marks| equals < marks) => {
                (&line[..equals], Zeroizing::new(line[equals + 1..].to_owned()))
            }
            (_, Some(marks)) => {
                let delimiter = &line[marks + 2..];
                let mut value = Buffer::new();
                let mut first = true;
                loop {
                    let Some((_, line)) = lines.next() else {
                        return Err(fault("the delimiter that is named here does not come"));
                    };
                    if line.strip_suffix('\r').unwrap_or(line) == delimiter && !delimiter.is_empty() {
                        break;
                    }
                    value.push(if first { "" } else { "\n" });
                    value.push(line);
                    first = false;
                }
                (&line[..marks], value.into_text())
            }
            _ => return Err(fault("NAME=VALUE or NAME<<DELIMITER was expected")),
        };
        if name.is_empty() {
            return Err(fault("NAME=VALUE or NAME<<DELIMITER was expected"));
        }
        rows.push(Row::new(name.to_owned(), Kind::Text, bytes(value)));
    }
    Ok(rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_end_itself() {
        let value = "x\nD\nEVIL<<D\n1\nD_";
        let file = write(&[("A".to_owned(), Zeroizing::new(value.to_owned()))], "D");
        assert_eq!(*file, format!("A<<D__\n{value}\nD__\n").into_bytes());
        let rows = read(std::str::from_utf8(&file).unwrap()).unwrap();
        assert!(rows.len() == 1 && *rows[0].value == *value.as_bytes());
    }

    #[test]
    fn both_forms_are_read() {
        let rows = read("A=1<<2\r\n\nB<<E=\none\n\ntwo\nE=\nC<<X\nX\nD=").unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.value.as_slice())).collect();
        assert_eq!(seen, [("A", &b"1<<2"[..]), ("B", b"one\n\ntwo"), ("C", b""), ("D", b"")]);
        for (text, line) in [("A=1\ncanary", 2), ("A<<X\ncanary", 1), ("=canary", 1), ("<<canary\n", 1)] {
            let error = read(text).err().unwrap();
            assert!(matches!(error, Error::Syntax { line: at, .. } if at == line) && !error.to_string().contains("canary"));
        }
    }
}
