//! Whether a reference in a text names an entry: in templates, where its end is known, and in text of any other kind, where it is likely.

use super::reference::Reference;
use crate::name::Name;

/// So much of a text must be known before a reference, for the braces around it.
pub const BEFORE: usize = 64;
/// And so much from its beginning on: the longest name, with each byte written as `%XX`, and what ends it.
pub const BEHIND: usize = Reference::SCHEME.len() + Name::LIMIT * 4 * 3 + 2;

/// How a text names an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mention {
    /// In the braces of a template.
    Template,
    /// Elsewhere.
    Text,
}

/// How the reference that begins at `at` names this entry, in whatever environment; `None` if it names another one, or is none.
pub fn mention_at(text: &[u8], at: usize, name: &Name) -> Option<Mention> {
    let rest = text.get(at..)?.strip_prefix(Reference::SCHEME.as_bytes())?;
    let rest = behind_name(rest, name.as_str().as_bytes())?;
    let in_braces = text[..at].trim_ascii_end().ends_with(b"{{");
    let ends = match rest {
        [] | [b'?' | b'#' | b'|' | b'}', ..] => true,
        [byte, ..] if byte.is_ascii_whitespace() => true,
        _ if in_braces => false,
        // What may end a sentence, or stand in a name.
        [b'.' | b':' | b'!', behind @ ..] => behind.first().is_none_or(u8::is_ascii_whitespace),
        // Outside of braces what follows is as likely the text around as a name that goes on.
        [byte, ..] => b"\"'`<>()[]{,;&\\".contains(byte),
    };
    ends.then_some(if in_braces { Mention::Template } else { Mention::Text })
}

/// What stands behind the name at the beginning of a text; in references bytes stand for themselves, or as `%XX`.
fn behind_name<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut rest = text;
    for wanted in name {
        let byte = match rest {
            [b'%', high, low, behind @ ..] => {
                rest = behind;
                digit(*high)? << 4 | digit(*low)?
            }
            // These end a name, unless they are encoded.
            [b'%' | b'?' | b'#', ..] | [] => return None,
            [byte, ..] if byte.is_ascii_whitespace() => return None,
            [byte, behind @ ..] => {
                rest = behind;
                *byte
            }
        };
        if byte != *wanted {
            return None;
        }
    }
    Some(rest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_in_all_its_spellings_and_by_its_end() {
        for (name, text, expected) in [
            ("db", "vault://db", Some(Mention::Text)),
            ("db", "A=\"vault://db#password\"", Some(Mention::Text)),
            ("db", "A=vault://db?env=prod&version=3#x", Some(Mention::Text)),
            ("db", "see vault://db.", Some(Mention::Text)),
            ("db", "[vault://db, x]", Some(Mention::Text)),
            ("db", "vault://%64b", Some(Mention::Text)),
            ("db", "{{vault://db}}", Some(Mention::Template)),
            ("db", "{{  vault://db | default \"x\" }}", Some(Mention::Template)),
            ("svc/a b?", "vault://svc/a%20b%3f", Some(Mention::Text)),
            ("é", "vault://%C3%A9\n", Some(Mention::Text)),
            ("é", "vault://é\n", Some(Mention::Text)),
            ("a,b", "{{ vault://a,b }}", Some(Mention::Template)),
            ("db", "vault://db2", None),
            ("db", "vault://db/x", None),
            ("db", "vault://db.x", None),
            ("db", "vault://db%32", None),
            ("db", "vault://d", None),
            ("db", "vault://DB", None),
            ("db", "vault:/db", None),
            ("a?b", "vault://a?b", None),
            ("a", "{{ vault://a,b }}", None),
        ] {
            let at = text.find("vault:").unwrap();
            assert_eq!(mention_at(text.as_bytes(), at, &Name::parse(name).unwrap()), expected, "{name} in {text}");
        }
    }

    #[test]
    fn the_longest_reference_is_within_its_bounds() {
        let name = Name::parse(&"\u{10ffff}".repeat(Name::LIMIT)).unwrap();
        let encoded: String = name.as_str().bytes().map(|byte| format!("%{byte:02X}")).collect();
        let text = format!("vault://{encoded}.\n");
        assert_eq!(text.len(), BEHIND);
        assert_eq!(mention_at(text.as_bytes(), 0, &name), Some(Mention::Text));
    }
}
