//! `vault inject`

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use super::ci::{self, Ci};
use super::context::Context;
use super::exit;
use super::files::{open_input, read_all, write_private};
use crate::audit::{Action, Event};
use crate::term::output;
use crate::vault::{Entry, Error, Result, fill_template};

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
    /// Have the values masked in the log of a CI job first: each of their lines, and each field of a JSON value
    #[arg(long, value_name = "RUNNER", value_enum)]
    ci: Option<Ci>,
}

pub fn run(context: &mut Context, args: InjectArgs) -> Result<u8> {
    let template = read_all(&mut open_input(args.input.as_deref())?, 4096, "read the template")?;
    let environment = context.environment()?;
    let source = context.source()?;
    context.about(source.vault(), Action::Inject, None)?;
    let (mut events, mut values) = (Vec::new(), Vec::new());
    let filled = fill_template(&template, &mut |reference| {
        context.about_reference(reference, environment.as_ref());
        let admit = &mut |entry: &Entry| {
            events.push(Event::new(Action::Inject).entry(entry).version(reference.version));
            if args.allow_expired { Ok(()) } else { context.check_expiry(source.vault(), entry) }
        };
        let (value, _) = source.resolve(reference, environment.as_ref(), admit)?;
        if args.ci.is_some() {
            values.push(Zeroizing::new(value.expose().to_vec()));
        }
        Ok(value)
    })?;
    context.record(source.vault(), &events)?;
    ci::mask(context, args.ci, values.iter().map(|value| value.as_slice()));
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
