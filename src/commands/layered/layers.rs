//! The layers themselves: read, decrypted where they are encrypted, and laid over one another.

use std::path::Path;

use zeroize::Zeroizing;

use super::sources::{LayerFormat, Plan, Source, mapping, with_separator};
use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::commands::files::{Memory, open_input, read_all, read_file};
use crate::interchange::{self, Document, DocumentFormat, Format, Leaf, Scalar};
use crate::process::UNLOCK_VARIABLES;
use crate::store::Revision;
use crate::term::output;
use crate::vault::field::FieldPath;
use crate::vault::{Error, ErrorKind, Reference, Result, Vault};

/// The vault, which is unlocked when something needs it, and then stays so; and its newest commit by then.
#[derive(Default)]
pub struct Keeper(Option<(Vault, Option<Revision>)>);

impl Keeper {
    /// The vault, unlocked.
    pub fn unlock(&mut self, context: &mut Context) -> Result<&Vault> {
        if self.0.is_none() {
            let vault = context.unlock()?;
            let revision = vault.facts().map(|facts| facts.revision);
            self.0 = Some((vault, revision));
        }
        self.opened().ok_or_else(|| Error::new(ErrorKind::Internal, "internal", "a vault is unlocked and not there"))
    }

    /// The vault, if something needed it.
    pub fn opened(&self) -> Option<&Vault> {
        self.0.as_ref().map(|(vault, _)| vault)
    }

    /// Its newest commit when it was unlocked.
    pub fn revision_at_unlocking(&self) -> Option<Revision> {
        self.0.as_ref().and_then(|(_, revision)| *revision)
    }
}

/// One layer.
pub struct Layer {
    /// What people call it.
    pub name: String,
    content: Content,
    secret: bool,
}

enum Content {
    Document(Document),
    Variables(Variables),
}

/// How an encrypted file begins.
const ENCRYPTED: &[u8] = b"VAULT-ENCRYPTED";

/// Reads all layers that are there.
pub fn read(context: &mut Context, keeper: &mut Keeper, plan: &Plan) -> Result<Vec<Layer>> {
    let mut layers = Vec::new();
    let mut of_profile = false;
    for source in &plan.sources {
        match source {
            Source::File { path, optional: true, .. } if !path.exists() => {}
            Source::File { path, format, optional } => {
                of_profile |= optional;
                layers.push(file(context, keeper, plan, path, *format)?);
            }
            Source::Variables(prefix) => {
                let prefix = with_separator(prefix);
                let content = Content::Variables(environment(&prefix)?);
                layers.push(Layer { name: format!("environment ({prefix}*)"), content, secret: false });
            }
        }
    }
    if let Some(profile) = plan.profile.as_ref().filter(|_| !of_profile) {
        context.note(&format!("note: there is no file of the profile '{profile}'"));
    }
    Ok(layers)
}

fn file(context: &mut Context, keeper: &mut Keeper, plan: &Plan, path: &Path, format: Option<LayerFormat>) -> Result<Layer> {
    let is_input = path.as_os_str() == "-";
    let name = if is_input { "standard input".to_owned() } else { output::printable(&path.display().to_string()) };
    let format = format.ok_or_else(|| {
        let hint = if is_input {
            "say what it is with --input-format"
        } else {
            "name it .json, .yaml, .toml or .env, or use --input-format"
        };
        Error::usage(format!("the format of {name} is not known")).hint(hint)
    })?;
    let mut bytes = match is_input {
        true => read_all(&mut open_input(None)?, 4096, "read standard input")?,
        false => read_file(path)?,
    };
    let secret = bytes.starts_with(ENCRYPTED);
    if secret {
        let mut plain = Memory::default();
        let vault = keeper.unlock(context)?;
        vault.decrypt_to(&mut bytes.as_slice(), &mut plain).map_err(|error| placed(&name, &error))?;
        context.record(vault, &[Event::new(Action::Decrypt).detail("a layer of a configuration")])?;
        bytes = plain.0;
    }
    let place = |error: interchange::Error| Error::new(ErrorKind::Usage, "bad_format", format!("{name}: {error}"));
    let content = match format.document() {
        Some(format) => {
            let mut document = Document::read(format, &bytes).map_err(place)?;
            if secret {
                document.make_secret();
            }
            Content::Document(document)
        }
        None => {
            let rows = interchange::read(Format::Dotenv, &bytes).map_err(place)?;
            let mut variables = Vec::new();
            for mut row in rows {
                let prefix = plan.prefixes.iter().find(|prefix| row.name.starts_with(prefix.as_str()));
                let place = way(&row.name[prefix.map_or(0, String::len)..]);
                let text = String::from_utf8(std::mem::take(&mut *row.value)).unwrap_or_default();
                variables.push((place, Zeroizing::new(text)));
            }
            Content::Variables(distinct(variables, &name)?)
        }
    };
    Ok(Layer { name, content, secret })
}

/// The same error, and where it happened.
pub fn placed(place: &str, error: &Error) -> Error {
    let said = Error::new(error.kind(), error.code(), format!("{place}: {error}"));
    match error.hint_text() {
        Some(hint) => said.hint(hint),
        None => said,
    }
}

