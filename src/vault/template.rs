//! Templates: text in which `{{ vault://… }}` stands for values.

use zeroize::Zeroizing;

use super::error::{Error, ErrorKind, Result};
use super::reference::Reference;
use crate::secret::SecretValue;

/// The template with its references replaced. `{{ REFERENCE | default "TEXT" }}` gives the text where nothing is found. Other braces, and
/// references outside of braces, stay as they are.
///
/// # Errors
/// [`ErrorKind::Usage`] for what begins as a reference and is none, and what `resolve` returns; both with the line.
pub fn fill_template(template: &[u8], resolve: &mut dyn FnMut(&Reference) -> Result<SecretValue>) -> Result<Zeroizing<Vec<u8>>> {
    enum Part<'a> {
        Text(&'a [u8]),
        Value(SecretValue),
    }
    let mut parts = Vec::new();
    let mut rest = template;
    // The line of the place up to which line ends were counted.
    let (mut line, mut counted) = (1, 0);
    while let Some(open) = find(rest, b"{{") {
        let behind = &rest[open + 2..];
        let inner = behind.trim_ascii_start();
        if !inner.starts_with(Reference::SCHEME.as_bytes()) {
            // One byte only: in `{{{ vault://a }}` the reference begins with the second brace.
            parts.push(Part::Text(&rest[..open + 1]));
            rest = &rest[open + 1..];
            continue;
        }
        let at = template.len() - rest.len() + open;
        line += template[counted..at].iter().filter(|byte| **byte == b'\n').count();
        counted = at;
        let place = |error: Error| {
            let said = Error::new(error.kind(), error.code(), format!("line {line}: {error}"));
            match error.hint_text() {
                Some(hint) => said.hint(hint),
                None => said,
            }
        };
        let (reference, default, length) = parse(inner).map_err(place)?;
        parts.push(Part::Text(&rest[..open]));
        parts.push(Part::Value(match (resolve(&reference), default) {
            (Err(error), Some(default)) if error.kind() == ErrorKind::NotFound => SecretValue::from(default.as_str()),
            (value, _) => value.map_err(place)?,
        }));
        rest = &inner[length..];
    }
    parts.push(Part::Text(rest));
    let bytes = |part: &Part<'_>| match part {
        Part::Text(text) => text.len(),
        Part::Value(value) => value.expose().len(),
    };
    // Of the right size at once: growing would leave copies behind.
    let mut out = Zeroizing::new(Vec::with_capacity(parts.iter().map(bytes).sum()));
    for part in &parts {
        out.extend_from_slice(match part {
            Part::Text(text) => text,
            Part::Value(value) => value.expose(),
        });
    }
    Ok(out)
}

/// What a text stands for that is nothing but a reference, as it is or in braces: the reference, and the default. Nothing for any other text.
///
/// # Errors
/// [`ErrorKind::Usage`] for what begins as a reference and is none.
pub fn whole_reference(text: &str) -> Result<Option<(Reference, Option<String>)>> {
    if text.starts_with(Reference::SCHEME) {
        return Reference::parse(text).map(|reference| Some((reference, None)));
    }
    let inner = text.strip_prefix("{{").map(str::trim_start).filter(|inner| inner.starts_with(Reference::SCHEME));
    let Some(inner) = inner else { return Ok(None) };
    let (reference, default, length) = parse(inner.as_bytes())?;
    Ok((length == inner.len()).then_some((reference, default)))
}

/// Whether there is a reference in a text for [`whole_reference`] or [`fill_template`].
pub fn has_reference(text: &str) -> bool {
    let begins = |at: usize| text[at + 2..].trim_start().starts_with(Reference::SCHEME);
    let mut pairs = text.as_bytes().windows(2).enumerate();
    text.starts_with(Reference::SCHEME) || pairs.any(|(at, pair)| pair == b"{{" && begins(at))
}

