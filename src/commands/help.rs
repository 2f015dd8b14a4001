//! `vault help`

use clap::Args;

use super::context::Context;
use super::{command, exit};
use crate::term::output;
use crate::vault::{Error, Result};

/// Show help on a subcommand, or a topic: exit-codes, unlocking
#[derive(Args, Debug)]
pub struct HelpArgs {
    /// The subcommand or topic
    topic: Option<String>,
}

const UNLOCKING: &str = "\
How a vault is unlocked. The first of these that is given is used; if it does not open the vault, the exit code is 4.

  --passphrase-fd FD        an open file descriptor; its first line is the passphrase
  --passphrase-file FILE    a file; its first line is the passphrase
  --identity FILE           age identities, one a line, in the clear or under a passphrase; or a private SSH key
  --key-file FILE           32 raw bytes, or their base64
  VAULT_PASSPHRASE_FD       like the option
  VAULT_PASSPHRASE_FILE     like the option
  VAULT_PASSPHRASE_CMD      a shell command; the first line that it prints is the passphrase
  VAULT_PASSPHRASE          the passphrase itself; other programs of the same user may see it
  VAULT_IDENTITY            the path of an identity file
  VAULT_KEY                 the key itself: base64, or 32 raw bytes
  VAULT_KEY_FILE            the path of a key file
  the agent                 what `vault unlock` gave it, while it keeps it
  identity, key-file        in the user's config.toml; there, `plugins` says which plugins of age may run
  the system's keychain     if the user's config.toml says keychain = true, and `vault key remember` put a key there
  a question                on the terminal, if there is one and --no-input is not given
";

pub fn run(_context: &mut Context, args: HelpArgs) -> Result<u8> {
    let text = match args.topic.as_deref() {
        None => command().render_long_help().to_string(),
        Some("exit-codes") => exit::TABLE.to_owned(),
        Some("unlocking") => UNLOCKING.to_owned(),
        Some(name) => {
            let mut root = command();
            root.build();
            let found = root.find_subcommand_mut(name);
            let found = found.ok_or_else(|| Error::usage("there is no such subcommand or topic").hint("see `vault help`"))?;
            found.render_long_help().to_string()
        }
    };
    output::print(&text)?;
    Ok(exit::OK)
}
