//! `vault key export-env`

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use crate::audit::{Action, Event};
use crate::commands::context::Context;
use crate::commands::exchange::text_error;
use crate::commands::exit;
use crate::commands::files::{read_file, write_private};
use crate::interchange::{self, Format};
use crate::term::output;
use crate::vault::{Error, ErrorKind, ForeignKeys, Result, Variable, with_checksum};

/// Write the foreign keys as a dotenv file
///
/// All versions, the active one, and the checksum over the whole file, so that the original library and `vault key import-env`
/// read them back. With --append the other variables and the comments of the file stay. The keys stand there in the clear:
/// the file is 0600.
#[derive(Args, Debug)]
pub struct ExportEnvArgs {
    /// Write to this file, 0600, instead
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Keep what else is in the file
    #[arg(long, requires = "out")]
    append: bool,
    /// Also to a terminal, and over a file that is there
    #[arg(long)]
    force: bool,
}

pub fn run(context: &mut Context, args: ExportEnvArgs) -> Result<u8> {
    match &args.out {
        None if output::stdout_is_terminal() && !args.force => {
            return Err(Error::usage("keys are secrets, and standard output is a terminal")
                .hint("use --out FILE, or pipe them; --force shows them"));
        }
        Some(path) if path.exists() && !args.append && !args.force => {
            return Err(Error::new(ErrorKind::Conflict, "exists", format!("{} exists already", path.display()))
                .hint("--append keeps what else is in it, --force replaces it"));
        }
        _ => {}
    }
    let vault = context.unlock()?;
    context.about(&vault, Action::KeyExport, None)?;
    let keys = vault.foreign_keys()?;
    if keys.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "not_found", "the vault holds no foreign keys")
            .hint("`vault key import-env` takes them over"));
    }
    let own = keys.to_variables()?;
    let there = match &args.out {
        Some(path) if args.append && path.exists() => read_file(path)?,
        _ => Zeroizing::default(),
    };
    let mut variables = read(&there)?;
    let others = ForeignKeys::from_variables(&variables, ForeignKeys::ITERATIONS, 0)?;
    if let Some(version) = keys.differs_from(&others) {
        let message = format!("the file holds another key '{version}', which would be lost; nothing was written");
        return Err(Error::new(ErrorKind::Conflict, "exists", message).hint("write to another file"));
    }
    let replaced = |name: &str| own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)) || name == "ENCRYPTION_ENV_CHECKSUM";
    variables.retain(|(name, _)| !replaced(name));
    let kept = variables.len();
    variables.extend(own.iter().map(|(name, value)| (name.clone(), value.clone())));
    let mut own = own.clone();
    // The original library would put something else in the place of ${…}, and find another sum.
    if variables.iter().any(|(_, value)| value.contains("${")) {
        context.note("note: there is no checksum, because a value holds ${, which the original library expands");
    } else {
        own.extend(with_checksum(variables).pop());
    }
    let text = interchange::dotenv_with(&there, &replaced, &own).map_err(|error| text_error(&error))?;
    context.record(&vault, &[Event::new(Action::KeyExport).detail(format!("{} keys", keys.versions().count()))])?;
    match &args.out {
        Some(path) => {
            write_private(path, &text)?;
            context.note(&format!("wrote {} keys; {kept} other variables were kept", keys.versions().count()));
        }
        None => {
            let mut out = output::unbuffered()?;
            out.write_all(&text).map_err(|error| Error::io("write to standard output", &error))?;
        }
    }
    Ok(exit::OK)
}

fn read(text: &[u8]) -> Result<Vec<Variable>> {
    let rows = interchange::read(Format::Dotenv, text).map_err(|error| text_error(&error))?;
    let variables = rows.into_iter().map(|row| {
        let text = std::str::from_utf8(&row.value).map_err(|_| Error::usage("the file is not text"))?;
        Ok((row.name, Zeroizing::new(text.to_owned())))
    });
    variables.collect()
}
