//! `vault token create`

use clap::Args;
use serde_json::Value;
use zeroize::Zeroizing;

use super::object;
use crate::audit::{Action, Event};
use crate::commands::context::{Context, OutputFormat, parse_duration};
use crate::commands::exit;
use crate::commands::present::versioned;
use crate::commands::times::parse_expiry;
use crate::format::token::{Rights, Token};
use crate::term::output;
use crate::vault::field::Wiped;
use crate::vault::{Error, Result};

/// Make a token, and print it
///
/// It is printed once, on standard output, and can be had from nowhere afterwards. What it may do: --read, --write, --rotate, or --admin, which is
/// everything; without any of them, read, write and rotate. Each list that is given limits it further; an administrator's token cannot be limited
/// to some entries.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// What to call it
    #[arg(long, value_name = "NAME")]
    label: String,
    /// Values may be read
    #[arg(long, visible_alias = "read-only")]
    read: bool,
    /// Entries may be made, changed and removed
    #[arg(long)]
    write: bool,
    /// Entries may get generated values
    #[arg(long)]
    rotate: bool,
    /// Everything: also tokens, keys, the audit log, and sealing the vault
    #[arg(long)]
    admin: bool,
    /// Only entries of this category; may be repeated
    #[arg(long = "category", value_name = "CATEGORY")]
    categories: Vec<String>,
    /// Only entries of this environment, "" for those without one; may be repeated
    #[arg(long = "environment", value_name = "ENVIRONMENT")]
    environments: Vec<String>,
    /// Only entries whose names match this pattern: * ? [a-z], where * also matches /; may be repeated
    #[arg(long = "name", value_name = "GLOB")]
    names: Vec<String>,
    /// Only from this network or address: 10.0.0.0/8, ::1; may be repeated
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<String>,
    /// It ends after this time, such as 30d, at the end of this day in UTC, or at this time: 2027-01-31, 2027-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN", visible_alias = "ttl")]
    expires: Option<String>,
    /// It is good for so many requests
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    uses: Option<u64>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

impl CreateArgs {
    fn rights(&self) -> Rights {
        let given =
            [(self.read, Rights::READ), (self.write, Rights::WRITE), (self.rotate, Rights::ROTATE), (self.admin, Rights::ADMIN)];
        let rights = given.into_iter().filter(|(given, _)| *given).fold(Rights::default(), |sum, (_, right)| sum.and(right));
        if rights.is_empty() { Rights::READ.and(Rights::WRITE).and(Rights::ROTATE) } else { rights }
    }

    fn token(&self, now: u64) -> Result<Token> {
        let list = |items: &Vec<String>| Some(items.clone()).filter(|items| !items.is_empty());
        let mut token = Token::new(self.label.clone(), [0; 32], now);
        token.rights = self.rights();
        (token.categories, token.environments) = (list(&self.categories), list(&self.environments));
        (token.names, token.networks) = (list(&self.names), list(&self.networks));
        token.uses = self.uses;
        token.expires = self.expires.as_deref().map(|text| ends(text, now)).transpose()?;
        Ok(token)
    }
}

/// A time from now, or a date.
fn ends(text: &str, now: u64) -> Result<u64> {
    let ends = match parse_duration(text) {
        Ok(duration) => now.saturating_add(duration),
        Err(_) => parse_expiry(text).map_err(|_| {
            Error::usage(format!("'{}' is neither a duration nor a date", output::printable(text)))
                .hint("written like 12h, 30d, 2027-01-31 or 2027-01-31T12:00:00Z")
        })?,
    };
    if ends <= now {
        return Err(Error::usage("the token would have expired already"));
    }
    Ok(ends)
}

pub fn run(context: &mut Context, args: CreateArgs) -> Result<u8> {
    let now = context.now();
    let token = args.token(now)?;
    let vault = context.unlock()?;
    context.about(&vault, Action::TokenCreate, None)?;
    let (id, secret) = vault.create_token(token, now)?;
    let token = vault.token(id)?;
    context.record(&vault, &[Event::new(Action::TokenCreate).detail(format!("token {id} '{}'", token.label))])?;
    let printed = match args.format {
        OutputFormat::Json => {
            let text = std::str::from_utf8(secret.expose()).map_err(|_| Error::usage("a token is text"))?;
            let mut shown = Wiped(versioned(object(id, &token, now)));
            shown.0["token"] = Value::String(text.to_owned());
            let mut line = Zeroizing::new(shown.0.to_string().into_bytes());
            line.push(b'\n');
            output::value(&line, false)
        }
        OutputFormat::Text => output::value(secret.expose(), output::stdout_is_terminal()),
    };
    // A token that nobody has got is one that nobody would revoke.
    if let Err(error) = printed {
        if vault.revoke_token(id, context.now()).is_ok() {
            context.record(&vault, &[Event::new(Action::TokenRevoke).detail(format!("token {id} '{}'", token.label))])?;
        }
        return Err(error);
    }
    context.note(&format!("token {id} '{}': {}", output::printable(&token.label), token.rights.words().join(", ")));
    Ok(exit::OK)
}
