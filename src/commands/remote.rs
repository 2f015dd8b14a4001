//! Which server a run speaks to, if it speaks to one: `--server`, or `VAULT_SERVER` where no vault file is named.

use std::time::Duration;

use super::context::{Context, parse_duration, path_variable, secret_variable, text_variable};
use super::files::read_file;
use crate::client::{Client, Pair, Place, Settings};
use crate::secret::SecretValue;
use crate::vault::{Error, ErrorKind, Result};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Context {
    /// The address of the server of this run, if it has one.
    pub(super) fn server_address(&self) -> Result<Option<String>> {
        match (&self.global.server, &self.global.vault) {
            (Some(_), Some(_)) => Err(Error::usage("--server and --vault name two places; entries are in one of them")),
            (Some(address), None) => Ok(Some(address.clone())),
            (None, Some(_)) => Ok(None),
            (None, None) => Ok(text_variable("VAULT_SERVER")),
        }
    }

    /// Refuses what works on a vault file alone where a server is named: something else than what is meant would be read or changed.
    pub(super) fn refuse_server(&self) -> Result<()> {
        match self.server_address()? {
            None => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::Usage, "not_remote", "this works on a vault file, and not with a server")
                .hint("name the file with --vault, or leave out --server and VAULT_SERVER")),
        }
    }

    /// The server of this run, if it has one. The token comes from a variable or a file, never from the command line.
    pub(super) fn server(&self) -> Result<Option<Client>> {
        self.server_address()?.map(|address| self.server_at(&address)).transpose()
    }

    /// The server that an option of a command names, or else that of this run.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if none is named.
    pub(super) fn server_of(&self, url: Option<&str>) -> Result<Client> {
        let address = match url {
            Some(url) => Some(url.to_owned()),
            None => self.server_address()?,
        };
        let address =
            address.ok_or_else(|| Error::usage("no server is named").hint("say which with --url, --server or VAULT_SERVER"))?;
        self.server_at(&address)
    }

    fn server_at(&self, address: &str) -> Result<Client> {
        let place = Place::parse(address, text_variable("VAULT_SERVER_INSECURE_PLAIN_HTTP").is_some_and(|text| text == "1"))?;
        let file = |name: &str| path_variable(name).map(|path| read_file(&path)).transpose();
        let certificate = match (file("VAULT_SERVER_CERT")?, file("VAULT_SERVER_CERT_KEY")?) {
            (Some(certificate), Some(key)) => Some(Pair { certificate, key }),
            (None, None) => None,
            _ => return Err(Error::usage("VAULT_SERVER_CERT and VAULT_SERVER_CERT_KEY go together")),
        };
        let timeout = match text_variable("VAULT_SERVER_TIMEOUT") {
            Some(text) => Duration::from_millis(parse_duration(&text)?.max(1)),
            None => TIMEOUT,
        };
        let token = token()?;
        Client::new(Settings { place, token, authorities: file("VAULT_SERVER_CA")?, certificate, timeout })
    }
}

/// What proves who asks.
fn token() -> Result<SecretValue> {
    match secret_variable("VAULT_SERVER_TOKEN")? {
        Some(bytes) => Ok(SecretValue::new(bytes)),
        None => Err(Error::new(ErrorKind::Locked, "no_token", "there is no token for the server")
            .hint("VAULT_SERVER_TOKEN_FILE names a file with one, or VAULT_SERVER_TOKEN is one; `vault token create` makes it")),
    }
}
