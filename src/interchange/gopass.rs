//! Secrets of pass and gopass, one decrypted file each.
//!
//! pass keeps a text and leaves its meaning to its users: the value is that text, byte for byte, but for the one line end of a single line.
//! gopass has a structure: the first line is the password, and `key: value` lines follow. Where all that follows is of that form, the value is a
//! JSON object with `password` and the keys; else it is the text, as for pass.

use zeroize::Zeroizing;

use super::buffer::Buffer;
use super::literal;
use super::row::{Kind, Row};

/// The row of a secret. `structured`: as gopass reads it.
pub fn secret(name: String, content: &[u8], structured: bool) -> Row {
    if structured && let Some(object) = std::str::from_utf8(content).ok().and_then(object) {
        return Row::new(name, Kind::Json, object);
    }
    let single = content.iter().filter(|byte| **byte == b'\n').count() == 1;
    let content = content.strip_suffix(b"\n").filter(|_| single).unwrap_or(content);
    Row::new(name, Kind::of(content), Zeroizing::new(content.to_vec()))
}

fn object(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (password, rest) = text.split_once('\n')?;
    // A line between the password and the keys is YAML's.
    let rest = rest.strip_prefix("---\n").unwrap_or(rest);
    if rest.trim().is_empty() {
        return None;
    }
    let mut out = Buffer::new();
    let mut names = vec!["password"];
    out.push("{\"password\":");
    literal::quote(&mut out, password);
    for line in rest.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")))?;
        let plain = name.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c));
        if name.trim() != name || name.is_empty() || !plain || names.contains(&name) {
            return None;
        }
        names.push(name);
        out.push(",");
        literal::quote(&mut out, name);
        out.push(":");
        literal::quote(&mut out, value.trim());
    }
    out.push("}");
    Some(out.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_and_keys_become_fields() {
        let seen = |text: &str, structured| {
            let row = secret("a".to_owned(), text.as_bytes(), structured);
            (row.kind, String::from_utf8_lossy(&row.value).into_owned())
        };
        for structured in [false, true] {
            for (text, value) in [
                ("p\n", "p"),
                ("p", "p"),
                ("-----BEGIN\nx\n-----END\n", "-----BEGIN\nx\n-----END\n"),
                ("p\nfree text\n", "p\nfree text\n"),
                ("", ""),
            ] {
                assert_eq!(seen(text, structured), (Kind::Text, value.to_owned()));
            }
        }
        let text = "p'\"$`\nuser: me\nurl: https://a:1/\nempty:\n";
        assert_eq!(seen(text, false), (Kind::Text, text.to_owned()));
        let object = r#"{"password":"p'\"$`","user":"me","url":"https://a:1/","empty":""}"#;
        assert_eq!(seen(text, true), (Kind::Json, object.to_owned()));
        assert_eq!(seen("p\n---\na: 1\n", true).1, r#"{"password":"p","a":"1"}"#);
        assert_eq!(seen("p\na: 1\na: 2\n", true).0, Kind::Text);
        assert_eq!(secret("a".to_owned(), b"\xff\n", true).kind, Kind::Bytes);
    }
}
