//! `vault import env`: which variables of the process are secrets.

use std::os::unix::ffi::OsStrExt as _;

use glob::Pattern;
use zeroize::Zeroizing;

use crate::interchange::{Kind, Row};
use crate::vault::{Error, Result};

/// What the name of a secret holds. The same list for both rules: as whole words, or anywhere in the name.
const SECRETS: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "secret",
    "key",
    "token",
    "api_key",
    "apikey",
    "auth",
    "credential",
    "credentials",
    "private_key",
    "cert",
    "certificate",
    "access_token",
    "refresh_token",
    "client_secret",
    "webhook_secret",
];

/// With these a word may also end: `PGPASSWORD`, `AUTHTOKEN`. No other word of any length ends so; `MONKEY` ends in one of the list.
const ENDINGS: &[&str] = &["password", "passwd", "secret", "token", "apikey"];

/// Our own variables that hold keys of vaults or lead to them: never entries of one.
const OWN: &[&str] = &[
    "VAULT_PASSPHRASE",
    "VAULT_PASSPHRASE_CMD",
    "VAULT_PASSPHRASE_FD",
    "VAULT_PASSPHRASE_FILE",
    "VAULT_IDENTITY",
    "VAULT_KEY",
    "VAULT_KEY_FILE",
    "VAULT_SERVER_TOKEN",
    "VAULT_SERVER_TOKEN_FILE",
];

/// Which variables are taken.
pub(super) struct Selection<'a> {
    /// Their names begin with this, which does not count for what they are; empty for all.
    pub prefix: &'a str,
    /// Their names match this; then what they are called does not matter.
    pub pattern: Option<&'a str>,
    /// Any of the words may stand anywhere in the name, prefix included.
    pub classic: bool,
}

/// The rows of the variables that are secrets, by name.
pub(super) fn rows(selection: &Selection<'_>) -> Result<Vec<Row>> {
    let pattern = selection.pattern.map(Pattern::new).transpose();
    let pattern = pattern.map_err(|error| Error::usage(format!("the pattern is not well-formed: {}", error.msg)))?;
    let mut rows = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        if OWN.contains(&name)
            || !name.starts_with(selection.prefix)
            || pattern.as_ref().is_some_and(|pattern| !pattern.matches(name))
        {
            continue;
        }
        let secret = match (selection.classic, &pattern) {
            (false, Some(_)) => true,
            // A variable that is empty holds no secret.
            _ if value.is_empty() => false,
            (true, _) => is_secret_anywhere(name),
            (false, None) => is_secret(&name[selection.prefix.len()..]),
        };
        if secret {
            let bytes = Zeroizing::new(value.as_bytes().to_vec());
            let mut row = Row::new(name.to_owned(), Kind::of(&bytes), bytes);
            row.meta.insert("source".to_owned(), "env".to_owned());
            rows.push(row);
        }
    }
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(rows)
}

/// By whole words.
fn is_secret(name: &str) -> bool {
    let words = words(name);
    let joined = format!("_{}_", words.join("_"));
    SECRETS.iter().any(|secret| joined.contains(&format!("_{secret}_")))
        || words.iter().any(|word| ENDINGS.iter().any(|ending| word.ends_with(ending)))
}

/// By any part of the name.
fn is_secret_anywhere(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRETS.iter().any(|secret| name.contains(secret))
}

/// The words of a name in lower case: between what is no letter or digit, and from a small letter to a capital one.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut small = false;
    for character in name.chars() {
        let inside = character.is_alphanumeric();
        if !inside || (small && character.is_uppercase()) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (inside, words.last_mut()) {
            word.extend(character.to_lowercase());
        }
        small = character.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_parts() {
        for (name, by_words, anywhere) in [
            ("DB_PASSWORD", true, true),
            ("PGPASSWORD", true, true),
            ("API_KEY", true, true),
            ("stripeApiKey", true, true),
            ("TLS_CERT", true, true),
            ("AWS_SECRET_ACCESS_KEY", true, true),
            ("GITHUB_TOKEN", true, true),
            ("MYSQL_PWD", true, true),
            ("KEYBOARD", false, true),
            ("MONKEY", false, true),
            ("AUTHOR", false, true),
            ("TOKENS_USED", false, true),
            ("CERTAINLY", false, true),
            ("OLDPWD", false, true),
            ("PORT", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_secret(name), is_secret_anywhere(name)), (by_words, anywhere), "{name}");
        }
    }
}
