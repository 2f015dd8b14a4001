//! `vault token list`

use clap::Args;
use serde_json::json;

use super::{limits, object};
use crate::commands::context::{Context, OutputFormat, format_time};
use crate::commands::exit;
use crate::format::token::Token;
use crate::term::output;
use crate::vault::{Result, TokenId};

/// Show the tokens: what they may do, and whether they are good
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only those that are good
    #[arg(long)]
    good: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: ListArgs) -> Result<u8> {
    let now = context.now();
    let mut tokens = context.unlock()?.tokens()?;
    tokens.retain(|(_, token)| !args.good || token.refused(now).is_none());
    let text = match args.format {
        OutputFormat::Json => {
            let tokens: Vec<_> = tokens.iter().map(|(id, token)| object(*id, token, now)).collect();
            format!("{}\n", json!({ "version": 1, "tokens": tokens }))
        }
        OutputFormat::Text => output::columns(&tokens.iter().map(|(id, token)| row(*id, token, now)).collect::<Vec<_>>()),
    };
    output::print(&text)?;
    Ok(exit::OK)
}

fn row(id: TokenId, token: &Token, now: u64) -> Vec<String> {
    let limits: Vec<String> = limits(token).map(|(what, items)| format!("{what} {items}")).collect();
    let limits = if limits.is_empty() { "everything".to_owned() } else { limits.join("; ") };
    let state = match token.refused(now) {
        None => {
            let expires = token.expires.map(|expires| format!("expires {}", format_time(expires)));
            let uses = token.uses.map(|uses| format!("{uses} uses left"));
            expires.into_iter().chain(uses).collect::<Vec<_>>().join(", ")
        }
        Some(refused) => refused.word().to_owned(),
    };
    vec![id.to_string(), output::printable(&token.label), token.rights.words().join(","), limits, state]
}
