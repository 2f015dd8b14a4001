//! `vault user list`

use clap::Args;
use serde_json::json;

use super::{object, second_factor, standing};
use crate::commands::context::{Context, OutputFormat, format_time};
use crate::commands::exit;
use crate::format::user::{SignIn, User};
use crate::term::output;
use crate::vault::Result;

/// Show the users: what they may do, and whether they can sign in
#[derive(Args, Debug)]
pub struct ListArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
}

pub fn run(context: &mut Context, args: ListArgs) -> Result<u8> {
    let now = context.now();
    let users = context.unlock()?.users()?;
    let text = match args.format {
        OutputFormat::Json => {
            let users: Vec<_> = users.iter().map(|(_, user, state)| object(user, state, now)).collect();
            format!("{}\n", json!({ "version": 1, "users": users }))
        }
        OutputFormat::Text => output::columns(&users.iter().map(|(_, user, state)| row(user, state, now)).collect::<Vec<_>>()),
    };
    output::print(&text)?;
    Ok(exit::OK)
}

fn row(user: &User, state: &SignIn, now: u64) -> Vec<String> {
    let email = if user.email.is_empty() { "(no e-mail)".to_owned() } else { output::printable(&user.email) };
    let last = if state.last > 0 { format!("seen {}", format_time(state.last)) } else { "never seen".to_owned() };
    vec![
        output::printable(&user.name),
        email,
        user.role.word().to_owned(),
        format!("since {}", format_time(user.created)),
        last,
        second_factor(user).to_owned(),
        standing(user, state, now),
    ]
}
