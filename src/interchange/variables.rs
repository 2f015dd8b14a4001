//! The variables that entries become for a shell, a dotenv file or a program.
//!
//! | entry | variables |
//! |---|---|
//! | a text, or bytes that are UTF-8 | one: the name in upper case, everything outside `[A-Z0-9_]` as `_` |
//! | a JSON object or array | one for each leaf: names or indexes on the way to it joined with `_` |
//! | any other JSON value | one |
//!
//! A string is given as it is, null as the empty string, a number or boolean as it is written.
//! An empty object or array is a leaf too, and is given as JSON, so that nothing vanishes.

use zeroize::Zeroizing;

use super::error::Error;
use super::export;
use super::literal;
use super::row::{Kind, Row};

/// How deep the objects of one entry may be nested: each level is one call, and one pass over the text.
const DEPTH: usize = 64;

/// The variables of these rows, in their order: name and value.
///
/// `prefix` is put before each name as it stands.
///
/// # Errors
///
/// - [`Error::Prefix`]: `prefix` cannot begin a variable's name
/// - [`Error::VariableName`]: a name begins with a digit, and no prefix saves it
/// - [`Error::Collision`]: two entries or fields ask for the same variable
/// - [`Error::Value`]: a value that no variable can hold, because it is not UTF-8 or has a NUL
pub fn variables(rows: &[Row], prefix: &str) -> Result<Vec<(String, Zeroizing<String>)>, Error> {
    texts(rows, prefix, Holds::Text)
}

/// The names of the variables that [`variables()`] has for one entry.
///
/// # Errors
///
/// Those of [`variables()`], but for names that are asked for twice, also by one entry: who has all entries is told of those.
pub fn names(row: &Row, prefix: &str) -> Result<Vec<String>, Error> {
    let mut found = Found::new(Holds::Text);
    found.only_names = true;
    found.add_all(std::slice::from_ref(row), prefix)?;
    Ok(found.variables.into_iter().map(|(name, _)| name).collect())
}

/// The name and the bytes of a variable.
pub type Data = (String, Zeroizing<Vec<u8>>);

/// [`variables()`] where a value may be any bytes, as in files and resources: name and bytes.
///
/// # Errors
///
/// Those of [`variables()`], but for values that are not text.
pub fn data(rows: &[Row], prefix: &str) -> Result<Vec<Data>, Error> {
    found(rows, prefix, Holds::Bytes)
}

/// [`variables()`] that stand on a line each.
pub(super) fn lines(rows: &[Row], prefix: &str) -> Result<Vec<(String, Zeroizing<String>)>, Error> {
    texts(rows, prefix, Holds::Line)
}

/// What a variable can hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Bytes,
    Text,
    Line,
}

fn texts(rows: &[Row], prefix: &str, holds: Holds) -> Result<Vec<(String, Zeroizing<String>)>, Error> {
    let variables = found(rows, prefix, holds)?;
    let text = |mut bytes: Zeroizing<Vec<u8>>| String::from_utf8(std::mem::take(&mut *bytes)).unwrap_or_default();
    // What is not text was refused on the way here.
    Ok(variables.into_iter().map(|(name, bytes)| (name, Zeroizing::new(text(bytes)))).collect())
}

fn found(rows: &[Row], prefix: &str, holds: Holds) -> Result<Vec<Data>, Error> {
    let mut found = Found::new(holds);
    found.add_all(rows, prefix)?;
    found.refuse_collisions()?;
    Ok(found.variables)
}

fn spelled(name: &str) -> String {
    let mut spelled = String::with_capacity(name.len());
    spelled.extend(name.chars().map(|character| match character.to_ascii_uppercase() {
        upper @ ('A'..='Z' | '0'..='9') => upper,
        _ => '_',
    }));
    spelled
}

struct Found<'r> {
    holds: Holds,
    /// Whether the bytes are not wanted; they are empty then.
    only_names: bool,
    variables: Vec<Data>,
    /// Which entry and path to a leaf each of them is of.
    owners: Vec<(&'r Row, String)>,
}

impl<'r> Found<'r> {
    fn new(holds: Holds) -> Self {
        Self { holds, only_names: false, variables: Vec::new(), owners: Vec::new() }
    }

