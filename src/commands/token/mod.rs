//! `vault token`: one file for each of its subcommands. This one lists and dispatches, and holds what they share: which token, and how one looks.

mod create;
mod list;
mod revoke;
mod show;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::context::{Context, format_time};
use crate::format::token::Token;
use crate::term::output;
use crate::vault::{Error, ErrorKind, Result, TokenId, TokenRefused, Vault};

/// Tokens for clients of the server
///
/// A client presents a token as `Authorization: Bearer TOKEN`, or with --server as VAULT_SERVER_TOKEN or in the file VAULT_SERVER_TOKEN_FILE. The vault
/// keeps what proves it and never the token itself.
#[derive(Args, Debug)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand, Debug)]
enum TokenCommand {
    Create(create::CreateArgs),
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    Show(show::ShowArgs),
    Revoke(revoke::RevokeArgs),
}

pub fn run(context: &mut Context, args: TokenArgs) -> Result<u8> {
    match args.command {
        TokenCommand::Create(args) => create::run(context, args),
        TokenCommand::List(args) => list::run(context, args),
        TokenCommand::Show(args) => show::run(context, args),
        TokenCommand::Revoke(args) => revoke::run(context, args),
    }
}

/// The token that is meant: by its id, or by a label that no other token has.
fn find(vault: &Vault, text: &str) -> Result<(TokenId, Token)> {
    if let Some(id) = TokenId::parse(text) {
        return Ok((id, vault.token(id)?));
    }
    let mut called = vault.tokens()?.into_iter().filter(|(_, token)| token.label == text);
    let found = called.next().ok_or_else(|| {
        // It is not repeated: people who mean a token give its secret.
        Error::new(ErrorKind::NotFound, "not_found", "there is no token of this id or label")
            .hint("`vault token list` shows them")
    })?;
    match called.next() {
        None => Ok(found),
        Some(_) => Err(Error::new(ErrorKind::Conflict, "ambiguous", "several tokens have this label")
            .hint("name one by its id: `vault token list` shows them")),
    }
}

/// Whether a token is good, and if not, why.
fn state(token: &Token, now: u64) -> &'static str {
    token.refused(now).map_or("good", TokenRefused::word)
}

/// A token without what proves it.
fn object(id: TokenId, token: &Token, now: u64) -> Value {
    json!({
        "id": id.to_string(),
        "label": token.label,
        "state": state(token, now),
        "rights": token.rights.words(),
        "categories": token.categories,
        "environments": token.environments,
        "names": token.names,
        "networks": token.networks,
        "uses_left": token.uses,
        "created": format_time(token.created),
        "expires": token.expires.map(format_time),
        "revoked": token.revoked.map(format_time),
    })
}

/// The lists that limit a token, with what they are called.
fn limits(token: &Token) -> impl Iterator<Item = (&'static str, String)> {
    let lists = [
        ("categories", &token.categories),
        ("environments", &token.environments),
        ("names", &token.names),
        ("networks", &token.networks),
    ];
    lists.into_iter().filter_map(|(what, list)| {
        let items: Vec<String> = list
            .as_ref()?
            .iter()
            .map(|item| if item.is_empty() { "(none)".to_owned() } else { output::printable(item) })
            .collect();
        Some((what, items.join(", ")))
    })
}
