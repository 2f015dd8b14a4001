//! `vault user show`

use clap::Args;
use serde_json::json;

use super::{find, object, second_factor, standing, verifier};
use crate::commands::context::{Context, OutputFormat, format_time};
use crate::commands::exit;
use crate::commands::present::versioned;
use crate::format::user::{SignIn, User};
use crate::term::output;
use crate::vault::Result;

/// Show everything about a user but what proves them, and what they keep
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The user
    name: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: ShowArgs) -> Result<u8> {
    let now = context.now();
    let vault = context.unlock()?;
    let (mark, user) = find(&vault, &args.name)?;
    let (state, records) = (vault.sign_in(mark)?, vault.data(&user)?.len());
    let text = match args.format {
        OutputFormat::Json => {
            let mut shown = versioned(object(&user, &state, now));
            shown["records"] = json!(records);
            format!("{shown}\n")
        }
        OutputFormat::Text => output::columns(&rows(&user, &state, records, now)),
    };
    output::print(&text)?;
    Ok(exit::OK)
}

fn rows(user: &User, state: &SignIn, records: usize, now: u64) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut add = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    add("name", output::printable(&user.name));
    add("e-mail", output::printable(&user.email));
    add("role", user.role.word().to_owned());
    add("state", standing(user, state, now));
    add("created", format_time(user.created));
    add("last sign-in", if state.last > 0 { format_time(state.last) } else { "never".to_owned() });
    add("second factor", second_factor(user).to_owned());
    add("recovery codes", user.recovery.len().to_string());
    let pepper = if user.pepper.is_some() { ", with a pepper" } else { "" };
    add("password", format!("{}{pepper}", verifier(user)));
    add("records", records.to_string());
    rows
}
