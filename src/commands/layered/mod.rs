//! `vault config`: one file for each of its subcommands, and what they share. This one only lists and dispatches.

mod explain;
mod get;
mod layers;
mod render;
mod resolve;
mod sources;

use clap::{Args, Subcommand};

use super::context::Context;
use crate::vault::Result;

/// Configuration in layers, with the values of the vault in it
///
/// Layers are JSON, YAML, TOML and dotenv files, also encrypted ones (`vault file encrypt`), and variables of the environment. A later layer
/// is laid over the earlier: tables are merged, member by member; lists and single values are replaced, whatever their types.
///
/// A value that is nothing but a reference (vault://NAME#FIELD, also in braces) becomes what the entry holds, with its type: JSON stays JSON, a field
/// that is a number stays one. Text with {{ vault://NAME }} in it is filled as `vault inject` does, with defaults too.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    Render(render::RenderArgs),
    Get(get::GetArgs),
    Explain(explain::ExplainArgs),
}

pub fn run(context: &mut Context, args: ConfigArgs) -> Result<u8> {
    match args.command {
        ConfigCommand::Render(args) => render::run(context, args),
        ConfigCommand::Get(args) => get::run(context, args),
        ConfigCommand::Explain(args) => explain::run(context, args),
    }
}
