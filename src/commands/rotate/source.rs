//! Where the new value of an entry comes from: a generator, a command, or whoever runs this.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::machine::Hold;
use super::phases::interrupted;
use crate::commands::context::Context;
use crate::commands::files::strip_line_end;
use crate::format::record::MAX_VALUE;
use crate::name::EntryId;
use crate::secret::SecretValue;
use crate::term::script::{Ended, Script};
use crate::vault::generate::Generator;
use crate::vault::{Error, ErrorKind, Result};

/// Where a value comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A generator of this program.
    Generator(Generator),
    /// What a shell command prints, and how long it may take for it.
    Command(String, Duration),
    /// Standard input, or a hidden prompt.
    Input,
}

impl Source {
    /// Makes a value for an entry.
    pub fn value(&self, context: &Context, id: &EntryId, hold: Option<&Hold>, endings: &OwnedFd) -> Result<SecretValue> {
        match self {
            Self::Generator(generator) => generator.generate(),
            Self::Input => context.value_from_input(&format!("New value of {}", id.name), false),
            Self::Command(text, timeout) => {
                let variables = [
                    ("VAULT_ROTATE_PHASE", "generate"),
                    ("VAULT_ROTATE_ENTRY", id.name.as_str()),
                    ("VAULT_ROTATE_ENVIRONMENT", id.environment_text()),
                ];
                let held = hold.and_then(Hold::descriptor);
                let script = Script { text, variables: &variables, values: &[], held, timeout: *timeout };
                let failed = |how: &str| {
                    Error::new(ErrorKind::Io, "command_failed", format!("the command for a value of '{id}' {how}"))
                        .hint("nothing was changed")
                };
                match script.output(MAX_VALUE + 1, endings) {
                    Ok(Ok(mut bytes)) => {
                        strip_line_end(&mut bytes);
                        if bytes.is_empty() {
                            return Err(failed("printed nothing"));
                        }
                        Ok(SecretValue::new(bytes))
                    }
                    Ok(Err(Ended::Badly(how))) => Err(failed(&how)),
                    Ok(Err(_)) => Err(interrupted(id)),
                    Err(error) => Err(failed(&format!("could not be started: {error}"))),
                }
            }
        }
    }
}
