//! `vault user`: one file for each of its subcommands. This one only lists and dispatches, and holds what they share: which user, and how one looks.

mod add;
mod disable;
mod enable;
mod export;
mod import;
mod list;
mod passwd;
mod password;
mod remove;
mod role;
mod show;
mod two_factor_off;
mod unlock;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::context::{Context, format_time};
use crate::audit::{Action, Event};
use crate::format::user::{PasswordVerifier, Role, SignIn, User};
use crate::term::output;
use crate::vault::users::{Mark, UserName};
use crate::vault::{Error, ErrorKind, Result, Vault};

/// Users of the server, who sign in with a name and a password
///
/// Each has a key ring of their own for what they keep with the server. Names that differ in case, blanks or the form of their characters are one
/// name. What is mixed into passwords comes from PEPPER or the file PEPPER_FILE, as for the server.
#[derive(Args, Debug)]
pub struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Subcommand, Debug)]
enum UserCommand {
    Add(add::AddArgs),
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    Show(show::ShowArgs),
    Passwd(passwd::PasswdArgs),
    Role(role::RoleArgs),
    Disable(disable::DisableArgs),
    Enable(enable::EnableArgs),
    Unlock(unlock::UnlockArgs),
    #[command(name = "2fa-off")]
    TwoFactorOff(two_factor_off::TwoFactorOffArgs),
    Export(export::ExportArgs),
    #[command(name = "rm", visible_alias = "remove")]
    Remove(remove::RemoveArgs),
    Import(import::ImportArgs),
}

pub fn run(context: &mut Context, args: UserArgs) -> Result<u8> {
    match args.command {
        UserCommand::Add(args) => add::run(context, args),
        UserCommand::List(args) => list::run(context, args),
        UserCommand::Show(args) => show::run(context, args),
        UserCommand::Passwd(args) => passwd::run(context, args),
        UserCommand::Role(args) => role::run(context, args),
        UserCommand::Disable(args) => disable::run(context, args),
        UserCommand::Enable(args) => enable::run(context, args),
        UserCommand::Unlock(args) => unlock::run(context, args),
        UserCommand::TwoFactorOff(args) => two_factor_off::run(context, args),
        UserCommand::Export(args) => export::run(context, args),
        UserCommand::Remove(args) => remove::run(context, args),
        UserCommand::Import(args) => import::run(context, args),
    }
}

/// A role, by its word.
fn parse_role(word: &str) -> std::result::Result<Role, String> {
    Role::parse(word).ok_or_else(|| "a role is admin, writer or reader".to_owned())
}

/// The user that is meant.
fn find(vault: &Vault, text: &str) -> Result<(Mark, User)> {
    vault.user(&UserName::of(text)).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Error::new(ErrorKind::NotFound, "no_user", format!("there is no user '{text}'")).hint("`vault user list` shows them")
        }
        _ => error,
    })
}

/// The users that are meant, each once, if all are there.
fn find_all(vault: &Vault, texts: &[String]) -> Result<Vec<UserName>> {
    let mut names = Vec::with_capacity(texts.len());
    for text in texts {
        find(vault, text)?;
        let name = UserName::of(text);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Changes users, records it of those whom `make` has changed, and says what became of each.
fn change(
    context: &mut Context,
    which: &[String],
    (done, nothing): (&str, &str),
    make: &mut dyn FnMut(&mut User, &mut SignIn, u64) -> Result<bool>,
) -> Result<()> {
    let vault = context.unlock()?;
    let now = context.now();
    context.about(&vault, Action::UserChange, None)?;
    let names = find_all(&vault, which)?;
    let changed = vault.update_users(&names, now, &mut |user, state| Ok((user.name.clone(), make(user, state, now)?)))?;
    let events = changed.iter().filter(|(_, is_changed)| *is_changed);
    let events: Vec<Event> = events.map(|(name, _)| event(Action::UserChange, name, done)).collect();
    context.record(&vault, &events)?;
    for (name, is_changed) in &changed {
        let name = output::printable(name);
        match is_changed {
            true => context.note(&format!("the user '{name}' {done}")),
            false => context.note(&format!("note: the user '{name}' {nothing}")),
        }
    }
    Ok(())
}

/// What was done to a user.
fn event(action: Action, name: &str, what: &str) -> Event {
    Event::new(action).detail(format!("user '{name}' {what}"))
}

/// A user without what proves them.
fn object(user: &User, state: &SignIn, now: u64) -> Value {
    json!({
        "name": user.name,
        "email": user.email,
        "role": user.role.word(),
        "created": format_time(user.created),
        "last_sign_in": (state.last > 0).then(|| format_time(state.last)),
        "second_factor": user.second_factor,
        "app": user.app,
        "recovery_codes": user.recovery.len(),
        "disabled": user.disabled.map(format_time),
        "locked_seconds": state.locked_for(now),
        "verifier": verifier(user),
        "peppered": user.pepper.is_some(),
    })
}

/// What the password is compared with.
fn verifier(user: &User) -> &'static str {
    match user.password {
        PasswordVerifier::Argon2id { .. } => "argon2id",
        PasswordVerifier::Bcrypt { .. } => "bcrypt",
    }
}

/// Whether a code is asked for at sign-in, and where it comes from.
fn second_factor(user: &User) -> &'static str {
    match (user.second_factor, user.app) {
        (false, _) => "no 2FA",
        (true, false) => "2FA by mail",
        (true, true) => "2FA by app",
    }
}

/// Whether the user can sign in, and if not, why.
fn standing(user: &User, state: &SignIn, now: u64) -> String {
    let disabled = user.disabled.map(|since| format!("disabled {}", format_time(since)));
    let locked = state.locked_for(now).map(|seconds| format!("locked for {seconds} s"));
    let all: Vec<String> = disabled.into_iter().chain(locked).collect();
    if all.is_empty() { "active".to_owned() } else { all.join(", ") }
}
