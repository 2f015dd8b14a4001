//! `vault git`: one file for each of its subcommands. This one only lists and dispatches.

mod credential;
mod docker_credential;
mod install;
mod textconv;

use std::io::Read as _;

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::context::Context;
use super::files::{read_all, standard_input};
use crate::secret::{Growing, SecretValue};
use crate::vault::field::{self, FieldPath};
use crate::vault::{Error, Result};

/// Diffs, merges and credentials for git and docker
///
/// install sets up a repository: `git diff` then shows which entries changed and never a value, and `git merge` joins two
/// versions of a vault entry by entry. git-credential-vault and docker-credential-vault, as links to this program, are helpers
/// that keep the credentials of git and docker in the vault.
#[derive(Args, Debug)]
pub struct GitArgs {
    #[command(subcommand)]
    command: GitCommand,
}

#[derive(Subcommand, Debug)]
enum GitCommand {
    Install(install::InstallArgs),
    Textconv(textconv::TextconvArgs),
    Credential(credential::CredentialArgs),
    DockerCredential(docker_credential::DockerCredentialArgs),
}

pub fn run(context: &mut Context, args: GitArgs) -> Result<u8> {
    match args.command {
        GitCommand::Install(args) => install::run(context, args),
        GitCommand::Textconv(args) => textconv::run(context, args),
        GitCommand::Credential(args) => credential::run(context, args),
        GitCommand::DockerCredential(args) => docker_credential::run(context, args),
    }
}

/// The longest input of a helper: whatever is longer is no credential.
const MOST_INPUT: u64 = 1 << 20;

/// What git or docker gives a helper.
fn input() -> Result<Zeroizing<String>> {
    let bytes = read_all(&mut standard_input()?.take(MOST_INPUT), 4096, "read standard input")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::usage("the credential is not text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A field of an entry that holds a JSON object; nothing if it is no such entry.
fn field(value: &SecretValue, name: &str) -> Option<Zeroizing<String>> {
    let path = FieldPath::parse(name).ok()?;
    let found = field::get(value, &path).ok()?;
    std::str::from_utf8(found.expose()).ok().map(|text| Zeroizing::new(text.to_owned()))
}

/// A JSON object of texts.
fn object(fields: &[(&str, &str)]) -> SecretValue {
    let mut bytes = Growing::default();
    for (at, (name, text)) in fields.iter().enumerate() {
        bytes.push(if at == 0 { b"{" } else { b"," });
        for (part, end) in [(name, &b":"[..]), (text, b"")] {
            serde_json::to_writer(&mut bytes, part).expect("text can be written into memory");
            bytes.push(end);
        }
    }
    bytes.push(b"}");
    SecretValue::new(bytes.into_bytes())
}
