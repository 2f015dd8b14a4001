//! The entry that a command is about: the one that is named, or at a terminal one that a person chooses.

use std::collections::BTreeSet;

use super::context::Context;
use super::source::Source;
use crate::name::{EntryId, Environment};
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Error, ErrorKind, Filter, Result, Scope, Vault};

/// Which names there are to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// Those of the environment.
    Exact,
    /// Also those without an environment, which stand in for what it does not have.
    Fallback,
}

impl Context {
    /// Where the entry of this name is, or one that is chosen.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] without a name where nobody can be asked: standard input is data and no answer.
    pub(super) fn source_for(&mut self, name: Option<&str>, among: Among) -> Result<(Source, EntryId)> {
        match name {
            Some(name) => {
                let id = self.entry_id(name)?;
                Ok((self.source()?, id))
            }
            None if self.server_address()?.is_some() => {
                Err(Error::usage("no entry is named")
                    .hint("with a server, its name is an argument; `vault list` shows the names"))
            }
            None => self.unlock_for(None, among).map(|(vault, id)| (Source::Vault(Box::new(vault)), id)),
        }
    }

    /// Unlocks the vault for the entry of this name, or for one that is chosen.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] without a name where nobody can be asked: standard input is data and no answer.
    pub(super) fn unlock_for(&mut self, name: Option<&str>, among: Among) -> Result<(Vault, EntryId)> {
        if let Some(name) = name {
            let id = self.entry_id(name)?;
            return Ok((self.unlock()?, id));
        }
        let prompter = if output::stdin_is_terminal() { self.prompter() } else { None };
        let prompter = prompter.ok_or_else(|| {
            Error::usage("no entry is named").hint("at a terminal, one is chosen from a list; elsewhere its name is an argument")
        })?;
        let environment = self.environment()?;
        let vault = self.unlock()?;
        let names = names(&vault, environment.as_ref(), among)?;
        if names.is_empty() {
            return Err(Error::new(ErrorKind::NotFound, "not_found", "there is no entry to choose")
                .hint("`vault list -a` shows the entries of all environments"));
        }
        let chosen = prompter.choose("Entry", &names).map_err(|error| Error::io("read the choice", &error))?;
        match chosen.and_then(|index| names.get(index)) {
            Some(name) => Ok((vault, self.entry_id(name)?)),
            None => Err(Error::new(ErrorKind::Usage, "not_chosen", "no entry was chosen")),
        }
    }
}

fn names(vault: &Vault, environment: Option<&Environment>, among: Among) -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    let mut add = |environment: Option<&Environment>| {
        vault.list(&Filter { scope: Scope::One(environment.cloned()), category: None }, &mut |found| {
            names.insert(found.name.to_owned());
            Ok(Walk::Continue(()))
        })
    };
    add(environment)?;
    if among == Among::Fallback && environment.is_some() {
        add(None)?;
    }
    Ok(names.into_iter().collect())
}
