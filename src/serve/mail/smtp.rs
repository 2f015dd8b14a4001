//! A mail server, spoken to by SMTP (RFC 5321) and the rules of submission (RFC 6409, RFC 8314).
//!
//! A connection is kept while there is something to send. What a message is refused for is told apart from what ails the server, for the next
//! message is not refused for the former.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{Certificate, SmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};

use super::Failure;
use super::letter::Letter;
use crate::secret::MailPassword;

/// The port of TLS from the first byte on (RFC 8314, section 7.3).
const SUBMISSIONS: u16 = 465;
/// The reply of a server that closes the connection.
const CLOSING: u16 = 421;
/// How many addresses of a server are tried.
const ADDRESSES: usize = 4;
/// After how long without a message it is asked whether the connection is still there.
const UNSURE: Duration = Duration::from_secs(2);

/// Where the mail server is, and how it is spoken to.
#[derive(Clone)]
pub struct SmtpSettings {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// TLS from the first byte on; without, STARTTLS.
    pub tls_from_start: bool,
    /// What it is logged in with.
    pub credentials: Option<Arc<SmtpCredentials>>,
    /// A file with an authority that is trusted beside those of the system (PEM).
    pub authorities: Option<PathBuf>,
    /// How long connecting, and each command, may take.
    pub timeout: Duration,
}

/// A name and its password.
pub struct SmtpCredentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: MailPassword,
}

impl SmtpSettings {
    /// A server that wants no login, with the TLS that its port is for.
    pub fn new(host: &str, port: u16) -> Self {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        let (tls_from_start, timeout) = (port == SUBMISSIONS, Duration::from_secs(10));
        Self { host, port, tls_from_start, credentials: None, authorities: None, timeout }
    }
}

impl std::fmt::Debug for SmtpSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SmtpSettings({}:{})", self.host, self.port)
    }
}

/// What happens to a connection that is in the clear so far.
#[derive(Debug, PartialEq, Eq)]
enum Plain {
    Upgraded,
    Kept,
    Refused,
}

/// In the clear only to this machine, and only if it has nothing better. That the server offers no STARTTLS may be the word of somebody in between.
fn plain(offers_tls: bool, host: &str, address: IpAddr) -> Plain {
    // Both: what a name leads to may be the word of somebody in between as well.
    let is_this_machine = host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|host| host.is_loopback());
    match (offers_tls, is_this_machine && address.is_loopback()) {
        (true, _) => Plain::Upgraded,
        (false, true) => Plain::Kept,
        (false, false) => Plain::Refused,
    }
}

/// The mail server.
pub(super) struct Smtp {
    settings: SmtpSettings,
    tls: TlsParameters,
    hello: ClientId,
    kept: Option<(SmtpConnection, Instant)>,
}

