//! Names of entries, categories, environments and tags: valid by construction.

use std::fmt;

/// Why a text is not a name. The text itself is not part of the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The text has more characters than the kind of name allows.
    #[error("is longer than {0} characters")]
    TooLong(usize),
    /// The text holds a control character, which also keeps 0x00 free as the end mark in tree keys.
    #[error("holds a control character")]
    Control,
    /// The text begins or ends with white space.
    #[error("begins or ends with a blank")]
    Blank,
}

fn check(text: &str, limit: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.chars().count() > limit {
        return Err(NameError::TooLong(limit));
    }
    if text.chars().any(char::is_control) {
        return Err(NameError::Control);
    }
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return Err(NameError::Blank);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $limit:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The most characters (Unicode scalar values) that one may have.
            pub const LIMIT: usize = $limit;

            /// Takes a text that keeps the rules.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check(text, Self::LIMIT).map(|()| Self(text.to_owned()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// The name of an entry: 1–255 characters, no control characters, no blank at either end; `/` is an ordinary separator.
    Name, 255
}
name! {
    /// A category: 1–100 characters; one per entry.
    Category, 100
}
name! {
    /// An environment: 1–100 characters; the optional second part of an entry's identity.
    Environment, 100
}
name! {
    /// A tag: 1–100 characters.
    Tag, 100
}

/// What identifies an entry: its name and, where it has one, its environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// `None` for an entry without an environment.
    pub environment: Option<Environment>,
    /// The entry's name.
    pub name: Name,
}

impl EntryId {
    /// An entry without an environment.
    pub fn plain(name: Name) -> Self {
        Self { environment: None, name }
    }

    /// What names it on a command line of this program, behind all options: as a shell takes it.
    pub fn as_arguments(&self) -> String {
        let environment = self.environment.as_ref().map_or_else(String::new, |it| format!("-e {} ", quoted(it.as_str())));
        let end = if self.name.as_str().starts_with('-') { "-- " } else { "" };
        format!("{environment}{end}{}", quoted(self.name.as_str()))
    }

    /// The environment as text, empty for none: the form that tree keys use.
    pub fn environment_text(&self) -> &str {
        self.environment.as_ref().map_or("", Environment::as_str)
    }
}

/// A word as a shell takes it.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.environment {
            None => write!(f, "{}", self.name),
            Some(environment) => write!(f, "{} ({environment})", self.name),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_given_the_name_as_one_word() {
        let id = |environment: Option<&str>, name: &str| EntryId {
            environment: environment.map(|text| Environment::parse(text).unwrap()),
            name: Name::parse(name).unwrap(),
        };
        for (environment, name, words) in [
            (None, "db/password", "db/password"),
            (Some("prod"), "a", "-e prod a"),
            (Some("two words"), "it's $x", "-e 'two words' 'it'\\''s $x'"),
            (None, "-x", "-- -x"),
            (None, "ü", "'ü'"),
        ] {
            assert_eq!(id(environment, name).as_arguments(), words);
        }
    }

    #[test]
    fn limits_count_characters_not_bytes() {
        assert!(Name::parse(&"é".repeat(255)).is_ok());
        assert_eq!(Name::parse(&"é".repeat(256)), Err(NameError::TooLong(255)));
        assert_eq!(Category::parse(&"x".repeat(101)), Err(NameError::TooLong(100)));
    }

    #[test]
    fn refuses_what_could_confuse_keys_or_terminals() {
        for (text, error) in [
            ("", NameError::Empty),
            ("a\0b", NameError::Control),
            ("a\nb", NameError::Control),
            ("\u{9b}31m", NameError::Control),
            (" a", NameError::Blank),
            ("a\u{2003}", NameError::Blank),
        ] {
            assert_eq!(Name::parse(text), Err(error), "{text:?}");
        }
        assert!(Name::parse("svc/db-prod:1 x").is_ok());
    }
}
