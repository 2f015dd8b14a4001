//! Where the password of a user comes from: never the command line.

use std::path::PathBuf;

use clap::Args;

use crate::commands::context::Context;
use crate::commands::files::read_file;
use crate::commands::keys::{first_line, passphrase_from_fd};
use crate::secret::Passphrase;
use crate::vault::users::weakness;
use crate::vault::{Error, ErrorKind, Result};

/// Where a password comes from, beside what unlocks the vault.
#[derive(Args, Debug)]
pub struct PasswordSource {
    /// Read the password from this open file descriptor
    #[arg(long, value_name = "FD", conflicts_with = "password_file")]
    password_fd: Option<i32>,
    /// Read the password from the first line of this file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordSource {
    /// The password: as the options say; asked twice at a terminal; else the first line of standard input.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for one that the server would not take.
    pub fn read(&self, context: &Context) -> Result<Passphrase> {
        let password = match (self.password_fd, &self.password_file) {
            (Some(fd), _) => passphrase_from_fd(fd)?,
            (None, Some(path)) => first_line(read_file(path)?)?,
            (None, None) => {
                let value = context.value_from_input("Password of the user", true).map_err(|error| match error.kind() {
                    ErrorKind::Usage => error.hint("pipe the password, or use --password-file or --password-fd"),
                    _ => error,
                })?;
                first_line(value.expose().to_vec().into())?
            }
        };
        let text = std::str::from_utf8(password.expose()).map_err(|_| Error::usage("the password is not UTF-8 text"))?;
        match weakness(text) {
            Some(weakness) => Err(Error::new(ErrorKind::Usage, "weak_password", weakness)),
            None => Ok(password),
        }
    }
}