impl Smtp {
    /// Prepares; nothing is sent yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a file of authorities that cannot be used.
    pub(super) fn new(settings: SmtpSettings) -> io::Result<Self> {
        let mut tls = TlsParameters::builder(settings.host.clone());
        if let Some(path) = &settings.authorities {
            let refuse = |what: String| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("the authority {} cannot be used: {what}", path.display()))
            };
            let pem = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
            if !pem.windows(27).any(|part| part == b"-----BEGIN CERTIFICATE-----") {
                return Err(refuse("there is no certificate in it".to_owned()));
            }
            tls = tls.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| refuse(error.to_string()))?);
        }
        let tls = tls.build_rustls().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        Ok(Self { settings, tls, hello: ClientId::default(), kept: None })
    }

    pub(super) fn deliver(&mut self, letter: &Letter) -> Result<(), Failure> {
        let mut connection = match self.take_kept() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        match hand_over(&mut connection, letter) {
            Ok(()) => self.kept = Some((connection, Instant::now())),
            Err(failure) => {
                // What was refused is this message and not the next, which may use the connection.
                if failure.is_of_message && connection.command(Rset).is_ok() {
                    self.kept = Some((connection, Instant::now()));
                }
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Takes leave of the server until there is something to send.
    pub(super) fn rest(&mut self) {
        if let Some((mut connection, _)) = self.kept.take() {
            let _ = connection.quit();
        }
    }

    fn take_kept(&mut self) -> Option<SmtpConnection> {
        let (mut connection, used) = self.kept.take()?;
        (used.elapsed() < UNSURE || connection.test_connected()).then_some(connection)
    }

    fn connect(&self) -> Result<SmtpConnection, Failure> {
        let SmtpSettings { host, port, .. } = &self.settings;
        let found = (host.as_str(), *port).to_socket_addrs();
        let found = found.map_err(|_| Failure::of_the_way("the name of the mail server leads nowhere".to_owned()))?;
        let mut last = None;
        for address in found.take(ADDRESSES) {
            match self.connect_to(address) {
                Ok(connection) => return Ok(connection),
                // Refused for good is refused at all its addresses: a wrong password is not tried at each.
                Err(failure) if !failure.is_temporary => return Err(failure),
                Err(failure) => last = Some(failure),
            }
        }
        Err(last.unwrap_or_else(|| Failure::of_the_way("the name of the mail server leads nowhere".to_owned())))
    }

    fn connect_to(&self, address: SocketAddr) -> Result<SmtpConnection, Failure> {
        let SmtpSettings { host, tls_from_start, credentials, timeout, .. } = &self.settings;
        let tls = tls_from_start.then_some(&self.tls);
        let mut connection = SmtpConnection::connect(address, Some(*timeout), &self.hello, tls, None).map_err(ailing)?;
        if !connection.is_encrypted() {
            match plain(connection.can_starttls(), host, address.ip()) {
                Plain::Upgraded => connection.starttls(&self.tls, &self.hello).map_err(ailing)?,
                Plain::Kept => {}
                Plain::Refused => {
                    return Err(Failure::of_the_way(
                        "the mail server offers no STARTTLS, and nothing is sent in plain".to_owned(),
                    ));
                }
            }
        }
        if let Some(SmtpCredentials { username, password }) = credentials.as_deref() {
            // Made for this moment: the transport's own type does not wipe itself, but what is freed is wiped.
            let credentials = Credentials::new(username.clone(), password.expose().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).map_err(ailing)?;
        }
        Ok(connection)
    }
}

/// The transaction of one message (RFC 5321, section 3.3). Command by command, for a connection on which one was refused is still good.
fn hand_over(connection: &mut SmtpConnection, letter: &Letter) -> Result<(), Failure> {
    let mut parameters = Vec::new();
    let info = connection.server_info();
    if !letter.is_of_ascii_addresses() {
        if !info.supports_feature(Extension::SmtpUtfEight) {
            return Err(Failure::of_message("the mail server takes no such address".to_owned(), false));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !letter.bytes.is_ascii() {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    connection.command(Mail::new(Some(letter.from.clone()), parameters)).map_err(refused)?;
    connection.command(Rcpt::new(letter.to.clone(), Vec::new())).map_err(refused)?;
    connection.command(Data).map_err(refused)?;
    connection.message(&letter.bytes).map_err(refused)?;
    Ok(())
}

/// Why the connection did not come about.
fn ailing(error: Error) -> Failure {
    Failure { what: told(&error), is_temporary: !(error.is_permanent() || error.is_client()), is_of_message: false }
}

/// Why a message was not taken.
fn refused(error: Error) -> Failure {
    let code = error.status().map(u16::from);
    let is_of_message = code.is_some_and(|code| code != CLOSING);
    Failure { what: told(&error), is_temporary: !error.is_permanent(), is_of_message }
}

/// What kind of error it is. Never the text of the server's reply, in which the address or more may stand.
fn told(error: &Error) -> String {
    if let Some(code) = error.status() {
        return format!("the mail server said {code}");
    }
    if error.is_response() {
        return "what the mail server said is no reply".to_owned();
    }
    if error.is_client() {
        return "the mail server offers no login that is known here".to_owned();
    }
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<tokio_rustls::rustls::Error>());
            return match (tls, error.kind()) {
                (Some(tls), _) => format!("TLS to the mail server: {tls}"),
                (None, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => "the mail server took too long".to_owned(),
                (None, kind) => format!("the mail server: {kind}"),
            };
        }
        source = error.source();
    }
    "the mail server cannot be reached".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_clear_only_to_this_machine() {
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        let six = IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]);
        for (host, address) in [("localhost", here), ("LocalHost", six), ("127.0.0.1", here), ("127.8.9.1", here), ("::1", six)] {
            assert_eq!(plain(false, host, address), Plain::Kept, "{host}");
            assert_eq!(plain(true, host, address), Plain::Upgraded, "{host}");
        }
        let elsewhere = [
            ("192.0.2.1", there),
            ("mail.example.org", there),
            // A name that is answered for by somebody in between.
            ("mail.example.org", here),
            ("localhost", there),
            ("localhost.example.org", here),
        ];
        for (host, address) in elsewhere {
            assert_eq!(plain(false, host, address), Plain::Refused, "{host}");
            assert_eq!(plain(true, host, address), Plain::Upgraded, "{host}");
        }
    }

    #[test]
    fn the_port_says_which_tls() {
        assert!(SmtpSettings::new("mail.example.org", 465).tls_from_start);
        assert!(!SmtpSettings::new("mail.example.org", 587).tls_from_start);
        assert_eq!(SmtpSettings::new("[::1]", 25).host, "::1");
    }
}
