//! Text that other programs wrote: read or refused, and what was read is exported and read again without a change.

use vault::interchange::{Error, Format, KdbxError, Kind, Row, Source, leaves, read, read_from, read_kdbx, variables, write};
use vault::{Category, Environment, Name, Tag};

pub fn import(format: Format, data: &[u8]) {
    match read(format, data) {
        Ok(rows) => returns(&rows),
        Err(error) => refusal(&error, data),
    }
}

pub fn import_from(source: Source, data: &[u8]) {
    match read_from(source, data) {
        Ok(rows) => {
            if source != Source::Sops {
                assert!(
                    rows.iter().all(|row| Name::parse(&row.name).is_ok() && row.tags.iter().all(|tag| Tag::parse(tag).is_ok()))
                );
            }
            returns(&rows);
        }
        Err(error) => refusal(&error, data),
    }
}

/// What pass and gopass keep: always a row, and the text itself unless it has fields.
pub fn secret(data: &[u8]) {
    let plain = vault::interchange::secret("a".to_owned(), data, false);
    assert!(data.starts_with(&plain.value) && data.len() - plain.value.len() <= 1);
    let structured = vault::interchange::secret("a".to_owned(), data, true);
    assert!(structured.kind == Kind::Json || structured.value == plain.value);
    returns(&[structured]);
    let text = String::from_utf8_lossy(data);
    assert!(leaves(&text).iter().map(|leaf| leaf.len()).sum::<usize>() <= text.len());
}

/// Whatever a file asks for, it is refused or opened in bounded time, and the parser behind sees no field of a wrong length.
pub fn kdbx(data: &[u8]) {
    match read_kdbx(data, Some("demo"), None) {
        Ok(rows) => assert!(rows.iter().all(|row| Name::parse(&row.name).is_ok())),
        Err(error) => assert!(matches!(error, KdbxError::Malformed | KdbxError::TooExpensive | KdbxError::WrongKey)),
    }
}

fn returns(rows: &[Row]) {
    for row in rows {
        match row.kind {
            Kind::Bytes => {}
            Kind::Text => assert!(std::str::from_utf8(&row.value).is_ok(), "a text that is none"),
            Kind::Json => {
                assert!(serde_json::from_slice::<&serde_json::value::RawValue>(&row.value).is_ok(), "JSON that is none")
            }
        }
    }
    for other in Format::ALL.into_iter().filter(|other| !other.has_variables()) {
        if other == Format::Csv && !rows.iter().all(fits_csv) {
            continue;
        }
        let text = write(other, rows).expect("what was read is written");
        let again = read(other, &text).expect("what was written is read");
        assert!(rows.len() == again.len() && rows.iter().zip(&again).all(|(one, other)| same(one, other)), "{}", other.name());
        assert!(write(other, &again).unwrap() == text, "{}: written otherwise", other.name());
    }
    let Ok(variables) = variables(rows, "P_") else { return };
    assert!(
        variables.iter().all(|(name, _)| name.starts_with("P_") && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
    );
    let lines = variables.iter().all(|(_, value)| !value.contains(['\n', '\r']));
    for other in [Format::Dotenv, Format::Shell, Format::Fish, Format::PowerShell, Format::Docker, Format::GithubEnv] {
        let written = vault::interchange::write_prefixed(other, rows, "P_");
        if other == Format::Docker && !lines {
            assert!(written.is_err(), "a line end is cut");
            continue;
        }
        let text = written.expect("variables are written");
        let again = read(other, &text).expect("what was written is read");
        let same = |(row, (name, value)): (&Row, &(String, zeroize::Zeroizing<String>))| {
            row.name == *name && row.value.as_slice() == value.as_bytes() && row.kind == Kind::Text
        };
        assert!(again.len() == variables.len() && again.iter().zip(&variables).all(same), "{}", other.name());
    }
}

/// A message names a line that there is.
fn refusal(error: &Error, data: &[u8]) {
    let text = format!("{error} {error:?}");
    assert!(!text.contains(|c: char| c.is_control()), "a message with control characters");
    if let Error::Syntax { line, .. } = error {
        let lines = data.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 1;
        assert!((1..=lines + 1).contains(line), "line {line} of {lines}");
    }
}

/// An empty column stands for none, and blanks around tags are nobody's: neither is possible in a vault.
fn fits_csv(row: &Row) -> bool {
    row.tags.iter().all(|tag| !tag.contains(';') && Tag::parse(tag).is_ok())
        && row.category.as_ref().is_none_or(|category| Category::parse(category).is_ok())
        && row.environment.as_ref().is_none_or(|environment| Environment::parse(environment).is_ok())
}

fn same(one: &Row, other: &Row) -> bool {
    let labels = |row: &Row| (row.environment.clone(), row.category.clone(), row.tags.clone(), row.meta.clone(), row.expires);
    one.name == other.name && one.kind == other.kind && one.value == other.value && labels(one) == labels(other)
}
