//! `vault config get`

use clap::Args;

use super::layers::{Keeper, merged};
use super::resolve::{Manner, resolve_at};
use super::sources::{Plan, SourceArgs};
use crate::commands::context::Context;
use crate::commands::exchange::text_error;
use crate::commands::exit;
use crate::interchange::{Document, Leaf, Scalar};
use crate::term::output;
use crate::vault::field::FieldPath;
use crate::vault::{Error, ErrorKind, Result};

/// One value of all layers together
///
/// A text as it is, byte for byte; anything else as JSON on one line. Only the references in this value are resolved. It is never masked.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// Its place: a dotted path such as db.host, or a JSON pointer
    #[arg(value_name = "PATH")]
    path: String,
    #[command(flatten)]
    sources: SourceArgs,
    /// No line end behind it, also at a terminal
    #[arg(short = 'n', long)]
    no_newline: bool,
}

pub fn run(context: &mut Context, args: GetArgs) -> Result<u8> {
    let path = FieldPath::parse(&args.path)?;
    let plan = Plan::new(context, &args.sources)?;
    let mut keeper = Keeper::default();
    let document = merged(context, &mut keeper, &plan)?;
    let manner = Manner { masked: false, allow_expired: plan.allow_expired };
    let found = resolve_at(context, &mut keeper, document, path.parts(), manner)?.ok_or_else(|| absent(&path))?;
    let newline = output::stdout_is_terminal() && !args.no_newline;
    match &found {
        Document::Leaf(Leaf { scalar: Scalar::Text(text), .. }) => output::value(text.as_bytes(), newline)?,
        Document::Leaf(Leaf { scalar: Scalar::Date(text), .. }) => output::value(text.as_bytes(), newline)?,
        other => output::value(&other.to_json().map_err(|error| text_error(&error))?, newline)?,
    }
    Ok(exit::OK)
}

/// Nothing is at this place.
pub fn absent(path: &FieldPath) -> Error {
    let shown = output::printable(&path.to_string());
    Error::new(ErrorKind::NotFound, "not_configured", format!("no layer has '{shown}'"))
        .hint("`vault config explain` shows which layers there are")
}
