//! `vault generate`

use std::io::Write as _;

use clap::Args;

use super::context::Context;
use super::exit;
use crate::term::output;
use crate::vault::generate::Generator;
use crate::vault::{Error, Result};

/// Print a random value
///
/// random:32, hex:32 and base64url:32 count bytes; alnum:24, password:20 and pin:6 characters; words:6 words; and uuid.
#[derive(Args, Debug)]
pub struct GenerateArgs {
    /// What to generate
    #[arg(default_value = "password:20")]
    spec: Generator,
    /// Never a line end
    #[arg(short = 'n', long)]
    no_newline: bool,
}

pub fn run(_context: &mut Context, args: GenerateArgs) -> Result<u8> {
    let value = args.spec.generate()?;
    let mut out = output::unbuffered()?;
    let newline: &[u8] = if args.no_newline || !output::stdout_is_terminal() { b"" } else { b"\n" };
    out.write_all(value.expose())
        .and_then(|()| out.write_all(newline))
        .map_err(|error| Error::io("write to standard output", &error))?;
    Ok(exit::OK)
}
