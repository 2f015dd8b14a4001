//! One subcommand, one file. This one only lists and dispatches.
//!
//! No subcommand imports another. What several need is in `context`, `record`, `config`, `times`, `exit`, `present`, `exchange`, `hooks`, `people`, `usage`, `pepper` and `ci`, for entries in
//! `source` and `remote`, for keys in
//! `keys`, `held`, `keychain`, `identities`, `recipients` and `plugins`, and in `completions` and `choose` for the names of entries.

mod agent;
mod audit;
mod backup;
mod bench;
mod check;
mod choose;
mod ci;
mod compact;
mod completions;
mod config;
mod context;
mod cp;
mod decrypt;
mod diff;
mod doctor;
mod edit;
mod encrypt;
mod exchange;
mod exit;
mod export;
mod file;
mod files;
mod find;
mod generate;
mod get;
mod git;
mod held;
mod help;
mod history;
mod hooks;
mod identities;
mod import;
mod info;
mod init;
mod inject;
mod key;
mod keychain;
mod keys;
mod layered;
mod leaks;
mod list;
mod lock;
mod man;
mod mask;
mod merge;
mod mv;
mod otp;
mod people;
mod pepper;
mod plugins;
mod present;
mod prune;
mod recipients;
mod record;
mod redact;
mod remote;
mod restore;
mod retention;
mod rm;
mod rollback;
mod rotate;
mod run;
mod scan;
mod selftest;
mod serve;
mod set;
mod source;
mod stats;
mod status;
mod times;
mod token;
mod trust;
mod unlock;
mod usage;
mod used_by;
mod user;

use std::ffi::OsString;

use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};
use context::{Context, ErrorFormat, Global};

use crate::vault::{Error, ErrorKind, Result};

/// A subcommand: how its arguments are declared, and what runs it. It returns the exit code.
struct Subcommand {
    name: &'static str,
    aliases: &'static [&'static str],
    augment: fn(Command) -> Command,
    run: fn(&mut Context, &ArgMatches) -> Result<u8>,
}

macro_rules! subcommand {
    ($module:ident::$args:ident $(, $alias:literal)*) => {
        subcommand!(stringify!($module) => $module::$args $(, $alias)*)
    };
    // Where the module cannot have the name of the command.
    ($name:expr => $module:ident::$args:ident $(, $alias:literal)*) => {
        Subcommand {
            name: $name,
            aliases: &[$($alias),*],
            augment: <$module::$args as clap::Args>::augment_args,
            run: |context, matches| {
                let args = $module::$args::from_arg_matches(matches).map_err(|error| Error::usage(error.to_string()))?;
                $module::run(context, args)
            },
        }
    };
}

/// All subcommands, in the order of the help.
const SUBCOMMANDS: &[Subcommand] = &[
    subcommand!(init::InitArgs),
    subcommand!(get::GetArgs, "show"),
    subcommand!(set::SetArgs),
    subcommand!(list::ListArgs, "ls"),
    subcommand!(info::InfoArgs),
    subcommand!(rm::RmArgs, "delete"),
    subcommand!(mv::MvArgs),
    subcommand!(cp::CpArgs),
    subcommand!(edit::EditArgs),
    subcommand!(find::FindArgs, "search"),
    subcommand!(history::HistoryArgs),
    subcommand!(rollback::RollbackArgs),
    subcommand!(generate::GenerateArgs),
    subcommand!(otp::OtpArgs),
    subcommand!(rotate::RotateArgs),
    subcommand!(prune::PruneArgs),
    subcommand!(export::ExportArgs),
    subcommand!(import::ImportArgs),
    subcommand!(encrypt::EncryptArgs),
    subcommand!(decrypt::DecryptArgs),
    subcommand!(file::FileArgs),
    subcommand!(run::RunArgs, "exec"),
    subcommand!(inject::InjectArgs),
    subcommand!("config" => layered::ConfigArgs),
    subcommand!(redact::RedactArgs),
    subcommand!(mask::MaskArgs),
    subcommand!(scan::ScanArgs),
    subcommand!(check::CheckArgs),
    subcommand!(compact::CompactArgs),
    subcommand!(backup::BackupArgs),
    subcommand!(restore::RestoreArgs),
    subcommand!(diff::DiffArgs),
    subcommand!(merge::MergeArgs),
    subcommand!(git::GitArgs),
    subcommand!(key::KeyArgs, "recipient"),
    subcommand!(unlock::UnlockArgs),
    subcommand!(lock::LockArgs),
    subcommand!(status::StatusArgs),
    subcommand!(serve::ServeArgs),
    subcommand!(token::TokenArgs),
    subcommand!(user::UserArgs),
    subcommand!(selftest::SelftestArgs),
    subcommand!(bench::BenchArgs),
    subcommand!(agent::AgentArgs),
    subcommand!(trust::TrustArgs),
    subcommand!(audit::AuditArgs),
    subcommand!(stats::StatsArgs),
    Subcommand { name: "used-by", ..subcommand!(used_by::UsedByArgs) },
    subcommand!(doctor::DoctorArgs),
    subcommand!(completions::CompletionsArgs),
    subcommand!(man::ManArgs),
    subcommand!(help::HelpArgs),
];

