//! YAML 1.2 in block style. Strings stand in double quotes unless nobody, also no reader of YAML 1.1, could take them for something else.

use serde_saphyr::Spanned;

use super::super::buffer::Buffer;
use super::super::error::Error;
use super::super::literal;
use super::super::yaml::{Node, Plain, parse, spelling};
use super::{Document, Scalar, number};

/// Reads one document.
pub(super) fn read(text: &str) -> Result<Document, Error> {
    if text.lines().all(|line| line.trim_start().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Document::empty());
    }
    Ok(tree(parse(text)?, text))
}

/// The depth is that of YAML's own limit.
fn tree(node: Spanned<Node>, source: &str) -> Document {
    let plain = match &node.value {
        Node::Plain(plain) => Some((*plain, spelling(&node, source))),
        _ => None,
    };
    match (node.value, plain) {
        (Node::Null, _) => Scalar::Null.into(),
        (Node::Plain(plain), spelled) => plain_scalar(plain, spelled.map_or("", |(_, text)| text)),
        (Node::Text(text), _) => Scalar::Text(text).into(),
        (Node::Sequence(items), _) => Document::List(items.into_iter().map(|item| tree(item, source)).collect()),
        (Node::Mapping(members), _) => {
            Document::Table(members.into_iter().map(|(name, member)| (name, tree(member, source))).collect())
        }
    }
}

/// What 1.1 and 1.2 do not take for the same (`yes`, `0644`, `1_000`) is the text that stands there.
fn plain_scalar(plain: Plain, spelled: &str) -> Document {
    let digits = spelled.trim_start_matches(['+', '-']);
    let octal = digits.strip_prefix('0').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    let word = matches!(plain, Plain::Bool(_)) && !["true", "false"].iter().any(|word| word.eq_ignore_ascii_case(spelled));
    if octal || word || spelled.contains('_') {
        return Document::text(spelled);
    }
    if let Some(number) = Document::number(spelled) {
        return number;
    }
    match plain {
        Plain::Integer(integer) => number(&integer.to_string()),
        Plain::Float(float) if float.is_nan() => Scalar::Special("nan").into(),
        Plain::Float(float) if float.is_infinite() => Scalar::Special(if float > 0.0 { "inf" } else { "-inf" }).into(),
        Plain::Float(float) => number(&format!("{float:?}")),
        Plain::Bool(truth) => Scalar::Bool(truth).into(),
    }
}

/// Appends a document.
pub(super) fn write(out: &mut Buffer, document: &Document) {
    match document {
        Document::Table(members) if !members.is_empty() => table(out, members, 0, false),
        other => {
            flow(out, other);
            out.push("\n");
        }
    }
}

/// Members, one a line; the first stands where the line already begins if `begun`.
fn table(out: &mut Buffer, members: &[(String, Document)], indent: usize, begun: bool) {
    for (at, (name, member)) in members.iter().enumerate() {
        if at > 0 || !begun {
            out.push(&" ".repeat(indent));
        }
        text(out, name);
        out.push(":");
        below(out, member, indent);
    }
}

fn list(out: &mut Buffer, items: &[Document], indent: usize) {
    for item in items {
        out.push(&" ".repeat(indent));
        out.push("-");
        match item {
            Document::Table(members) if !members.is_empty() => {
                out.push(" ");
                table(out, members, indent + 2, true);
            }
            other => below(out, other, indent),
        }
    }
}

/// What stands behind a name or a dash.
fn below(out: &mut Buffer, document: &Document, indent: usize) {
    match document {
        Document::Table(members) if !members.is_empty() => {
            out.push("\n");
            table(out, members, indent + 2, false);
        }
        Document::List(items) if !items.is_empty() => {
            out.push("\n");
            list(out, items, indent + 2);
        }
        other => {
            out.push(" ");
            flow(out, other);
            out.push("\n");
        }
    }
}

/// What fits on a line.
fn flow(out: &mut Buffer, document: &Document) {
    match document {
        Document::List(_) => out.push("[]"),
        Document::Table(_) => out.push("{}"),
        Document::Leaf(leaf) => match &leaf.scalar {
            Scalar::Null => out.push("null"),
            Scalar::Bool(truth) => out.push(if *truth { "true" } else { "false" }),
            Scalar::Number(number) => exponent(out, number),
            Scalar::Special("nan") => out.push(".nan"),
            Scalar::Special("-inf") => out.push("-.inf"),
            Scalar::Special(_) => out.push(".inf"),
            Scalar::Date(date) => literal::quote(out, date),
            Scalar::Text(value) => text(out, value),
        },
    }
}

/// To YAML 1.1 `1e5` is text: it wants a dot before and a sign behind the `e`.
fn exponent(out: &mut Buffer, number: &str) {
    let Some((mantissa, power)) = number.split_once(['e', 'E']) else { return out.push(number) };
    out.push(mantissa);
    out.push(if mantissa.contains('.') { "e" } else { ".0e" });
    out.push(if power.starts_with(['+', '-']) { "" } else { "+" });
    out.push(power);
}

/// Words that some reader takes for something else than text.
const WORDS: &[&str] = &["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

fn text(out: &mut Buffer, text: &str) {
    let simple = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    if simple { out.push(text) } else { literal::quote(out, text) }
}
