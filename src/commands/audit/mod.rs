//! `vault audit`: one file for each of its subcommands. This one only lists and dispatches.

mod export;
mod filter;
mod prune;
mod show;
mod tail;
mod verify;

use clap::{Args, Subcommand};

use super::context::Context;
use crate::vault::Result;

/// Who read and changed what: the log beside the vault
///
/// Every read, write, refusal and change of keys is one record in an append-only log beside the vault, NAME.audit. Records are sealed, for names are
/// secret, and chained, so that none is altered, removed or moved unseen; how far the log reaches is remembered in the state directory and from time
/// to time in the vault. What your config.toml says of it in [audit]: enabled, required (nothing is read that cannot be recorded), sync ("always", or
/// a time), retention-days, directory.
#[derive(Args, Debug)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Subcommand, Debug)]
enum AuditCommand {
    Show(show::ShowArgs),
    Tail(tail::TailArgs),
    Verify(verify::VerifyArgs),
    Prune(prune::PruneArgs),
    Export(export::ExportArgs),
}

pub fn run(context: &mut Context, args: AuditArgs) -> Result<u8> {
    match args.command {
        AuditCommand::Show(args) => show::run(context, args),
        AuditCommand::Tail(args) => tail::run(context, args),
        AuditCommand::Verify(args) => verify::run(context, args),
        AuditCommand::Prune(args) => prune::run(context, args),
        AuditCommand::Export(args) => export::run(context, args),
    }
}
