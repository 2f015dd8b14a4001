//! Which leaves of a document look like secrets, though no vault knows them.

use std::ops::Range;

use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use super::{MASK, text};
use crate::format::record::Kind;
use crate::secret::SecretValue;

/// By what the name of a leaf tells that it is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// By its words: `api_key`, `apiKey` and `DB-PASSWORD`, and not `monkey` or `keyboard_layout`. What lies below such a name is masked as well, and so
    /// is, under any name, what a text assigns to such a name (`DB_PASSWORD=…`), the `value` beside a `name`, passwords in URLs, and private keys.
    Words,
    /// By any part of it, as older programs do: `monkey` too. Only leaves that have such a name themselves.
    Substrings,
}

/// Replaces the leaves that look like secrets; returns how many.
pub fn mask_json(document: &mut Value, rule: Rule) -> usize {
    mask(document, rule, false)
}

/// Whether the leaf at the end of this way looks like a secret by the names on it.
pub fn names_secret<'a>(way: impl IntoIterator<Item = &'a str>, rule: Rule) -> bool {
    let mut way = way.into_iter();
    match rule {
        Rule::Words => way.any(by_words),
        Rule::Substrings => way.last().is_some_and(by_substrings),
    }
}

fn mask(value: &mut Value, rule: Rule, below: bool) -> usize {
    match value {
        Value::Object(members) => {
            let mut masked = 0;
            let is_pair = members.iter().any(|(name, member)| is_one_of(NAMES, name) && member.as_str().is_some_and(by_words));
            for (name, member) in members.iter_mut() {
                let named = match rule {
                    Rule::Words => below || by_words(name) || (is_pair && is_one_of(VALUES, name)),
                    Rule::Substrings => is_leaf(member) && by_substrings(name),
                };
                masked += mask(member, rule, named);
            }
            masked
        }
        Value::Array(items) => {
            let mut masked = 0;
            let mut announced = false;
            for item in items {
                let word = item.as_str();
                let named = below || (announced && word.is_some_and(|word| !word.starts_with('-')));
                announced = word.is_some_and(text::announces);
                masked += mask(item, rule, named && rule == Rule::Words);
            }
            masked
        }
        leaf if below => {
            *leaf = Value::from(MASK);
            1
        }
        Value::String(text) if rule == Rule::Words => {
            let settings = text::mask(text);
            let urls = mask_text(settings.as_deref().unwrap_or(text));
            match urls.or(settings) {
                Some(masked) => {
                    *text = masked;
                    1
                }
                None => 0,
            }
        }
        _ => 0,
    }
}

/// Hands on what of a value is secret, with the dotted way to it (empty: all of it): the leaves of JSON that look like it by [`Rule::Words`], any
/// other value whole; of text with URLs that have passwords, these.
pub fn secrets(value: &SecretValue, kind: Kind, visit: &mut dyn FnMut(&str, &[u8])) {
    // Text that is a document has fields to every command.
    let document = kind == Kind::Json || value.expose().trim_ascii_start().starts_with(b"{");
    let tree = if document { serde_json::from_slice::<Value>(value.expose()).ok() } else { None };
    match (tree, std::str::from_utf8(value.expose())) {
        (Some(tree), _) => secret_leaves("", tree, true, visit),
        (None, Ok(text)) => secret_parts("", text, true, visit),
        (None, Err(_)) => visit("", value.expose()),
    }
}

/// Takes the tree apart, and wipes what it held.
fn secret_leaves(path: &str, tree: Value, named: bool, visit: &mut dyn FnMut(&str, &[u8])) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match tree {
        Value::Object(members) => {
            for (key, member) in members {
                // A value that is JSON is a document: only a name makes its leaves secret.
                let named = (named && !path.is_empty()) || by_words(&key);
                secret_leaves(&below(&key), member, named, visit);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.into_iter().enumerate() {
                secret_leaves(&below(&index.to_string()), item, named && !path.is_empty(), visit);
            }
        }
        Value::String(mut text) => {
            secret_parts(path, &text, named, visit);
            text.zeroize();
        }
        Value::Number(number) if named => visit(path, Zeroizing::new(number.to_string()).as_bytes()),
        Value::Number(_) | Value::Null | Value::Bool(_) => {}
    }
}

fn secret_parts(path: &str, text: &str, named: bool, visit: &mut dyn FnMut(&str, &[u8])) {
    let passwords = url_passwords(text);
    if passwords.is_empty() && (named || is_private_key(text)) {
        visit(path, text.as_bytes());
    }
    passwords.into_iter().for_each(|password| visit(path, &text.as_bytes()[password]));
}

/// What names a value that stands beside it, and that value: `{"name": "API_TOKEN", "value": "…"}`.
const NAMES: &[&str] = &["name", "key", "variable", "header", "field"];
const VALUES: &[&str] = &["value", "values", "val", "default"];

fn is_one_of(list: &[&str], name: &str) -> bool {
    list.iter().any(|one| name.eq_ignore_ascii_case(one))
}

