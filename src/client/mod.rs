//! The client of a server: entries and their values by its native API, over TCP, TLS or a Unix socket.
//!
//! It blocks, for a command has nothing else to do meanwhile. What the server refuses comes back as the error that the vault itself would have given.

mod answer;
mod connect;
mod unix;
mod webhook;
mod wire;

use std::collections::BTreeSet;

use serde_json::value::RawValue;

pub use answer::Answer;
pub use connect::{Client, Pair, Place, Settings};
pub use webhook::{Poster, host_of};
pub use wire::Received;

use crate::name::{Category, EntryId, Environment, Name};
use crate::secret::SecretValue;
use crate::vault::generate::Generator;
use crate::vault::{Error, ErrorKind, Filter, Outcome, Result, Scope, Write};

/// How many entries one request asks for.
const PAGE: u64 = 1000;

/// Where the new value of a rotation comes from.
pub enum NewValue {
    /// The server generates it.
    Generated(Generator),
    /// It is this one.
    Given(SecretValue),
}

impl Client {
    /// An entry with the value of a version (`None`: the current one); `None` if there is no such entry.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is an entry, and no such version; [`ErrorKind::Expired`] if it has expired.
    pub fn entry(&self, id: &EntryId, version: Option<u64>) -> Result<Option<Received>> {
        let mut path = path_of("entries", id);
        if let Some(version) = version {
            path += if path.contains('?') { "&" } else { "?" };
            path += &format!("version={version}");
        }
        let answer = self.get(&path)?;
        if answer.is_missing_entry() {
            return Ok(None);
        }
        if answer.status() == 404 {
            let version = version.map_or_else(String::new, |version| format!(" {version}"));
            return Err(Error::new(ErrorKind::NotFound, "version_not_found", format!("'{id}' has no version{version}"))
                .hint("`vault get` without --version gives the current one"));
        }
        if answer.status() == 410 {
            return Err(Error::new(ErrorKind::Expired, "expired", format!("'{id}' has expired"))
                .hint("set a new value; a server hands out nothing that has expired"));
        }
        answer.good().and_then(|answer| wire::entry(answer.body())).map(Some)
    }

    /// Walks the entries that a filter shows, page by page; with their values, those that have not expired.
    pub fn entries(&self, filter: &Filter, with_values: bool, visit: &mut dyn FnMut(Received) -> Result<()>) -> Result<()> {
        let mut cursor: Option<String> = None;
        loop {
            let answer = match with_values {
                true => self.post("/v1/export", &wire::selection(filter, PAGE, cursor.as_deref())?)?,
                false => self.get(&listing(filter, cursor.as_deref()))?,
            };
            let (entries, next) = wire::page(answer.good()?.body())?;
            entries.into_iter().try_for_each(&mut *visit)?;
            match next {
                // A server that stands still would be asked for ever.
                Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => return Ok(()),
            }
        }
    }

    /// The names of all entries of an environment.
    pub fn names(&self, environment: Option<&Environment>) -> Result<BTreeSet<Name>> {
        let mut names = BTreeSet::new();
        let filter = Filter { scope: Scope::One(environment.cloned()), category: None };
        self.entries(&filter, false, &mut |received| {
            names.insert(received.entry.id().name.clone());
            Ok(())
        })?;
        Ok(names)
    }

    /// Writes one entry.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if `if_version` or `create_only` does not hold, [`ErrorKind::NotFound`] if only metadata is to change and there is no entry.
    pub fn set(&self, id: &EntryId, write: &Write) -> Result<Outcome> {
        let body = wire::contents(write)?;
        let path = path_of("entries", id);
        let create_only = write.create_only || write.if_version == Some(0);
        let condition = match write.if_version {
            _ if create_only => Some(("if-none-match", "*".to_owned())),
            Some(version) => Some(("if-match", format!("\"{version}\""))),
            None => None,
        };
        let method = if write.value.is_some() { "PUT" } else { "PATCH" };
        let answer = self.send(method, &path, condition.as_ref().map(|(name, value)| (*name, value.as_str())), Some(&body))?;
        match answer.status() {
            404 => Err(no_entry(id)),
            412 if write.create_only => Err(Error::new(ErrorKind::Conflict, "exists", format!("'{id}' exists already"))),
            412 => Err(Error::new(ErrorKind::Conflict, "version_mismatch", format!("'{id}' is of another version"))
                .hint("read it again, and decide on what is there now")),
            _ => {
                let answer = answer.good()?;
                let version = wire::entry_without_value(answer.body())?.version();
                Ok(Outcome { version, created: answer.status() == 201, note: None })
            }
        }
    }

    /// Removes one entry with all its versions.
    pub fn remove(&self, id: &EntryId) -> Result<()> {
        let answer = self.send("DELETE", &path_of("entries", id), None, None)?;
        if answer.is_missing_entry() { Err(no_entry(id)) } else { answer.good().map(drop) }
    }

    /// Gives an entry that is there another value, and returns its version then.
    pub fn rotate(&self, id: &EntryId, value: &NewValue, grace: Option<&str>, if_version: Option<u64>) -> Result<u64> {
        let body = wire::rotation(value, grace)?;
        let condition = if_version.map(|version| format!("\"{version}\""));
        let condition = condition.as_deref().map(|tag| ("if-match", tag));
        let answer = self.send("POST", &path_of("rotate", id), condition, Some(&body))?;
        match answer.status() {
            412 => Err(Error::new(ErrorKind::Conflict, "version_mismatch", format!("'{id}' is of another version"))
                .hint("read it again, and decide on what is there now")),
            _ if answer.is_missing_entry() => Err(no_entry(id)),
            _ => wire::entry_without_value(answer.good()?.body()).map(|entry| entry.version()),
        }
    }

    /// Whether there is an entry, without its value leaving the server.
    pub fn is_there(&self, id: &EntryId) -> Result<bool> {
        let answer = self.get(&path_of("history", id))?;
        if answer.is_missing_entry() { Ok(false) } else { answer.good().map(|_| true) }
    }
}

fn no_entry(id: &EntryId) -> Error {
    Error::new(ErrorKind::NotFound, "not_found", format!("there is no entry '{id}'"))
        .hint("`vault list` shows the names; `vault find TEXT` searches them")
}

/// The path of a resource of an entry. A `/` of its name stands as it is.
fn path_of(resource: &str, id: &EntryId) -> String {
    let name = connect::escaped(id.name.as_str());
    match &id.environment {
        None => format!("/v1/{resource}/{name}"),
        Some(environment) => format!("/v1/{resource}/{name}?env={}", connect::escaped(environment.as_str())),
    }
}

fn listing(filter: &Filter, cursor: Option<&str>) -> String {
    let environment = match &filter.scope {
        Scope::All => None,
        Scope::One(environment) => Some(environment.as_ref().map_or("", Environment::as_str)),
    };
    let category = filter.category.as_ref().map(Category::as_str);
    let mut path = format!("/v1/entries?limit={PAGE}");
    for (name, value) in [("env", environment), ("category", category), ("cursor", cursor)] {
        if let Some(value) = value {
            path += &format!("&{name}={}", connect::escaped(value));
        }
    }
    path
}

/// A JSON text that is part of another.
fn raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text).map_err(|_| Error::new(ErrorKind::Internal, "internal", "a JSON text is none"))
}
