//! Which leaves of a document look like secrets, though no vault knows them.

use serde_json::Value;

use super::MASK;

/// By what the name of a leaf tells that it is a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// By its words: `api_key`, `apiKey` and `DB-PASSWORD`, and not `monkey` or `keyboard_layout`. What lies below such a name is masked as well, and so
    /// are passwords in URLs and private keys under any name.
    Words,
    /// By any part of it, as older programs do: `monkey` too. Only leaves that have such a name themselves.
    Substrings,
}

/// Replaces the leaves that look like secrets; returns how many.
pub fn mask_json(document: &mut Value, rule: Rule) -> usize {
    mask(document, rule, false)
}

fn mask(value: &mut Value, rule: Rule, below: bool) -> usize {
    match value {
        Value::Object(members) => {
            let mut masked = 0;
            for (name, member) in members.iter_mut() {
                let named = match rule {
                    Rule::Words => below || by_words(name),
                    Rule::Substrings => is_leaf(member) && by_substrings(name),
                };
                masked += mask(member, rule, named);
            }
            masked
        }
        Value::Array(items) => items.iter_mut().map(|item| mask(item, rule, below && rule == Rule::Words)).sum(),
        leaf if below => {
            *leaf = Value::from(MASK);
            1
        }
        Value::String(text) if rule == Rule::Words => match mask_text(text) {
            Some(masked) => {
                *text = masked;
                1
            }
            None => 0,
        },
        _ => 0,
    }
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
    "pgpassword",
    "accesstoken",
    "refreshtoken",
    "clientsecret",
];

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

fn by_words(name: &str) -> bool {
    let words = words(name);
    let plain: Vec<&str> = words.iter().map(|word| word.strip_suffix('s').unwrap_or(word)).collect();
    if words.last().is_some_and(|last| words.len() > 1 && ABOUT.contains(&last.as_str())) {
        return false;
    }
    let is = |list: &[&str], at: usize| list.contains(&plain[at]) || list.contains(&words[at].as_str());
    let alone = (0..words.len()).any(|at| is(WORDS, at));
    let key = (0..words.len()).any(|at| plain[at] == "key" && (words.len() == 1 || (at > 0 && is(BEFORE_KEY, at - 1))));
    alone || key || (words.first().is_some_and(|first| first == "webhook") && words.last().is_some_and(|last| last == "secret"))
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

/// A text without the secrets that it shows by its form: a private key, or the password in a URL.
fn mask_text(text: &str) -> Option<String> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return Some(MASK.to_owned());
    }
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        masked.push_str(before);
        let authority = &behind[..behind.find(|c: char| "/?#\"'".contains(c) || c.is_whitespace()).unwrap_or(behind.len())];
        let password = authority.rfind('@').and_then(|end| authority[..end].find(':').map(|start| start + 1..end));
        rest = match password.filter(|password| !password.is_empty()) {
            Some(password) => {
                masked.push_str(&behind[..password.start]);
                masked.push_str(MASK);
                &behind[password.end..]
            }
            None => behind,
        };
    }
    masked.push_str(rest);
    (masked != text).then_some(masked)
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
