//! What commands that export and import share: which entries and what of them, the errors of text formats, and foreign keys in
//! variables.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::source::{Held, Source};
use crate::interchange::{self, Row};
use crate::name::{Category, EntryId, Environment};
use crate::vault::{Error, ErrorKind, Filter, ForeignKeys, Result, Scope, Variable};

/// The entries of an environment, by name: what it does not have comes from the entries without one, as in `get`.
pub fn entries(source: &Source, environment: Option<&Environment>, category: Option<&Category>) -> Result<Vec<Held>> {
    let filter =
        |environment: Option<&Environment>| Filter { scope: Scope::One(environment.cloned()), category: category.cloned() };
    let mut entries = collect(source, &filter(environment))?;
    if environment.is_some() {
        let own: BTreeSet<_> = entries.iter().map(|held| held.entry.id().name.clone()).collect();
        // Of a server all names are asked for at once, what has expired there too.
        let others = match source {
            Source::Server(client) => client.names(environment)?,
            Source::Vault(_) => BTreeSet::new(),
        };
        for held in collect(source, &filter(None))? {
            let id = EntryId { environment: environment.cloned(), name: held.entry.id().name.clone() };
            let is_there = || match source {
                Source::Vault(vault) => Ok(vault.entry(&id)?.is_some()),
                Source::Server(_) => Ok::<_, Error>(others.contains(&id.name)),
            };
            // An entry of the environment that the category filter left out still stands before the general one.
            if !own.contains(&id.name) && !is_there()? {
                entries.push(held);
            }
        }
        entries.sort_by(|a, b| a.entry.id().name.cmp(&b.entry.id().name));
    }
    Ok(entries)
}

/// All entries that a filter shows.
pub fn collect(source: &Source, filter: &Filter) -> Result<Vec<Held>> {
    let mut entries = Vec::new();
    source.entries(filter, true, &mut |held| {
        entries.push(held);
        Ok(())
    })?;
    Ok(entries)
}

/// An entry as other formats take it.
pub fn row(source: &Source, held: &Held) -> Result<Row> {
    let (entry, value) = (&held.entry, source.value_of(held, None)?);
    let mut row = Row::new(entry.id().name.as_str().to_owned(), entry.kind(), value.expose_owned());
    row.environment = entry.id().environment.as_ref().map(ToString::to_string);
    row.category = entry.category().map(ToString::to_string);
    row.tags = entry.tags().iter().map(ToString::to_string).collect();
    row.meta.clone_from(entry.meta());
    row.expires = entry.expires();
    Ok(row)
}

/// The variables of this process that hold foreign keys.
pub fn foreign_variables() -> Result<Vec<Variable>> {
    let own = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| ForeignKeys::is_variable(name))?;
        Some((name, value.into_string()))
    });
    own.map(|(name, value)| match value {
        Ok(value) => Ok((name, Zeroizing::new(value))),
        Err(_) => Err(Error::usage(format!("the variable {name} is not text"))),
    })
    .collect()
}

/// An error of the text formats; they never quote a value.
pub fn text_error(error: &interchange::Error) -> Error {
    let (kind, code) = match error {
        interchange::Error::Collision { .. } => (ErrorKind::Conflict, "variable_collision"),
        _ => (ErrorKind::Usage, "bad_format"),
    };
    Error::new(kind, code, error.to_string())
}