/// The whole command line, for help, completions and man pages.
pub fn command() -> Command {
    root(SUBCOMMANDS.iter())
}

fn root<'a>(subcommands: impl Iterator<Item = &'a Subcommand>) -> Command {
    let root = Command::new("vault")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help("`vault help exit-codes` lists the exit codes.")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .max_term_width(100);
    // Said last, or the options' own documentation would stand in its place.
    let root =
        Global::augment_args(root).about("Keeps secrets in one encrypted file and hands them to shells, scripts and programs");
    subcommands.fold(root, |root, subcommand| {
        root.subcommand((subcommand.augment)(Command::new(subcommand.name).visible_aliases(subcommand.aliases)))
    })
}

/// The exit code of a defect of this program.
pub const INTERNAL_ERROR: u8 = 1;

/// Runs the command line `arguments` (the first is the program's name), and returns the exit code.
pub fn run(arguments: &[OsString]) -> u8 {
    if let Some(code) = completions::answer_shell() {
        return code;
    }
    let as_helper = as_helper(arguments);
    let arguments = as_helper.as_deref().unwrap_or(arguments);
    let matches = match parse(arguments) {
        Ok(matches) => matches,
        Err(error) => return report_usage(&error, arguments),
    };
    let global = Global::from_arg_matches(&matches).unwrap_or_default();
    let errors = global.errors;
    let mut context = Context::new(global);
    let result = match matches.subcommand() {
        Some((name, matches)) => match SUBCOMMANDS.iter().find(|subcommand| subcommand.name == name) {
            Some(subcommand) => (subcommand.run)(&mut context, matches),
            None => Err(Error::new(ErrorKind::Internal, "internal", "a subcommand is declared and not dispatched")),
        },
        None => Err(Error::usage("a subcommand is missing")),
    };
    let code = match result {
        Ok(code) => code,
        Err(error) => {
            context.record_refusal(&error);
            context::report(&error, errors)
        }
    };
    context.run_hooks();
    code
}

/// The command line of a credential helper, if the program was called by the name of one: git and docker start it so.
fn as_helper(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let name = std::path::Path::new(arguments.first()?).file_name()?.to_str()?;
    let operation = match name {
        "git-credential-vault" => "credential",
        "docker-credential-vault" => "docker-credential",
        _ => return None,
    };
    let helper = ["vault", "git", operation].map(OsString::from);
    Some(helper.into_iter().chain(arguments.iter().skip(1).cloned()).collect())
}

/// Declares only the subcommands whose names occur among the arguments: declaring all of them costs more than a whole `get`.
/// Whatever that cannot parse is parsed again with all of them, so that help and errors know them.
fn parse(arguments: &[OsString]) -> std::result::Result<ArgMatches, clap::Error> {
    let named = |subcommand: &&Subcommand| {
        let is = |name: &str| arguments.iter().skip(1).any(|argument| argument == name);
        is(subcommand.name) || subcommand.aliases.iter().any(|alias| is(alias))
    };
    match root(SUBCOMMANDS.iter().filter(named)).try_get_matches_from(arguments) {
        Ok(matches) => Ok(matches),
        Err(error) if error.kind() == clap::error::ErrorKind::DisplayVersion => Err(error),
        Err(_) => command().try_get_matches_from(arguments),
    }
}

fn report_usage(error: &clap::Error, arguments: &[OsString]) -> u8 {
    if !error.use_stderr() {
        // Help and version were asked for: data.
        return match error.print() {
            Ok(()) => exit::OK,
            Err(_) => exit::code(ErrorKind::Io),
        };
    }
    let json = arguments.windows(2).any(|pair| pair[0] == "--errors" && pair[1] == "json")
        || arguments.iter().any(|argument| argument == "--errors=json");
    if json {
        let text = error.render().to_string();
        // Up to the first empty line: what is missing stands in lines of its own.
        let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        let line = lines.join(" ");
        return context::report(&Error::usage(line.trim_start_matches("error: ")).hint("see `vault help`"), ErrorFormat::Json);
    }
    // What cannot be printed to standard error can be told to nobody.
    let _ = error.print();
    exit::code(ErrorKind::Usage)
}
