//! `vault inject`

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::context::Context;
use super::exit;
use super::files::{open_input, read_all, write_private};
use crate::term::output;
use crate::vault::{Error, Result, fill_template};

/// Fill the references in a template
///
/// {{ vault://NAME#FIELD }} stands for a value, {{ vault://NAME?version=3&env=prod }} for that of a version or environment,
/// {{ vault://NAME | default "TEXT" }} for the text where there is no such value. Other braces, and references outside of them, stay as
/// they are. If one reference cannot be resolved, nothing is written.
#[derive(Args, Debug)]
pub struct InjectArgs {
    /// The template [default: standard input]
    #[arg(short, long = "in", value_name = "FILE")]
    input: Option<PathBuf>,
    /// Write to this file, 0600, instead; it is there only when it is whole
    #[arg(short, long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Also entries that have expired
    #[arg(long)]
    allow_expired: bool,
}

pub fn run(context: &mut Context, args: InjectArgs) -> Result<u8> {
    let template = read_all(&mut open_input(args.input.as_deref())?, 4096, "read the template")?;
    let environment = context.environment()?;
    let vault = context.unlock()?;
    let filled = fill_template(&template, &mut |reference| {
        let admit = &mut |entry: &_| if args.allow_expired { Ok(()) } else { context.check_expiry(entry) };
        vault.resolve(reference, environment.as_ref(), admit).map(|(value, _)| value)
    })?;
    match &args.out {
        Some(path) => write_private(path, &filled)?,
        None => match output::unbuffered()?.write_all(&filled) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(Error::io("write to standard output", &error));
            }
            _ => {}
        },
    }
    Ok(exit::OK)
}