fn is_leaf(value: &Value) -> bool {
    !matches!(value, Value::Object(_) | Value::Array(_))
}

/// Words that name a secret alone, in singular.
const WORDS: &[&str] = &[
    "password",
    "passwd",
    "passwort",
    "pwd",
    "pass",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "credential",
    "cred",
    "auth",
    "authorization",
    "privatekey",
    "secretkey",
    "accesskey",
    "cert",
    "certificate",
    "pin",
    "otp",
    "totp",
    "salt",
    "cookie",
    "jwt",
    "bearer",
    "dsn",
    "signature",
];

/// With these a word may also end: `PGPASSWORD`, `userpwd`, `authtoken`. No other word of any length does.
const ENDINGS: &[&str] = &["password", "passwd", "passwort", "passphrase", "pwd", "secret", "token", "apikey"];

/// Words that make the word `key` behind them a secret.
const BEFORE_KEY: &[&str] = &[
    "api",
    "access",
    "private",
    "secret",
    "encryption",
    "signing",
    "master",
    "data",
    "session",
    "ssh",
    "service",
    "account",
    "storage",
    "shared",
    "auth",
    "client",
    "app",
    "license",
    "hmac",
    "aes",
    "rsa",
    "deploy",
    "webhook",
    "server",
    "stripe",
    "aws",
    "admin",
    "root",
];

/// Words behind which a name tells of a secret and is none: `token_count`, `password_length`, `key_id`, `secret_name`.
const ABOUT: &[&str] = &[
    "count",
    "length",
    "len",
    "size",
    "limit",
    "min",
    "max",
    "name",
    "id",
    "type",
    "used",
    "enabled",
    "required",
    "policy",
    "ttl",
    "expiry",
    "expires",
    "expiration",
    "age",
    "format",
    "algorithm",
    "version",
    "url",
    "uri",
    "endpoint",
    "provider",
    "method",
    "mode",
    "rotation",
    "days",
    "timeout",
    "at",
    "header",
    "field",
    "path",
    "file",
    "dir",
    "issuer",
    "label",
    "hint",
    "prefix",
];

pub(super) fn by_words(name: &str) -> bool {
    let words = words(name);
    let plain: Vec<&str> = words.iter().map(|word| word.strip_suffix('s').unwrap_or(word)).collect();
    if words.last().is_some_and(|last| words.len() > 1 && ABOUT.contains(&last.as_str())) {
        return false;
    }
    let is = |list: &[&str], at: usize| list.contains(&plain[at]) || list.contains(&words[at].as_str());
    let alone = (0..words.len()).any(|at| is(WORDS, at));
    let key = (0..words.len()).any(|at| plain[at] == "key" && (words.len() == 1 || (at > 0 && is(BEFORE_KEY, at - 1))));
    let ending = plain.iter().any(|word| ENDINGS.iter().any(|ending| word.ends_with(ending)));
    alone
        || ending
        || key
        || (words.first().is_some_and(|first| first == "webhook") && words.last().is_some_and(|last| last == "secret"))
}

