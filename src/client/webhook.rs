//! What a server tells to others: a request to an address that somebody else runs, without anything that proves who asks.

use std::time::Duration;

use ureq::Agent;
use ureq::http::{Request, Uri};

use super::connect::{authorities_of_system, is_this_machine};
use crate::vault::{Error, Result};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Posts to addresses. No redirect is followed, and no proxy that a variable names is used.
pub struct Poster(Agent);

impl Poster {
    /// Trusts the authorities of this system, where an address needs one.
    pub fn new(with_tls: bool) -> Result<Self> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(TIMEOUT))
            .user_agent(format!("vault/{}", env!("CARGO_PKG_VERSION")))
            .proxy(None);
        if with_tls {
            config = config.tls_config(authorities_of_system()?);
        }
        Ok(Self(Agent::new_with_config(config.build())))
    }

    /// Posts a body. Returns the status of the answer; what it says is not read.
    ///
    /// # Errors
    /// In words that do not repeat the address: it may be a secret.
    pub fn post(&self, url: &str, headers: &[(&str, &str)], body: &[u8]) -> std::result::Result<u16, String> {
        let mut request = Request::builder().method("POST").uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(|_| "there is no such request".to_owned())?;
        match self.0.run(request) {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(ureq::Error::Io(error)) => Err(error.kind().to_string()),
            Err(ureq::Error::Timeout(_)) => Err("it took too long".to_owned()),
            Err(ureq::Error::HostNotFound) => Err("its name is not known".to_owned()),
            Err(ureq::Error::Rustls(_) | ureq::Error::Tls(_)) => Err("its certificate is not trusted".to_owned()),
            Err(_) => Err("it does not speak as it should".to_owned()),
        }
    }
}

/// The host of an address to which a server may tell something, and whether it speaks TLS: in the clear only this machine.
///
/// # Errors
/// [`crate::vault::ErrorKind::Usage`], without the address.
pub fn host_of(url: &str) -> Result<(String, bool)> {
    let malformed = || Error::usage("the address of a webhook is written https://HOST/PATH");
    let uri: Uri = url.parse().map_err(|_| malformed())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(malformed()) };
    let host = authority.host();
    match scheme {
        "https" => Ok((host.to_owned(), true)),
        "http" if is_this_machine(host) => Ok((host.to_owned(), false)),
        "http" => Err(Error::usage("a webhook on another machine has to be https://")),
        _ => Err(malformed()),
    }
}
