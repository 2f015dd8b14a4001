//! `vault redact`

use std::sync::Arc;

use clap::Args;

use super::context::Context;
use super::exit;
use super::leaks;
use crate::audit::{Action, Event};
use crate::leaks::{Masker, Matcher, Style, Units};
use crate::term::masking;
use crate::term::output;
use crate::vault::{Error, Result};

/// Copy standard input to standard output with the vault's values replaced by [MASKED]
///
/// Looks for all values that the key opens, in all environments, with the versions that are kept: as they are, each line of several,
/// each leaf of JSON, and all of these in base64, hex, URL-, JSON- and shell-escaped, also where they were wrapped at the end of a line. Values
/// shorter than 6 characters are not looked for; --verbose names them.
#[derive(Args, Debug)]
pub struct RedactArgs {}

pub fn run(context: &mut Context, _args: RedactArgs) -> Result<u8> {
    let mut units = Units::new(Units::LEAST, |_| false);
    let vault = context.unlock()?;
    context.record(&vault, &[Event::new(Action::Redact)])?;
    leaks::collect(&vault, &mut |label, value, kind| units.add(label, value, kind))?;
    if context.global.verbose {
        leaks::note_skipped(context, units.skipped());
    }
    let masker = Masker::new(Arc::new(Matcher::new(units)), Style::Word);
    let fail = |error| Error::io("mask standard input", &error);
    masking::pump(&std::io::stdin(), &mut output::unbuffered()?, masker, None).map_err(fail)?;
    Ok(exit::OK)
}
