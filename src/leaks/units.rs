//! What of a value is looked for: all of it, each of its lines, each leaf of a JSON value.

use serde_json::Value;
use zeroize::{Zeroize as _, Zeroizing};

use super::forms::{self, Form};
use super::lines::unwrap;
use super::matcher::Pattern;
use crate::format::record::Kind;
use crate::secret::SecretValue;

/// A unit that is longer is cut into pieces of this length. So no pattern is long, and what is held back of a stream is little.
const PIECE: usize = 1024;

/// The units of some values.
pub struct Units {
    least: usize,
    judge: fn(&[u8]) -> bool,
    utf16: bool,
    pub(super) labels: Vec<String>,
    pub(super) patterns: Vec<Pattern>,
    skipped: Vec<(String, &'static str)>,
}

impl Units {
    /// The fewest bytes that are worth looking for: what is shorter stands everywhere.
    pub const LEAST: usize = 6;

    /// No units yet. What has fewer than `least` bytes (at least [`Self::LEAST`]), and what `judge` calls trivial, is left out.
    pub fn new(least: usize, judge: fn(&[u8]) -> bool) -> Self {
        Self { least: least.max(Self::LEAST), judge, utf16: false, labels: Vec::new(), patterns: Vec::new(), skipped: Vec::new() }
    }

    /// Also in UTF-16: for reports. What replaces a value in a stream is no UTF-16.
    pub fn with_utf16(self) -> Self {
        Self { utf16: true, ..self }
    }

    /// Adds a value under the name by which it is reported.
    pub fn add(&mut self, label: &str, value: &SecretValue, kind: Kind) {
        each(label, value, kind, &mut |label, unit| self.add_unit(label, unit));
    }

    /// What was left out, and why.
    pub fn skipped(&self) -> &[(String, &'static str)] {
        &self.skipped
    }

    fn add_unit(&mut self, label: &str, unit: Unit<'_>) {
        let bytes = unit.bytes();
        let bytes = bytes.trim_ascii();
        let why = if bytes.len() < self.least {
            Some("too short")
        } else if (self.judge)(bytes) {
            Some("easily guessed")
        } else {
            None
        };
        if let Some(why) = why {
            // A line that is nothing on its own is no news: the whole is looked for.
            if !matches!(unit, Unit::Line(_)) && !self.skipped.iter().any(|(other, _)| other == label) {
                self.skipped.push((label.to_owned(), why));
            }
            return;
        }
        let secret = match self.labels.last() {
            Some(last) if last == label => self.labels.len() - 1,
            _ => {
                self.labels.push(label.to_owned());
                self.labels.len() - 1
            }
        };
        let mut add = |form, bytes: Zeroizing<Vec<u8>>| {
            if bytes.len() >= Self::LEAST {
                self.patterns.push(Pattern { bytes, form, secrets: vec![secret as u32] });
            }
        };
        let plain = unwrap(bytes);
        pieces(&plain, &mut |piece| add(Form::Plain, Zeroizing::new(piece.to_vec())));
        pieces(bytes, &mut |piece| forms::encoded(piece, &mut |form, bytes| add(form, unwrap(&bytes))));
        // A line end has two bytes there, and is not taken out: lines are looked for one by one.
        if self.utf16 && !bytes.contains(&b'\n') {
            let wide = |piece: &[u8]| std::str::from_utf8(piece).map(forms::utf16);
            pieces(bytes, &mut |piece| wide(piece).into_iter().flatten().for_each(|bytes| add(Form::Utf16, unwrap(&bytes))));
        }
    }
}

/// A part of a value.
pub(super) enum Unit<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// All of a JSON object or list, whose leaves come as well.
    Tree(&'a [u8]),
    /// A line of several.
    Line(&'a [u8]),
    /// A string or number in a JSON value.
    Leaf(&'a [u8]),
}

impl<'a> Unit<'a> {
    pub(super) fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Whole(bytes) | Self::Tree(bytes) | Self::Line(bytes) | Self::Leaf(bytes) => bytes,
        }
    }
}

/// Hands on each unit of a value, and the name of it: that of a leaf has the way to it behind a `#`.
pub(super) fn each(label: &str, value: &SecretValue, kind: Kind, visit: &mut dyn FnMut(&str, Unit<'_>)) {
    if kind == Kind::Json
        && let Ok(tree) = serde_json::from_slice::<Value>(value.expose())
    {
        if matches!(tree, Value::Object(_) | Value::Array(_)) {
            visit(label, Unit::Tree(value.expose()));
        }
        return leaves(label, "", tree, visit);
    }
    visit(label, Unit::Whole(value.expose()));
    lines(label, value.expose(), visit);
}

fn lines(label: &str, value: &[u8], visit: &mut dyn FnMut(&str, Unit<'_>)) {
    if !value.trim_ascii().contains(&b'\n') {
        return;
    }
    for line in value.split(|byte| *byte == b'\n') {
        // The first and last line of a key in PEM are the same for all keys.
        if !line.starts_with(b"-----") {
            visit(label, Unit::Line(line));
        }
    }
}

/// Takes the tree apart, and wipes what it held.
fn leaves(label: &str, path: &str, tree: Value, visit: &mut dyn FnMut(&str, Unit<'_>)) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let named = || if path.is_empty() { label.to_owned() } else { format!("{label}#{path}") };
    match tree {
        Value::String(mut text) => {
            visit(&named(), Unit::Leaf(text.as_bytes()));
            lines(&named(), text.as_bytes(), visit);
            text.zeroize();
        }
        Value::Number(number) => visit(&named(), Unit::Leaf(Zeroizing::new(number.to_string()).as_bytes())),
        Value::Array(items) => {
            items.into_iter().enumerate().for_each(|(index, item)| leaves(label, &below(&index.to_string()), item, visit));
        }
        Value::Object(members) => members.into_iter().for_each(|(key, member)| leaves(label, &below(&key), member, visit)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// The pieces of a text: all of them together cover it, and the last is about as long as the others. No cut goes through a character: a part of one
/// has no form in JSON.
fn pieces(text: &[u8], visit: &mut dyn FnMut(&[u8])) {
    let mut start = 0;
    while text.len() - start > PIECE {
        let end = character_before(text, start + PIECE);
        visit(&text[start..end]);
        start = end;
    }
    visit(&text[start.min(character_before(text, text.len().saturating_sub(PIECE)))..]);
}

/// The nearest place at or before `at` where a character of UTF-8 begins; `at` itself in what is no UTF-8.
fn character_before(text: &[u8], at: usize) -> usize {
    let begins = |at: &usize| text.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    (at.saturating_sub(3)..=at).rev().find(begins).unwrap_or(at)
}
