//! Rows to and from the text formats that other programs read and write.
//!
//! Pure text work: no file, no environment, no clock. One format is one file.
//!
//! | format | holds | read back |
//! |---|---|---|
//! | json, yaml, toml | everything a [`Row`] has, under `vault_export: 1` | such an export, or any flat mapping of name to value |
//! | csv | everything; metadata and expiry in columns of their own, if any row has them | any table with the columns `name` and `value` |
//! | dotenv, shell, fish, powershell, github-env | variables: see [`variables()`] | name and text |
//! | docker | variables without line ends | name and text |
//! | k8s | variables of any bytes, in a Secret | name and value |
//!
//! What other secret stores export is read and not written: see [`Source`], [`secret()`] and [`read_kdbx()`].
//!
//! Reading changes no character of a value. Where a format guesses types (a number in YAML or
//! TOML, say), the value is JSON if JSON spells it in the same way, and otherwise the text that
//! stands in the file: `1.10` stays `1.10`, and `0x1F`, `1_000` and `2026-01-01` are text.
//!
//! Output is built in memory that is wiped when dropped. The parsers of YAML, TOML and CSV, and
//! that of JSON for strings with escapes, keep copies of their own while they read, and those are
//! not wiped here; the program `vault` wipes all memory that it frees.

mod assignments;
mod bitwarden;
mod buffer;
mod csv;
mod docker;
mod document;
mod dotenv;
mod error;
mod export;
mod fish;
mod format;
mod github_env;
mod gopass;
mod json;
mod k8s;
mod kbs2;
mod kdbx;
mod leaves;
mod literal;
mod logins;
mod onepassword;
mod powershell;
pub mod qr;
mod row;
mod shell;
mod sops;
mod steering;
mod toml;
mod variables;
mod yaml;

pub use document::{Document, DocumentFormat, Leaf, Scalar, shown};
pub use error::Error;
pub use format::Format;
pub use gopass::secret;
pub use kdbx::{KdbxError, read_kdbx};
pub use leaves::leaves;
pub use row::{Kind, Row};
pub use steering::{is_never_set, is_steering};
pub use variables::{Data, data, names, variables};

use zeroize::Zeroizing;

/// Writes rows, in their order.
///
/// # Errors
///
/// [`Error::Value`] for a value that the format cannot hold or that is not of its kind, and the
/// errors of [`variables()`] for the formats that hold variables.
pub fn write(format: Format, rows: &[Row]) -> Result<Zeroizing<Vec<u8>>, Error> {
    write_with(format, rows, &Settings::default())
}

/// What some formats want to know beyond the rows.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// What stands before the name of each variable.
    pub prefix: &'a str,
    /// What ends a value in a file for `$GITHUB_ENV`; nobody may be able to guess it.
    pub delimiter: &'a str,
    /// The name of a Kubernetes Secret.
    pub name: &'a str,
    /// The namespace of a Kubernetes Secret.
    pub namespace: Option<&'a str>,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self { prefix: "", delimiter: "EOF", name: "vault", namespace: None }
    }
}

/// [`write()`], with `prefix` before the name of each variable.
///
/// # Errors
///
/// Those of [`write()`], and [`Error::PrefixUnused`] if the format keeps the names of entries.
pub fn write_prefixed(format: Format, rows: &[Row], prefix: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    write_with(format, rows, &Settings { prefix, ..Settings::default() })
}

/// [`write()`], as these settings say.
///
/// # Errors
///
/// Those of [`write_prefixed()`], and [`Error::ResourceName`] for a name that Kubernetes would not take.
pub fn write_with(format: Format, rows: &[Row], settings: &Settings<'_>) -> Result<Zeroizing<Vec<u8>>, Error> {
    let prefix = settings.prefix;
    if !prefix.is_empty() && !format.has_variables() {
        return Err(Error::PrefixUnused(format.name()));
    }
    match format {
        Format::Dotenv => Ok(dotenv::write(&variables(rows, prefix)?)),
        Format::Shell => Ok(shell::write(&variables(rows, prefix)?)),
        Format::Fish => Ok(fish::write(&variables(rows, prefix)?)),
        Format::PowerShell => Ok(powershell::write(&variables(rows, prefix)?)),
        Format::Docker => Ok(docker::write(&variables::lines(rows, prefix)?)),
        Format::GithubEnv => Ok(github_env::write(&variables(rows, prefix)?, settings.delimiter)),
        Format::K8s => k8s::write(&data(rows, prefix)?, settings.name, settings.namespace),
        Format::Json => json::write(rows),
        Format::Yaml => yaml::write(rows),
        Format::Toml => toml::write(rows),
        Format::Csv => csv::write(rows),
    }
}

