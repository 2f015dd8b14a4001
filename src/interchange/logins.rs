//! What password managers keep, as rows: a title, perhaps in folders, and some named fields.
//!
//! | fields that are not empty | value |
//! |---|---|
//! | one, the password or the notes | that text |
//! | otherwise | a JSON object of all of them, in their order |
//!
//! Titles are not unique there and may hold anything: what cannot stand in a name is replaced by a blank, an empty title becomes `untitled`, and
//! of several of the same name the second is `NAME (2)`. The same goes for the fields of one item.

use std::collections::HashSet;

use zeroize::Zeroizing;

use super::buffer::{Buffer, bytes};
use super::literal;
use super::row::{Kind, Row};
use crate::name::{Name, Tag};

/// The field that is a value by itself if there is no other; so is [`NOTES`].
pub(super) const PASSWORD: &str = "password";
/// See [`PASSWORD`].
pub(super) const NOTES: &str = "notes";

/// One item on its way to a row.
pub(super) struct Login {
    /// The folders, outermost first, and the title.
    path: Vec<String>,
    fields: Vec<(String, Zeroizing<String>)>,
    /// Tags as the other program has them.
    pub(super) tags: Vec<String>,
    /// When it expires, in milliseconds.
    pub(super) expires: Option<u64>,
    /// Files by their names: entries of their own, behind this one's name.
    pub(super) attachments: Vec<(String, Zeroizing<Vec<u8>>)>,
}

impl Login {
    pub(super) fn new(folders: impl IntoIterator<Item = String>, title: Option<String>) -> Self {
        let mut path: Vec<String> = folders.into_iter().collect();
        path.push(title.unwrap_or_default());
        Self { path, fields: Vec::new(), tags: Vec::new(), expires: None, attachments: Vec::new() }
    }

    /// Adds a field, unless it is empty.
    pub(super) fn field(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.fields.push((name.to_owned(), Zeroizing::new(value)));
        }
    }
}

/// The rows of these items, in their order.
pub(super) fn rows(logins: Vec<Login>) -> Vec<Row> {
    let mut taken = HashSet::new();
    let mut rows = Vec::with_capacity(logins.len());
    for mut login in logins {
        let attachments = std::mem::take(&mut login.attachments);
        let row = row(login, &mut taken);
        let files = attachments.into_iter().map(|(file, content)| {
            let name = free(&format!("{}/{}", row.name, clean(&file)), Name::LIMIT, &mut taken);
            Row::new(name, Kind::of(&content), content)
        });
        let files: Vec<Row> = files.collect();
        rows.push(row);
        rows.extend(files);
    }
    rows
}

fn row(login: Login, taken: &mut HashSet<String>) -> Row {
    let parts: Vec<String> = login.path.iter().map(|part| clean(part)).filter(|part| !part.is_empty()).collect();
    let titled = login.path.last().is_some_and(|title| !clean(title).is_empty());
    let title = if titled { parts.join("/") } else { [parts.as_slice(), &["untitled".to_owned()]].concat().join("/") };
    let name = free(&title, Name::LIMIT, taken);
    let (kind, value) = value(login.fields);
    let mut row = Row::new(name, kind, value);
    let tags = login.tags.iter().map(|tag| cut(&clean(tag), Tag::LIMIT)).filter(|tag| !tag.is_empty());
    row.tags = tags.collect::<std::collections::BTreeSet<_>>().into_iter().take(crate::format::record::MAX_LABELS).collect();
    row.expires = login.expires;
    row
}

fn value(mut fields: Vec<(String, Zeroizing<String>)>) -> (Kind, Zeroizing<Vec<u8>>) {
    let alone = matches!(fields.as_slice(), [] | [_]) && fields.iter().all(|(name, _)| name == PASSWORD || name == NOTES);
    if alone {
        return (Kind::Text, bytes(fields.pop().map(|(_, text)| text).unwrap_or_default()));
    }
    let mut out = Buffer::new();
    let mut taken = HashSet::new();
    for (at, (name, text)) in fields.iter().enumerate() {
        out.push(if at == 0 { "{" } else { "," });
        literal::quote(&mut out, &free(name, usize::MAX, &mut taken));
        out.push(":");
        literal::quote(&mut out, text);
    }
    out.push("}");
    (Kind::Json, out.into_bytes())
}

/// A name that is not taken yet, and is from now on.
pub(super) fn free(name: &str, limit: usize, taken: &mut HashSet<String>) -> String {
    let mut candidate = cut(name, limit);
    let mut number = 2_u64;
    while !taken.insert(candidate.clone()) {
        let mark = format!(" ({number})");
        candidate = cut(name, limit.saturating_sub(mark.len())) + &mark;
        number += 1;
    }
    candidate
}

/// Without what no name may hold.
pub(super) fn clean(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().to_owned()
}

fn cut(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => text[..end].trim_end().to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn login(path: &[&str], fields: &[(&str, &str)]) -> Login {
        let (title, folders) = path.split_last().unwrap();
        let mut login = Login::new(folders.iter().map(|folder| (*folder).to_owned()), Some((*title).to_owned()));
        for (name, value) in fields {
            login.field(name, Some((*value).to_owned()));
        }
        login
    }

    #[test]
    fn names_are_valid_and_unique() {
        let long = "x".repeat(400);
        let paths: &[&[&str]] =
            &[&["a", "b"], &["a/b"], &["", " \u{7}b\n c "], &[""], &["f", "\t"], &[&long], &[&long], &["a/b"]];
        let rows = rows(paths.iter().map(|path| login(path, &[])).collect());
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names[..5], ["a/b", "a/b (2)", "b  c", "untitled", "f/untitled"]);
        assert_eq!(names[7], "a/b (3)");
        assert!(names.iter().all(|name| Name::parse(name).is_ok()) && names[6].ends_with("x (2)"));
    }

    #[test]
    fn one_field_is_the_value_and_more_are_an_object() {
        let rows = rows(vec![
            login(&["a"], &[("password", "p\"\n")]),
            login(&["b"], &[("username", ""), ("notes", "n")]),
            login(&["c"], &[("username", "u")]),
            login(&["d"], &[("username", "u"), ("password", "\u{2028}'"), ("password", "2")]),
            login(&["e"], &[]),
        ]);
        let seen: Vec<_> = rows.iter().map(|row| (row.kind, std::str::from_utf8(&row.value).unwrap())).collect();
        assert_eq!(
            seen,
            [
                (Kind::Text, "p\"\n"),
                (Kind::Text, "n"),
                (Kind::Json, "{\"username\":\"u\"}"),
                (Kind::Json, "{\"username\":\"u\",\"password\":\"\\u2028'\",\"password (2)\":\"2\"}"),
                (Kind::Text, ""),
            ]
        );
    }
}