    fn add_all(&mut self, rows: &'r [Row], prefix: &str) -> Result<(), Error> {
        let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        if !prefix.chars().all(word) || prefix.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(Error::Prefix(prefix.to_owned()));
        }
        for row in rows {
            let name = format!("{prefix}{}", spelled(&row.name));
            match row.kind {
                Kind::Json => self.leaves(row, &name, "", export::json_text(row)?, 0)?,
                Kind::Bytes if self.holds == Holds::Bytes => self.add(row, name, "", &row.value)?,
                Kind::Text | Kind::Bytes => self.add(row, name, "", export::utf8(row)?.as_bytes())?,
            }
        }
        Ok(())
    }

    fn leaves(&mut self, row: &'r Row, variable: &str, path: &str, json: &str, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            return Err(unfit(row, "the value is nested too deeply for variables"));
        }
        let json = json.trim();
        let below = |this: &mut Self, key: &str, value: &str| {
            let variable = format!("{variable}_{}", spelled(key));
            this.leaves(row, &variable, &format!("{path}.{key}"), value, depth + 1)
        };
        let mut any = false;
        if json.starts_with('{') {
            literal::members(json, |key, value| {
                any = true;
                below(self, &key, value)
            })
            .map_err(|error| named(row, error))?;
        } else if json.starts_with('[') {
            for (index, value) in literal::items(json).map_err(|error| named(row, error))?.into_iter().enumerate() {
                any = true;
                below(self, &index.to_string(), value)?;
            }
        }
        if any {
            return Ok(());
        }
        let value = if json.starts_with('"') {
            literal::unquote(json).ok_or_else(|| unfit(row, SURROGATE))?
        } else if json == "null" {
            Zeroizing::default()
        } else {
            Zeroizing::new(json.to_owned())
        };
        self.add(row, variable.to_owned(), path, value.as_bytes())
    }

    fn add(&mut self, row: &'r Row, variable: String, path: &str, value: &[u8]) -> Result<(), Error> {
        if self.holds != Holds::Bytes && value.contains(&0) {
            return Err(unfit(row, "the value has a NUL, which no variable can hold"));
        }
        if self.holds == Holds::Line && value.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return Err(unfit(row, "the value has a line end, which this format cannot hold"));
        }
        if variable.is_empty() || variable.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(Error::VariableName { entry: owner(row, path), variable });
        }
        let value = if self.only_names { &[] } else { value };
        self.variables.push((variable, Zeroizing::new(value.to_vec())));
        self.owners.push((row, path.to_owned()));
        Ok(())
    }

    /// No two may have one name. Of several such the first is told of.
    fn refuse_collisions(&self) -> Result<(), Error> {
        let name = |index: usize| self.variables[index].0.as_str();
        let mut order: Vec<usize> = (0..self.variables.len()).collect();
        order.sort_unstable_by_key(|index| (name(*index), *index));
        let collides = |pair: &[usize]| (name(pair[0]) == name(pair[1])).then(|| (pair[1], pair[0]));
        let Some((second, first)) = order.windows(2).filter_map(collides).min() else { return Ok(()) };
        let owner = |index: usize| owner(self.owners[index].0, &self.owners[index].1);
        Err(Error::Collision { variable: name(second).to_owned(), first: owner(first), second: owner(second) })
    }
}

/// What messages call an entry or a field of it. Escaped: names may hold anything.
fn owner(row: &Row, path: &str) -> String {
    let field = path.strip_prefix('.').map(|path| format!("#{path}"));
    let name = format!("{:?}", format!("{}{}", row.name, field.unwrap_or_default()));
    match &row.environment {
        Some(environment) => format!("{name} of {environment:?}"),
        None => name,
    }
}

const SURROGATE: &str = "a string in the value holds half of a surrogate pair";

/// That the value is JSON is known; a line in it would help nobody, the entry's name does.
fn named(row: &Row, error: Error) -> Error {
    match error {
        Error::Syntax { .. } => unfit(row, SURROGATE),
        error => error,
    }
}

fn unfit(row: &Row, what: &'static str) -> Error {
    Error::Value { name: row.name.clone(), what }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn row(name: &str, kind: Kind, value: &[u8]) -> Row {
        Row::new(name.to_owned(), kind, Zeroizing::new(value.to_vec()))
    }

    fn listed(rows: &[Row], prefix: &str) -> Vec<(String, String)> {
        let variables = variables(rows, prefix).unwrap();
        variables.into_iter().map(|(name, value)| (name, value.to_string())).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn names() {
        let rows =
            [row("svc/db-prod", Kind::Text, b"1"), row("größe", Kind::Bytes, "2€".as_bytes()), row("2fa", Kind::Text, b"3")];
        assert_eq!(listed(&rows, "app_"), pairs(&[("app_SVC_DB_PROD", "1"), ("app_GR__E", "2€"), ("app_2FA", "3")]));
        let error = variables(&rows, "").err().unwrap();
        assert!(matches!(&error, Error::VariableName { variable, .. } if variable == "2FA"), "{error}");
        for prefix in ["a-", "1", "é"] {
            assert!(matches!(variables(&rows, prefix), Err(Error::Prefix(_))));
        }
    }

    #[test]
    fn leaves() {
        let json = br#" {"host":"h\n","port":5432,"big":1.10,"tls":{"on":true,"ca":null},"ips":["a",[2]],"no":{},"none":[ ]} "#;
        assert_eq!(
            listed(&[row("db", Kind::Json, json), row("n", Kind::Json, b"1E5")], ""),
            pairs(&[
                ("DB_HOST", "h\n"),
                ("DB_PORT", "5432"),
                ("DB_BIG", "1.10"),
                ("DB_TLS_ON", "true"),
                ("DB_TLS_CA", ""),
                ("DB_IPS_0", "a"),
                ("DB_IPS_1_0", "2"),
                ("DB_NO", "{}"),
                ("DB_NONE", "[ ]"),
                ("N", "1E5"),
            ])
        );
    }

    #[test]
    fn collisions_name_both() {
        for (rows, first, second) in [
            ([row("a-b", Kind::Text, b"1"), row("a_b", Kind::Text, b"2")], "\"a-b\"", "\"a_b\""),
            ([row("a", Kind::Json, br#"{"b":1}"#), row("a.b", Kind::Text, b"2")], "\"a#b\"", "\"a.b\""),
        ] {
            let text = variables(&rows, "").err().unwrap().to_string();
            assert_eq!(text, format!("{first} and {second} would both become the variable A_B"));
        }
        assert!(variables(&[row("a", Kind::Json, br#"{"b":{"c":1},"b_c":2}"#)], "").is_err());
    }

    #[test]
    fn values_that_no_variable_holds() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (kind, value) in [
            (Kind::Bytes, &b"\xff"[..]),
            (Kind::Text, b"canary\0"),
            (Kind::Json, br#"{"a":"canary\u0000"}"#),
            (Kind::Json, br#""\ud800canary""#),
            (Kind::Json, br#"{"a":[{"\ud800":"canary"}]}"#),
            (Kind::Json, b"canary"),
            (Kind::Json, deep.as_bytes()),
        ] {
            let text = variables(&[row("key", kind, value)], "").err().unwrap().to_string();
            assert!(text.contains("\"key\"") && !text.contains("canary"), "{text}");
        }
    }
}