/// The dotenv file `text` with these variables at its end, and without those that `replaced` names; all else in it stays as it stands.
///
/// # Errors
///
/// [`Error::Syntax`] with a line if `text` is no dotenv file.
pub fn dotenv_with(
    text: &[u8],
    replaced: &dyn Fn(&str) -> bool,
    variables: &[(String, Zeroizing<String>)],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    dotenv::replace(utf8(text)?, replaced, variables)
}

/// Reads the rows of a text, in their order. A byte order mark at its start is skipped.
///
/// # Errors
///
/// [`Error::Syntax`] with a line, [`Error::Entry`] or [`Error::Value`] for what cannot be used,
/// [`Error::NewerExport`], and [`Error::Duplicate`] if two rows have the same name and environment.
pub fn read(format: Format, bytes: &[u8]) -> Result<Vec<Row>, Error> {
    let text = utf8(bytes)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rows = match format {
        Format::Dotenv => dotenv::read(text),
        Format::Shell => shell::read(text),
        Format::Fish => fish::read(text),
        Format::PowerShell => powershell::read(text),
        Format::Docker => docker::read(text),
        Format::GithubEnv => github_env::read(text),
        Format::K8s => k8s::read(text),
        Format::Json => json::read(text),
        Format::Yaml => yaml::read(text),
        Format::Toml => toml::read(text),
        Format::Csv => csv::read(text),
    }?;
    refuse_duplicates(&rows)?;
    Ok(rows)
}

/// What another secret store exports, for [`read_from()`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The unencrypted JSON of Bitwarden.
    Bitwarden,
    /// The CSV of 1Password.
    OnePassword,
    /// Records of kbs2.
    Kbs2,
    /// A document that sops decrypted.
    Sops,
}

impl Source {
    /// Every source.
    pub const ALL: [Source; 4] = [Source::Bitwarden, Source::OnePassword, Source::Kbs2, Source::Sops];
}

/// Reads the rows of another store's export, in their order.
///
/// # Errors
///
/// Those of [`read()`].
pub fn read_from(source: Source, bytes: &[u8]) -> Result<Vec<Row>, Error> {
    let text = utf8(bytes)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rows = match source {
        Source::Bitwarden => bitwarden::read(text),
        Source::OnePassword => onepassword::read(text),
        Source::Kbs2 => kbs2::read(text),
        Source::Sops => sops::read(text),
    }?;
    refuse_duplicates(&rows)?;
    Ok(rows)
}

fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes)
        .map_err(|broken| Error::Syntax { line: error::line_at(bytes, broken.valid_up_to()), what: "this is not UTF-8 text" })
}

