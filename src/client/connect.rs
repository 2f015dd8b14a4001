//! One server: where it is, what proves who asks, and requests to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::Agent;
use ureq::http::{HeaderValue, Request, Uri};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use zeroize::Zeroizing;

use super::answer::Answer;
use super::unix::{AtPath, UnixConnector};
use crate::secret::SecretValue;
use crate::vault::{Error, ErrorKind, PresentedToken, Result};

/// What stands for itself in a part of a path or query (RFC 3986, section 2.3), and the `/` of names.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');
/// How many connections are kept for what comes next: as many as threads may speak at once.
const IDLE: usize = 1024;
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The URL under which its paths are, without a `/` at its end.
    Url(String),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Place {
    /// Reads `https://HOST[:PORT][/PATH]`, `http://…` or `unix:PATH`. In the clear only to this machine, unless the caller says otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`]; the text is not repeated, for it may hold a password.
    pub fn parse(text: &str, plain_anywhere: bool) -> Result<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err(Error::usage("unix: lacks the path of a socket")),
                path => Ok(Self::Unix(PathBuf::from(path))),
            };
        }
        let malformed =
            || Error::usage("the address of a server is written https://HOST[:PORT], http://127.0.0.1:PORT or unix:PATH");
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(malformed()) };
        if !["http", "https"].contains(&scheme) || uri.query().is_some() || text.contains('#') {
            return Err(malformed());
        }
        if authority.as_str().contains('@') {
            return Err(Error::usage("the address of a server holds no name and no password")
                .hint("a token comes from VAULT_SERVER_TOKEN_FILE or VAULT_SERVER_TOKEN"));
        }
        if scheme == "http" && !plain_anywhere && !is_this_machine(authority.host()) {
            return Err(Error::new(
                ErrorKind::NotPermitted,
                "plain_http",
                "the token and the values would cross the network in the clear",
            )
            .hint("use https://; or, on a network that you trust, say VAULT_SERVER_INSECURE_PLAIN_HTTP=1"));
        }
        Ok(Self::Url(text.trim_end_matches('/').to_owned()))
    }
}

pub(super) fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A certificate and its key (PEM).
pub struct Pair {
    /// The certificate, with those that lead to its root.
    pub certificate: Zeroizing<Vec<u8>>,
    /// The private key.
    pub key: Zeroizing<Vec<u8>>,
}

/// How a server is spoken to.
pub struct Settings {
    /// Where it is.
    pub place: Place,
    /// The token, as text.
    pub token: SecretValue,
    /// Authorities to trust instead of those of the system (PEM).
    pub authorities: Option<Zeroizing<Vec<u8>>>,
    /// What proves who asks, where the server wants a certificate.
    pub certificate: Option<Pair>,
    /// How long one request may take.
    pub timeout: Duration,
}

/// A server, as one credential sees it.
pub struct Client {
    agent: Agent,
    place: Place,
    base: String,
    authorization: HeaderValue,
}

impl Client {
    /// Prepares; nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`] for a token that is none: whatever it is then, it belongs to somebody else and is not sent.
    pub fn new(settings: Settings) -> Result<Self> {
        let no_token = || {
            Error::new(ErrorKind::Locked, "bad_token", "what is given as the token of the server is none")
                .hint("`vault token create` makes one: vault_, an id, and what proves it")
        };
        let text = std::str::from_utf8(settings.token.expose()).map_err(|_| no_token())?;
        let text = text.trim();
        PresentedToken::parse(text).ok_or_else(no_token)?;
        let bearer = Zeroizing::new(format!("Bearer {text}"));
        let mut authorization = HeaderValue::from_str(&bearer).map_err(|_| no_token())?;
        authorization.set_sensitive(true);
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Whoever could redirect a request would get its token.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT))
            .max_idle_connections(IDLE)
            .max_idle_connections_per_host(IDLE)
            .timeout_global(Some(settings.timeout))
            .user_agent(format!("vault/{}", env!("CARGO_PKG_VERSION")))
            // A credential that is meant for the server alone is not handed to what a variable names.
            .proxy(None);
        let (agent, base) = match &settings.place {
            Place::Unix(path) => {
                (Agent::with_parts(config.build(), UnixConnector::new(path.clone()), AtPath), "http://localhost".to_owned())
            }
            Place::Url(url) => {
                if url.starts_with("https") {
                    config = config.tls_config(tls(&settings)?);
                }
                (Agent::new_with_config(config.build()), url.clone())
            }
        };
        Ok(Self { agent, place: settings.place, base, authorization })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Asks for something.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.send("GET", path, None, None)
    }

    /// Sends a JSON text.
    pub fn post(&self, path: &str, body: &[u8]) -> Result<Answer> {
        self.send("POST", path, None, Some(body))
    }

    /// Sends a request, with one more header perhaps.
    pub fn send(&self, method: &str, path: &str, header: Option<(&str, &str)>, body: Option<&[u8]>) -> Result<Answer> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        request = request.header("authorization", &self.authorization).header("accept", "application/json");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let run = match body {
            Some(body) => request.header("content-type", "application/json").body(body).map(|request| self.agent.run(request)),
            None => request.body(()).map(|request| self.agent.run(request)),
        };
        let response = run.map_err(|_| Error::usage("there is no such request"))?.map_err(|error| self.unreachable(&error))?;
        Answer::read(response).map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &ureq::Error) -> Error {
        let hint = match error {
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                "is it running? `vault serve` says where it listens"
            }
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::NotFound => "is it running? the socket is not there",
            ureq::Error::Rustls(_) | ureq::Error::Tls(_) => {
                "VAULT_SERVER_CA names a file with the authority to trust; https is for a server with --tls-cert"
            }
            ureq::Error::Timeout(_) => "VAULT_SERVER_TIMEOUT says how long a request may take",
            _ => "check the address, and that the server can be reached from here",
        };
        Error::new(ErrorKind::Network, "network", format!("the server at {} cannot be reached: {error}", self.place)).hint(hint)
    }
}

fn tls(settings: &Settings) -> Result<TlsConfig> {
    let bad = |what: &str| Error::usage(format!("{what} names a file without what it should hold in PEM"));
    let authorities = match &settings.authorities {
        Some(pem) => certificates(pem).ok_or_else(|| bad("VAULT_SERVER_CA"))?,
        None => system_authorities()?,
    };
    let client = match &settings.certificate {
        None => None,
        Some(Pair { certificate, key }) => {
            let chain = certificates(certificate).ok_or_else(|| bad("VAULT_SERVER_CERT"))?;
            let key = PrivateKey::from_pem(key).map_err(|_| bad("VAULT_SERVER_CERT_KEY"))?;
            Some(ClientCert::new_with_certs(&chain, key))
        }
    };
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(authorities)))
        .client_cert(client)
        .build())
}

/// TLS by the authorities of the system alone.
pub(super) fn authorities_of_system() -> Result<TlsConfig> {
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .root_certs(RootCerts::Specific(Arc::new(system_authorities()?)))
        .build())
}

/// All certificates of a PEM text; `None` if there is none.
fn certificates(pem: &[u8]) -> Option<Vec<Certificate<'static>>> {
    let mut all = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.ok()? {
            all.push(certificate);
        }
    }
    (!all.is_empty()).then_some(all)
}

fn system_authorities() -> Result<Vec<Certificate<'static>>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(Error::new(
            ErrorKind::Network,
            "no_authorities",
            "this system says of no authority that it is to be trusted",
        )
        .hint("install ca-certificates, or name a file with the server's authority in VAULT_SERVER_CA"));
    }
    Ok(found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}

/// A text as part of a path or query.
pub fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}
