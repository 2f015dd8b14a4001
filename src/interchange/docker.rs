//! Files for `docker run --env-file`: `NAME=value` lines without quotes or escapes.
//!
//! The value is everything behind the first `=`. So no value can hold a line end, and one that does
//! is refused rather than cut; a carriage return is refused too, since it is dropped at the end of a
//! line. Docker itself takes lines of less than 64 KiB.
//!
//! Compose reads the files of its `env_file` as dotenv does: use that format there.

use zeroize::Zeroizing;

use super::buffer::Buffer;
use super::error::Error;
use super::row::{Kind, Row};

/// Writes variables; none holds a line end.
pub(super) fn write(variables: &[(String, Zeroizing<String>)]) -> Zeroizing<Vec<u8>> {
    let mut out = Buffer::new();
    for (name, value) in variables {
        out.push(name);
        out.push("=");
        out.push(value);
        out.push("\n");
    }
    out.into_bytes()
}

/// Reads names and texts.
pub(super) fn read(text: &str) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (at, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let assignment = line.split_once('=').filter(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace));
        let Some((name, value)) = assignment else {
            return Err(Error::Syntax { line: at + 1, what: "NAME=VALUE was expected" });
        };
        rows.push(Row::new(name.to_owned(), Kind::Text, Zeroizing::new(value.as_bytes().to_vec())));
    }
    Ok(rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_as_they_are() {
        let value = " 'a' \"$x\" #b=c ";
        let file = write(&[("A".to_owned(), Zeroizing::new(value.to_owned()))]);
        assert_eq!(*file, format!("A={value}\n").into_bytes());
        let rows = read("# c\r\n\r\n  A= 'a' \r\nB=\n").unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.value.as_slice())).collect();
        assert_eq!(seen, [("A", &b" 'a' "[..]), ("B", b"")]);
        for text in ["A=1\ncanary", "A=1\n=canary", "A=1\na canary=1"] {
            let error = read(text).err().unwrap();
            assert!(matches!(error, Error::Syntax { line: 2, .. }) && !error.to_string().contains("canary"));
        }
    }
}
