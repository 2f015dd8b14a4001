//! Which variables a program gets: of entries, of the project, of files, of the command line.

use std::collections::{BTreeMap, HashMap};

use zeroize::Zeroizing;

use super::RunArgs;
use crate::audit::{Action, Event};
use crate::commands::context::{Context, parse_category, parse_name};
use crate::commands::exchange::{entries, row, text_error};
use crate::commands::files::read_file;
use crate::commands::present;
use crate::commands::source::{Held, Source};
use crate::format::record::Kind;
use crate::interchange::{self, Format, Row, is_never_set, is_steering, variables};
use crate::leaks::Units;
use crate::name::{EntryId, Environment};
use crate::secret::SecretValue;
use crate::term::output;
use crate::vault::{Entry, Error, ErrorKind, Reference, Result, fill_template};

/// The variables of one start, and what is to be masked of them.
pub struct Variables {
    /// By name. A later source replaces an earlier one.
    pub all: BTreeMap<String, Value>,
    /// The values that came out of the vault.
    pub units: Units,
    /// What is to be recorded: each entry of which there is a value.
    pub events: Vec<Event>,
}

/// The value of a variable.
pub struct Value {
    /// All of it.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Whether some of it came out of the vault.
    pub is_secret: bool,
}

impl Variables {
    /// Those that came out of the vault.
    pub fn secrets(&self) -> impl Iterator<Item = &[u8]> {
        self.all.values().filter(|value| value.is_secret).map(|value| value.bytes.as_slice())
    }

    /// What is to be masked, which is asked for once.
    pub fn take_units(&mut self) -> Units {
        std::mem::replace(&mut self.units, Units::new(Units::LEAST, |_| false))
    }
}

/// The name and the text of a variable of an entry.
type Named = (String, Zeroizing<String>);

/// Who asks for a variable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// An entry, or a file: whoever can write it.
    Others,
    /// The command line.
    User,
}

/// Finds all variables, and what is to be masked of them if anything is: the forms of a value cost more than reading it. Whatever is asked for by name and
/// cannot be had is an error.
pub fn find(context: &mut Context, source: &Source, args: &RunArgs, masked: bool) -> Result<Variables> {
    let table = context.config()?.run.clone();
    let environment = context.environment()?;
    let only = if args.only.is_empty() { &table.only } else { &args.only };
    let category = args.category.as_ref().or(table.category.as_ref());
    let category = category.map(|category| parse_category(category)).transpose()?;
    let prefix = args.prefix.as_ref().or(table.prefix.as_ref()).map_or("", String::as_str);
    let named_otherwise = !args.map.is_empty() || !args.env_file.is_empty() || !table.variables.is_empty();

    let mut finder = Finder {
        context,
        source,
        environment: environment.clone(),
        allow_expired: args.allow_expired,
        masked,
        found: Variables { all: BTreeMap::new(), units: Units::new(Units::LEAST, |_| false), events: Vec::new() },
    };
    if !only.is_empty() {
        let mut rows = Vec::new();
        for name in only {
            let id = EntryId { environment: environment.clone(), name: parse_name(name.trim())? };
            finder.context.about_id(&id);
            let held = source.entry_or_fallback(&id, None)?.ok_or_else(|| present::not_found(&id))?;
            let entry = &held.entry;
            if category.is_some() && entry.category() != category.as_ref() {
                return Err(Error::new(ErrorKind::NotFound, "not_found", format!("'{}' is not in this category", entry.id())));
            }
            finder.admit(entry)?;
            rows.push(row(source, &held)?);
            finder.found.events.push(Event::new(Action::Run).entry(entry));
        }
        finder.add_rows(rows, None, prefix, args.files.is_some())?;
    } else if category.is_some() || !named_otherwise {
        let entries = entries(source, environment.as_ref(), category.as_ref())?;
        let (rows, named) = finder.whatever_fits(&entries, prefix, args.files.is_some())?;
        finder.add_rows(rows, named, prefix, args.files.is_some())?;
    }
    for (name, text) in &table.variables {
        finder.add_text(name, text.as_bytes())?;
    }
    for path in &args.env_file {
        let text = read_file(path)?;
        let file = path.display();
        let place = |error: &dyn std::fmt::Display| Error::new(ErrorKind::Usage, "bad_format", format!("{file}: {error}"));
        for row in interchange::read(Format::Dotenv, &text).map_err(|error| place(&error))? {
            finder.add_text(&row.name, &row.value)?;
        }
    }
    let mut mapped = Vec::new();
    for mapping in &args.map {
        let (name, target) = mapping.split_once('=').ok_or_else(|| Error::usage("--map is ENV=NAME, or ENV=NAME#FIELD"))?;
        if mapped.contains(&name) {
            return Err(Error::new(ErrorKind::Conflict, "variable_collision", format!("--map names {name} twice")));
        }
        mapped.push(name);
        let reference = Reference::parse_plain(target)?;
        let value = finder.resolve(&reference)?;
        finder.add(name, value_of(value), By::User)?;
    }
    let found = finder.found;
    if context.global.verbose {
        crate::commands::leaks::note_skipped(context, found.units.skipped());
    }
    Ok(found)
}

