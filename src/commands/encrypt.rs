//! `vault encrypt`

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;

use super::context::{Context, parse_category};
use super::exit;
use super::files::{Sink, open_input, read_all};
use crate::audit::{Action, Event};
use crate::term::output;
use crate::vault::{Error, ErrorKind, Result};

/// The longest plaintext of a Fernet token: the token's text is at most 64 MiB.
const MAX_FERNET: usize = (64 << 20) / 4 * 3 - 73;

/// Encrypt a file or a stream with the keys of the vault
///
/// Of any length, in constant memory. Whoever opens the vault decrypts it; with --category or -e, a key that is limited to
/// these does too. Later key rotations do not change that, but a reseal that destroys older keys does. What comes out is a
/// line that names the vault and the key, and an age file.
#[derive(Args, Debug)]
pub struct EncryptArgs {
    /// The file [default: standard input]
    file: Option<PathBuf>,
    /// Write to this file, 0600, instead; it is there only when it is whole
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// With the keys of this category, if it has its own
    #[arg(long, value_name = "CATEGORY")]
    category: Option<String>,
    /// As text, for mail and terminals; a third longer
    #[arg(long)]
    armor: bool,
    /// As a Fernet token, under a foreign key (see `vault key`): whole in memory, at most 48 MiB
    #[arg(long, conflicts_with_all = ["category", "armor"])]
    fernet: bool,
    /// The version of the foreign key [default: the active one]
    #[arg(long, value_name = "VERSION", requires = "fernet")]
    key_version: Option<String>,
}

pub fn run(context: &mut Context, args: EncryptArgs) -> Result<u8> {
    let terminal = args.out.is_none() && output::stdout_is_terminal();
    if args.fernet {
        return fernet(context, &args, terminal);
    }
    if terminal && !args.armor {
        return Err(Error::usage("what comes out is binary, and standard output is a terminal")
            .hint("use --armor, or --out FILE, or pipe it"));
    }
    let category = args.category.as_deref().map(parse_category).transpose()?;
    let environment = context.environment()?;
    let mut input = open_input(args.file.as_deref())?;
    let vault = context.unlock()?;
    context.about(&vault, Action::Encrypt, None)?;
    let mut sink = Sink::open(args.out.as_deref())?;
    vault.encrypt_to(category.as_ref(), environment.as_ref(), args.armor, &mut input, &mut sink)?;
    context.record(&vault, &[Event::new(Action::Encrypt)])?;
    sink.finish()?;
    Ok(exit::OK)
}

fn fernet(context: &mut Context, args: &EncryptArgs, terminal: bool) -> Result<u8> {
    use std::io::Write as _;
    let mut input = open_input(args.file.as_deref())?.take(MAX_FERNET as u64 + 1);
    let plaintext = read_all(&mut input, 64 * 1024, "read the input")?;
    if plaintext.len() > MAX_FERNET {
        return Err(Error::new(ErrorKind::Usage, "value_too_large", "a Fernet token holds at most 48 MiB")
            .hint("without --fernet there is no such bound"));
    }
    let vault = context.unlock()?;
    context.about(&vault, Action::Encrypt, None)?;
    let keys = vault.foreign_keys()?;
    let (version, token) = keys.seal(args.key_version.as_deref(), &plaintext, context.now())?;
    context.record(&vault, &[Event::new(Action::Encrypt).detail(format!("foreign key '{version}'"))])?;
    context.note(&format!("note: encrypted under the foreign key '{version}', which the token does not say"));
    let mut text = token.to_text();
    if terminal {
        text.push('\n');
    }
    let mut sink = Sink::open(args.out.as_deref())?;
    sink.write_all(text.as_bytes()).map_err(|error| Error::io("write the output", &error))?;
    sink.finish()?;
    Ok(exit::OK)
}
