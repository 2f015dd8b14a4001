//! What comes out of the vault, in its places; and what is masked.

use std::cell::RefCell;

use super::layers::{Keeper, placed};
use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::format::record::Kind;
use crate::interchange::{Document, Leaf, Scalar, shown};
use crate::leaks::{MASK, Rule, mask_text, names_secret};
use crate::name::Environment;
use crate::secret::SecretValue;
use crate::vault::field::{self, FieldPath};
use crate::vault::{Entry, Error, ErrorKind, Reference, Result, Vault, fill_template, has_reference, whole_reference};

/// How values are put in.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// Whether the mask is put in their place, once it is known that they are there.
    pub masked: bool,
    /// Whether entries that have expired count.
    pub allow_expired: bool,
}

/// Puts the values in their places. `way` is where the document stands in the whole.
pub fn resolve(
    context: &mut Context,
    keeper: &mut Keeper,
    document: &mut Document,
    way: &[String],
    manner: Manner,
) -> Result<()> {
    let mut needed = false;
    document.replace_leaves(&mut Vec::new(), &mut |_, leaf| {
        needed |= text_of(leaf).is_some_and(has_reference);
        Ok::<_, Error>(None)
    })?;
    // Without a reference no key is needed.
    if !needed {
        return Ok(());
    }
    let environment = context.environment()?;
    keeper.unlock(context)?;
    let Some(vault) = keeper.opened() else { return Ok(()) };
    context.about(vault, Action::Render, None)?;
    let resolver = Resolver { context, vault, environment, manner, events: RefCell::default() };
    document.replace_leaves(&mut way.to_vec(), &mut |way, leaf| {
        let Some(text) = text_of(leaf).filter(|text| has_reference(text)) else { return Ok(None) };
        resolver.value(text, leaf.secret).map(Some).map_err(|error| placed(&shown(way), &error))
    })?;
    // A value that is masked does not leave.
    let events = if manner.masked { Vec::new() } else { resolver.events.take() };
    context.record(vault, &events)
}

fn text_of(leaf: &Leaf) -> Option<&str> {
    match &leaf.scalar {
        Scalar::Text(text) => Some(text),
        _ => None,
    }
}

/// The value at a place, resolved as far as it takes to get there and whole; nothing if it is not there.
pub fn resolve_at(
    context: &mut Context,
    keeper: &mut Keeper,
    mut document: Document,
    way: &[String],
    manner: Manner,
) -> Result<Option<Document>> {
    let mut passed = 0;
    loop {
        let rest = &way[passed..];
        if document.at(rest).is_some() {
            let Some(mut found) = document.take(rest) else { return Ok(None) };
            resolve(context, keeper, &mut found, way, manner)?;
            return Ok(Some(found));
        }
        // The way may go on inside of what a reference stands for.
        let leaf = (0..rest.len()).find(|length| matches!(document.at(&rest[..*length]), Some(Document::Leaf(_))));
        let Some(length) = leaf else { return Ok(None) };
        let Some(mut found) = document.take(&rest[..length]) else { return Ok(None) };
        let is_whole = match &found {
            Document::Leaf(leaf) => text_of(leaf).is_some_and(|text| whole_reference(text).is_ok_and(|whole| whole.is_some())),
            _ => false,
        };
        if !is_whole {
            return Ok(None);
        }
        passed += length;
        resolve(context, keeper, &mut found, &way[..passed], manner)?;
        document = match &found {
            // Text that is a document has fields to every command.
            Document::Leaf(leaf) => match text_of(leaf).map(|text| Document::from_json(text.as_bytes())) {
                Some(Ok(inside)) => inside,
                _ => return Ok(None),
            },
            _ => found,
        };
        if matches!(document, Document::Leaf(_)) {
            return Ok(None);
        }
    }
}

struct Resolver<'a> {
    context: &'a Context,
    vault: &'a Vault,
    environment: Option<Environment>,
    manner: Manner,
    /// What left, once all of it is in its place.
    events: RefCell<Vec<Event>>,
}

impl Resolver<'_> {
    fn value(&self, text: &str, secret: bool) -> Result<Document> {
        if let Some((reference, default)) = whole_reference(text)? {
            return match (self.typed(&reference), default) {
                (Err(error), Some(default)) if error.kind() == ErrorKind::NotFound => {
                    Ok(Document::Leaf(Leaf { secret, ..leaf(&default) }))
                }
                (Ok(_), _) if self.manner.masked => Ok(Document::Leaf(Leaf { secret: true, ..leaf(MASK) })),
                (found, _) => found.map_err(|error| placed(&reference.to_string(), &error)),
            };
        }
        let filled = fill_template(text.as_bytes(), &mut |reference| {
            let value = self.found(reference).map(|(value, _)| value);
            match value {
                Ok(_) if self.manner.masked => Ok(SecretValue::from(MASK)),
                value => value.map_err(|error| placed(&reference.to_string(), &error)),
            }
        })?;
        let filled = std::str::from_utf8(&filled).map_err(|_| not_text())?;
        Ok(Document::Leaf(Leaf { secret, ..leaf(filled) }))
    }

    fn found(&self, reference: &Reference) -> Result<(SecretValue, Kind)> {
        self.context.about_reference(reference, self.environment.as_ref());
        let admit = &mut |entry: &Entry| {
            self.events.borrow_mut().push(Event::new(Action::Render).entry(entry).version(reference.version));
            if self.manner.allow_expired { Ok(()) } else { self.context.check_expiry(self.vault, entry) }
        };
        self.vault.resolve(reference, self.environment.as_ref(), admit)
    }

    /// JSON is a document of its own, and so is a field of it.
    fn typed(&self, reference: &Reference) -> Result<Document> {
        let whole = Reference { field: None, ..reference.clone() };
        let (value, kind) = self.found(&whole)?;
        let mut document = match &reference.field {
            Some(path) => at_field(&value, path)?,
            None if kind == Kind::Json => json(&value)?,
            None => leaf_document(std::str::from_utf8(value.expose()).map_err(|_| not_text())?),
        };
        document.make_secret();
        Ok(document)
    }
}

fn at_field(value: &SecretValue, path: &FieldPath) -> Result<Document> {
    // It says what is missing.
    field::get(value, path)?;
    let found = json(value)?.take(path.parts());
    found.ok_or_else(|| Error::new(ErrorKind::NotFound, "field_not_found", format!("the value has no field '{path}'")))
}

fn json(value: &SecretValue) -> Result<Document> {
    Document::from_json(value.expose()).map_err(|_| {
        Error::usage("the value is JSON that no configuration can hold").hint("a name is there twice, or it is nested too deeply")
    })
}

fn not_text() -> Error {
    Error::usage("the value is not text, and no configuration can hold it").hint("keep it in base64, or hand it over as a file")
}

fn leaf(text: &str) -> Leaf {
    Leaf { scalar: Scalar::Text(zeroize::Zeroizing::new(text.to_owned())), secret: false }
}

fn leaf_document(text: &str) -> Document {
    Document::Leaf(leaf(text))
}

/// Masks what came from the vault or an encrypted file, and what looks like a secret by its name or its form.
pub fn mask(document: &mut Document, rule: Rule) -> Result<()> {
    document.replace_leaves(&mut Vec::new(), &mut |way, leaf| {
        if leaf.secret || names_secret(way.iter().map(String::as_str), rule) {
            return Ok(Some(leaf_document(MASK)));
        }
        Ok(text_of(leaf).and_then(mask_text).map(|text| leaf_document(&text)))
    })
}