fn value_of(secret: SecretValue) -> Value {
    Value { bytes: secret.expose_owned(), is_secret: true }
}

struct Finder<'a> {
    context: &'a Context,
    source: &'a Source,
    environment: Option<Environment>,
    allow_expired: bool,
    masked: bool,
    found: Variables,
}

impl Finder<'_> {
    fn admit(&self, entry: &Entry) -> Result<()> {
        if self.allow_expired { Ok(()) } else { self.context.check_expiry(self.source.vault(), entry) }
    }

    fn add(&mut self, name: &str, value: Value, by: By) -> Result<()> {
        let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if !starts || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let shown = output::printable(name);
            return Err(Error::usage(format!("'{shown}' is not the name of a variable: letters, digits and _, no digit first")));
        }
        if is_never_set(name) {
            return Err(Error::usage(format!("{name} is never set by vault run")).hint(
                "it decides which programs run; set it outside, or give the variable another name with --map or --prefix",
            ));
        }
        if by == By::Others && is_steering(name) {
            return Err(Error::usage(format!("{name} is never set from an entry, vault.toml or an --env-file")).hint(format!(
                "it decides which programs or code run; set it outside, or say --map {name}=ENTRY on the command line"
            )));
        }
        self.found.all.insert(name.to_owned(), value);
        Ok(())
    }

    /// Adds the variables of rows. `named`: what they are, if that is known.
    fn add_rows(&mut self, rows: Vec<Row>, named: Option<Vec<Named>>, prefix: &str, files: bool) -> Result<()> {
        // A file takes any bytes; a variable of the same name keeps its place in the rules for names.
        let mut bytes = HashMap::new();
        let mut texts = Vec::with_capacity(rows.len());
        for mut row in rows {
            if self.masked {
                self.found.units.add(&row.name, &SecretValue::new(row.value.clone()), row.kind);
            }
            let fits = std::str::from_utf8(&row.value).is_ok_and(|text| !text.contains('\0'));
            if files && !fits && row.kind != Kind::Json {
                let value = std::mem::take(&mut row.value);
                row.kind = Kind::Text;
                let names = interchange::names(&row, prefix).map_err(|error| text_error(&error))?;
                bytes.extend(names.into_iter().map(|name| (name, value.clone())));
            }
            texts.push(row);
        }
        let named = named.map_or_else(|| variables(&texts, prefix), Ok).map_err(|error| text_error(&error))?;
        for (name, mut value) in named {
            let text = Zeroizing::new(std::mem::take(&mut *value).into_bytes());
            let bytes = bytes.remove(&name).unwrap_or(text);
            self.add(&name, Value { bytes, is_secret: true }, By::Others)?;
        }
        Ok(())
    }

    /// The rows of entries that nobody named one by one, and their variables if all fit: what cannot be handed on is left out, and said to be.
    fn whatever_fits(&mut self, entries: &[Held], prefix: &str, files: bool) -> Result<(Vec<Row>, Option<Vec<Named>>)> {
        let (mut rows, mut events) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
        let (mut expired, mut closed, mut unfit) = (0, 0, Vec::new());
        let now = self.context.time_for_reading(self.source.vault())?;
        for held in entries {
            let entry = &held.entry;
            if entry.is_expired(now) && !self.allow_expired {
                expired += 1;
                continue;
            }
            let row = match row(self.source, held) {
                Err(error) if error.kind() == ErrorKind::NotPermitted => {
                    closed += 1;
                    continue;
                }
                row => row?,
            };
            rows.push(row);
            events.push(Event::new(Action::Run).entry(entry));
        }
        let named = variables(&rows, prefix).ok().filter(|named| !named.iter().any(|(name, _)| is_steering(name)));
        if named.is_none() {
            let fits = |row: &Row| match interchange::names(row, prefix) {
                Ok(names) => !names.iter().any(|name| is_steering(name)),
                Err(interchange::Error::Value { .. }) => files && row.kind != Kind::Json,
                Err(interchange::Error::VariableName { .. }) => false,
                // Other errors come again when all names are there.
                Err(_) => true,
            };
            let mut fitting = Vec::with_capacity(rows.len());
            for (row, event) in rows.into_iter().zip(events) {
                if fits(&row) {
                    fitting.push(row);
                    self.found.events.push(event);
                } else {
                    unfit.push(row.name);
                }
            }
            rows = fitting;
        } else {
            self.found.events.append(&mut events);
        }
        if expired > 0 {
            self.context.note(&format!("note: {expired} expired entries were left out (--allow-expired includes them)"));
        }
        if closed > 0 {
            self.context.note(&format!("note: {closed} entries were left out, the key at hand does not open them"));
        }
        if !unfit.is_empty() {
            let names = unfit.iter().map(|name| output::printable(name)).collect::<Vec<_>>().join(", ");
            self.context.note(&format!(
                "note: left out, because no variable can have their name or value: {names} (--map gives another name)"
            ));
        }
        Ok((rows, named))
    }

    /// A text of a file: a reference, or text with references in braces.
    fn add_text(&mut self, name: &str, text: &[u8]) -> Result<()> {
        let place = |error: Error| {
            let said = Error::new(error.kind(), error.code(), format!("{}: {error}", output::printable(name)));
            match error.hint_text() {
                Some(hint) => said.hint(hint),
                None => said,
            }
        };
        let whole = std::str::from_utf8(text).ok().filter(|text| text.starts_with(Reference::SCHEME));
        let value = match whole {
            Some(reference) => {
                value_of(Reference::parse(reference).and_then(|reference| self.resolve(&reference)).map_err(place)?)
            }
            None => {
                let mut is_secret = false;
                let mut resolve = |reference: &Reference| self.resolve(reference).inspect(|_| is_secret = true);
                let bytes = fill_template(text, &mut resolve).map_err(place)?;
                Value { bytes, is_secret }
            }
        };
        self.add(name, value, By::Others)
    }

    /// The value of a reference, which is masked from now on.
    fn resolve(&mut self, reference: &Reference) -> Result<SecretValue> {
        let (context, vault, allow_expired) = (self.context, self.source.vault(), self.allow_expired);
        context.about_reference(reference, self.environment.as_ref());
        let mut event = None;
        let admit = &mut |entry: &Entry| {
            event = Some(Event::new(Action::Run).entry(entry).version(reference.version));
            if allow_expired { Ok(()) } else { context.check_expiry(vault, entry) }
        };
        let (value, kind) = self.source.resolve(reference, self.environment.as_ref(), admit)?;
        self.found.events.extend(event);
        if self.masked {
            self.found.units.add(reference.name.as_str(), &value, kind);
        }
        Ok(value)
    }
}
