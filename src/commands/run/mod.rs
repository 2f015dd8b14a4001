//! `vault run`

mod files;
#[cfg(target_os = "linux")]
mod pipes;
#[cfg(not(target_os = "linux"))]
#[path = "plain_pipes.rs"]
mod pipes;
mod variables;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clap::Args;

use super::ci::{self, Ci};
use super::context::Context;
use super::exit;
use super::source::Source;
use crate::audit::{Action, Event};
use crate::leaks::Matcher;
use crate::process::{self, UNLOCK_VARIABLES};
use crate::term::output;
use crate::term::resident::{End, Masking, Resident};
use crate::vault::{Error, ErrorKind, Result};
use files::{FileKind, Files};
use variables::{Value, Variables};

/// Start a program with secrets in its environment
///
/// Without a shell, and with the program's own exit code. Which entries: all, or those of --only or --category; or, where --map, --env-file or
/// the [run] table of vault.toml names variables and neither of the two is there, only these. An entry that is named and is not there stops
/// everything before the program starts.
///
/// Variables are named as in `export`. Of two sources the later wins: the environment of vault itself (--preserve-env: it wins over all), entries,
/// vault.toml, --env-file, --map. PATH, HOME, PS1, LD_* and DYLD_* are never set, other variables that decide which programs or code run (BASH_ENV,
/// EDITOR, GIT_SSH*, NODE_OPTIONS and their kind) by --map alone, and the variables that unlock the vault are not passed on.
///
/// Output that goes to something else than a terminal is masked, as `redact` does it; with --mask, also what goes to the terminal. What the program
/// leaves running in the background is masked until it prints nothing for a second, five at most, and cannot print any more then.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Only these entries
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Only entries of this category
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// Set this variable to an entry, or to a field of it
    #[arg(long, value_name = "ENV=NAME[#FIELD]")]
    map: Vec<String>,
    /// Put this before the name of each variable of an entry
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// Set the variables of this dotenv file; values may be references (vault://NAME) or have them in {{ }}
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Pass on nothing but PATH, HOME, USER, LOGNAME, SHELL, TERM, TZ, TMPDIR, LANG and LC_*
    #[arg(long)]
    clean_env: bool,
    /// Leave variables that are set already as they are
    #[arg(long)]
    preserve_env: bool,
    /// Give each value of the vault in a file in memory that goes when the program ends, with its path in the variable; fifo: in a named pipe, which
    /// one at a time may open
    #[arg(long, value_name = "KIND", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "file")]
    files: Option<FileKind>,
    /// Mask values also at a terminal
    #[arg(long, overrides_with = "no_mask")]
    mask: bool,
    /// Mask nothing
    #[arg(long, overrides_with = "mask")]
    no_mask: bool,
    /// End the program and start it anew when the vault has changed
    #[arg(long)]
    watch: bool,
    /// Also entries that have expired
    #[arg(long)]
    allow_expired: bool,
    /// Have the values masked in the log of a CI job first: each of their lines
    #[arg(long, value_name = "RUNNER", value_enum)]
    ci: Option<Ci>,
    /// Run this text in a shell (sh -c); words behind -- are its arguments
    #[arg(long, value_name = "TEXT")]
    shell: Option<OsString>,
    /// The program and its arguments
    #[arg(last = true, required_unless_present = "shell", value_name = "COMMAND", value_hint = clap::ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

pub fn run(context: &mut Context, args: RunArgs) -> Result<u8> {
    let source = context.source()?;
    if args.watch {
        source.only_vault("--watch")?;
    }
    context.keep_key_from_children();
    let masked = !args.no_mask && (args.mask || !output::stdout_is_terminal() || !output::stderr_is_terminal());
    if masked || args.files.is_some() || args.watch {
        context.stays();
    }
    context.about(source.vault(), Action::Run, None)?;
    // Looked at before it is read: what changes meanwhile is seen the next time.
    let mut seen = if args.watch { revision(&source) } else { None };
    let mut found = variables::find(context, &source, &args, masked)?;
    record(context, &source, &args, &mut found)?;
    // Where the program takes the place of this one, nothing runs afterwards.
    if !context.run_hooks() {
        return Ok(exit::INTERRUPTED);
    }
    let matcher = |found: &mut Variables| Arc::new(Matcher::new(found.take_units()));
    ci::mask(context, args.ci, found.secrets());
    if !masked && args.files.is_none() && !args.watch {
        drop(source);
        return exec(&args, found);
    }
    let masking = masked.then(|| Masking { matcher: matcher(&mut found), at_terminal: args.mask });
    // Nothing can leak that nothing could be found of.
    let masking = masking.filter(|masking| args.watch || !masking.matcher.is_empty());
    if masking.is_none() && args.files.is_none() && !args.watch {
        drop(source);
        return exec(&args, found);
    }
    // A key is kept only for what is still to be read, and nothing of it on the stack, from which what starts now may take it over.
    let source = args.watch.then_some(source);
    if !args.watch {
        context.forget_credential();
    }
    process::wipe_stack();
    let mut files = args.files.map(Files::new).transpose()?;
    let mut resident = Resident::new(masking).map_err(|error| Error::io("prepare for the program", &error))?;
    loop {
        let program = command(&args, found, files.as_mut())?;
        let name = program.get_program().to_owned();
        let mut next = None;
        let mut changed = || {
            let Some(source) = &source else { return false };
            let now = revision(source);
            if now.is_none() || now == seen {
                return false;
            }
            seen = now;
            let found = variables::find(context, source, &args, masked)
                .and_then(|mut found| record(context, source, &args, &mut found).map(|()| found));
            match found {
                Ok(new) => next = Some(new),
                Err(error) => {
                    context.note(&format!("warning: the program was not started anew: {}", output::printable(&error.to_string())))
                }
            }
            next.is_some()
        };
        let changed: Option<&mut dyn FnMut() -> bool> = if args.watch { Some(&mut changed) } else { None };
        let end = resident.run(program, changed).map_err(|error| cannot_start(&name, &error))?;
        match (end, next) {
            (End::Changed, Some(new)) => {
                files.iter_mut().for_each(Files::renew);
                found = new;
                ci::mask(context, args.ci, found.secrets());
                resident.look_for(matcher(&mut found));
                context.note("note: the vault has changed; the program is started anew");
            }
            (End::Code(code), _) => {
                let lost = resident.failure().map(|error| Error::io("pass on what the program printed", &error));
                let errors = [lost, files.and_then(Files::end)].into_iter().flatten();
                return ended(context, code, errors);
            }
            (End::Changed, None) => {
                return Err(Error::new(ErrorKind::Internal, "internal", "a program was ended without a reason"));
            }
        }
    }
}