/// The variables of this process that begin so. What unlocks the vault is no configuration.
fn environment(prefix: &str) -> Result<Variables> {
    let mut found = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix(prefix).filter(|_| !UNLOCK_VARIABLES.contains(&name)) else { continue };
        let value =
            value.into_string().map_err(|_| Error::usage(format!("the variable {} is not text", output::printable(name))))?;
        found.push((way(rest), Zeroizing::new(value)));
    }
    // The environment has no order of its own.
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    distinct(found, "the environment")
}

/// `DB__HOST` is db, host.
fn way(name: &str) -> Vec<String> {
    name.split("__").filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
}

/// Places and texts.
type Variables = Vec<(Vec<String>, Zeroizing<String>)>;

/// Without those that name nothing; two for one place are an error.
fn distinct(mut variables: Variables, place: &str) -> Result<Variables> {
    variables.retain(|(way, _)| !way.is_empty());
    let mut ways: Vec<&Vec<String>> = variables.iter().map(|(way, _)| way).collect();
    ways.sort();
    match ways.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            let message = format!("{place}: two variables are for {}", interchange::shown(pair[0]));
            Err(Error::new(ErrorKind::Conflict, "variable_collision", message))
        }
        None => Ok(variables),
    }
}

impl Layer {
    /// Lays it over what is there.
    pub fn lay_over(self, document: &mut Document) {
        match self.content {
            Content::Document(over) => document.merge(over),
            Content::Variables(variables) => {
                for (way, text) in variables {
                    let way = known(document, way);
                    let scalar = typed(document.at(&way), text);
                    document.put(&way, Document::Leaf(Leaf { scalar, secret: self.secret }));
                }
            }
        }
    }

    /// What it has at a place, or above it: a value there hides what earlier layers have below.
    pub fn has(&self, way: &[String]) -> Option<&'static str> {
        match &self.content {
            Content::Document(document) => (0..=way.len()).find_map(|length| match document.at(&way[..length])? {
                Document::Table(_) if length < way.len() => None,
                found => Some(kind(found)),
            }),
            Content::Variables(variables) => {
                let same = |a: &[String], b: &[String]| a.iter().zip(b).all(|(a, b)| a.eq_ignore_ascii_case(b));
                let mut found = variables.iter().filter(|(place, _)| same(place, way));
                found.next().map(|(place, _)| if place.len() > way.len() { "table" } else { "text" })
            }
        }
    }
}

/// What people call it.
pub fn kind(document: &Document) -> &'static str {
    match document {
        Document::Table(_) => "table",
        Document::List(_) => "list",
        Document::Leaf(leaf) => leaf.scalar.kind(),
    }
}

/// The place as the layers below spell it: variables have no lower case of their own.
fn known(document: &Document, mut way: Vec<String>) -> Vec<String> {
    for at in 0..way.len() {
        let Some(Document::Table(members)) = document.at(&way[..at]) else { break };
        let exact = members.iter().any(|(name, _)| *name == way[at]);
        if let Some((name, _)) = members.iter().find(|(name, _)| !exact && name.eq_ignore_ascii_case(&way[at])) {
            way[at] = name.clone();
        }
    }
    way
}

/// A variable is text, unless it takes the place of a number or a boolean and spells one.
fn typed(before: Option<&Document>, text: Zeroizing<String>) -> Scalar {
    match before {
        Some(Document::Leaf(Leaf { scalar: Scalar::Number(_), .. })) if Document::number(&text).is_some() => Scalar::Number(text),
        Some(Document::Leaf(Leaf { scalar: Scalar::Bool(_), .. })) if ["true", "false"].contains(&text.as_str()) => {
            Scalar::Bool(*text == "true")
        }
        _ => Scalar::Text(text),
    }
}

/// Places and entries, those of files first.
pub fn mappings(plan: &Plan) -> Result<Vec<(FieldPath, Reference)>> {
    let mut all = Vec::new();
    for path in &plan.map_files {
        let name = output::printable(&path.display().to_string());
        let format = LayerFormat::of(path).and_then(LayerFormat::document).unwrap_or(DocumentFormat::Yaml);
        let document = Document::read(format, &read_file(path)?);
        let mut document = document.map_err(|error| Error::new(ErrorKind::Usage, "bad_format", format!("{name}: {error}")))?;
        document.replace_leaves(&mut Vec::new(), &mut |way, leaf| {
            let Scalar::Text(target) = &leaf.scalar else {
                return Err(Error::usage(format!("{name}: {} is not the name of an entry", interchange::shown(way))));
            };
            let (place, reference) = match way {
                // A flat file has whole places as its names.
                [place] => mapping(place, target),
                _ => mapping(&pointer(way), target),
            }
            .map_err(|error| placed(&format!("{name}: {}", interchange::shown(way)), &error))?;
            all.push((place, reference));
            Ok::<_, Error>(None)
        })?;
    }
    for (place, reference) in &plan.map {
        all.push((place.clone(), reference.clone()));
    }
    Ok(all)
}

fn pointer(way: &[String]) -> String {
    way.iter().map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1"))).collect()
}

/// All layers as one, with the references that are to be resolved in it.
pub fn merged(context: &mut Context, keeper: &mut Keeper, plan: &Plan) -> Result<Document> {
    let mut document = Document::empty();
    for layer in read(context, keeper, plan)? {
        layer.lay_over(&mut document);
    }
    for (place, reference) in mappings(plan)? {
        document.put(place.parts(), Document::text(&reference.to_string()));
    }
    Ok(document)
}
