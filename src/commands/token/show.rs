//! `vault token show`

use clap::Args;

use super::{find, limits, object, state};
use crate::commands::context::{Context, OutputFormat, format_time};
use crate::commands::exit;
use crate::commands::present::versioned;
use crate::format::token::Token;
use crate::term::output;
use crate::vault::{Result, TokenId};

/// Show everything about a token but the token itself
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The token: its id, or its label
    #[arg(value_name = "TOKEN")]
    which: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: ShowArgs) -> Result<u8> {
    let now = context.now();
    let (id, token) = find(&context.unlock()?, &args.which)?;
    let text = match args.format {
        OutputFormat::Json => format!("{}\n", versioned(object(id, &token, now))),
        OutputFormat::Text => output::columns(&rows(id, &token, now)),
    };
    output::print(&text)?;
    Ok(exit::OK)
}

fn rows(id: TokenId, token: &Token, now: u64) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut add = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    add("id", id.to_string());
    add("label", output::printable(&token.label));
    add("state", state(token, now).to_owned());
    add("rights", token.rights.words().join(", "));
    for (what, items) in limits(token) {
        add(what, items);
    }
    if let Some(uses) = token.uses {
        add("uses left", uses.to_string());
    }
    add("created", format_time(token.created));
    for (what, time) in [("expires", token.expires), ("revoked", token.revoked)] {
        if let Some(time) = time {
            add(what, format_time(time));
        }
    }
    rows
}
