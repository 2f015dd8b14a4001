//! `vault key`: one file for each of its subcommands. This one only lists and dispatches.

mod add;
mod export_env;
mod exposure;
mod forget;
mod import_env;
mod list;
mod passwd;
mod remember;
mod remove;
mod rename;
mod rotate;
mod status;
mod trust;

use clap::{Args, Subcommand};

use super::context::Context;
use crate::vault::Result;

/// Who can open the vault, and its keys
///
/// A slot is one way to unlock: a passphrase, a key file, an age or SSH key. A full slot opens everything; a limited one opens names, metadata and
/// the values of some categories or environments, and cannot write.
///
/// Foreign keys (import-env, export-env) are another thing: versions of a key from which another program derives the keys of Fernet tokens. The vault
/// keeps them, so that `vault decrypt` opens such tokens and `vault encrypt --fernet` makes them.
#[derive(Args, Debug)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Subcommand, Debug)]
enum KeyCommand {
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    Add(add::AddArgs),
    #[command(visible_alias = "rm")]
    Remove(remove::RemoveArgs),
    Rename(rename::RenameArgs),
    Passwd(passwd::PasswdArgs),
    Rotate(rotate::RotateArgs),
    Status(status::StatusArgs),
    Exposure(exposure::ExposureArgs),
    Trust(trust::TrustArgs),
    Remember(remember::RememberArgs),
    Forget(forget::ForgetArgs),
    ImportEnv(import_env::ImportEnvArgs),
    ExportEnv(export_env::ExportEnvArgs),
}

pub fn run(context: &mut Context, args: KeyArgs) -> Result<u8> {
    match args.command {
        KeyCommand::List(args) => list::run(context, args),
        KeyCommand::Add(args) => add::run(context, args),
        KeyCommand::Remove(args) => remove::run(context, args),
        KeyCommand::Rename(args) => rename::run(context, args),
        KeyCommand::Passwd(args) => passwd::run(context, args),
        KeyCommand::Rotate(args) => rotate::run(context, args),
        KeyCommand::Status(args) => status::run(context, args),
        KeyCommand::Exposure(args) => exposure::run(context, args),
        KeyCommand::Trust(args) => trust::run(context, args),
        KeyCommand::Remember(args) => remember::run(context, args),
        KeyCommand::Forget(args) => forget::run(context, args),
        KeyCommand::ImportEnv(args) => import_env::run(context, args),
        KeyCommand::ExportEnv(args) => export_env::run(context, args),
    }
}
