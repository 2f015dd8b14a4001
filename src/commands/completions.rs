//! `vault completions`, and the answers that a shell gets while somebody types.

use std::ffi::OsStr;

use clap::{Args, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, EnvCompleter as _};

use super::context::{Context, Global};
use super::{command, exit};
use crate::store::Walk;
use crate::term::output;
use crate::vault::{Error, ErrorKind, Filter, Result, Scope};

/// Print the completion script of a shell
///
/// bash: eval "$(vault completions bash)"  ·  zsh: the same in .zshrc  ·  fish: vault completions fish | source. Names of
/// entries complete if a key is at hand without a question.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// The shells that have a script.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    Powershell,
}

/// The variable by which a script asks this program.
const VARIABLE: &str = "VAULT_COMPLETE";

pub fn run(_context: &mut Context, args: CompletionsArgs) -> Result<u8> {
    output::print(&script(args.shell)?)?;
    Ok(exit::OK)
}

/// The script of a shell.
pub fn script(shell: Shell) -> Result<String> {
    use clap_complete::env::{Bash, Elvish, Fish, Powershell, Zsh};
    let mut text = Vec::new();
    let written = match shell {
        Shell::Bash => Bash.write_registration(VARIABLE, "vault", "vault", "vault", &mut text),
        Shell::Zsh => Zsh.write_registration(VARIABLE, "vault", "vault", "vault", &mut text),
        Shell::Fish => Fish.write_registration(VARIABLE, "vault", "vault", "vault", &mut text),
        Shell::Elvish => Elvish.write_registration(VARIABLE, "vault", "vault", "vault", &mut text),
        Shell::Powershell => Powershell.write_registration(VARIABLE, "vault", "vault", "vault", &mut text),
    };
    written.map_err(|error| Error::io("write the script", &error))?;
    String::from_utf8(text).map_err(|_| Error::new(ErrorKind::Internal, "internal", "the script is not text"))
}

/// Answers a shell that asks for completions; `None` if none does.
pub fn answer_shell() -> Option<u8> {
    std::env::var_os(VARIABLE)?;
    match CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .try_complete(std::env::args_os(), std::env::current_dir().ok().as_deref())
    {
        Ok(true) => Some(exit::OK),
        Ok(false) => None,
        Err(_) => Some(exit::code(ErrorKind::Usage)),
    }
}

/// Completes names of entries.
pub fn entry_names() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| names(current).unwrap_or_default())
}

/// Never asks: without a key at hand there is nothing to complete. A passphrase in a file or a variable would cost a derivation for each key
/// press, and is not tried.
fn names(current: &OsStr) -> Option<Vec<CompletionCandidate>> {
    const MOST: usize = 1000;
    let start = current.to_str()?;
    let mut context = Context::new(Global { no_input: true, quiet: true, ..given_on_the_line() });
    if !context.has_cheap_credential() {
        return None;
    }
    context.without_plugins();
    let scope = Scope::One(context.environment().ok()?);
    let vault = context.unlock().ok()?;
    let mut candidates = Vec::new();
    vault
        .list(&Filter { scope, category: None }, &mut |found| {
            if found.name.starts_with(start) {
                candidates.push(CompletionCandidate::new(found.name));
            }
            Ok(if candidates.len() < MOST { Walk::Continue(()) } else { Walk::Break(()) })
        })
        .ok()?;
    Some(candidates)
}

/// The options that stand on the line that is being typed: which vault, which environment, which key.
fn given_on_the_line() -> Global {
    let line: Vec<_> = std::env::args_os().skip_while(|argument| argument != "--").skip(1).collect();
    let after = |names: [&str; 2]| {
        let at = line.iter().position(|argument| names.iter().any(|name| argument == name))?;
        line.get(at + 1).cloned()
    };
    Global {
        vault: after(["--vault", "--vault"]).map(Into::into),
        env: after(["-e", "--env"]).and_then(|text| text.into_string().ok()),
        key_file: after(["--key-file", "--key-file"]).map(Into::into),
        identity: after(["--identity", "--identity"]).map(Into::into),
        ..Global::default()
    }
}
