//! `vault rotate` with a server: another value now. Commands and schedules are the business of the machine that has the vault.

use super::RotateArgs;
use super::source::Source;
use crate::client::{Client, NewValue};
use crate::commands::context::{Context, parse_duration};
use crate::commands::exit;
use crate::vault::{Error, ErrorKind, Result};

pub fn run(context: &mut Context, client: &Client, args: &RotateArgs) -> Result<u8> {
    let elsewhere = args.due
        || args.resume
        || args.abort
        || args.force
        || args.no_schedule
        || args.trust_commands
        || args.every.is_some()
        || !args.told().is_empty()
        || args.dry_run;
    if elsewhere {
        return Err(Error::new(ErrorKind::Usage, "not_remote", "a server takes --generate or a value, --grace and --if-version")
            .hint("commands, schedules and rotations under way are for the machine that has the vault file"));
    }
    let id = args.id(context)?;
    if let Some(grace) = &args.grace {
        parse_duration(grace)?;
    }
    let value = match args.source()? {
        Source::Generator(generator) => NewValue::Generated(generator),
        source => NewValue::Given(source.value(context, &id, None, &super::never()?)?),
    };
    let version = client.rotate(&id, &value, args.grace.as_deref(), args.if_version)?;
    context.note(&format!("'{id}' is at version {version}"));
    Ok(exit::OK)
}