/// Reads the inside of braces up to behind them: the reference, its default, and the length.
fn parse(inner: &[u8]) -> Result<(Reference, Option<String>, usize)> {
    let malformed = |what: &str| {
        Error::new(ErrorKind::Usage, "bad_template", format!("the template is malformed: {what}"))
            .hint("write {{ vault://name#field }}, or {{ vault://name | default \"text\" }}")
    };
    let end = inner.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'|' | b'}'));
    let end = end.ok_or_else(|| malformed("the braces are not closed"))?;
    let reference = std::str::from_utf8(&inner[..end]).map_err(|_| malformed("a reference is not UTF-8"))?;
    let reference = Reference::parse(reference)?;
    let mut rest = inner[end..].trim_ascii_start();
    let mut default = None;
    if let Some(behind) = rest.strip_prefix(b"|") {
        let text = behind.trim_ascii_start().strip_prefix(b"default").map(<[u8]>::trim_ascii_start);
        let text = text.ok_or_else(|| malformed("behind | there is only: default \"text\""))?;
        let mut strings = serde_json::Deserializer::from_slice(text).into_iter::<String>();
        default = Some(
            strings
                .next()
                .and_then(std::result::Result::ok)
                .ok_or_else(|| malformed("a default is a string in double quotes"))?,
        );
        rest = text[strings.byte_offset()..].trim_ascii_start();
    }
    let rest = rest.strip_prefix(b"}}").ok_or_else(|| malformed("behind the reference there is neither | nor }}"))?;
    Ok((reference, default, inner.len() - rest.len()))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn filled(template: &str) -> Result<String> {
        let filled = fill_template(template.as_bytes(), &mut |reference| match reference.name.as_str() {
            "none" => Err(Error::new(ErrorKind::NotFound, "not_found", "there is no entry 'none'")),
            "locked" => Err(Error::new(ErrorKind::NotPermitted, "not_permitted", "no")),
            name => Ok(SecretValue::from(format!("<{name}>").as_str())),
        });
        filled.map(|text| String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn references_in_braces_are_replaced_and_nothing_else() {
        for (template, expected) in [
            ("", ""),
            ("{{ vault://a }}", "<a>"),
            ("x={{vault://a}}{{\n vault://b/c \n}};\n", "x=<a><b/c>;\n"),
            ("vault://a {{ a }} {{ {vault://a} }} {{", "vault://a {{ a }} {{ {vault://a} }} {{"),
            ("{{{ vault://a }}}", "{<a>}"),
            ("{{ vault://none | default \"a \\\"}} b\" }}.", "a \"}} b."),
            ("{{ vault://a|default\"x\"}}", "<a>"),
            ("{{ vault://none | default \"\" }}", ""),
        ] {
            assert_eq!(filled(template).unwrap(), expected, "{template}");
        }
        let bytes = fill_template(b"\xff{{ vault://a }}\xfe", &mut |_| Ok(SecretValue::from("é"))).unwrap();
        assert_eq!(*bytes, b"\xff\xc3\xa9\xfe");
    }

    #[test]
    fn a_text_may_be_nothing_but_a_reference() {
        for (text, expected) in [
            ("vault://a#b", Some(("vault://a#b", None))),
            ("{{ vault://a }}", Some(("vault://a", None))),
            ("{{vault://a|default \"x\"}}", Some(("vault://a", Some("x")))),
            ("{{ vault://a }} ", None),
            (" vault://a", None),
            ("{{ vault://a }}{{ vault://b }}", None),
            ("a", None),
        ] {
            let found = whole_reference(text).unwrap().map(|(reference, default)| (reference.to_string(), default));
            let expected = expected.map(|(reference, default)| (reference.to_owned(), default.map(str::to_owned)));
            assert_eq!(found, expected, "{text}");
        }
        assert!(whole_reference("vault://").is_err() && whole_reference("{{ vault://a").is_err());
        for (text, expected) in [("a {{ vault://b }}", true), ("{{{vault://b}}}", true), ("a vault://b {{ c }}", false)] {
            assert_eq!(has_reference(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_is_an_error_with_its_line() {
        for (template, kind) in [
            ("\n{{ vault://none }}", ErrorKind::NotFound),
            ("\n{{ vault://locked | default \"x\" }}", ErrorKind::NotPermitted),
            ("\n{{ vault://a", ErrorKind::Usage),
            ("\n{{ vault://a }", ErrorKind::Usage),
            ("\n{{ vault://a b }}", ErrorKind::Usage),
            ("\n{{ vault://a | upper }}", ErrorKind::Usage),
            ("\n{{ vault://a | default x }}", ErrorKind::Usage),
            ("\n{{ vault:// }}", ErrorKind::Usage),
            ("{{ vault://a }}{{\n vault://b }}{{ vault://none }}\n", ErrorKind::NotFound),
        ] {
            let error = filled(template).unwrap_err();
            assert_eq!(error.kind(), kind, "{template}");
            assert!(error.to_string().starts_with("line 2: "), "{error}");
        }
    }
}
