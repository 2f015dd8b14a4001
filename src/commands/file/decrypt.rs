//! `vault file decrypt`

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{SUFFIX, refuse_existing, shown};
use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::commands::exit;
use crate::commands::files::{Memory, Sink};
use crate::term::output;
use crate::vault::{Error, Result};

/// Decrypt FILE.vault, as FILE beside it
///
/// There is a file only if all of it is right. To standard output (--out -) each part leaves as soon as it is verified; to a terminal it goes whole, and only
/// if it is text.
#[derive(Args, Debug)]
pub struct DecryptArgs {
    /// The encrypted file
    #[arg(value_name = "FILE.vault", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Write to this file, 0600, instead; `-` is standard output
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

pub fn run(context: &mut Context, args: DecryptArgs) -> Result<u8> {
    let out = match &args.out {
        Some(out) if out.as_os_str() == "-" => None,
        Some(out) => Some(out.clone()),
        None => Some(without_suffix(&args.file)?),
    };
    if let Some(out) = &out {
        refuse_existing(out, args.force)?;
    }
    let file = File::open(&args.file).map_err(|error| Error::io(format!("read {}", args.file.display()), &error))?;
    let mut input = BufReader::with_capacity(64 * 1024, file);
    let vault = context.unlock()?;
    context.about(&vault, Action::Decrypt, None)?;
    let event = Event::new(Action::Decrypt).detail("a file");
    if out.is_none() && output::stdout_is_terminal() {
        let mut plain = Memory::default();
        vault.decrypt_to(&mut input, &mut plain)?;
        let steers = |byte: &u8| byte.is_ascii_control() && !b"\n\r\t".contains(byte);
        if plain.0.iter().any(steers) {
            return Err(Error::usage("what comes out is not text, and standard output is a terminal").hint("pipe it"));
        }
        context.record(&vault, &[event])?;
        output::value(&plain.0, false)?;
        return Ok(exit::OK);
    }
    // A stream begins to leave before its end is known.
    context.record(&vault, &[event])?;
    let mut sink = Sink::open(out.as_deref())?;
    vault.decrypt_to(&mut input, &mut sink)?;
    if let Some(out) = &out {
        // It may have come meanwhile.
        refuse_existing(out, args.force)?;
    }
    sink.finish()?;
    Ok(exit::OK)
}

fn without_suffix(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(SUFFIX));
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
        Error::usage(format!("{} does not end in {SUFFIX}", shown(path))).hint("say where it is to go with --out FILE")
    })?;
    Ok(path.with_file_name(name))
}
