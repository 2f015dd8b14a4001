//! What commands that export and import share: which entries and what of them, the errors of text formats, and foreign keys in
//! variables.

use zeroize::Zeroizing;

use crate::interchange::{self, Row};
use crate::name::{Category, EntryId, Environment};
use crate::store::Walk;
use crate::vault::{Entry, Error, ErrorKind, Filter, ForeignKeys, Result, Scope, Variable, Vault};

/// The entries of an environment, by name: what it does not have comes from the entries without one, as in `get`.
pub fn entries(vault: &Vault, environment: Option<&Environment>, category: Option<&Category>) -> Result<Vec<Entry>> {
    let filter =
        |environment: Option<&Environment>| Filter { scope: Scope::One(environment.cloned()), category: category.cloned() };
    let mut entries = collect(vault, &filter(environment))?;
    if environment.is_some() {
        let own: std::collections::BTreeSet<_> = entries.iter().map(|entry| entry.id().name.clone()).collect();
        for entry in collect(vault, &filter(None))? {
            let id = EntryId { environment: environment.cloned(), name: entry.id().name.clone() };
            // An entry of the environment that the category filter left out still stands before the general one.
            if !own.contains(&id.name) && vault.entry(&id)?.is_none() {
                entries.push(entry);
            }
        }
        entries.sort_by(|a, b| a.id().name.cmp(&b.id().name));
    }
    Ok(entries)
}

/// All entries that a filter shows.
pub fn collect(vault: &Vault, filter: &Filter) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    vault.entries(filter, &mut |entry| {
        entries.push(entry);
        Ok(Walk::Continue(()))
    })?;
    Ok(entries)
}

/// An entry as other formats take it.
pub fn row(vault: &Vault, entry: &Entry) -> Result<Row> {
    let value = vault.value_of(entry, None)?;
    let mut row = Row::new(entry.id().name.to_string(), entry.kind(), Zeroizing::new(value.expose().to_vec()));
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
