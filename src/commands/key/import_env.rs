//! `vault key import-env`

use std::path::PathBuf;

use clap::Args;

use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::commands::exchange::{foreign_variables, text_error};
use crate::commands::exit;
use crate::commands::files::{open_input, read_all};
use crate::interchange::{self, Format};
use crate::vault::{Error, ErrorKind, ForeignKeys, Result, Variable, verify_checksum};

/// Take over foreign keys from the environment, or from a dotenv file
///
/// Reads ENCRYPTION_KEYS__V and ENCRYPTION_SALT__V for each version V, ENCRYPTION_SALT_HASH__V where it is there, and
/// ACTIVE_ENCRYPTION_VERSION; of a file also ENCRYPTION_ENV_CHECKSUM, which is over all of the file. A salt may begin with
/// hex:, b64: or text:; otherwise it is hex, base64 or text, whichever fits first, as the original library takes it. A version
/// that the vault has already is refused, and then nothing is taken over.
#[derive(Args, Debug)]
pub struct ImportEnvArgs {
    /// The dotenv file, - for standard input [default: the environment]
    file: Option<PathBuf>,
    /// Rounds of PBKDF2-HMAC-SHA256 with which the keys are used
    #[arg(long, value_name = "N", default_value_t = ForeignKeys::ITERATIONS)]
    iterations: u32,
}

pub fn run(context: &mut Context, args: ImportEnvArgs) -> Result<u8> {
    let variables = match &args.file {
        None => foreign_variables()?,
        Some(path) => {
            let text = read_all(&mut *open_input(Some(path))?, 64 * 1024, "read the input")?;
            let variables = parse(&text)?;
            verify_checksum(&variables)?;
            variables
        }
    };
    let now = context.now();
    let keys = ForeignKeys::from_variables(&variables, args.iterations, now)?;
    if keys.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "not_found", "there is no variable ENCRYPTION_KEYS__…, so no key"));
    }
    let vault = context.unlock()?;
    context.about(&vault, Action::KeyImport, None)?;
    let note = vault.add_foreign_keys(&keys, now)?;
    let detail = format!("versions {}", keys.versions().collect::<Vec<_>>().join(", "));
    context.record(&vault, &[Event::new(Action::KeyImport).detail(detail)])?;
    if let Some(note) = note {
        context.note(&note);
    }
    let all = vault.foreign_keys()?;
    let versions: Vec<&str> = keys.versions().collect();
    context.note(&format!("took over: {}; active: {}", versions.join(", "), all.active().unwrap_or("none")));
    Ok(exit::OK)
}

fn parse(text: &[u8]) -> Result<Vec<Variable>> {
    let rows = interchange::read(Format::Dotenv, text).map_err(|error| text_error(&error))?;
    rows.into_iter()
        .map(|row| match std::str::from_utf8(&row.value) {
            Ok(value) => Ok((row.name, zeroize::Zeroizing::new(value.to_owned()))),
            Err(_) => Err(Error::usage("the file is not text")),
        })
        .collect()
}
