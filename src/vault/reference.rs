//! References to values in text: `vault://NAME[?version=N&env=E][#FIELD]`.

use super::error::{Error, ErrorKind, Result};
use super::field::{self, FieldPath};
use super::{Entry, Vault};
use crate::format::record::Kind;
use crate::name::{EntryId, Environment, Name};
use crate::secret::SecretValue;

/// Where a value is, as text names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The entry's name.
    pub name: Name,
    /// A version; the current one if none is named.
    pub version: Option<u64>,
    /// The environment, if the reference says so; else that of the run.
    pub environment: Option<Environment>,
    /// A field of a JSON value.
    pub field: Option<FieldPath>,
}

impl Reference {
    /// What each reference begins with.
    pub const SCHEME: &str = "vault://";

    /// Reads a reference. In all of its parts `%`, `?`, `#`, `&` and blanks are written as `%XX`; `/` stands as it is.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`], without a word of the text: somebody may have put a value where a reference belongs.
    pub fn parse(text: &str) -> Result<Self> {
        let rest = text.strip_prefix(Self::SCHEME).ok_or_else(|| malformed("it does not begin with vault://"))?;
        if rest.contains(char::is_whitespace) {
            return Err(malformed("a blank is written as %20"));
        }
        let (rest, field) = match rest.split_once('#') {
            Some((rest, field)) => (rest, Some(FieldPath::parse(&decode(field)?)?)),
            None => (rest, None),
        };
        let (name, query) = match rest.split_once('?') {
            Some((name, query)) => (name, Some(query)),
            None => (rest, None),
        };
        let name = Name::parse(&decode(name)?).map_err(|error| Error::name("name in the reference", error))?;
        let mut reference = Self { name, version: None, environment: None, field };
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            match pair.split_once('=') {
                Some(("version", number)) if reference.version.is_none() => {
                    reference.version = Some(number.parse().map_err(|_| malformed("the version is not a number"))?);
                }
                Some(("env", environment)) if reference.environment.is_none() => {
                    let environment = Environment::parse(&decode(environment)?);
                    reference.environment =
                        Some(environment.map_err(|error| Error::name("environment in the reference", error))?);
                }
                _ => return Err(malformed("behind ? there are version=N and env=NAME, each once, with & between")),
            }
        }
        Ok(reference)
    }

    /// Reads `NAME` or `NAME#FIELD`, both as they are, or a whole reference.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`].
    pub fn parse_plain(text: &str) -> Result<Self> {
        if text.starts_with(Self::SCHEME) {
            return Self::parse(text);
        }
        let (name, field) = match text.split_once('#') {
            Some((name, field)) => (name, Some(FieldPath::parse(field)?)),
            None => (text, None),
        };
        let name = Name::parse(name).map_err(|error| Error::name("name", error))?;
        Ok(Self { name, version: None, environment: None, field })
    }

    /// The entry that is meant in a run in `environment`.
    pub fn id(&self, environment: Option<&Environment>) -> EntryId {
        EntryId { environment: self.environment.as_ref().or(environment).cloned(), name: self.name.clone() }
    }
}

/// As [`Reference::parse`] reads it.
impl std::fmt::Display for Reference {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}{}", Self::SCHEME, encode(self.name.as_str()))?;
        let version = self.version.map(|version| format!("version={version}"));
        let environment = self.environment.as_ref().map(|environment| format!("env={}", encode(environment.as_str())));
        for (at, pair) in [version, environment].into_iter().flatten().enumerate() {
            write!(out, "{}{pair}", if at == 0 { '?' } else { '&' })?;
        }
        self.field.iter().try_for_each(|field| write!(out, "#{}", encode(&field.to_string())))
    }
}

/// Also what would end a reference in braces.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' | '?' | '#' | '&' | '|' | '}' => out.push_str(&format!("%{:02X}", u32::from(c))),
            c if c.is_whitespace() => c.to_string().bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}"))),
            c => out.push(c),
        }
    }
    out
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Usage, "bad_reference", format!("a reference is malformed: {what}"))
        .hint("references are written like vault://svc/db?version=3&env=prod#password")
}

fn decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        if *byte != b'%' {
            bytes.push(*byte);
            rest = behind;
            continue;
        }
        let digits = behind.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.ok_or_else(|| malformed("behind % there are two hex digits"))?);
        rest = &behind[2..];
    }
    String::from_utf8(bytes).map_err(|_| malformed("it is not UTF-8"))
}

impl Vault {
    /// What a reference stands for, in a run in `environment`; `admit` looks at the entry if it is the current version that is meant.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such entry, version or field, and what `admit` returns.
    pub fn resolve(
        &self,
        reference: &Reference,
        environment: Option<&Environment>,
        admit: &mut dyn FnMut(&Entry) -> Result<()>,
    ) -> Result<(SecretValue, Kind)> {
        let id = reference.id(environment);
        let entry = self.entry_or_fallback(&id)?.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "not_found", format!("there is no entry '{id}'")).hint("`vault list` shows the names")
        })?;
        if reference.version.is_none_or(|version| version == entry.version()) {
            admit(&entry)?;
        }
        let value = self.value_of(&entry, reference.version)?;
        match &reference.field {
            Some(path) => field::get(&value, path).map(|value| (value, Kind::Text)),
            None => {
                let version = entry.versions().find(|version| Some(version.number) == reference.version);
                Ok((value, version.map_or(entry.kind(), |version| version.kind)))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_are_read() {
        let reference = Reference::parse("vault://svc/a%20b%3F%23%25?version=3&env=pro%26d#a.b").unwrap();
        assert_eq!(reference.name.as_str(), "svc/a b?#%");
        assert_eq!((reference.version, reference.environment.as_ref().unwrap().as_str()), (Some(3), "pro&d"));
        assert_eq!(reference.field, Some(FieldPath::parse("a.b").unwrap()));
        let plain = Reference::parse("vault://db").unwrap();
        assert_eq!((plain.version, &plain.environment, &plain.field), (None, &None, &None));
        let prod = Environment::parse("prod").unwrap();
        assert_eq!(plain.id(Some(&prod)).environment_text(), "prod");
        assert_eq!(reference.id(Some(&prod)).environment_text(), "pro&d");
    }

    #[test]
    fn what_is_spelled_is_read_again() {
        for text in
            ["vault://db", "vault://svc/a%20b%3F%23%25?version=3&env=pro%26d#a.b", "vault://%7C%7D#/a.b/c~1d", "vault://a#0"]
        {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
        }
        let plain = Reference::parse_plain("svc/a b#c.d").unwrap();
        assert_eq!(plain.to_string(), "vault://svc/a%20b#c.d");
        assert_eq!(Reference::parse_plain(&plain.to_string()).unwrap(), plain);
        assert!(Reference::parse_plain("a#").is_err() && Reference::parse_plain("").is_err());
    }

    #[test]
    fn what_is_malformed_is_refused_and_not_repeated() {
        for text in [
            "canary",
            "vault:/canary",
            "vault://",
            "vault://a canary",
            "vault://canary%2",
            "vault://canary%zz",
            "vault://canary%ff",
            "vault://a?canary",
            "vault://a?version=canary",
            "vault://a?version=1&version=2",
            "vault://a?env=",
            "vault://a#",
            "vault://a#canary..b",
            "vault://a?",
            "vault://%20canary",
        ] {
            let error = Reference::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