/// The words of a name in lower case: `apiKey`, `API_KEY` and `api-key` have two, `HTTPToken` too.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let characters: Vec<char> = name.chars().collect();
    let mut word = String::new();
    for (at, c) in characters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| characters.get(at));
        let next_is_lower = characters.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins = c.is_uppercase() && before.is_some_and(|before| !before.is_uppercase() || next_is_lower);
        if !c.is_alphanumeric() || begins {
            words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

const SUBSTRINGS: &[&str] = &[
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
    "private_key",
    "cert",
    "certificate",
    "access_token",
    "refresh_token",
    "client_secret",
    "webhook_secret",
];

fn by_substrings(name: &str) -> bool {
    let name = name.to_lowercase();
    SUBSTRINGS.iter().any(|part| name.contains(part))
}

/// A text without the secrets that it shows by its form: a private key, or the password in a URL. Nothing if it shows none.
pub fn mask_text(text: &str) -> Option<String> {
    if is_private_key(text) {
        return Some(MASK.to_owned());
    }
    let mut masked = String::new();
    let mut end = 0;
    for password in url_passwords(text) {
        masked.push_str(&text[end..password.start]);
        masked.push_str(MASK);
        end = password.end;
    }
    masked.push_str(&text[end..]);
    (masked != text).then_some(masked)
}

fn is_private_key(text: &str) -> bool {
    text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----")
}

/// Where the passwords of the URLs in a text are.
fn url_passwords(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find("://") {
        from += at + 3;
        let behind = &text[from..];
        let authority = &behind[..behind.find(|c: char| "/?#\"'".contains(c) || c.is_whitespace()).unwrap_or(behind.len())];
        let password = authority.rfind('@').and_then(|end| authority[..end].find(':').map(|start| from + start + 1..from + end));
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            from = password.end;
            found.push(password);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_by_their_words() {
        for name in [
            "password",
            "DB_PASSWORD",
            "dbPassword",
            "api_key",
            "apiKey",
            "API-KEY",
            "key",
            "keys",
            "list_of_passwords",
            "authToken",
            "HTTPToken",
            "client.secret",
            "aws_secret_access_key",
            "credentials",
            "privateKey",
            "webhook_secret",
            "jwt",
            "token",
            "dbpassword",
            "userpwd",
            "authtoken",
            "stripeapikey",
            "clientsecrets",
        ] {
            assert!(by_words(name), "{name}");
        }
        for name in [
            "monkey",
            "author",
            "keyboard_layout",
            "tokens_used",
            "token_count",
            "password_length",
            "primary_key",
            "keystone",
            "secretary",
            "host",
            "key_id",
            "certainty",
            "pinned",
            "spin",
            "compass",
        ] {
            assert!(!by_words(name), "{name}");
        }
    }

    #[test]
    fn names_by_any_part() {
        for name in ["monkey", "author", "keyboard_layout", "tokens_used", "Password"] {
            assert!(by_substrings(name), "{name}");
        }
        assert!(!by_substrings("host"));
    }

    #[test]
    fn secrets_of_a_value() {
        let found = |text: &str, kind| {
            let mut found = Vec::new();
            secrets(&SecretValue::from(text), kind, &mut |path, bytes| {
                found.push(format!("{path}={}", String::from_utf8_lossy(bytes)));
            });
            found
        };
        let json = r#"{"host":"h","password":"a","db":{"pin":12,"name":"n","keys":["x",{"y":"z"},null,true]},"url":"s://u:p@h"}"#;
        assert_eq!(found(json, Kind::Json), ["password=a", "db.pin=12", "db.keys.0=x", "db.keys.1.y=z", "url=p"]);
        assert_eq!(found(json, Kind::Text), found(json, Kind::Json));
        assert_eq!(found("{no json", Kind::Text), ["={no json"]);
        assert_eq!(found(r#""whole""#, Kind::Json), ["=whole"]);
        assert_eq!(found(r#"["a",{"token":"t"}]"#, Kind::Json), ["1.token=t"]);
        assert_eq!(found("plain", Kind::Text), ["=plain"]);
        assert_eq!(found("s://u:p@h t://v:q@h?x", Kind::Text), ["=p", "=q"]);
        let mut bytes = Vec::new();
        secrets(&SecretValue::new(vec![0xff, 1].into()), Kind::Bytes, &mut |_, found| bytes.extend_from_slice(found));
        assert_eq!(bytes, [0xff, 1]);
    }

    #[test]
    fn names_beside_values_and_before_them() {
        let mut document = json!({
            "environment": ["DB_PASSWORD=canary", "DB_HOST=db", "export API_TOKEN='canary two'"],
            "env": [{"name": "API_TOKEN", "value": "canary"}, {"name": "LOG", "value": "on"}, {"Key": "db-password", "Value": {"a": "canary"}}],
            "command": ["run", "--password=canary", "--token", "canary", "--port", "80", "-v"],
        });
        assert_eq!(mask_json(&mut document, Rule::Words), 7);
        let text = document.to_string();
        assert!(!text.contains("canary"), "{text}");
        for kept in [
            "DB_PASSWORD=[MASKED]",
            "DB_HOST=db",
            "API_TOKEN='[MASKED]'",
            "\"on\"",
            "--password=[MASKED]",
            "\"80\"",
            "\"API_TOKEN\"",
        ] {
            assert!(text.contains(kept), "{kept}: {text}");
        }
        let mut list = json!(["--token", "-v", {"password": "x"}]);
        assert_eq!(mask_json(&mut list, Rule::Words), 1);
        assert_eq!(list, json!(["--token", "-v", {"password": MASK}]));
        let mut parts = json!(["DB_PASSWORD=seen", {"name": "password", "value": "seen"}]);
        assert_eq!(mask_json(&mut parts, Rule::Substrings), 0);
    }

    #[test]
    fn documents() {
        let document = json!({
            "password": {"old": "a", "n": null}, "list_of_passwords": ["b", 1], "monkey": "c", "host": "h", "empty_key": null,
            "url": "postgres://u:p@ss@h:1/x?y=u:p@z", "two": "redis://:s@h and http://h:80/@", "pem": "-----BEGIN EC PRIVATE KEY-----\nx",
        });
        let mut words = document.clone();
        assert_eq!(mask_json(&mut words, Rule::Words), 7);
        assert_eq!(
            words,
            json!({
                "password": {"old": MASK, "n": MASK}, "list_of_passwords": [MASK, MASK], "monkey": "c", "host": "h", "empty_key": null,
                "url": "postgres://u:[MASKED]@h:1/x?y=u:p@z", "two": "redis://:[MASKED]@h and http://h:80/@", "pem": MASK,
            })
        );
        let mut parts = document;
        assert_eq!(mask_json(&mut parts, Rule::Substrings), 2);
        assert_eq!((&parts["monkey"], &parts["empty_key"]), (&json!(MASK), &json!(MASK)));
        assert_eq!(parts["password"], json!({"old": "a", "n": null}));
        assert_eq!(parts["list_of_passwords"], json!(["b", 1]));
    }
}
