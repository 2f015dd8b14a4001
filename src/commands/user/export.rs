//! `vault user export`

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{event, find, object};
use crate::audit::Action;
use crate::commands::context::{Context, format_time};
use crate::commands::exit;
use crate::commands::files::Sink;
use crate::term::output;
use crate::vault::field::Wiped;
use crate::vault::{Error, Result};

/// Print a user and what they keep, as JSON
///
/// Values are part of it with --reveal alone. What proves the user never is.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The user
    name: String,
    /// With the values
    #[arg(long)]
    reveal: bool,
    /// Write it to this file, for nobody else to read
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(context: &mut Context, args: ExportArgs) -> Result<u8> {
    let now = context.now();
    let vault = context.unlock()?;
    context.about(&vault, Action::UserExport, None)?;
    let (mark, user) = find(&vault, &args.name)?;
    let mut whole = Wiped(json!({ "version": 1, "user": object(&user, &vault.sign_in(mark)?, now), "data": [] }));
    let data = vault.data(&user)?;
    for (id, datum) in &data {
        let mut shown = Wiped(json!({
            "id": id.to_string(),
            "data_type": datum.kind,
            "created": format_time(datum.created),
            "modified": format_time(datum.modified),
        }));
        if args.reveal {
            shown.0["value"] = Value::String(datum.value.as_str().to_owned());
        }
        // Moved and not copied, so that it is wiped with the whole.
        whole.0["data"].as_array_mut().into_iter().for_each(|data| data.push(shown.0.take()));
    }
    let what = format!("with {} records{}", data.len(), if args.reveal { " and their values" } else { "" });
    context.record(&vault, &[event(Action::UserExport, &user.name, &what)])?;
    let mut line = Zeroizing::new(whole.0.to_string().into_bytes());
    line.push(b'\n');
    if args.out.is_none() {
        output::value(&line, false)?;
        return Ok(exit::OK);
    }
    let mut sink = Sink::open(args.out.as_deref())?;
    sink.write_all(&line).map_err(|error| Error::io("write the export", &error))?;
    sink.finish()?;
    Ok(exit::OK)
}