/// Sorts positions rather than filling a set of names: an eighth of the memory at a million rows.
fn refuse_duplicates(rows: &[Row]) -> Result<(), Error> {
    let identity = |at: &usize| rows.get(*at).map(|row| (&row.name, &row.environment));
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_unstable_by_key(identity);
    match order.windows(2).find(|pair| identity(&pair[0]) == identity(&pair[1])) {
        Some(pair) => Err(Error::Duplicate { name: rows[pair[0]].name.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[rustfmt::skip]
    const HOSTILE: &[&str] = &[
        "", " ", "  lead", "trail  ", "\t", "\n", "\r", "\r\n", "a\nb\n", "\n\n a\n\n", "a\r",
        "\ra", "'", "\"", "''", "'\"'", "`id`", "$HOME", "${HOME}", "$(id)", "$'x'", "\\", "\\\\",
        "a\\", "\\'", "\\n", "c:\\new\\", "'\\", "\"\\$`'\n", "#", " # no comment", "a #b", "a=b",
        "=1+1", "@x", "-x", "+x", "yes", "no", "on", "true", "True", "null", "~", "Null", "0",
        "-0", "0x10", "0o7", "0123", "1e3", "1_000", "1.10", ".5", ".inf", ".nan", "2026-01-01",
        "<<", "*a", "&a", "!t", "!!binary aGk=", "%a", "@", "|", ">-", "- a", "? a", "a: b", "{}",
        "[]", "[a", "{\"a\":1}", "---", "...", "# a", "a,b", "a;b", ",", ";", "\"a\",b",
        "\u{1}\u{8}\u{b}\u{c}\u{1b}", "\u{7f}\u{80}\u{85}\u{9f}", "\u{a0}", "\u{2028}\u{2029}",
        "\u{feff}", "\u{feff}a", "\u{fffe}\u{ffff}\u{10ffff}", "\u{e000}", "\u{200b}", "é", "e\u{301}",
        "😀👨‍👩‍👧", "日本語", "\u{202e}abc", "-----BEGIN KEY-----\nabc+/=\n-----END KEY-----\n",
        "{\n  \"k\": \"-----BEGIN\\nx\"\n}\n", "export A='1'", "'; rm -rf / #", "\"\"\"", "'''",
        "%s%n", "a\tb", "EOF\n",
    ];

    #[rustfmt::skip]
    const JSON: &[&str] = &[
        "null", "true", "0", "-0", "-0.0", "1.10", "1E5", "1e400", "12345678901234567890123",
        "9223372036854775807", "\"\"", "\"a\\nb\"", "\"\\u0000\"", "\"\\ud83d\\ude00\"", "\"😀\"",
        "\"\\/\"", "{}", "[]", "[[[]]]", "[null]", "{\"a\":null}", "{\"z\":1,\"a\":2}",
        "{ \"a\" : [ 1 , 2 ] }", "{\n  \"a\": 1\n}\n", " 1", "{\"a\":1,\"a\":2}",
        "{\"\":{\"\":1}}", "{\"encoding\":\"json\",\"data\":\"1\"}",
        "{\"encoding\":\"base64\",\"data\":\"AA==\"}", "{\"<<\":{\"b\":1}}", "{\"a.b\":\"yes\"}",
        "{\"$__toml_private_datetime\":\"1979-05-27\"}",
        "{\"$serde_json::private::Number\":\"1\"}", "{\"$serde_json::private::RawValue\":\"1\"}",
    ];

    fn row(name: &str, kind: Kind, value: &[u8]) -> Row {
        Row::new(name.to_owned(), kind, Zeroizing::new(value.to_vec()))
    }

    /// Says where two lists of rows differ; the values are tests' own.
    fn differ(one: &[Row], other: &[Row]) -> Option<String> {
        fn parts(row: &Row) -> impl PartialEq + std::fmt::Debug {
            let value = String::from_utf8_lossy(&row.value).into_owned();
            let labels = (row.environment.clone(), row.category.clone(), row.tags.clone(), row.meta.clone());
            (row.name.clone(), labels, row.expires, row.kind, value, row.value.to_vec())
        }
        if one.len() != other.len() {
            return Some(format!("{} rows and {} rows", one.len(), other.len()));
        }
        let mut pairs = one.iter().zip(other);
        let (one, other) = pairs.find(|(one, other)| parts(one) != parts(other))?;
        Some(format!("{:?}\n{:?}", parts(one), parts(other)))
    }

    fn assert_returns(format: Format, rows: &[Row]) {
        let text = write(format, rows).unwrap();
        let back = read(format, &text).unwrap();
        let difference = differ(rows, &back);
        assert!(difference.is_none(), "{}: {}", format.name(), difference.unwrap_or_default());
    }

    fn keep_everything() -> impl Iterator<Item = Format> {
        Format::ALL.into_iter().filter(|format| !format.has_variables())
    }

    fn everything(text: &str, kind: Kind, value: &[u8], number: u64) -> Row {
        let mut row = row(&format!("{number}{text}"), kind, value);
        row.environment = Some(format!("e{text}"));
        row.category = Some(format!("c{text}"));
        row.tags = vec![format!("t{}", text.replace(';', "").trim()), "u".to_owned()];
        row.meta = [(format!("k{text}"), text.to_owned()), ("k".to_owned(), String::new())].into();
        row.expires = Some(number);
        row
    }

    #[test]
    fn texts_return_from_every_format() {
        let large = "x'\"\\\n$é😀\r ".repeat(1 << 16);
        let values = HOSTILE.iter().copied().chain([large.as_str()]);
        let rows: Vec<Row> = values.enumerate().map(|(at, value)| row(&format!("N{at}"), Kind::Text, value.as_bytes())).collect();
        for format in Format::ALL {
            let (lines, others): (Vec<Row>, Vec<Row>) =
                rows.iter().map(|row| self::row(&row.name, row.kind, &row.value)).partition(|row| fits(format, row));
            assert!(format == Format::Docker || others.is_empty());
            if format == Format::K8s {
                // Its keys have no order.
                lines.iter().for_each(|row| assert_returns(format, &[self::row(&row.name, row.kind, &row.value)]));
            } else {
                assert_returns(format, &lines);
            }
            for row in others {
                assert!(matches!(write(format, &[row]), Err(Error::Value { .. })), "{}", format.name());
            }
        }
        assert_returns(Format::K8s, &[row("ALL", Kind::Bytes, &(0..=255).collect::<Vec<u8>>())]);
    }

    /// Whether a format says that it holds such a value.
    fn fits(format: Format, row: &Row) -> bool {
        format != Format::Docker || !row.value.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
    }

    #[test]
    fn everything_returns_from_exports() {
        let all_bytes: Vec<u8> = (0..=255).collect();
        let mut rows = vec![row("bytes", Kind::Bytes, &all_bytes), row("none", Kind::Bytes, b"")];
        let texts = HOSTILE.iter().map(|text| (*text, Kind::Text));
        for (text, kind) in texts.chain(JSON.iter().map(|text| (*text, Kind::Json))) {
            let number = rows.len() as u64;
            rows.push(everything(text, kind, text.as_bytes(), number));
        }
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        rows.push(row("deep", Kind::Json, deep.as_bytes()));
        for format in keep_everything() {
            assert_returns(format, &rows);
            assert_returns(format, &[]);
        }
    }

    #[test]
    fn one_name_may_be_in_two_environments_but_not_twice_in_one() {
        let mut rows = vec![row("a", Kind::Text, b"1"), row("b", Kind::Text, b"2"), row("a", Kind::Text, b"3")];
        for format in keep_everything() {
            rows[2].environment = Some("prod".into());
            assert_returns(format, &rows);
            rows[2].environment = None;
            let text = write(format, &rows).unwrap();
            assert!(matches!(read(format, &text), Err(Error::Duplicate { name }) if name == "a"));
        }
        for (format, text) in [
            (Format::Dotenv, "A=1\nA=2"),
            (Format::Docker, "A=1\nA=2"),
            (Format::Shell, "A=1\nA=2"),
            (Format::Json, "{\"A\":1,\"A\":2}"),
        ] {
            assert!(matches!(read(format, text.as_bytes()), Err(Error::Duplicate { .. })));
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_other_encodings_are_refused() {
        for (format, text) in [
            (Format::Dotenv, "\u{feff}A=1"),
            (Format::Shell, "\u{feff}A=1"),
            (Format::Json, "\u{feff}{\"A\":\"1\"}"),
            (Format::Yaml, "\u{feff}A: '1'"),
            (Format::Toml, "\u{feff}A = '1'"),
            (Format::Csv, "\u{feff}name,value\nA,1"),
            (Format::Fish, "\u{feff}set -gx A 1"),
            (Format::PowerShell, "\u{feff}$env:A = '1'"),
            (Format::Docker, "\u{feff}A=1"),
            (Format::GithubEnv, "\u{feff}A=1"),
            (Format::K8s, "\u{feff}{kind: Secret, stringData: {A: '1'}}"),
        ] {
            assert!(differ(&read(format, text.as_bytes()).unwrap(), &[row("A", Kind::Text, b"1")]).is_none());
            assert!(matches!(read(format, b"\n\nA=\xff"), Err(Error::Syntax { line: 3, .. })));
        }
    }

    #[test]
    fn a_value_that_is_not_of_its_kind_is_refused_by_name() {
        for format in Format::ALL {
            for (kind, value) in [(Kind::Text, &b"canary\xff"[..]), (Kind::Json, b"canary")] {
                let text = write(format, &[row("key", kind, value)]).err().unwrap().to_string();
                assert!(text.contains("\"key\"") && !text.contains("canary"), "{text}");
            }
        }
    }

    #[test]
    fn a_prefix_is_for_variables() {
        let rows = [row("a", Kind::Text, b"1")];
        assert_eq!(*write_prefixed(Format::Shell, &rows, "P_").unwrap(), b"export P_A='1'\n");
        assert_eq!(*write_prefixed(Format::Dotenv, &rows, "P_").unwrap(), b"P_A='1'\n");
        for format in keep_everything() {
            assert!(matches!(write_prefixed(format, &rows, "P_"), Err(Error::PrefixUnused(_))));
        }
    }

    proptest! {
        #[test]
        fn any_text_returns(
            text in any::<String>(),
            hostile in "['\"\\\\$`#\r\n \t=a]{0,12}",
            other in any::<String>(),
        ) {
            let clean = |text: &str| text.replace('\0', "");
            for value in [clean(&text), clean(&hostile)] {
                for format in Format::ALL {
                    let first = row("A", Kind::Text, value.as_bytes());
                    if !fits(format, &first) {
                        continue;
                    }
                    assert_returns(format, &[first, row("B", Kind::Text, b"x")]);
                }
            }
            let json = serde_json::to_string(&serde_json::json!({&text: [&other, 1, {&other: &text}]})).unwrap();
            for format in keep_everything() {
                assert_returns(format, &[everything(&text, Kind::Json, json.as_bytes(), 1)]);
                assert_returns(format, &[everything(&other, Kind::Bytes, text.as_bytes(), u64::MAX)]);
            }
        }

        #[test]
        fn any_file_is_read_or_refused(bytes in any::<Vec<u8>>(), text in "['\"\\\\$`#\r\n \t=:,;{}\\[\\]a1.&*!|>-]{0,40}") {
            for format in Format::ALL {
                let _ = read(format, &bytes);
                let _ = read(format, text.as_bytes());
            }
        }
    }
}
