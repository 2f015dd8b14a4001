//! `vault git credential`

use clap::{Args, ValueEnum};
use zeroize::Zeroizing;

use super::super::context::{Context, parse_name};
use super::super::exit;
use super::super::record::event_of;
use super::{field, input, object};
use crate::audit::Action;
use crate::format::record::Kind;
use crate::name::EntryId;
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Filter, Result, Scope, Vault, Write};

/// Keep git's credentials: git calls this itself, see gitcredentials(7)
///
/// The credential of a host is the entry git/HOST, a JSON object with protocol, username and password; those of further users
/// of the same host are git/HOST/USER. What is stored for https is never given to another protocol.
#[derive(Args, Debug)]
pub struct CredentialArgs {
    /// What git asks for
    operation: String,
}

/// What a helper is asked for; others may come, and are passed over.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Operation {
    Get,
    Store,
    Erase,
}

/// What git says on standard input.
#[derive(Default)]
struct Asked {
    protocol: String,
    host: String,
    username: Option<String>,
    password: Option<Zeroizing<String>>,
}

pub fn run(context: &mut Context, args: CredentialArgs) -> Result<u8> {
    let Ok(operation) = Operation::from_str(&args.operation, false) else { return Ok(exit::OK) };
    let asked = read(&input()?);
    if asked.host.is_empty() || asked.protocol.is_empty() {
        return Ok(exit::OK);
    }
    let vault = context.unlock()?;
    let found = find(&vault, &asked)?;
    match (operation, found) {
        (Operation::Get, Some((id, username, password))) => {
            context.record(&vault, &[event_of(&vault, Action::Credential, &id)])?;
            let mut answer = Zeroizing::new(String::with_capacity(32 + username.len() + password.len()));
            for part in ["username=", &username, "\npassword=", &password, "\n"] {
                answer.push_str(part);
            }
            output::print(&answer)?;
        }
        (Operation::Store, found) => store(context, &vault, &asked, found)?,
        (Operation::Erase, Some((id, _, password))) => {
            // Only what was refused: another one may have been stored meanwhile.
            if asked.password.as_ref().is_none_or(|refused| **refused == *password) {
                let event = event_of(&vault, Action::Remove, &id);
                vault.remove(&[id], context.now())?;
                context.record(&vault, &[event])?;
            }
        }
        (Operation::Get | Operation::Erase, None) => {}
    }
    Ok(exit::OK)
}

fn read(text: &str) -> Asked {
    let mut asked = Asked::default();
    for line in text.lines() {
        match line.split_once('=') {
            Some(("protocol", value)) => value.clone_into(&mut asked.protocol),
            Some(("host", value)) => value.clone_into(&mut asked.host),
            Some(("username", value)) => asked.username = Some(value.to_owned()),
            Some(("password", value)) => asked.password = Some(Zeroizing::new(value.to_owned())),
            _ => {}
        }
    }
    asked
}

/// The entry for what is asked, its user name and password.
fn find(vault: &Vault, asked: &Asked) -> Result<Option<(EntryId, String, Zeroizing<String>)>> {
    let host = format!("git/{}", asked.host);
    let mut ids = vec![EntryId::plain(parse_name(&host)?)];
    vault.list(&Filter { scope: Scope::One(None), category: None }, &mut |found| {
        if found.name.strip_prefix(&host).is_some_and(|rest| rest.starts_with('/')) {
            ids.push(found.id()?);
        }
        Ok(Walk::Continue(()))
    })?;
    for id in ids {
        if vault.entry(&id)?.is_none() {
            continue;
        }
        let value = vault.value(&id, None)?;
        let fields = (field(&value, "protocol"), field(&value, "username"), field(&value, "password"));
        let (Some(protocol), Some(username), Some(password)) = fields else { continue };
        if *protocol == asked.protocol && asked.username.as_ref().is_none_or(|asked| *asked == *username) {
            return Ok(Some((id, username.to_string(), password)));
        }
    }
    Ok(None)
}

fn store(context: &Context, vault: &Vault, asked: &Asked, found: Option<(EntryId, String, Zeroizing<String>)>) -> Result<()> {
    let (Some(username), Some(password)) = (&asked.username, &asked.password) else { return Ok(()) };
    let id = match found {
        Some((_, _, stored)) if *stored == **password => return Ok(()),
        Some((id, ..)) => id,
        None => {
            let host = EntryId::plain(parse_name(&format!("git/{}", asked.host))?);
            match vault.entry(&host)? {
                None => host,
                Some(_) => EntryId::plain(parse_name(&format!("git/{}/{username}", asked.host))?),
            }
        }
    };
    let value = object(&[("protocol", &asked.protocol), ("username", username), ("password", password)]);
    let outcome = vault.set(&id, Write::value(value, Kind::Json), context.now())?;
    context.record_write(vault, Action::Set, &id, outcome.version)
}