/// Records what the program is about to be given.
fn record(context: &Context, source: &Source, args: &RunArgs, found: &mut Variables) -> Result<()> {
    let program = match &args.shell {
        Some(_) => OsStr::new("sh"),
        None => args.command.first().map_or(OsStr::new(""), |program| Path::new(program).file_name().unwrap_or(program)),
    };
    let program: Arc<str> = Arc::from(program.to_string_lossy());
    // This process becomes the program, or starts it.
    let number = u64::from(std::process::id());
    let events = std::mem::take(&mut found.events);
    let events: Vec<Event> = events.into_iter().map(|event| event.process(program.clone(), number)).collect();
    context.record(source.vault(), &events)
}

/// The exit code of a program, and what it did not get done: a program that ended well has not, then.
fn ended(context: &Context, code: u8, errors: impl Iterator<Item = Error>) -> Result<u8> {
    let mut ended = Ok(code);
    for error in errors {
        if ended.as_ref().is_ok_and(|code| *code == exit::OK) {
            ended = Err(error);
        } else {
            context.say_error(&error);
        }
    }
    ended
}

/// The newest commit of the vault, if it can be read now.
fn revision(source: &Source) -> Option<crate::store::Revision> {
    let vault = source.vault()?;
    vault.count().ok()?;
    vault.facts().map(|facts| facts.revision)
}

/// What is passed on with --clean-env.
const KEPT: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "TMPDIR", "LANG"];

/// The name of the program, and its arguments.
fn words(args: &RunArgs) -> Result<Vec<&OsStr>> {
    let command = args.command.iter().map(OsString::as_os_str);
    let words: Vec<&OsStr> = match &args.shell {
        Some(text) => ["sh".as_ref(), "-c".as_ref(), text.as_os_str(), "sh".as_ref()].into_iter().chain(command).collect(),
        None => command.collect(),
    };
    if words.is_empty() { Err(Error::usage("there is no program behind --")) } else { Ok(words) }
}

/// The variables of the program: those of this process that are passed on, and what was found.
fn environment(args: &RunArgs, mut found: Variables, mut files: Option<&mut Files>) -> Result<Vec<(OsString, OsString)>> {
    let is_set = |name: &str| (!args.clean_env || KEPT.contains(&name)) && std::env::var_os(name).is_some();
    found.all.retain(|name, _| !(args.preserve_env && is_set(name)));
    let passed_on = |name: &OsStr| match name.to_str() {
        Some(name) => {
            (!args.clean_env || KEPT.contains(&name) || name.starts_with("LC_"))
                && !UNLOCK_VARIABLES.contains(&name)
                && !found.all.contains_key(name)
        }
        None => !args.clean_env,
    };
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| passed_on(name)).collect();
    for (name, Value { bytes: mut value, is_secret }) in found.all {
        let value = match &mut files {
            // What was no secret before is none now: a port is a number, and not the path of a file with one.
            Some(files) if is_secret => files.put(&name, value)?.into_os_string(),
            _ if value.contains(&0) => {
                return Err(
                    Error::usage(format!("the value for {name} has a NUL, which no variable can hold")).hint("use --files")
                );
            }
            _ => OsString::from_vec(std::mem::take(&mut *value)),
        };
        variables.push((name.into(), value));
    }
    if let Some(files) = files {
        files.begin()?;
    }
    Ok(variables)
}

/// The program with what it is given.
fn command(args: &RunArgs, found: Variables, files: Option<&mut Files>) -> Result<Command> {
    let words = words(args)?;
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env_clear().envs(environment(args, found, files)?);
    Ok(command)
}

/// Becomes the program. It returns only if that is not possible.
fn exec(args: &RunArgs, found: Variables) -> Result<u8> {
    let words = words(args)?;
    let error = process::become_program(&words, environment(args, found, None)?);
    Err(cannot_start(words[0], &error))
}

fn cannot_start(program: &OsStr, error: &io::Error) -> Error {
    let name = output::printable(&program.to_string_lossy());
    match error.kind() {
        io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound, "command_not_found", format!("there is no program '{name}'"))
            .hint("the first word behind -- is a program on the PATH, or a path; shell syntax needs --shell"),
        _ => Error::new(ErrorKind::Io, "not_executable", format!("'{name}' cannot be executed: {error}")),
    }
}
