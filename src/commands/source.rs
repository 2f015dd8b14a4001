//! Where the entries of a run are: in a vault, or with a server. Commands that work with both ask here, and do the rest in one way.

use super::context::Context;
use super::present;
use crate::client::{Client, Received};
use crate::format::record::Kind;
use crate::name::{EntryId, Environment};
use crate::secret::SecretValue;
use crate::store::Walk;
use crate::vault::field::{self, FieldPath};
use crate::vault::{Change, Entry, Error, ErrorKind, Filter, Outcome, Reference, Result, Vault, Write};

/// How often a field is written anew when somebody else was faster.
const ATTEMPTS: usize = 16;

/// Where entries are.
pub enum Source {
    /// In a vault, which is open.
    Vault(Box<Vault>),
    /// With a server.
    Server(Box<Client>),
}

/// An entry that was found, and its value if that came with it.
pub struct Held {
    /// All but the value; of one that a server gave, only what it says.
    pub entry: Entry,
    value: Option<SecretValue>,
}

impl Held {
    /// One of a vault, whose value is still there.
    pub fn stored(entry: Entry) -> Self {
        Self { entry, value: None }
    }
}

impl From<Received> for Held {
    fn from(received: Received) -> Self {
        Self { entry: received.entry, value: received.value }
    }
}

impl Context {
    /// The server of this run, or else the vault, unlocked.
    pub(super) fn source(&mut self) -> Result<Source> {
        match self.server()? {
            Some(client) => Ok(Source::Server(Box::new(client))),
            None => self.unlock().map(|vault| Source::Vault(Box::new(vault))),
        }
    }
}

impl Source {
    /// The vault, if it is one. What is done with a server, the server records.
    pub fn vault(&self) -> Option<&Vault> {
        match self {
            Self::Vault(vault) => Some(vault),
            Self::Server(_) => None,
        }
    }

    /// The vault, for what servers do not offer.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if it is a server.
    pub fn only_vault(&self, what: &str) -> Result<&Vault> {
        self.vault().ok_or_else(|| {
            Error::new(ErrorKind::Usage, "not_remote", format!("{what} works on a vault file, and not with a server"))
        })
    }

    /// The entry with this identity or, if there is none, the one of that name without an environment. The version is the one whose value will be asked for.
    pub fn entry_or_fallback(&self, id: &EntryId, version: Option<u64>) -> Result<Option<Held>> {
        match self {
            Self::Vault(vault) => Ok(vault.entry_or_fallback(id)?.map(Held::stored)),
            Self::Server(client) => match client.entry(id, version)? {
                None if id.environment.is_some() => Ok(client.entry(&EntryId::plain(id.name.clone()), version)?.map(Held::from)),
                found => Ok(found.map(Held::from)),
            },
        }
    }

    /// The value of a version of an entry that was found.
    pub fn value_of(&self, held: &Held, version: Option<u64>) -> Result<SecretValue> {
        match self {
            Self::Vault(vault) => vault.value_of(&held.entry, version),
            Self::Server(client) => {
                let id = held.entry.id();
                if let Some(value) = held.value.as_ref().filter(|_| version.is_none_or(|version| version == held.entry.version()))
                {
                    return Ok(SecretValue::new(value.expose().to_vec().into()));
                }
                let received = client.entry(id, version)?.ok_or_else(|| present::not_found(id))?;
                received.value.ok_or_else(|| Error::new(ErrorKind::Network, "strange_answer", "the server gave no value"))
            }
        }
    }

    /// As [`Vault::resolve`].
    pub fn resolve(
        &self,
        reference: &Reference,
        environment: Option<&Environment>,
        admit: &mut dyn FnMut(&Entry) -> Result<()>,
    ) -> Result<(SecretValue, Kind)> {
        if let Self::Vault(vault) = self {
            return vault.resolve(reference, environment, admit);
        }
        let id = reference.id(environment);
        let held = self.entry_or_fallback(&id, reference.version)?.ok_or_else(|| present::not_found(&id))?;
        admit(&held.entry)?;
        let value = self.value_of(&held, reference.version)?;
        match &reference.field {
            Some(path) => field::get(&value, path).map(|value| (value, Kind::Text)),
            None => Ok((value, held.entry.kind())),
        }
    }

    /// Walks the entries that a filter shows. With a server they come with their values if these are wanted, and then without what has expired.
    pub fn entries(&self, filter: &Filter, with_values: bool, visit: &mut dyn FnMut(Held) -> Result<()>) -> Result<()> {
        match self {
            Self::Vault(vault) => vault.entries(filter, &mut |entry| visit(Held::stored(entry)).map(|()| Walk::Continue(()))),
            Self::Server(client) => client.entries(filter, with_values, &mut |received| visit(received.into())),
        }
    }

    /// As [`Vault::set`].
    pub fn set(&self, id: &EntryId, write: Write, now: u64) -> Result<Outcome> {
        match self {
            Self::Vault(vault) => vault.set(id, write, now),
            Self::Server(_) if write.force => self.only_vault("--force").and_then(|vault| vault.set(id, write, now)),
            Self::Server(client) => client.set(id, &write),
        }
    }

    /// Writes a field of an entry: nothing that somebody else writes meanwhile is lost.
    pub fn set_field(
        &self,
        id: &EntryId,
        write: &Write,
        path: &FieldPath,
        new: &SecretValue,
        json: bool,
        now: u64,
    ) -> Result<Outcome> {
        let client = match self {
            Self::Vault(vault) => {
                return vault.update(id, now, write.if_version, &mut |old| {
                    let new = field::set(old.map(|(_, value)| value), path, new, json)?;
                    Ok(write.with_value(new, Kind::Json))
                });
            }
            Self::Server(client) => client,
        };
        let mut attempts = 0;
        loop {
            let held = client.entry(id, None)?.map(Held::from);
            let old = held.as_ref().map(|held| self.value_of(held, None)).transpose()?;
            let whole = field::set(old.as_ref(), path, new, json)?;
            let mut next = write.with_value(whole, Kind::Json);
            let there = held.as_ref().map_or(0, |held| held.entry.version());
            next.if_version = next.if_version.or(Some(there));
            // To the server a new value has no expiry unless it says so.
            if let (Change::Keep, Some(expires)) = (&next.expires, held.as_ref().and_then(|held| held.entry.expires())) {
                next.expires = Change::Set(expires);
            }
            attempts += 1;
            match self.set(id, next, now) {
                Err(error) if error.code() == "version_mismatch" && write.if_version.is_none() && attempts < ATTEMPTS => {}
                done => return done,
            }
        }
    }

    /// Removes entries: all of them or, if one is not there, none. With a server one after the other, once all were seen to be there.
    pub fn remove(&mut self, ids: &[EntryId], force: bool, now: u64) -> Result<Option<String>> {
        match self {
            Self::Vault(vault) if force => vault.remove_all_the_same(ids, now),
            Self::Vault(vault) => vault.remove(ids, now),
            Self::Server(_) if force => self.only_vault("--force").map(|_| None),
            Self::Server(client) => {
                if ids.len() > 1 {
                    for id in ids {
                        if !client.is_there(id)? {
                            return Err(present::not_found(id));
                        }
                    }
                }
                ids.iter().try_for_each(|id| client.remove(id)).map(|()| None)
            }
        }
    }
}
