//! `vault git docker-credential`

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::super::context::{Context, parse_name};
use super::super::exit;
use super::super::record::event_of;
use super::{field, input, object};
use crate::audit::{Action, Event};
use crate::format::record::Kind;
use crate::name::EntryId;
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Error, Filter, Result, Scope, Write};

/// Keep docker's credentials: docker calls this itself, as docker-credential-vault
///
/// Link that name to this program in a directory of PATH, and set "credsStore": "vault" in ~/.docker/config.json. The
/// credential of a registry is the entry docker/URL, a JSON object with username and secret.
#[derive(Args, Debug)]
pub struct DockerCredentialArgs {
    /// What docker asks for
    #[arg(value_enum)]
    operation: Operation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Operation {
    Get,
    Store,
    Erase,
    List,
}

/// What docker looks for in what a helper prints, to tell that nothing is stored from a failure.
const NOT_FOUND: &str = "credentials not found in native keychain\n";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credential {
    #[serde(rename = "ServerURL")]
    server_url: String,
    username: String,
    secret: Zeroized,
}

/// A text that is wiped.
struct Zeroized(Zeroizing<String>);

impl<'de> Deserialize<'de> for Zeroized {
    fn deserialize<D: serde::Deserializer<'de>>(source: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(source).map(|text| Self(Zeroizing::new(text)))
    }
}

pub fn run(context: &mut Context, args: DockerCredentialArgs) -> Result<u8> {
    if args.operation == Operation::List {
        return list(context);
    }
    let text = input()?;
    if args.operation == Operation::Store {
        let credential: Credential =
            serde_json::from_str(&text).map_err(|_| Error::usage("this is not a credential of docker"))?;
        let value = object(&[("username", &credential.username), ("secret", &credential.secret.0)]);
        let (vault, id) = (context.unlock()?, entry(&credential.server_url)?);
        let outcome = vault.set(&id, Write::value(value, Kind::Json), context.now())?;
        context.record_write(&vault, Action::Set, &id, outcome.version)?;
        return Ok(exit::OK);
    }
    let url = text.trim();
    let id = entry(url)?;
    let vault = context.unlock()?;
    if vault.entry(&id)?.is_none() {
        output::print(NOT_FOUND)?;
        return Ok(exit::code(crate::vault::ErrorKind::NotFound));
    }
    if args.operation == Operation::Erase {
        let event = event_of(&vault, Action::Remove, &id);
        vault.remove(&[id], context.now())?;
        context.record(&vault, &[event])?;
        return Ok(exit::OK);
    }
    let value = vault.value(&id, None)?;
    let (Some(username), Some(secret)) = (field(&value, "username"), field(&value, "secret")) else {
        return Err(Error::usage(format!("'{id}' is no JSON object with username and secret")));
    };
    context.record(&vault, &[event_of(&vault, Action::Credential, &id)])?;
    let answer = object(&[("ServerURL", url), ("Username", &username), ("Secret", &secret)]);
    output::print(std::str::from_utf8(answer.expose()).unwrap_or_default())?;
    Ok(exit::OK)
}

fn entry(url: &str) -> Result<EntryId> {
    Ok(EntryId::plain(parse_name(&format!("docker/{url}"))?))
}

/// The user of each registry.
fn list(context: &mut Context) -> Result<u8> {
    let vault = context.unlock()?;
    let mut ids = Vec::new();
    vault.list(&Filter { scope: Scope::One(None), category: None }, &mut |found| {
        if found.name.starts_with("docker/") {
            ids.push(found.id()?);
        }
        Ok(Walk::Continue(()))
    })?;
    let mut users = Map::new();
    for id in ids {
        if let (Some(url), Some(username)) =
            (id.name.as_str().strip_prefix("docker/"), field(&vault.value(&id, None)?, "username"))
        {
            users.insert(url.to_owned(), Value::String(username.to_string()));
        }
    }
    context.record(&vault, &[Event::new(Action::Credential).detail(format!("the user names of {} registries", users.len()))])?;
    output::print(&format!("{}\n", Value::Object(users)))?;
    Ok(exit::OK)
}
